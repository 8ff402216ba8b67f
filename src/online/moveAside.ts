/**
 * Step 4: the plan goes to the journal, then the data of every doomed blob goes aside (manifests first, parents before children),
 * then layer links that no kept manifest of their repository needs are removed, each only if it is still the one that the plan saw.
 * No revision link, tag index entry or current link is touched.
 */

import type { StorageDriver } from "../driver.js";
import { codeOf, isPathNotFound, messageOf } from "../errors.js";
import { mapAll } from "../internal/mapAll.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { DeletedItem } from "../options.js";
import type { Plan, RepositoryPlan } from "../plan.js";
import { countItem } from "../report.js";
import type { Run } from "../run.js";
import { parentsFirst } from "../sweep.js";
import { tellDeleted } from "../tellDeleted.js";
import type { AsideStore } from "./asideStore.js";
import type { Journal, JournalBlob, JournalLink } from "./journal.js";
import { isThere } from "./putBack.js";

/** Moves and removals between two looks at the lock. */
const BATCH = 100;

/** Puts the plan aside. */
export async function moveAside(run: Run, aside: AsideStore, plan: Plan): Promise<Journal> {
  const journal = aside.newJournal(run.ledger.runId, run.settlingDriver);
  const doomed = new Set(plan.blobs);
  const blobs = blobRecords(run, plan, doomed);
  const links = await linkRecords(run, plan, doomed);
  await run.mayChange();
  await journal.write([{ kind: "begun", at: run.storageNow() }, ...blobs, ...links]);
  aside.add(journal);

  await inBatches(run, blobs, (some) => moveBlobs(run, aside, some));
  const taken = links.filter((link) => link.kind === "layerLink" && link.taken === true);
  await inBatches(run, taken, (some) => removeLayerLinks(run, some));
  return journal;
}

/** Manifests first, so that nothing is pulled in part for longer than need be. */
function blobRecords(run: Run, plan: Plan, doomed: ReadonlySet<number>): JournalBlob[] {
  const manifests = new Set(plan.repositories.flatMap((each) => parentsFirst(run, each.manifests).flat()));
  const order = [...[...manifests].filter((number) => doomed.has(number)), ...plan.blobs.filter((number) => !manifests.has(number))];
  return order.map((number) => ({
    kind: "blob",
    digest: run.digests.digest(number),
    size: run.sizes.get(number) || 0,
    isManifest: manifests.has(number),
  }));
}

async function linkRecords(run: Run, plan: Plan, doomed: ReadonlySet<number>): Promise<JournalLink[]> {
  const records: JournalLink[] = [];
  for (const each of plan.repositories) {
    for (const record of manifestRecords(run, each)) records.push(record);
    for (const record of await indexRecords(run, each)) records.push(record);
    for (const record of layerRecords(run, doomed, each)) records.push(record);
  }
  return records;
}

function manifestRecords(run: Run, { look, manifests }: RepositoryPlan): JournalLink[] {
  return parentsFirst(run, manifests)
    .flat()
    .map((number) => {
      const digest = run.digests.digest(number);
      const path = look.repository.revisionFootprint(digest, []).files.at(-1) ?? "";
      return {
        kind: "manifest",
        repository: look.repository.name,
        digest,
        target: digest,
        path,
        time: look.doomed.get(number) ?? Number.NaN,
      };
    });
}

async function indexRecords(run: Run, { look, tagIndexEntries }: RepositoryPlan): Promise<JournalLink[]> {
  const records = await mapAll(tagIndexEntries, async ({ digest, footprint, current }): Promise<JournalLink | undefined> => {
    const path = footprint.files[0] ?? "";
    const time = await timeOf(run.driver, path);
    if (time === undefined) return undefined;
    // A time that is unknown is none that a later look could find again: the entry stays.
    return {
      kind: "tagIndexEntry",
      repository: look.repository.name,
      digest,
      target: digest,
      path,
      time: Number.isNaN(time) ? -1 : time,
      current,
    };
  });
  return records.filter((record) => record !== undefined);
}

/** Every loose link to something that goes is written down as it was seen; those of the plan are taken. */
function layerRecords(run: Run, doomed: ReadonlySet<number>, { look, layerLinks }: RepositoryPlan): JournalLink[] {
  const planned = new Set(layerLinks);
  return [...look.loose]
    .filter(([layer, { blob }]) => planned.has(layer) || doomed.has(blob))
    .map(([layer, { blob, time }]) => {
      const digest = run.digests.digest(layer);
      const path = look.repository.layerLinkFootprint(digest).files[0] ?? "";
      const target = run.digests.digest(blob);
      return { kind: "layerLink", repository: look.repository.name, digest, target, path, time, taken: planned.has(layer) };
    });
}

async function inBatches<T>(run: Run, items: readonly T[], work: (some: readonly T[]) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += BATCH) {
    await run.mayChange();
    await work(items.slice(start, start + BATCH));
    run.progress({ phase: "sweep", done: Math.min(start + BATCH, items.length), total: items.length });
  }
}

async function moveBlobs(run: Run, aside: AsideStore, blobs: readonly JournalBlob[]): Promise<void> {
  const moved: DeletedItem[] = [];
  const queue = new TaskQueue(run.settings.concurrency);
  await queue.forEach(
    blobs,
    async (blob) => {
      const item = await moveBlob(run, aside, blob);
      if (item !== undefined) moved.push(item);
    },
    { signal: run.signal },
  );
  run.telemetry.event("batch", { "registry_gc.batch.aside": moved.length });
  await tellDeleted(run, moved);
}

/** Moves one blob's data, unless the registry in this process has just promised it. */
async function moveBlob(run: Run, aside: AsideStore, { digest, size, isManifest }: JournalBlob): Promise<DeletedItem | undefined> {
  const number = run.digests.add(digest);
  const [path = ""] = run.registry.blobFootprint(digest).files;
  const copy = { runId: run.ledger.runId, path: aside.pathFor(run.ledger.runId, digest), size };
  const outcomes = { isMoved: false };
  const move = async () => {
    try {
      await run.driver.move?.(path, copy.path);
      outcomes.isMoved = true;
    } catch (error) {
      run.signal.throwIfAborted();
      if (isPathNotFound(error)) countItem(run.ledger.deleted, { kind: "blob", bytes: size });
      else {
        run.ledger.addFailure({ path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
        run.log.error(`could not put ${path} aside: ${messageOf(error)}`, { error });
      }
    }
  };
  // Known before it is done: where the move fails half-way, the copy is looked for all the same.
  aside.addCopy(number, copy);
  if (!(await run.unlessPromised(digest, move))) {
    aside.removeCopy(number, copy);
    run.ledger.spare(size);
    return undefined;
  }
  if (!outcomes.isMoved && !(await isThere(run.driver, copy.path))) aside.removeCopy(number, copy);
  if (!outcomes.isMoved) return undefined;
  run.ledger.quarantined.blobs++;
  run.ledger.quarantined.bytes += size;
  if (isManifest) run.ledger.quarantined.manifests++;
  return { kind: "blob", path, digest, how: "aside" };
}

async function removeLayerLinks(run: Run, links: readonly JournalLink[]): Promise<void> {
  const gone = await mapAll(links, async (link): Promise<DeletedItem | undefined> => {
    const outcome = { isGone: false };
    try {
      await run.unlessPromised(link.digest, async () => {
        outcome.isGone = await removeIfSame(run.driver, link);
      });
      if (!outcome.isGone) return undefined;
    } catch (error) {
      run.signal.throwIfAborted();
      run.ledger.addFailure({ path: link.path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
      return undefined;
    }
    countItem(run.ledger.deleted, link);
    return { kind: "layerLink", path: link.path, repository: link.repository, digest: link.digest, how: "deleted" };
  });
  await tellDeleted(
    run,
    gone.filter((item) => item !== undefined),
  );
}

/** Removes a link if it is still the one that was seen; whether it is gone. */
export async function removeIfSame(driver: StorageDriver, link: JournalLink): Promise<boolean> {
  const time = await timeOf(driver, link.path);
  if (time === undefined) return true;
  if (time !== link.time) return false;
  try {
    await driver.delete(link.path);
  } catch (error) {
    if (!isPathNotFound(error)) throw error;
  }
  return true;
}

/** When a file was written: milliseconds since 1970, NaN where unknown; undefined where it is not there. */
async function timeOf(driver: StorageDriver, path: string): Promise<number | undefined> {
  try {
    return (await driver.stat(path)).modTime?.getTime() ?? Number.NaN;
  } catch (error) {
    if (isPathNotFound(error)) return undefined;
    throw error;
  }
}
