/** A namespace of one's own: an OCI image layout, that is a directory with `oci-layout`, `index.json` and `blobs/<algorithm>/<hex>`. */
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import type { BlobInfo, FileInfo, LookOptions, Namespace, Repository, StorageDriver, Tag } from "oci-registry-gc";
import { DamagedRegistryError, isRegistryGcError } from "oci-registry-gc";

type Json = Readonly<Record<string, unknown>>;
const DIGEST = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/**
 * One layout, whose blobs no other one shares, is a registry with one repository. Its tags are the entries of index.json, named or not.
 * Its revisions are the blobs that are manifests, its layer links are all blobs; neither has a file of its own, so that nothing goes but
 * the blob. Collect with `removeUntagged`: then all goes that index.json does not reach.
 */
export function ociLayout(driver: StorageDriver, root: string): Namespace {
  const pathOf = (digest: string) => `${root}/blobs/${digest.replace(":", "/")}`;
  const through = (options: LookOptions) => options.through?.(driver) ?? driver;

  async function* entries(path: string, options: LookOptions): AsyncIterable<FileInfo> {
    for await (const page of through(options).list(path, options)) yield* page;
  }
  async function* blobs(options: LookOptions = {}): AsyncIterable<readonly BlobInfo[]> {
    for await (const algorithm of entries(`${root}/blobs`, options)) {
      for await (const { path, isDirectory } of algorithm.isDirectory ? entries(algorithm.path, options) : [algorithm]) {
        const digest = path.split("/").slice(-2).join(":");
        if (isDirectory || !DIGEST.test(digest)) options.onUnrecognized?.(path);
        // Listings of directories tell no sizes and times: each file is asked.
        else yield [{ ...(await through(options).stat(path, options)), digest }];
      }
    }
  }

  /** The same for a second time: strays are told of once. */
  const blobsAgain = (options?: LookOptions) => blobs({ ...options, onUnrecognized: undefined });

  /** A whole file, or at least somewhat more than `maxBytes` of it. */
  async function read(path: string, options: LookOptions & { maxBytes?: number }): Promise<Buffer> {
    const content = await through(options).getContent?.(path, options);
    return Buffer.from(content ?? (await buffer(await through(options).reader(path, options))));
  }

  /** Of what is not what its name says nobody knows what it named: it is taken for a manifest, too, and found to be damaged. */
  async function mayBeManifest({ digest, size = 0 }: BlobInfo, options: LookOptions): Promise<boolean> {
    if (size > 4 * 1024 * 1024 && !/^\s*\{/.test(String(await read(pathOf(digest), { ...options, maxBytes: 1024 })))) return false;
    const bytes = await read(pathOf(digest), options);
    const isSound = createHash(digest.slice(0, 6)).update(bytes).digest("hex") === digest.slice(7);
    return !isSound || ["schemaVersion", "mediaType"].some((member) => member in jsonOf(bytes));
  }

  const repository: Repository = {
    name: root.slice(root.lastIndexOf("/") + 1) || "layout",
    path: root,
    async *tags(options = {}) {
      yield tagsIn(jsonOf(await read(`${root}/index.json`, options)), `${root}/index.json`);
    },
    async *revisions(options = {}) {
      for await (const page of blobsAgain(options)) for (const blob of page) if (await mayBeManifest(blob, options)) yield [blob];
    },
    layerLinks: blobsAgain,
    readManifest: (digest, options) =>
      read(pathOf(digest), options).catch((error: unknown) => {
        if (isRegistryGcError(error) && error.code === "PATH_NOT_FOUND") return undefined;
        throw error;
      }),
    revisionFootprint: () => ({ files: [] }),
    layerLinkFootprint: () => ({ files: [] }),
  };

  return {
    async *repositories() {
      yield repository;
    },
    blobs,
    blobFootprint: (digest) => ({ files: [pathOf(digest)] }),
    async guard(options = {}) {
      const { imageLayoutVersion } = jsonOf(await read(`${root}/oci-layout`, options));
      if (imageLayoutVersion === "1.0.0") return [];
      throw new DamagedRegistryError(`${root}/oci-layout tells no version that is known here. Nothing was deleted`);
    },
  };
}

/** Damage keeps everything in the layout: what the entries were, nobody knows. */
function tagsIn({ manifests }: Json, path: string): Tag[] {
  return (Array.isArray(manifests) ? (manifests as readonly (Json | null)[]) : [null]).map((entry) => {
    const { digest, annotations } = entry ?? {};
    const name = String((annotations as Json | undefined)?.["org.opencontainers.image.ref.name"] ?? digest);
    if (typeof digest === "string" && DIGEST.test(digest)) return { name, path, digest };
    return { name, path, damage: { kind: "not-json", path, message: "index.json is no list of descriptors" } };
  });
}

function jsonOf(bytes: Buffer): Json {
  try {
    return Object(JSON.parse(bytes.toString())) as Json;
  } catch {
    return {};
  }
}
