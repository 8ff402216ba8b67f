/** What the registry is filled with, through its own API: every kind of image, and every kind of garbage. */

import { join } from "node:path";
import { type Blob, buildxCache, type Format, image, layer, list, type Manifest, schema1, underSha512 } from "./content.js";
import { RegistryClient } from "./registryClient.js";
import { pushAsSchema1, pushWithSkopeo } from "./skopeo.js";

/** How long a manifest stays in its repository: whatever the options, only without `removeUntagged`, or not at all. */
export type Stays = "always" | "while untagged ones stay" | "never";

/** A repository's claim to a manifest. */
export interface Holding {
  readonly repository: string;
  readonly manifest: Manifest;
  readonly stays: Stays;
  /** Pushed as a blob, and so linked as a layer; registries serve it all the same. */
  readonly asLayer: boolean;
}

/** What was put into the registry. */
export interface Filling {
  readonly holdings: readonly Holding[];
  /** `repository:tag` -> digest. */
  readonly tags: ReadonlyMap<string, string>;
  /** Each name of a manifest that was ever put under a tag. */
  readonly history: readonly { readonly repository: string; readonly tag: string; readonly name: string }[];
  /** Blobs that nothing names. */
  readonly orphans: readonly Blob[];
  /** Digests of manifests that an index names, and that were deleted through the API from the index's repository. */
  readonly absent: ReadonlySet<string>;
  /** Repositories in which an upload was begun and not finished. */
  readonly uploads: readonly string[];
  /** Tags that skopeo can't pull: it knows no index in an index, no index of layers, none that lacks a child, and no sha512. */
  readonly notForSkopeo: ReadonlySet<string>;
}

/** Fills a registry that is served at `host`. `folder` is a place for the layouts that skopeo pushes from. */
export async function fillRegistry(host: string, folder: string): Promise<Filling> {
  const filler = new Filler(host, folder);
  await imagesByBothClients(filler);
  await listsOfImages(filler);
  await indexesOfEverything(filler);
  await referrers(filler);
  await sharedBetweenRepositories(filler);
  await deletedThroughTheApi(filler);
  await oldAndOddManifests(filler);
  await neverFinished(filler);
  return filler;
}

const base = layer("base");

async function imagesByBothClients(filler: Filler): Promise<void> {
  const docker = (name: string) => image(name, [base, layer(`${name} layer`)], { format: "docker" });
  const oci = (name: string) => image(name, [base, layer(`${name} layer`)]);
  // The tag moves on: the first of each loses its name, and is still in the tag's index.
  await filler.skopeo("team/docker", docker("docker image, retagged away"), "docker", "latest", "while untagged ones stay");
  await filler.skopeo("team/docker", docker("docker image"), "docker", "latest");
  await filler.skopeo("team/oci", oci("OCI image, retagged away"), "oci", "latest", "while untagged ones stay");
  await filler.skopeo("team/oci", oci("OCI image"), "oci", "latest");
  // A second tag for the same image, and a repository whose name contains others.
  await filler.push("team/docker", docker("docker image"), { tag: "2.0" });
  await filler.push("team", image("image of the outer repository", [base]), { tag: "1" });
}

async function listsOfImages(filler: Filler): Promise<void> {
  const platforms = (name: string, format: Format) =>
    list(
      name,
      ["amd64", "arm64"].map((architecture) => {
        const child = `${name}, ${architecture}`;
        return image(child, [base, layer(`${child} layer`)], { format, architecture });
      }),
      format,
    );
  await filler.skopeo("team/list", platforms("manifest list, retagged away", "docker"), "docker", "latest", "while untagged ones stay");
  await filler.skopeo("team/list", platforms("manifest list", "docker"), "docker", "latest");
  await filler.skopeo("team/index", platforms("OCI index", "oci"), "oci", "latest");

  const tagged = platforms("untagged index of tagged images", "oci");
  await filler.push("team/loose", tagged, { stays: "while untagged ones stay" });
  for (const [i, child] of tagged.children.entries()) await filler.push("team/loose", child, { tag: `image-${i}` });
}

async function indexesOfEverything(filler: Filler): Promise<void> {
  const deepest = image("image in an index in an index", [layer("deep layer")]);
  await filler.push("team/nested", list("outer index", [list("inner index", [deepest])]), { tag: "outer", notForSkopeo: true });

  await filler.push("team/cache", buildxCache("buildx cache, untagged", [layer("old cache layer")]), { stays: "while untagged ones stay" });
  await filler.push("team/cache", buildxCache("buildx cache", [layer("cache layer")]), { tag: "main", notForSkopeo: true });
}

async function referrers(filler: Filler): Promise<void> {
  const signed = async (name: string, tag: string | undefined, stays: Stays) => {
    const subject = image(name, [layer(`${name} layer`)]);
    const signature = image(`signature of ${name}`, [layer(`signature of ${name} layer`)], { subject });
    const countersignature = image(`signature of signature of ${name}`, [], { subject: signature });
    await filler.push("team/signed", subject, { stays, ...(tag !== undefined && { tag }) });
    await filler.push("team/signed", signature, { stays });
    await filler.push("team/signed", countersignature, { stays });
  };
  await signed("signed image", "1", "always");
  await signed("untagged signed image", undefined, "while untagged ones stay");
}

async function sharedBetweenRepositories(filler: Filler): Promise<void> {
  await filler.client.mountBlob("team/mounting", base, "team/docker");
  await filler.push("team/mounting", image("image on a mounted layer", [base, layer("own layer")]), { tag: "1" });
  // A mount that was never followed by a manifest: a layer link, and nothing else.
  await filler.client.mountBlob("team/mount-only", base, "team/docker");

  const twice = image("image tagged here, untagged there", [layer("twice linked layer")]);
  await filler.push("team/twice-a", twice, { tag: "1" });
  await filler.push("team/twice-b", twice, { stays: "while untagged ones stay" });
}

async function deletedThroughTheApi(filler: Filler): Promise<void> {
  const shared = layer("layer shared with a deleted image");
  await filler.push("team/deleted", image("image beside a deleted one", [shared]), { tag: "stays" });
  await filler.push("team/deleted", image("deleted image", [shared, layer("deleted layer")]), { tag: "goes" });
  await filler.deleteManifest("team/deleted", "deleted image");

  // The same index in two repositories, one of which has lost a child.
  const children = ["kept child", "deleted child", "child deleted here only"].map((name) => image(name, [layer(`${name} layer`)]));
  const index = list("index with deleted children", children);
  const whole = list("index that is whole elsewhere", children.slice(2));
  await filler.push("team/sparse", index, { tag: "1", notForSkopeo: true });
  await filler.deleteManifest("team/sparse", "deleted child");
  await filler.deleteManifest("team/sparse", "child deleted here only");
  await filler.push("team/whole", whole, { tag: "1" });

  await filler.push("team/emptied", image("the only image of its repository, deleted", [layer("layer of an emptied repository")]));
  await filler.deleteManifest("team/emptied", "the only image of its repository, deleted");
}

async function oldAndOddManifests(filler: Filler): Promise<void> {
  const layers = [base, layer("schema 1 layer")];
  await pushAsSchema1(filler.layouts, `${filler.host}/team/schema1:1`, image("schema 1 image", layers, { format: "docker" }));
  const { bytes } = await filler.client.getManifest("team/schema1", "1");
  filler.hold({ repository: "team/schema1", manifest: schema1("schema 1 image", bytes, layers), tag: "1" });

  await filler.push("team/sha512", image("image with a sha512 layer", [underSha512(layer("sha512 layer"))]), {
    tag: "1",
    notForSkopeo: true,
  });

  const asLayer = image("image pushed as a blob", [layer("layer of an image pushed as a blob")]);
  for (const each of [...asLayer.blobs, asLayer]) await filler.client.pushBlob("team/as-layer", each);
  const parent = list("index of an image pushed as a blob", [asLayer]);
  await filler.client.putManifest("team/as-layer", parent, "1");
  filler.hold({ repository: "team/as-layer", manifest: asLayer, asLayer: true });
  filler.hold({ repository: "team/as-layer", manifest: parent, tag: "1" });
}

async function neverFinished(filler: Filler): Promise<void> {
  await filler.orphan("team/docker", layer("orphan beside an image"));
  await filler.orphan("team/orphans", layer("orphan in a repository without manifests"));
  await filler.leaveUpload("team/docker");
  await filler.leaveUpload("team/upload-only");
}

interface PushOptions {
  readonly tag?: string;
  readonly stays?: Stays;
  readonly notForSkopeo?: boolean;
}

/** Puts things in, and remembers what. */
class Filler implements Filling {
  readonly client: RegistryClient;
  readonly holdings: Holding[] = [];
  readonly tags = new Map<string, string>();
  readonly history: { repository: string; tag: string; name: string }[] = [];
  readonly orphans: Blob[] = [];
  readonly absent = new Set<string>();
  readonly uploads: string[] = [];
  readonly notForSkopeo = new Set<string>();
  readonly layouts: string;

  constructor(
    readonly host: string,
    folder: string,
  ) {
    this.client = new RegistryClient(host);
    this.layouts = join(folder, "layouts");
  }

  async push(repository: string, manifest: Manifest, options: PushOptions = {}): Promise<void> {
    await this.client.push(repository, manifest, options.tag);
    this.holdAll({ ...options, repository, manifest });
  }

  async skopeo(repository: string, manifest: Manifest, format: Format, tag: string, stays: Stays = "always"): Promise<void> {
    await pushWithSkopeo(this.layouts, { host: this.host, repository, tag }, manifest, format);
    this.holdAll({ repository, manifest, tag, stays });
  }

  async deleteManifest(repository: string, name: string): Promise<void> {
    const i = this.holdings.findIndex((holding) => holding.repository === repository && holding.manifest.name === name);
    const holding = this.holdings[i]!;
    const { digest } = holding.manifest;
    await this.client.deleteManifest(repository, holding.manifest);
    this.holdings[i] = { ...holding, stays: "never" };
    for (const [tag, named] of this.tags) if (named === digest && tag.startsWith(`${repository}:`)) this.tags.delete(tag);
    this.absent.add(digest);
  }

  async orphan(repository: string, blob: Blob): Promise<void> {
    await this.client.pushBlob(repository, blob);
    this.orphans.push(blob);
  }

  async leaveUpload(repository: string): Promise<void> {
    await this.client.leaveUpload(repository, Buffer.from("the first half"));
    this.uploads.push(repository);
  }

  /** A manifest may come twice, by another tag or below another index: the strongest claim counts. */
  hold({
    repository,
    manifest,
    tag,
    stays = "always",
    asLayer = false,
    notForSkopeo = false,
  }: PushOptions & { readonly repository: string; readonly manifest: Manifest; readonly asLayer?: boolean }): void {
    const i = this.holdings.findIndex((holding) => holding.repository === repository && holding.manifest.digest === manifest.digest);
    if (i < 0) this.holdings.push({ repository, manifest, stays, asLayer });
    else if (stays === "always") this.holdings[i] = { ...this.holdings[i]!, stays };
    if (tag === undefined) return;
    this.tags.set(`${repository}:${tag}`, manifest.digest);
    this.history.push({ repository, tag, name: manifest.name });
    if (notForSkopeo) this.notForSkopeo.add(`${repository}:${tag}`);
  }

  /** A manifest, and below it what came with it. Only the one at the top has the tag. */
  private holdAll(options: PushOptions & { readonly repository: string; readonly manifest: Manifest }): void {
    this.hold(options);
    const { repository, manifest, stays } = options;
    for (const child of manifest.children) this.holdAll({ repository, manifest: child, ...(stays && { stays }) });
  }
}
