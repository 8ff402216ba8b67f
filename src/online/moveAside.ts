/**
 * Step 4: the plan goes to the journal, then the data of every doomed blob goes aside (manifests first, parents before children),
 * then layer links that no kept manifest of their repository needs are removed, each only if it is still the one that the plan saw.
 * No revision link, tag index entry or current link is touched.
 */

import type { Failure } from "../driver.js";
import { isPathNotFound, messageOf } from "../errors.js";
import { mapAll } from "../internal/mapAll.js";
import { NumberSet } from "../internal/numberMap.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { Footprint } from "../namespace.js";
import type { DeletedItem } from "../options.js";
import { parentsFirst } from "../parentsFirst.js";
import type { Plan, RepositoryPlan } from "../plan.js";
import { failureOf, type RemovalOptions } from "../remover.js";
import { countItem } from "../report.js";
import type { Run } from "../run.js";
import { spareItems } from "../sweepItems.js";
import { tellDeleted } from "../tellDeleted.js";
import { Vacuum } from "../vacuum.js";
import type { AsideStore } from "./asideStore.js";
import { inBatches } from "./batches.js";
import { isSameWriting, isSurelyGone, isThere, isWhollyAt, timeOf } from "./files.js";
import type { Journal, JournalBlob, JournalLink } from "./journal.js";
import { countAside } from "./putBack.js";

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
  aside.takenHere = { tried: new Set(), counted: new Set() };

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
        run.ledger.addFailure(failureOf(path, error));
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

/** Removes links that are still as they were seen, unless the registry in this process has just promised them. */
async function removeLayerLinks(run: Run, links: readonly JournalLink[]): Promise<void> {
  const gone: JournalLink[] = [];
  if (run.settings.barrier === undefined) await takeLinks(run, links, gone);
  else {
    await mapAll(links, async (link) => {
      try {
        const isTried = await run.unlessPromised(link.digest, () => takeLinks(run, [link], gone));
        if (!isTried) spareItems(run, "layerLink");
      } catch (error) {
        run.ledger.addFailure(failureOf(link.path, error));
      }
    });
  }
  run.ledger.deleted.layerLinks += gone.length;
  for (const link of gone) run.aside?.takenHere?.counted.add(link);
  await tellDeleted(
    run,
    gone.map(({ path, repository, digest }) => ({ kind: "layerLink", path, repository, digest, how: "deleted" })),
  );
  run.signal.throwIfAborted();
}

/** Takes those that are still as they were seen; `gone` is told of what is gone, also where an abort cuts it short. */
async function takeLinks(run: Run, links: readonly JournalLink[], gone: JournalLink[]): Promise<void> {
  const fail = (failure: Failure) => {
    if (!run.signal.aborted) run.ledger.addFailure(failure);
  };
  const same: { readonly link: JournalLink; readonly footprint: Footprint }[] = [];
  await mapAll(links, async (link) => {
    try {
      const time = await timeOf(run.driver, link.path);
      if (time === undefined) gone.push(link);
      else if (isSameWriting(time, link.time)) same.push({ link, footprint: { files: [link.path] } });
    } catch (error) {
      fail(failureOf(link.path, error));
    }
  });
  for (const { link } of same) run.aside?.takenHere?.tried.add(link);
  const options: RemovalOptions<(typeof same)[number]> = {
    onBatch: async (removed, failed) => {
      for (const { link } of removed) gone.push(link);
      await mapAll(failed, async ([{ link }, failure]) => {
        // By a call whose answer was lost, it is gone all the same.
        if (await isSurelyGone(run.settlingDriver, link.path)) gone.push(link);
        else fail(failure);
      });
    },
  };
  await new Vacuum(run.driver, { concurrency: run.settings.concurrency, logger: run.log }).removeAll(same, options);
}
