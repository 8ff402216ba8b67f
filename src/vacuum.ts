/** The deleting half alone: it removes exactly what it is told, by names and digests that are checked before anything goes. */

import { requireMembers, requireOptions, show } from "./arguments.js";
import { isDigest } from "./digest.js";
import type { AbortOptions, Failure, StorageDriver } from "./driver.js";
import { InvalidDigestError, isObject } from "./errors.js";
import { addTo } from "./internal/addTo.js";
import { mapAll, slicesOf } from "./internal/mapAll.js";
import { meteredDriver } from "./internal/meteredDriver.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { type Logger, safeLogger } from "./logger.js";
import type { Footprint, TagIndexEntry } from "./namespace.js";
import { DirectoryRepository } from "./registry/directoryRepository.js";
import { DEFAULT_ROOT, isRepositoryName, isTag, Layout, REPOSITORY_PARTS } from "./registry/paths.js";
import { failureOf, type Removal, type RemovalOptions, Remover, type VacuumResult } from "./remover.js";
import { checkOption } from "./settings.js";

/** Manifests whose index entries are looked up before their links go. */
const MANIFESTS_AT_ONCE = 256;

export interface VacuumOptions {
  /** The registry's root, as `openRegistry` has it. Default `/docker/registry/v2`. */
  readonly root?: string | undefined;
  /** Batches, and single deletes, in flight. Default 16. */
  readonly concurrency?: number | undefined;
  /** Default none: silence. */
  readonly logger?: Logger | undefined;
}

/** What is to go, and of which item it is. */
interface Of<T> {
  readonly of: T;
  readonly footprint: Footprint;
}

interface ManifestItem {
  readonly repository: string;
  readonly digest: string;
  readonly tags?: readonly string[] | undefined;
}

/**
 * Removes what it is told, and judges nothing: no lock is taken, and nothing is looked for that needs it. Every method rejects with the
 * signal's reason after an abort; a removal that fails is told in the result, and the rest goes on.
 */
export class Vacuum {
  private readonly layout: Layout;
  /** Look-ups in flight. */
  private readonly looks: TaskQueue;
  private readonly remover: Remover;

  /** @throws TypeError where the driver or an option is not what it must be. */
  constructor(
    private readonly driver: StorageDriver,
    options: VacuumOptions = {},
  ) {
    requireMembers("driver", driver, {});
    requireOptions("Vacuum", options, ["root", "concurrency", "logger"]);
    const { root = DEFAULT_ROOT, concurrency = 16 } = options;
    checkOption("concurrency", concurrency);
    this.layout = new Layout(root);
    this.looks = new TaskQueue(concurrency);
    const log = safeLogger(options.logger, () => ({ driver: driver.name }));
    this.remover = new Remover(driver, log, concurrency);
  }

  /**
   * Removes manifests from their repositories: the index entries of the tags that are told (of all tags where none are), then the
   * revision link. Never a current link.
   *
   * @throws InvalidDigestError, TypeError before anything is removed, where a digest, a name or a tag is none.
   */
  async removeManifests(
    items: Iterable<{ readonly repository: string; readonly digest: string; readonly tags?: readonly string[] | undefined }>,
    options: AbortOptions = {},
  ): Promise<VacuumResult> {
    const checked = itemsIn(items).map(({ repository, digest, tags }) => ({ repository, digest, tags }));
    for (const { repository, digest, tags } of checked) {
      checkRepository(repository);
      checkDigest(digest);
      checkTags(tags);
    }
    const result = { removed: 0, failures: [] as Failure[] };
    for (const some of slicesOf(checked, MANIFESTS_AT_ONCE)) {
      const broken = new Set<object>();
      const removals = await this.manifestRemovals(some, { ...options, failures: result.failures });
      const onBatch = async (_: unknown, failed: readonly (readonly [{ of: object }, Failure])[]) => {
        for (const [{ of }] of failed) broken.add(of);
      };
      const entries = await this.removeAll(
        removals.map(([entry]) => entry),
        { ...options, onBatch },
      );
      const links = await this.removeAll(
        removals.map(([, link]) => link),
        { ...options, onBatch },
      );
      result.removed += removals.length - broken.size;
      result.failures.push(...entries.failures, ...links.failures);
    }
    return result;
  }

  /** Of each manifest its index entries, and its revision link: in this order. Of one whose entries can't be looked up, a failure. */
  private async manifestRemovals(
    items: readonly ManifestItem[],
    { failures, signal }: AbortOptions & { readonly failures: Failure[] },
  ): Promise<(readonly [Of<ManifestItem>, Of<ManifestItem>])[]> {
    const ofAllTags = new Map<string, string[]>();
    for (const { repository, digest, tags } of items) if (tags === undefined) addTo(ofAllTags, repository, digest);
    const entries = new Map<string, readonly TagIndexEntry[] | Failure>();
    await mapAll([...ofAllTags], async ([repository, digests]) => {
      entries.set(repository, await this.indexEntries(repository, new Set(digests), signal));
    });
    const removals: (readonly [Of<ManifestItem>, Of<ManifestItem>])[] = [];
    for (const of of items) {
      const { repository, digest, tags } = of;
      const paths = this.layout.repository(repository);
      const link = paths.revisionFootprint(digest, []);
      const found = tags === undefined ? (entries.get(repository) ?? []) : [];
      if ("code" in found) {
        failures.push({ ...found, path: link.files.at(-1) ?? found.path });
        continue;
      }
      const files = found.filter((entry) => entry.digest === digest).flatMap(({ footprint }) => footprint.files);
      for (const tag of tags ?? []) files.push(...paths.tagIndexEntryFootprint(tag, digest).files);
      removals.push([
        { of, footprint: { files } },
        { of, footprint: link },
      ]);
    }
    return removals;
  }

  /** The index entries of these manifests in all tags of a repository; a failure where they can't be looked up. */
  private async indexEntries(
    repository: string,
    digests: ReadonlySet<string>,
    signal: AbortSignal | undefined,
  ): Promise<readonly TagIndexEntry[] | Failure> {
    const driver = meteredDriver(this.driver, { queue: this.looks, signal, count: () => undefined });
    const entries: TagIndexEntry[] = [];
    try {
      const onDisk = new DirectoryRepository(repository, driver, this.layout, true);
      for await (const page of onDisk.tagIndexEntries(digests, { signal })) for (const entry of page) entries.push(entry);
      return entries;
    } catch (error) {
      signal?.throwIfAborted();
      return failureOf("", error);
    }
  }

  /**
   * Removes repositories' links to layers; their blobs stay.
   *
   * @throws InvalidDigestError, TypeError before anything is removed, where a digest or a name is none.
   */
  async removeLayerLinks(
    items: Iterable<{ readonly repository: string; readonly digest: string }>,
    options: AbortOptions = {},
  ): Promise<VacuumResult> {
    const removals = itemsIn(items).map(({ repository, digest }) => {
      checkRepository(repository);
      checkDigest(digest);
      return { footprint: this.layout.repository(repository).layerLinkFootprint(digest) };
    });
    return this.removeAll(removals, options);
  }

  /**
   * Removes blobs, for every repository.
   *
   * @throws InvalidDigestError where a digest is none: of an `Iterable` before anything is removed, of an `AsyncIterable` before
   * anything of that batch is.
   */
  async removeBlobs(digests: Iterable<string> | AsyncIterable<string>, options: AbortOptions = {}): Promise<VacuumResult> {
    const removal = (digest: string) => {
      checkDigest(digest);
      return { footprint: this.layout.blobFootprint(digest) };
    };
    // Text would be taken for its characters.
    const isMany = isObject(digests) && (Symbol.iterator in digests || Symbol.asyncIterator in digests);
    if (!isMany) throw new TypeError(`digests are ${show(digests)}; expected an iterable of digests`);
    if (Symbol.iterator in digests) return this.removeAll([...digests].map(removal), options);
    async function* removals(source: AsyncIterable<string>) {
      for await (const digest of source) yield removal(digest);
    }
    return this.removeAll(removals(digests), options);
  }

  /**
   * Removes a repository's own directories, and never a repository that is nested in it. Its blobs stay.
   *
   * @throws TypeError where the name is none.
   */
  async removeRepository(name: string, options: AbortOptions = {}): Promise<VacuumResult> {
    checkRepository(name);
    const { directory } = this.layout.repository(name);
    return this.removeAll([{ footprint: { files: [], trees: REPOSITORY_PARTS.map((part) => `${directory}/${part}`) } }], options);
  }

  /** Removes anything, by its paths. Resolves when every batch has settled; rejects with the signal's reason where that fired. */
  removeAll<T extends Removal>(items: Iterable<T> | AsyncIterable<T>, options: RemovalOptions<T> = {}): Promise<VacuumResult> {
    return this.remover.removeAll(items, options);
  }
}

/** What is to be removed, item by item. */
function itemsIn<T>(items: Iterable<T>): T[] {
  if (!isObject(items) || !(Symbol.iterator in items)) throw new TypeError(`items are ${show(items)}; expected an iterable of objects`);
  const all = [...items];
  for (const item of all) if (!isObject(item)) throw new TypeError(`an item is ${show(item)}; expected { repository, digest }`);
  return all;
}

function checkRepository(name: string): void {
  if (!isRepositoryName(name)) throw new TypeError(`not a repository's name: ${JSON.stringify(name)}`);
}

function checkDigest(digest: string): void {
  if (!isDigest(digest)) throw new InvalidDigestError(digest);
}

/** Text would be taken for the tags of its characters. */
function checkTags(tags: unknown): void {
  if (tags === undefined) return;
  if (!Array.isArray(tags)) throw new TypeError(`tags are ${JSON.stringify(tags)}; expected an array`);
  for (const tag of tags as readonly unknown[])
    if (typeof tag !== "string" || !isTag(tag)) throw new TypeError(`not a tag: ${JSON.stringify(tag)}`);
}
