import type { StorageDriver } from "../driver.js";
import { UnsupportedError } from "../errors.js";
import { cacheDocument, type Descriptor, type ImageFormat, imageDocument, indexDocument, MEDIA_TYPES } from "./documents.js";
import { digestOf, V2Paths } from "./v2Paths.js";

/** Content that a builder has written: what a descriptor needs, and the bytes themselves. */
export interface BuiltBlob extends Descriptor {
  readonly bytes: Uint8Array;
}

/** A manifest that a builder has written, with the blobs that it was made of. */
export interface BuiltManifest extends BuiltBlob {
  readonly layers: readonly Descriptor[];
}

/** How a repository gets a manifest. */
export interface PushOptions {
  /** Also tag it. */
  readonly tag?: string | undefined;
  /** The link that the repository gets: a revision's, a layer's (as very old registries wrote), or none at all. Default `"revision"`. */
  readonly as?: "revision" | "layer" | "nothing" | undefined;
  /** Whether the repository gets links to the layers and the config. Default `true`. */
  readonly layerLinks?: boolean | undefined;
  /** Tells apart what would otherwise be the same document. Default: a number that counts up. */
  readonly name?: string | undefined;
  /** What the manifest is about. */
  readonly subject?: Descriptor | undefined;
}

/** What makes an image. */
export interface ImageOptions extends PushOptions {
  /** That many layers of its own, or exactly these. Default 2. */
  readonly layers?: number | readonly Descriptor[] | undefined;
  /** Default `"oci"`. */
  readonly format?: ImageFormat | undefined;
}

/** What makes an index. */
export interface IndexOptions extends PushOptions {
  /** Default `"oci"`. */
  readonly format?: "oci" | "docker" | undefined;
  /** What its descriptors say of media types: what is so, nothing, or that all children are bytes. Default `"typed"`. */
  readonly types?: "typed" | "untyped" | "bytes" | undefined;
}

/**
 * Lays out registries of the v2 layout, in the order in which a registry writes, on any driver that has `putContent`:
 *
 * ```ts
 * const registry = new RegistryBuilder(driver);
 * const amd64 = await registry.image("library/alpine");
 * await registry.index("library/alpine", [amd64, await registry.image("library/alpine")], { tag: "latest" });
 * ```
 *
 * All is deterministic: the same calls make the same bytes. Times are the driver's.
 */
export class RegistryBuilder {
  readonly paths: V2Paths;
  private counter = 0;

  constructor(
    readonly driver: StorageDriver,
    options: { readonly root?: string } = {},
  ) {
    this.paths = new V2Paths(options.root);
  }

  /** Writes any file. */
  async file(path: string, content: string | Uint8Array): Promise<void> {
    if (this.driver.putContent === undefined)
      throw new UnsupportedError(`${this.driver.name} has no putContent: nothing can be built on it`);
    await this.driver.putContent(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  }

  /** A blob that nothing links: an orphan, until something does. */
  async blob(content: string | Uint8Array): Promise<BuiltBlob> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const digest = digestOf(bytes);
    await this.file(this.paths.blob(digest), bytes);
    return { digest, size: bytes.length, bytes };
  }

  /** A layer's blob; the same name is the same layer. */
  layer(name: string): Promise<BuiltBlob> {
    return this.blob(`layer ${name}`);
  }

  /** Pushes an image. */
  async image(repository: string, options: ImageOptions = {}): Promise<BuiltManifest> {
    const { name = this.nextName(), layers = 2, format = "oci", subject } = options;
    const own = typeof layers === "number" ? await this.ownLayers(name, layers) : layers;
    // Built by the same tool they all have the same, empty config.
    const config = await this.blob("{}");
    const parts = { config: described(config), layers: own.map(described), subject: subject && described(subject) };
    const document = imageDocument({ format, name, ...parts });
    const hasConfig = format === "oci" || format === "docker";
    const mediaType = { oci: MEDIA_TYPES.oci, docker: MEDIA_TYPES.docker, schema1: MEDIA_TYPES.schema1, artifact: MEDIA_TYPES.ociArtifact };
    return this.push(repository, document, hasConfig ? [...own, config] : own, mediaType[format], options);
  }

  /** Pushes an index, or a manifest list, of any manifests: whether the repository has them, too, is up to the caller. */
  async index(repository: string, children: readonly Descriptor[], options: IndexOptions = {}): Promise<BuiltManifest> {
    const { name = this.nextName(), format = "oci", types = "typed", subject } = options;
    const descriptors = children.map((child) => ({
      ...described(child),
      mediaType: { typed: child.mediaType, untyped: undefined, bytes: "application/octet-stream" }[types],
    }));
    const document = indexDocument({ format, name, children: descriptors, subject: subject && described(subject) });
    return this.push(repository, document, [], format === "docker" ? MEDIA_TYPES.dockerList : MEDIA_TYPES.ociIndex, options);
  }

  /** Pushes a manifest about another one: a signature, an SBOM. */
  referrer(repository: string, subject: Descriptor, options: ImageOptions = {}): Promise<BuiltManifest> {
    return this.image(repository, { layers: 1, ...options, subject });
  }

  /** Pushes what buildx keeps as its cache. */
  async cache(repository: string, options: ImageOptions = {}): Promise<BuiltManifest> {
    const { name = this.nextName(), layers = 2 } = options;
    const own = typeof layers === "number" ? await this.ownLayers(name, layers) : layers;
    const config = await this.blob(`cache config ${name}`);
    const document = cacheDocument(name, own.map(described), described(config));
    return this.push(repository, document, [...own, config], MEDIA_TYPES.ociIndex, options);
  }

  /** Pushes any document: bytes as they are, anything else as JSON. `layers` are what the repository gets layer links for. */
  async push(
    repository: string,
    document: object | string,
    layers: readonly Descriptor[] = [],
    mediaType?: string,
    options: PushOptions = {},
  ): Promise<BuiltManifest> {
    if (options.layerLinks !== false) await this.layerLinks(repository, layers);
    const blob = await this.blob(typeof document === "string" ? document : JSON.stringify(document));
    const manifest = { ...blob, mediaType, layers };
    await this.place(repository, manifest, options);
    return manifest;
  }

  /** Gives a repository a manifest whose blob is there: a revision without a tag, unless it is told one. */
  async place(repository: string, { digest }: Descriptor, options: Pick<PushOptions, "tag" | "as"> = {}): Promise<void> {
    const { as = "revision", tag } = options;
    if (as === "revision") await this.file(this.paths.revision(repository, digest), digest);
    if (as === "layer") await this.layerLink(repository, digest);
    if (tag !== undefined) await this.tag(repository, tag, { digest });
  }

  /** Makes a tag name a manifest: an index entry, then the current link. What it named before keeps its index entry. */
  async tag(repository: string, tag: string, { digest }: Pick<Descriptor, "digest">): Promise<void> {
    await this.file(this.paths.indexEntry(repository, tag, digest), digest);
    await this.file(this.paths.currentLink(repository, tag), digest);
  }

  /** A link to a layer; `target` is the digest that the blob is stored under, where it is another one. */
  layerLink(repository: string, digest: string, target: string = digest): Promise<void> {
    return this.file(this.paths.layerLink(repository, digest), target);
  }

  /** A link for each of what was uploaded; of what lies under another digest than it is described by, a link for each of both. */
  private async layerLinks(repository: string, layers: readonly (Descriptor & { readonly bytes?: Uint8Array })[]): Promise<void> {
    for (const { digest, bytes } of layers) {
      const stored = bytes === undefined ? digest : digestOf(bytes);
      await this.layerLink(repository, digest, stored);
      if (stored !== digest) await this.layerLink(repository, stored);
    }
  }

  /** A layer that was uploaded under its sha512 digest: it lies under sha256, with a link for each. Described by its sha512 digest. */
  async sha512Layer(repository: string, name: string): Promise<BuiltBlob> {
    const stored = await this.layer(name);
    const digest = digestOf(stored.bytes, "sha512");
    await this.layerLinks(repository, [{ ...stored, digest }]);
    return { ...stored, digest };
  }

  /** A signature beside a schema 1 revision, as registries of 2.0 to 2.4 kept them. */
  async signature(repository: string, manifest: Pick<Descriptor, "digest">, name: string = this.nextName()): Promise<BuiltBlob> {
    const blob = await this.blob(`signature ${name}`);
    await this.file(this.paths.signature(repository, manifest.digest, blob.digest), blob.digest);
    return blob;
  }

  /** An upload that was begun: `startedAt` as text, so that nonsense can be written too. */
  async upload(
    repository: string,
    id: string,
    options: { readonly data?: string; readonly startedAt?: string; readonly hashStates?: number } = {},
  ): Promise<void> {
    const at = this.paths.upload(repository, id);
    if (options.startedAt !== undefined) await this.file(`${at}/startedat`, options.startedAt);
    if (options.data !== undefined) await this.file(`${at}/data`, options.data);
    for (let i = 0; i < (options.hashStates ?? 0); i++) await this.file(`${at}/hashstates/sha256/${i}`, "state");
  }

  /** What a registry's API does for DELETE of a manifest: the revision link goes, then every tag that names it. */
  async deleteManifest(repository: string, { digest }: Pick<Descriptor, "digest">): Promise<void> {
    await this.remove(this.paths.revision(repository, digest));
    for (const tag of await this.tagsOf(repository)) {
      const current = await this.content(this.paths.currentLink(repository, tag));
      if (current === digest) await this.deleteTag(repository, tag);
    }
  }

  /** What a registry's API does for DELETE of a tag. */
  deleteTag(repository: string, tag: string): Promise<void> {
    return this.remove(this.paths.tag(repository, tag));
  }

  /** Removes a path with all below it; nothing there is fine. */
  async remove(path: string): Promise<void> {
    await orAbsent(this.driver.delete(path));
  }

  /** The text of a file; `undefined` where there is none. */
  async content(path: string): Promise<string | undefined> {
    const stream = await orAbsent(this.driver.reader(path));
    if (stream === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  }

  private async tagsOf(repository: string): Promise<string[]> {
    const tags: string[] = [];
    const pages = this.driver.list(`${this.paths.repository(repository)}/_manifests/tags`)[Symbol.asyncIterator]();
    for (let page = await orAbsent(pages.next()); page !== undefined && page.done !== true; page = await pages.next()) {
      for (const { path } of page.value) tags.push(path.slice(path.lastIndexOf("/") + 1));
    }
    return tags;
  }

  private async ownLayers(name: string, count: number): Promise<BuiltBlob[]> {
    const layers: BuiltBlob[] = [];
    for (let i = 0; i < count; i++) layers.push(await this.layer(`${i} of ${name}`));
    return layers;
  }

  private nextName(): string {
    this.counter++;
    return `number ${this.counter}`;
  }
}

function described({ mediaType, digest, size }: Descriptor): Descriptor {
  return mediaType === undefined ? { digest, size } : { mediaType, digest, size };
}

async function orAbsent<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (typeof error === "object" && error !== null && "code" in error && error.code === "PATH_NOT_FOUND") return undefined;
    throw error;
  }
}
