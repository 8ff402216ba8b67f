/**
 * A registry's storage in the v2 layout, beside a collector in the same process. Before it promises anyone that something is there,
 * it tells the write barrier: what the barrier protects, the collector neither moves nor deletes.
 */

import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { isRegistryGcError, type StorageDriver, type WriteBarrier } from "oci-registry-gc";
import { type ManifestFacts, readManifest } from "./manifest.js";
import { isDigest } from "./names.js";
import { blobPath, currentLink, indexEntry, layerLink, revisionLink, tagDirectory, tagsDirectory } from "./paths.js";
import { RegistryError } from "./registryError.js";

/** A driver that can also write and read whole objects: `MemoryDriver` and `FilesystemDriver` can. */
export type RegistryDriver = StorageDriver & Required<Pick<StorageDriver, "putContent" | "getContent">>;

export interface StoredManifest extends Pick<ManifestFacts, "mediaType"> {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export class RegistryStorage {
  constructor(
    private readonly driver: RegistryDriver,
    private readonly barrier: WriteBarrier,
    /** How long a promise holds, in milliseconds: a push has to come to its manifest by then, or is refused and has to try again. */
    private readonly promiseMs?: number,
  ) {}

  /** The size of a blob that the repository has. Whoever asks may rely on the answer: so it is protected first. */
  async blobSize(repository: string, digest: string): Promise<number | undefined> {
    await this.promise([digest]);
    return (await this.isThere(layerLink(repository, digest))) ? this.sizeOf(blobPath(digest)) : undefined;
  }

  async readBlob(repository: string, digest: string): Promise<{ size: number; stream: Readable | ReadableStream<Uint8Array> }> {
    const size = (await this.isThere(layerLink(repository, digest))) ? await this.sizeOf(blobPath(digest)) : undefined;
    const stream = size === undefined ? undefined : await orUndefined(this.driver.reader(blobPath(digest), { offset: 0 }));
    if (size === undefined || stream === undefined) throw new RegistryError("BLOB_UNKNOWN", `${repository} has no blob ${digest}`);
    return { size, stream };
  }

  async commitBlob(repository: string, digest: string, bytes: Buffer): Promise<void> {
    const actual = digestOf(bytes);
    if (actual !== digest) {
      throw new RegistryError("DIGEST_INVALID", `what was uploaded has the digest ${actual}, and was said to have ${digest}`);
    }
    await this.promise([digest]);
    if (!(await this.isThere(blobPath(digest)))) await this.write(blobPath(digest), bytes);
    await this.write(layerLink(repository, digest), Buffer.from(digest));
  }

  /** Links a blob of another repository; whether that one has it. */
  async mountBlob(repository: string, digest: string, from: string): Promise<boolean> {
    if ((await this.blobSize(from, digest)) === undefined) return false;
    await this.write(layerLink(repository, digest), Buffer.from(digest));
    return true;
  }

  /** Takes a manifest, by tag or by digest, if all that it names is there. */
  async putManifest(repository: string, reference: string, bytes: Buffer, contentType?: string): Promise<string> {
    const { mediaType, blobs, manifests } = readManifest(bytes);
    if (contentType !== undefined && contentType.split(";", 1)[0] !== mediaType) {
      throw new RegistryError("MANIFEST_INVALID", `the manifest is of type ${mediaType}, and was sent as ${contentType}`);
    }
    const digest = digestOf(bytes);
    if (isDigest(reference) && reference !== digest) {
      throw new RegistryError("DIGEST_INVALID", `the manifest has the digest ${digest}, and was sent as ${reference}`);
    }
    // First the promise, then the look: what is seen from here on stays.
    await this.promise([digest, ...blobs, ...manifests]);
    for (const each of blobs) await this.require(layerLink(repository, each), each, repository);
    for (const each of manifests) await this.require(revisionLink(repository, each), each, repository);

    if (!(await this.isThere(blobPath(digest)))) await this.write(blobPath(digest), bytes);
    await this.write(revisionLink(repository, digest), Buffer.from(digest));
    if (isDigest(reference)) return digest;
    await this.write(indexEntry(repository, reference, digest), Buffer.from(digest));
    await this.write(currentLink(repository, reference), Buffer.from(digest));
    return digest;
  }

  async getManifest(repository: string, reference: string): Promise<StoredManifest> {
    const digest = await this.resolve(repository, reference);
    const isHere = digest !== undefined && (await this.isThere(revisionLink(repository, digest)));
    const bytes = isHere ? await this.read(blobPath(digest)) : undefined;
    if (digest === undefined || bytes === undefined) throw unknownManifest(repository, reference);
    return { digest, bytes, mediaType: readManifest(bytes).mediaType };
  }

  /** The same for someone who may rely on it. */
  async promiseManifest(repository: string, reference: string): Promise<StoredManifest> {
    const digest = await this.resolve(repository, reference);
    if (digest !== undefined) await this.promise([digest]);
    return this.getManifest(repository, reference);
  }

  /** By digest: the revision, and every tag that names it. By tag: the tag alone. */
  async deleteManifest(repository: string, reference: string): Promise<void> {
    const path = isDigest(reference) ? revisionLink(repository, reference) : tagDirectory(repository, reference);
    if (!(await this.remove(path))) throw unknownManifest(repository, reference);
    if (!isDigest(reference)) return;
    for (const tag of await this.tags(repository)) {
      if ((await this.resolve(repository, tag)) === reference) await this.remove(tagDirectory(repository, tag));
    }
  }

  async listTags(repository: string): Promise<string[]> {
    const tags = await this.tags(repository);
    if (tags.length === 0 && (await orUndefined(this.driver.stat(tagsDirectory(repository)))) === undefined) {
      throw new RegistryError("NAME_UNKNOWN", `there is no repository ${repository}`);
    }
    return tags;
  }

  private async tags(repository: string): Promise<string[]> {
    const names: string[] = [];
    try {
      for await (const page of this.driver.list(tagsDirectory(repository))) {
        for (const { path, isDirectory } of page) if (isDirectory) names.push(path.slice(path.lastIndexOf("/") + 1));
      }
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
    const isTag = await Promise.all(names.map((name) => this.isThere(currentLink(repository, name))));
    return names.filter((_, i) => isTag[i]).sort();
  }

  private async promise(digests: readonly string[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.barrier.protect(digest, { forMs: this.promiseMs })));
  }

  private async require(link: string, digest: string, repository: string): Promise<void> {
    if ((await this.isThere(link)) && (await this.isThere(blobPath(digest)))) return;
    throw new RegistryError("MANIFEST_BLOB_UNKNOWN", `the manifest names ${digest}, which ${repository} does not have`);
  }

  private async resolve(repository: string, reference: string): Promise<string | undefined> {
    if (isDigest(reference)) return reference;
    const bytes = await this.read(currentLink(repository, reference));
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  }

  private async isThere(path: string): Promise<boolean> {
    return (await this.sizeOf(path)) !== undefined;
  }

  private async sizeOf(path: string): Promise<number | undefined> {
    const info = await orUndefined(this.driver.stat(path));
    return info === undefined || info.isDirectory ? undefined : (info.size ?? 0);
  }

  private read(path: string): Promise<Uint8Array | undefined> {
    return orUndefined(this.driver.getContent(path));
  }

  /** A purge may take an emptied directory away while a file is on its way there: then once more. */
  private async write(path: string, bytes: Buffer): Promise<void> {
    try {
      await this.driver.putContent(path, bytes);
    } catch {
      await this.driver.putContent(path, bytes);
    }
  }

  private async remove(path: string): Promise<boolean> {
    return (await orUndefined(this.driver.delete(path).then(() => true))) === true;
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function unknownManifest(repository: string, reference: string): RegistryError {
  return new RegistryError("MANIFEST_UNKNOWN", `${repository} has no manifest ${reference}`);
}

/** What a driver answers; undefined where nothing is there. */
async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  return isRegistryGcError(error) && error.code === "PATH_NOT_FOUND";
}
