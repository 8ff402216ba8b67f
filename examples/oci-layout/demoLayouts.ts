/** Two layouts in a temporary folder, one of them with garbage: a tag that has moved from one image to the next. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const IMAGE = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Makes the layouts, hands the directory that holds them to some work, and removes it whatever happens. */
export async function withDemoLayouts<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "oci-layouts-demo-"));
  try {
    const web = new Layout(join(directory, "web"));
    await web.image("1.0");
    const platforms = [await web.image("2.0 for amd64"), await web.image("2.0 for arm64")];
    await web.finish([tagged(await web.document(INDEX, { manifests: platforms }), "latest")]);
    const tools = new Layout(join(directory, "tools"));
    await tools.finish([tagged(await tools.image("1.0"), "latest")]);
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

class Layout {
  constructor(private readonly directory: string) {}

  async image(name: string): Promise<Descriptor> {
    const layers = [await this.blob(LAYER, Buffer.alloc(200_000, name))];
    const config = await this.document(CONFIG, {
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [layers[0]?.digest] },
    });
    return this.document(IMAGE, { config, layers });
  }

  document(mediaType: string, members: object): Promise<Descriptor> {
    const start = mediaType === CONFIG ? {} : { schemaVersion: 2, mediaType };
    return this.blob(mediaType, Buffer.from(JSON.stringify({ ...start, ...members })));
  }

  async finish(manifests: readonly Descriptor[]): Promise<void> {
    await writeFile(join(this.directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    await writeFile(join(this.directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  }

  private async blob(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const hex = createHash("sha256").update(bytes).digest("hex");
    await mkdir(join(this.directory, "blobs", "sha256"), { recursive: true });
    await writeFile(join(this.directory, "blobs", "sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  }
}

function tagged(descriptor: Descriptor, name: string): Descriptor {
  return { ...descriptor, annotations: { "org.opencontainers.image.ref.name": name } };
}
