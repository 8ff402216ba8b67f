/** Removes things by their paths, in bounded batches: one failure never stops the rest, and what is gone already counts as removed. */

import { type AbortOptions, dirname, type Failure, type StorageDriver } from "./driver.js";
import { codeOf, isPathNotFound, messageOf } from "./errors.js";
import { slicesOf } from "./internal/mapAll.js";
import { TaskQueue } from "./internal/taskQueue.js";
import type { Logger } from "./logger.js";
import type { Footprint } from "./namespace.js";

/** Paths that go in one batch: what object stores take in one request. */
const BATCH_PATHS = 1000;

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

export interface VacuumResult {
  /** Items, not paths; what was gone already counts. */
  readonly removed: number;
  readonly failures: readonly Failure[];
}

export class Remover {
  private readonly batches: TaskQueue;
  private readonly singles: TaskQueue;

  constructor(
    private readonly driver: StorageDriver,
    private readonly log: Logger,
    /** Batches, and single deletes, in flight. */
    concurrency: number,
  ) {
    this.batches = new TaskQueue(concurrency);
    this.singles = new TaskQueue(concurrency);
  }

  /** Removes anything, by its paths. Resolves when every batch has settled; rejects with the signal's reason where that fired. */
  async removeAll<T extends Removal>(items: Iterable<T> | AsyncIterable<T>, options: RemovalOptions<T> = {}): Promise<VacuumResult> {
    let removed = 0;
    const failures: Failure[] = [];
    await this.batches.forEach(
      batchesOf(items),
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
    for (const some of slicesOf(paths, BATCH_PATHS)) {
      try {
        const left = await this.driver.deleteFiles(some, { signal: options.signal });
        if (!isArray(left)) throw new TypeError("deleteFiles must give an array of failures");
        const asked = new Set(some);
        const strange = left.find(({ path }) => !asked.has(path));
        // Which of them is still there, if not this one?
        if (strange !== undefined) throw new Error(`deleteFiles answered with ${JSON.stringify(strange.path)}, which it was not asked for`);
        for (const failure of left) failures.push(wholeFailure(failure));
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

/** A driver may say no more than which path it is. */
function wholeFailure({ path, code, message }: { readonly [Member in keyof Failure]: unknown }): Failure {
  return {
    path: String(path),
    code: typeof code === "string" ? code : "DRIVER_ERROR",
    message: typeof message === "string" ? message : `deleteFiles says that ${String(path)} is still there, and not why`,
  };
}

function isArray(value: unknown): boolean {
  return Array.isArray(value);
}

export function failureOf(path: string, error: unknown): Failure {
  return { path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) };
}

async function* batchesOf<T extends Removal>(items: Iterable<T> | AsyncIterable<T>): AsyncIterable<T[]> {
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
