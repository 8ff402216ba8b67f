/**
 * Step 4: the plan goes to the journal, then the data of every doomed blob goes aside (manifests first, parents before children),
 * then layer links that no kept manifest of their repository needs are removed, each only if it is still the one that the plan saw.
 * No revision link, tag index entry or current link is touched.
 */

import type { StorageDriver } from "../driver.js";
import { codeOf, isPathNotFound, messageOf } from "../errors.js";
import { mapAll } from "../internal/mapAll.js";
import { NumberSet } from "../internal/numberMap.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { DeletedItem } from "../options.js";
import { parentsFirst } from "../parentsFirst.js";
import type { Plan, RepositoryPlan } from "../plan.js";
import { countItem } from "../report.js";
import type { Run } from "../run.js";
import { spareItems } from "../sweepItems.js";
import { tellDeleted } from "../tellDeleted.js";
import type { AsideStore } from "./asideStore.js";
import { inBatches } from "./batches.js";
import type { Journal, JournalBlob, JournalLink } from "./journal.js";
import { countAside, isThere, isWhollyAt } from "./putBack.js";

/** Puts the plan aside. */
export async function moveAside(run: Run, aside: AsideStore, plan: Plan): Promise<Journal> {
  const journal = aside.newJournal(run.ledger.runId, run.settlingDriver);
  const doomed = new NumberSet();
  for (const blob of plan.blobs) doomed.add(blob);
  const blobs = blobRecords(run, plan, doomed);
  const links = await linkRecords(run, plan.repositories, doomed);
  await run.mayChange();
  await journal.write([{ kind: "begun", at: run.storageNow() }, ...blobs, ...links]);
  aside.add(journal);

  const promised = await moveBlobs(run, aside, blobs);
  for (const { kind, target } of links) if (kind !== "layerLink" && kind !== "signature" && promised.has(target)) spareItems(run, kind);
  await removeTakenLinks(run, links);
  return journal;
}

/** Moves the data of blobs that the journal names. Answers with those that the registry in this process has promised meanwhile. */
export async function moveBlobs(run: Run, aside: AsideStore, blobs: readonly JournalBlob[]): Promise<ReadonlySet<string>> {
  const promised = new Set<string>();
  let done = 0;
  await inBatches(run, blobs, async (some) => {
    await moveBatch(run, aside, some, (digest) => promised.add(digest));
    done += some.length;
    run.progress({ phase: "sweep", done, total: blobs.length });
  });
  return promised;
}

/** Removes the layer links that the journal names as taken. */
export async function removeTakenLinks(run: Run, links: readonly JournalLink[]): Promise<void> {
  const taken = links.filter((link) => link.taken === true);
  await inBatches(run, taken, (some) => removeLayerLinks(run, some));
}

/** Manifests first, so that nothing is pulled in part for longer than need be. */
function blobRecords(run: Run, plan: Plan, doomed: NumberSet): JournalBlob[] {
  const manifests = new Set(plan.repositories.flatMap((each) => parentsFirst(run, each).flat()));
  const order = [...[...manifests].filter((number) => doomed.has(number)), ...plan.blobs.filter((number) => !manifests.has(number))];
  return order.map((number) => ({
    kind: "blob",
    digest: run.digests.digest(number),
    size: run.sizes.get(number) || 0,
    isManifest: manifests.has(number),
  }));
}

/** What the journal says of the links of these repositories. */
export async function linkRecords(
  run: Run,
  repositories: readonly RepositoryPlan[],
  doomed: { has(blob: number): boolean },
): Promise<JournalLink[]> {
  const records: JournalLink[] = [];
  for (const each of repositories) {
    for (const record of manifestRecords(run, each)) records.push(record);
    for (const record of await signatureRecords(run, each)) records.push(record);
    for (const record of await indexRecords(run, each)) records.push(record);
    for (const record of layerRecords(run, doomed, each)) records.push(record);
  }
  return records;
}

function manifestRecords(run: Run, plan: RepositoryPlan): JournalLink[] {
  const { look } = plan;
  return parentsFirst(run, plan)
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

function indexRecords(run: Run, { look, tagIndexEntries }: RepositoryPlan): Promise<JournalLink[]> {
  const links = tagIndexEntries.map(({ digest, footprint, current }) => ({
    kind: "tagIndexEntry" as const,
    repository: look.repository.name,
    digest,
    target: digest,
    path: footprint.files[0] ?? "",
    current,
  }));
  return withTimes(run, links);
}

function signatureRecords(run: Run, { look, manifests }: RepositoryPlan): Promise<JournalLink[]> {
  const links = manifests.flatMap((number) =>
    look.signaturesOf(number).map(({ digest, file }) => ({
      kind: "signature" as const,
      repository: look.repository.name,
      digest: run.digests.digest(number),
      target: digest,
      path: file,
    })),
  );
  return withTimes(run, links);
}

/** Those of the links that are there, with when they were written. */
async function withTimes(run: Run, links: readonly Omit<JournalLink, "time">[]): Promise<JournalLink[]> {
  const records = await mapAll(links, async (link): Promise<JournalLink | undefined> => {
    const time = await timeOf(run.driver, link.path);
    // A time that is unknown is none that a later look could find again: the link stays.
    return time === undefined ? undefined : { ...link, time: Number.isNaN(time) ? -1 : time };
  });
  return records.filter((record) => record !== undefined);
}

/** Every loose link to something that goes is written down as it was seen; those of the plan are taken. */
function layerRecords(run: Run, doomed: { has(blob: number): boolean }, { look, layerLinks }: RepositoryPlan): JournalLink[] {
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

async function moveBatch(run: Run, aside: AsideStore, blobs: readonly JournalBlob[], onPromised: (digest: string) => void): Promise<void> {
  const moved: DeletedItem[] = [];
  const queue = new TaskQueue(run.settings.concurrency);
  await queue.forEach(
    blobs,
    async (blob) => {
      const item = await moveBlob(run, aside, blob, onPromised);
      if (item !== undefined) moved.push(item);
    },
    { signal: run.signal },
  );
  run.telemetry.event("batch", { "registry_gc.batch.aside": moved.length });
  await tellDeleted(run, moved);
}

/** Moves one blob's data, unless the registry in this process has just promised it. */
async function moveBlob(
  run: Run,
  aside: AsideStore,
  { digest, size, isManifest }: JournalBlob,
  onPromised: (digest: string) => void,
): Promise<DeletedItem | undefined> {
  const number = run.digests.add(digest);
  const [path = ""] = run.registry.blobFootprint(digest).files;
  const copy = { runId: run.ledger.runId, path: aside.pathFor(run.ledger.runId, digest), size, isManifest };
  const outcomes = { isMoved: false };
  const move = async () => {
    try {
      await run.driver.move?.(path, copy.path);
      outcomes.isMoved = true;
    } catch (error) {
      // Moved all the same: by who made this part of the run before us, or by a call whose answer was lost.
      const isAbsent = isPathNotFound(error);
      outcomes.isMoved = isAbsent ? await isThere(run.settlingDriver, copy.path) : await isWhollyAt(run.settlingDriver, copy.path, path);
      run.signal.throwIfAborted();
      if (outcomes.isMoved) return;
      if (isAbsent) countItem(run.ledger.deleted, { kind: "blob", bytes: size });
      else {
        run.ledger.addFailure({ path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
        run.log.error(`could not put ${path} aside: ${messageOf(error)}`, { error });
      }
    }
  };
  // Known before it is done: where the move fails half-way, the copy is looked for all the same.
  const unsure = { ...copy, hasFailed: true };
  aside.addCopy(number, unsure);
  let isTried: boolean;
  try {
    isTried = await run.unlessPromised(digest, move);
  } finally {
    if (outcomes.isMoved) {
      aside.removeCopy(number, unsure);
      aside.addCopy(number, copy);
      countAside(run.ledger.quarantined, copy, 1);
    }
  }
  if (outcomes.isMoved) return { kind: "blob", path, digest, how: "aside" };
  if (!isTried) {
    spareItems(run, "blob", 1, size);
    onPromised(digest);
  }
  if (!isTried || !(await isThere(run.driver, copy.path))) aside.removeCopy(number, unsure);
  return undefined;
}

/** Whether nothing is at a path, as far as anybody can say. */
async function isGone(driver: StorageDriver, path: string): Promise<boolean> {
  try {
    return !(await isThere(driver, path));
  } catch {
    return false;
  }
}

async function removeLayerLinks(run: Run, links: readonly JournalLink[]): Promise<void> {
  const gone = await mapAll(links, async (link): Promise<DeletedItem | undefined> => {
    const outcome = { isGone: false };
    try {
      const isTried = await run.unlessPromised(link.digest, async () => {
        outcome.isGone = (await removeIfSame(run.driver, link)) !== "changed";
      });
      if (!isTried) spareItems(run, "layerLink");
    } catch (error) {
      // By a call whose answer was lost, it is gone all the same.
      outcome.isGone = await isGone(run.settlingDriver, link.path);
      if (!outcome.isGone) {
        run.signal.throwIfAborted();
        run.ledger.addFailure({ path: link.path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
      }
    }
    if (!outcome.isGone) return undefined;
    run.ledger.deleted.layerLinks++;
    return { kind: "layerLink", path: link.path, repository: link.repository, digest: link.digest, how: "deleted" };
  });
  await tellDeleted(
    run,
    gone.filter((item) => item !== undefined),
  );
}

/** Removes a link if it is still the one that was seen. */
export async function removeIfSame(
  driver: Pick<StorageDriver, "stat" | "delete">,
  link: JournalLink,
): Promise<"removed" | "absent" | "changed"> {
  const time = await timeOf(driver, link.path);
  if (time === undefined) return "absent";
  if (!isSameWriting(time, link.time)) return "changed";
  try {
    await driver.delete(link.path);
    return "removed";
  } catch (error) {
    // It was there a moment ago: a removal that was sent twice says so, too.
    if (isPathNotFound(error)) return "removed";
    throw error;
  }
}

/** Some stores tell a time in whole seconds to whoever looks at one file, and in milliseconds in a listing, or the other way round. */
function isSameWriting(a: number, b: number): boolean {
  const toSeconds = (time: number) => Math.floor(time / 1000) * 1000;
  return a === b || a === toSeconds(b) || b === toSeconds(a);
}

/** When a file was written: milliseconds since 1970, NaN where unknown; undefined where it is not there. */
async function timeOf(driver: Pick<StorageDriver, "stat">, path: string): Promise<number | undefined> {
  try {
    return (await driver.stat(path)).modTime?.getTime() ?? Number.NaN;
  } catch (error) {
    if (isPathNotFound(error)) return undefined;
    throw error;
  }
}
