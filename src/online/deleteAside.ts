/** The data that a purge takes: deleted aside, told of, and the directories that it leaves empty. */

import { dirname, type Failure } from "../driver.js";
import { messageOf } from "../errors.js";
import { addTo } from "../internal/addTo.js";
import { mapAll } from "../internal/mapAll.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { DeletedItem } from "../options.js";
import type { RemovalOptions } from "../remover.js";
import { countItem, type SweepCounts } from "../report.js";
import type { Run } from "../run.js";
import { tellDeleted } from "../tellDeleted.js";
import { Vacuum } from "../vacuum.js";
import type { AsideCopy, AsideStore } from "./asideStore.js";
import { inBatches } from "./batches.js";
import { isThere } from "./files.js";
import type { Journal } from "./journal.js";
import { countAside, isCounted } from "./putBack.js";

/** Whose purge it is: a run that purges at once what it moved itself has deleted it. */
export function countsOf(run: Run, { runId }: Journal): SweepCounts {
  return runId === run.ledger.runId ? run.ledger.deleted : run.ledger.purged;
}

/** Deletes these copies of what a run put aside. */
export async function deleteData(
  run: Run,
  aside: AsideStore,
  journal: Journal,
  copies: readonly (readonly [number, AsideCopy])[],
): Promise<void> {
  const { signal } = run;
  const { barrier, concurrency } = run.settings;
  const counts = countsOf(run, journal);
  const vacuum = new Vacuum(run.driver, { concurrency, logger: run.log });
  const items = copies.map(([number, copy]) => ({ number, copy, footprint: { files: [copy.path] } }));
  type Item = (typeof items)[number];

  /** Counts what is gone, and returns what there is to tell of it. */
  const settle = async (gone: readonly Item[], failed: readonly (readonly [Item, Failure])[]): Promise<DeletedItem[]> => {
    for (const { number, copy } of gone) {
      aside.removeCopy(number, copy);
      if (copy.hasFailed !== true) countItem(counts, { kind: "blob", bytes: copy.size ?? 0 });
      if (isCounted(run, copy)) countAside(run.ledger.quarantined, copy, -1);
    }
    for (const [{ copy }, failure] of failed) {
      if (copy.hasFailed !== true) run.ledger.addFailure(failure);
      // It is counted once: what was to go at once, and could not, has failed.
      if (isCounted(run, copy)) countAside(run.ledger.quarantined, copy, -1);
    }
    return unavailable(run, gone);
  };
  /** What the registry in this process has promised since stays aside. */
  const deleteOne = async (item: Item): Promise<void> => {
    let told: DeletedItem[] = [];
    const onBatch: RemovalOptions<Item>["onBatch"] = async (gone, failed) => {
      told = await settle(gone, failed);
    };
    try {
      await run.unlessPromised(run.digests.digest(item.number), async () => {
        await vacuum.removeAll([item], { signal, onBatch });
      });
    } finally {
      // Not before: whoever is told may wait for the barrier.
      await tellDeleted(run, told);
    }
  };

  if (barrier === undefined) {
    const beforeBatch = () => run.mayChange();
    await vacuum.removeAll(items, { signal, beforeBatch, onBatch: async (...batch) => tellDeleted(run, await settle(...batch)) });
  } else {
    const queue = new TaskQueue(concurrency);
    await inBatches(run, items, (some) => queue.forEach(some, deleteOne, { signal }));
  }
  await pruneEmptied(
    run,
    items.map(({ number, copy }) => [number, copy] as const),
  );
}

/** Of what was deleted aside, what the registry does not have any more: some may have been pushed again meanwhile. */
async function unavailable(run: Run, gone: readonly { readonly number: number; readonly copy: AsideCopy }[]): Promise<DeletedItem[]> {
  if (run.settings.onDeleted === undefined) return [];
  const items = await mapAll(gone, async ({ number, copy }): Promise<DeletedItem | undefined> => {
    if (run.marks.isKept(number)) return undefined;
    const digest = run.digests.digest(number);
    const [path = copy.path] = run.registry.blobFootprint(digest).files;
    // Where nobody can look, a cache that is told too much is none the worse.
    const isBack = await isThere(run.settlingDriver, path).catch(() => false);
    return isBack ? undefined : { kind: "blob", path, digest, how: "deleted" };
  });
  return items.filter((item) => item !== undefined);
}

/** Directories that are empty go, by an operation that fails where anything is inside. */
async function pruneEmptied(run: Run, copies: readonly (readonly [number, AsideCopy])[]): Promise<void> {
  const { online } = run.registry;
  if (online === undefined || run.driver.pruneDirectories === undefined || copies.length === 0) return;
  try {
    await run.driver.pruneDirectories([...new Set(copies.map(([, copy]) => dirname(copy.path)))], { upTo: online.aside });
    const places = new Map<string, string[]>();
    for (const [number] of copies) {
      const { files, upTo } = run.registry.blobFootprint(run.digests.digest(number));
      if (upTo === undefined || files[0] === undefined) continue;
      addTo(places, upTo, dirname(files[0]));
    }
    for (const [upTo, paths] of places) await run.driver.pruneDirectories(paths, { upTo });
  } catch (error) {
    run.log.debug(`emptied directories stay: ${messageOf(error)}`, { error });
  }
}
