/** The deleting half alone: it removes exactly what it is told, in bounded batches, and one failure never stops the rest. */

import { isDigest } from "./digest.js";
import { type AbortOptions, dirname, type Failure, isPath, type StorageDriver } from "./driver.js";
import { codeOf, InvalidDigestError, isPathNotFound, messageOf } from "./errors.js";
import { mapAll } from "./internal/mapAll.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { type Logger, safeLogger } from "./logger.js";
import type { Footprint } from "./namespace.js";
import { DirectoryRepository } from "./registry/directoryRepository.js";
import { DEFAULT_ROOT, isRepositoryName, isTag, Layout, REPOSITORY_PARTS } from "./registry/paths.js";

/** Manifests whose index entries are looked up before their links go. */
const MANIFESTS_AT_ONCE = 256;

/** Paths that go in one batch: what object stores take in one request. */
const BATCH_PATHS = 1000;

export interface VacuumOptions {
  /** The registry's root, as `openRegistry` has it. */
  readonly root?: string | undefined;
  /** Batches, and single deletes, in flight. Default 16. */
  readonly concurrency?: number | undefined;
  readonly logger?: Logger | undefined;
}

export interface VacuumResult {
  /** Items, not paths; what was gone already counts. */
  readonly removed: number;
  readonly failures: readonly Failure[];
}

/** Something that is to go, with all its paths. */
export interface Removal {
  readonly footprint: Footprint;
}

export interface RemovalOptions<T extends Removal> extends AbortOptions {
  /** Told of each batch: what is confirmed gone, and what is not, with the reason. */
  readonly onBatch?: (gone: readonly T[], failed: readonly (readonly [T, Failure])[]) => Promise<void>;
  /** Asked before each batch; where it rejects, nothing more is removed. */
  readonly beforeBatch?: (() => Promise<void>) | undefined;
  /** Whether directories that were emptied go, too: only where nothing writes meanwhile. */
  readonly prune?: boolean;
}

export class Vacuum {
  private readonly layout: Layout;
  private readonly log: Logger;
  private readonly batches: TaskQueue;
  private readonly singles: TaskQueue;

  /** @throws TypeError where an option is not what it must be. */
  constructor(
    private readonly driver: StorageDriver,
    options: VacuumOptions = {},
  ) {
    const { root = DEFAULT_ROOT, concurrency = 16 } = options;
    if (!isPath(root) || root === "/") throw new TypeError(`option root is ${JSON.stringify(root)}; expected an absolute path below "/"`);
    if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
      throw new TypeError(`option concurrency is ${String(concurrency)}; expected a whole number, 1 or more`);
    }
    this.layout = new Layout(root);
    this.log = safeLogger(options.logger, () => ({ driver: driver.name }));
    this.batches = new TaskQueue(concurrency);
    this.singles = new TaskQueue(concurrency);
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
    const checked = [...items];
    for (const { repository, digest, tags } of checked) {
      checkRepository(repository);
      checkDigest(digest);
      for (const tag of tags ?? []) if (!isTag(tag)) throw new TypeError(`not a tag: ${JSON.stringify(tag)}`);
    }
    const result = { removed: 0, failures: [] as Failure[] };
    for (let start = 0; start < checked.length; start += MANIFESTS_AT_ONCE) {
      const broken = new Set<object>();
      const looked = await mapAll(checked.slice(start, start + MANIFESTS_AT_ONCE), async (item) => {
        try {
          return await this.manifestRemovals(item, options);
        } catch (error) {
          options.signal?.throwIfAborted();
          const [path = ""] = this.layout.repository(item.repository).revisionFootprint(item.digest, []).files;
          result.failures.push(failureOf(path, error));
          return undefined;
        }
      });
      const removals = looked.filter((each) => each !== undefined);
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

  /** The index entries of a manifest, and its revision link: in this order. */
  private async manifestRemovals(
    of: { readonly repository: string; readonly digest: string; readonly tags?: readonly string[] | undefined },
    options: AbortOptions,
  ): Promise<readonly [{ of: object; footprint: Footprint }, { of: object; footprint: Footprint }]> {
    const { repository, digest, tags } = of;
    const paths = this.layout.repository(repository);
    const link = { of, footprint: paths.revisionFootprint(digest, []) };
    const files = (tags ?? []).flatMap((tag) => paths.tagIndexEntryFootprint(tag, digest).files);
    if (tags === undefined) {
      const repositoryOnDisk = new DirectoryRepository(repository, this.driver, this.layout, true);
      for await (const page of repositoryOnDisk.tagIndexEntries(new Set([digest]), options)) {
        for (const entry of page) for (const file of entry.footprint.files) files.push(file);
      }
    }
    return [{ of, footprint: { files } }, link];
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
    const removals = [...items].map(({ repository, digest }) => {
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
  async removeAll<T extends Removal>(items: Iterable<T> | AsyncIterable<T>, options: RemovalOptions<T> = {}): Promise<VacuumResult> {
    let removed = 0;
    const failures: Failure[] = [];
    await this.batches.forEach(
      inBatches(items),
      async (batch) => {
        await options.beforeBatch?.();
        const { gone, failed } = await this.removeBatch(batch, options);
        // What an abort cut off has not failed; what was gone by then is told.
        const settled = options.signal?.aborted === true ? [] : failed;
        removed += gone.length;
        for (const [, failure] of settled) failures.push(failure);
        await options.onBatch?.(gone, settled);
        options.signal?.throwIfAborted();
      },
      { signal: options.signal },
    );
    return { removed, failures };
  }

  private async removeBatch<T extends Removal>(
    batch: readonly T[],
    options: RemovalOptions<T>,
  ): Promise<{ gone: T[]; failed: (readonly [T, Failure])[] }> {
    const failures = new Map<string, Failure>();
    const files = [...new Set(batch.flatMap(({ footprint }) => footprint.files))];
    const trees = [...new Set(batch.flatMap(({ footprint }) => footprint.trees ?? []))];
    for (const failure of await this.removeFiles(files, options)) failures.set(failure.path, failure);
    for (const failure of await this.removeSingly(trees, options)) failures.set(failure.path, failure);

    const gone: T[] = [];
    const failed: (readonly [T, Failure])[] = [];
    for (const item of batch) {
      const paths = [...item.footprint.files, ...(item.footprint.trees ?? [])];
      const failure = paths.map((path) => failures.get(path)).find((each) => each !== undefined);
      if (failure === undefined) gone.push(item);
      else failed.push([item, failure]);
    }
    if (options.prune === true) await this.prune(gone, options);
    return { gone, failed };
  }

  private async removeFiles(paths: readonly string[], options: AbortOptions): Promise<readonly Failure[]> {
    if (this.driver.deleteFiles === undefined) return this.removeSingly(paths, options);
    const failures: Failure[] = [];
    // A single item may have more paths than a batch.
    for (let start = 0; start < paths.length; start += BATCH_PATHS) {
      const some = paths.slice(start, start + BATCH_PATHS);
      try {
        for (const failure of await this.driver.deleteFiles(some, { signal: options.signal })) failures.push(failure);
      } catch (error) {
        this.log.warn(`deleting ${some.length} files failed: ${messageOf(error)}`, { error });
        for (const path of some) failures.push(failureOf(path, error));
      }
    }
    return failures;
  }

  private async removeSingly(paths: readonly string[], options: AbortOptions): Promise<readonly Failure[]> {
    const open = new Set(paths);
    const failures: Failure[] = [];
    try {
      await this.singles.forEach(paths, async (path) => {
        options.signal?.throwIfAborted();
        const failure = await this.removeOne(path, options);
        if (failure !== undefined) failures.push(failure);
        open.delete(path);
      });
    } catch (error) {
      for (const path of open) failures.push(failureOf(path, error));
    }
    return failures;
  }

  private async removeOne(path: string, options: AbortOptions): Promise<Failure | undefined> {
    try {
      await this.driver.delete(path, { signal: options.signal });
      return undefined;
    } catch (error) {
      return isPathNotFound(error) ? undefined : failureOf(path, error);
    }
  }

  /** Directories that were emptied are of no use, and of no harm: that one stays is no failure. */
  private async prune(items: readonly Removal[], options: AbortOptions): Promise<void> {
    const directories = new Map<string, Set<string>>();
    for (const { footprint } of items) {
      if (footprint.upTo === undefined) continue;
      const paths = directories.get(footprint.upTo) ?? new Set<string>();
      directories.set(footprint.upTo, paths);
      for (const path of [...footprint.files, ...(footprint.trees ?? [])]) paths.add(dirname(path));
    }
    for (const [upTo, paths] of directories) {
      try {
        await this.driver.pruneDirectories?.([...paths], { upTo, signal: options.signal });
      } catch (error) {
        this.log.debug(`emptied directories below ${upTo} stay: ${messageOf(error)}`, { error });
      }
    }
  }
}

function failureOf(path: string, error: unknown): Failure {
  return { path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) };
}

function checkRepository(name: string): void {
  if (!isRepositoryName(name)) throw new TypeError(`not a repository's name: ${JSON.stringify(name)}`);
}

function checkDigest(digest: string): void {
  if (!isDigest(digest)) throw new InvalidDigestError(digest);
}

async function* inBatches<T extends Removal>(items: Iterable<T> | AsyncIterable<T>): AsyncIterable<T[]> {
  let batch: T[] = [];
  let paths = 0;
  for await (const item of items) {
    batch.push(item);
    paths += item.footprint.files.length + (item.footprint.trees?.length ?? 0);
    if (paths >= BATCH_PATHS) {
      yield batch;
      batch = [];
      paths = 0;
    }
  }
  if (batch.length > 0) yield batch;
}
