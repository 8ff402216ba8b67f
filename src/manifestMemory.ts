/** What earlier runs have read of manifests, as a {@link ReferenceCache} keeps it. Whatever fails there, manifests are read instead. */

import type { DigestIndex } from "./digestIndex.js";
import { viewOf } from "./internal/bufferOf.js";
import { mapAll } from "./internal/mapAll.js";
import { isTurnLong, turn } from "./internal/turn.js";
import { type FactsWanted, fromMemory, type KnownManifest, readEntry, toRemember } from "./manifestEntry.js";
import type { ReferenceCache } from "./referenceCache.js";

/** The text of a function for {@link StorageDriver.visitMany}: it makes of a file its size, 8 bytes; nothing of what is none. */
const SIZE_VISIT = `() => (files, path) => {
  const stats = files.stat(path);
  if (stats.isDirectory()) return undefined;
  const size = Buffer.allocUnsafe(8);
  size.writeDoubleLE(stats.size);
  return size;
}`;

/** Has a function make something of each of these manifests where it is; `undefined` for what it tells nothing of. */
type Visit = (digests: readonly string[], visit: string) => Promise<readonly (Uint8Array | undefined)[]>;

export interface MemoryOptions {
  /** The sizes (bytes) of those of these blobs that are there. */
  readonly listedSizes: (manifests: readonly number[]) => Promise<ReadonlyMap<number, number>>;
  /** Told where the cache fails. */
  readonly onFailure: (error: unknown) => void;
}

/** What is to be remembered of a manifest that was read. */
export interface Learnt {
  readonly manifest: number;
  readonly entry: Uint8Array;
}

export class ManifestMemory {
  constructor(
    private readonly cache: ReferenceCache,
    private readonly digests: DigestIndex,
    private readonly facts: FactsWanted,
    private readonly options: MemoryOptions,
  ) {}

  /** What is known of each; `undefined` where that is nothing, or what is there now is not as large: what is not there is not known either. */
  async recall(manifests: readonly number[], visit: Visit): Promise<readonly (KnownManifest | undefined)[]> {
    const asked: (KnownManifest | undefined | Promise<KnownManifest | undefined>)[] = [];
    const digests = manifests.map((manifest) => this.digests.digest(manifest));
    for (const digest of digests) {
      if (isTurnLong()) await turn();
      asked.push(this.ask(digest));
    }
    const known: (KnownManifest | undefined)[] = [];
    for (const each of asked) known.push(each instanceof Promise ? await each : each);
    const isKnown = (_: unknown, i: number) => known[i] !== undefined;
    const sizes = await this.sizesOf(manifests.filter(isKnown), await visit(digests.filter(isKnown), SIZE_VISIT));
    return known.map((each, i) => (each !== undefined && each.size === sizes.get(manifests[i] ?? -1) ? each : undefined));
  }

  /** Answers at once where the cache does: a promise for each costs as much as what is read. */
  private ask(digest: string): KnownManifest | undefined | Promise<KnownManifest | undefined> {
    try {
      const told = this.cache.get(digest);
      if (told === undefined || told instanceof Uint8Array) return this.read(digest, told);
      return Promise.resolve(told)
        .then((bytes) => this.read(digest, bytes))
        .catch((error: unknown) => {
          this.options.onFailure(error);
          return undefined;
        });
    } catch (error) {
      this.options.onFailure(error);
      return undefined;
    }
  }

  /** At once when they come: the bytes are the cache's own, and may be others by the time of its next answer. */
  private read(digest: string, bytes: Uint8Array | undefined): KnownManifest | undefined {
    const entry = bytes ? fromMemory(digest, bytes) : undefined;
    return entry && readEntry(entry, this.digests, this.facts);
  }

  private async sizesOf(manifests: readonly number[], told: readonly (Uint8Array | undefined)[]): Promise<ReadonlyMap<number, number>> {
    const sizes = new Map<number, number>();
    const untold: number[] = [];
    manifests.forEach((manifest, i) => {
      const size = told[i];
      if (size?.length === 8) sizes.set(manifest, viewOf(size).getFloat64(0, true));
      else untold.push(manifest);
    });
    const listed = untold.length === 0 ? [] : await this.options.listedSizes(untold);
    for (const [manifest, size] of listed) sizes.set(manifest, size);
    return sizes;
  }

  /** Keeps entries for later runs. */
  async remember(learnt: readonly Learnt[]): Promise<void> {
    await mapAll(learnt, async ({ manifest, entry }) => {
      const digest = this.digests.digest(manifest);
      try {
        await this.cache.set(digest, toRemember(digest, entry));
      } catch (error) {
        this.options.onFailure(error);
      }
    });
  }
}
