/** A small registry on disk, with something of everything: images in use, and the garbage that months leave behind. */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";

const ROOT = "/docker/registry/v2";
const MONTH_MS = 30 * 86_400_000;

const TYPES = {
  image: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Makes the registry, hands its root directory to some work, and removes it whatever happens. */
export async function withDemoRegistry<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "oci-registry-gc-demo-"));
  try {
    await fill(new Writer(directory));
    await makeOld(directory, new Date(Date.now() - MONTH_MS));
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function fill(writer: Writer): Promise<void> {
  const layer = (repository: string, name: string, kib: number) => writer.layer(repository, Buffer.alloc(kib * 1024, `${name} `));

  // The tag moved from one image to the next; both stand on the same base.
  const base = await layer("shop/web", "base", 900);
  const old = await writer.image("shop/web", [base, await layer("shop/web", "web 1.0", 350)]);
  await writer.tag("shop/web", "latest", old);
  const web = await writer.image("shop/web", [base, await layer("shop/web", "web 2.0", 380)]);
  for (const tag of ["latest", "2.0"]) await writer.tag("shop/web", tag, web);
  // A signature has no tag, and stays as long as the image that it is about.
  await writer.image("shop/web", [await layer("shop/web", "signature", 1)], web);

  // An index keeps the images of all its platforms, tags or none.
  const platforms = [];
  for (const name of ["amd64", "arm64"]) platforms.push(await writer.image("shop/db", [await layer("shop/db", name, 640)]));
  await writer.tag("shop/db", "16", await writer.index("shop/db", platforms));

  // A push that broke off after a layer, and an image that was deleted through the API.
  await layer("tools/ci", "broken push", 1200);
  const deleted = await writer.image("tools/ci", [await layer("tools/ci", "ci 0.9", 250)]);
  await writer.deleteManifest("tools/ci", deleted);
  await writer.tag("tools/ci", "1.0", await writer.image("tools/ci", [await layer("tools/ci", "ci 1.0", 120)]));
}

/** Writes what a registry writes when it is pushed to. */
class Writer {
  private readonly driver: FilesystemDriver;

  constructor(root: string) {
    this.driver = new FilesystemDriver({ root });
  }

  async layer(repository: string, bytes: Buffer, mediaType = TYPES.layer): Promise<Descriptor> {
    const digest = await this.blob(bytes);
    await this.link(`${repository}/_layers/${pathOf(digest)}`, digest);
    return { mediaType, digest, size: bytes.length };
  }

  async image(repository: string, layers: readonly Descriptor[], subject?: Descriptor): Promise<Descriptor> {
    const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
    const config = await this.layer(repository, json({ architecture: "amd64", os: "linux", rootfs }), TYPES.config);
    return this.manifest(repository, TYPES.image, { config, layers, ...(subject && { subject }) });
  }

  index(repository: string, manifests: readonly Descriptor[]): Promise<Descriptor> {
    return this.manifest(repository, TYPES.index, { manifests });
  }

  async tag(repository: string, tag: string, { digest }: Descriptor): Promise<void> {
    const folder = `${repository}/_manifests/tags/${tag}`;
    await this.link(`${folder}/index/${pathOf(digest)}`, digest);
    await this.link(`${folder}/current`, digest);
  }

  /** As a registry does it: the link goes, and all else stays. */
  async deleteManifest(repository: string, { digest }: Descriptor): Promise<void> {
    await this.driver.delete(`${ROOT}/repositories/${revision(repository, digest)}`);
  }

  private async manifest(repository: string, mediaType: string, members: object): Promise<Descriptor> {
    const bytes = json({ schemaVersion: 2, mediaType, ...members });
    const digest = await this.blob(bytes);
    await this.link(revision(repository, digest), digest);
    return { mediaType, digest, size: bytes.length };
  }

  private async blob(bytes: Buffer): Promise<string> {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await this.driver.putContent(`${ROOT}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, bytes);
    return `sha256:${hex}`;
  }

  private async link(path: string, digest: string): Promise<void> {
    await this.driver.putContent(`${ROOT}/repositories/${path}/link`, Buffer.from(digest));
  }
}

async function makeOld(directory: string, time: Date): Promise<void> {
  for (const path of await readdir(directory, { recursive: true })) await utimes(join(directory, path), time, time);
}

function json(document: object): Buffer {
  return Buffer.from(JSON.stringify(document));
}

function revision(repository: string, digest: string): string {
  return `${repository}/_manifests/revisions/${pathOf(digest)}`;
}

/** `sha256:...` as links' directories have it. */
function pathOf(digest: string): string {
  return digest.replace(":", "/");
}
