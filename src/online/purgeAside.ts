/**
 * Step 7: what earlier runs put aside long ago, and nobody needs, goes for good. Its tag index entries and revision links are removed,
 * each only if it is still the one that the journal names; after each removal it is looked whether the manifest's data is back: a
 * push of the same manifest writes the data before the link. Then the data aside is deleted.
 */

import { dirname } from "../driver.js";
import { codeOf, isPathNotFound, messageOf } from "../errors.js";
import { addTo } from "../internal/addTo.js";
import { mapAll } from "../internal/mapAll.js";
import { type RegistryLook, RepositoryLook } from "../look.js";
import type { DeletedItem } from "../options.js";
import { honourLeases, keepLinksToLivingManifests } from "../plan.js";
import { countItem, type SweepCounts } from "../report.js";
import { RepositoryView } from "../repositoryView.js";
import type { Run } from "../run.js";
import { parentsFirst } from "../sweep.js";
import { tellDeleted } from "../tellDeleted.js";
import { type RemovalOptions, Vacuum } from "../vacuum.js";
import type { AsideCopy, AsideStore } from "./asideStore.js";
import { inBatches } from "./batches.js";
import type { Journal, JournalLink } from "./journal.js";
import { removeIfSame } from "./moveAside.js";
import { countAside, isThere, putBackBlobs, writeLink } from "./putBack.js";

/** A purged journal stays for a day: a sleeper's late move is then still somebody's. */
const KEEP_PURGED_MS = 86_400_000;

/** Runs whose quarantine is over: settled long enough ago, by the storage's clock. */
export function purgeable(run: Run, aside: AsideStore): Journal[] {
  const journals = [...aside.journals.values()];
  // Of a journal that can't be read nobody knows what it took: then nothing at all goes.
  if (journals.some((journal) => journal.damage !== undefined)) return [];
  const limit = run.storageNow() - run.settings.quarantineMs;
  return journals.filter(({ settledAt }) => settledAt !== undefined && settledAt <= limit);
}

/**
 * Purges what these runs put aside, after a drain and a look (`found`) whose marks say what is needed. Only copies that were listed when
 * the run began: what a sleeper moved since was out of sight for no drain.
 */
export async function purgeAside(run: Run, aside: AsideStore, journals: readonly Journal[], found: RegistryLook): Promise<void> {
  const looks = new Map(found.looks.map((look) => [look.repository.name, look]));
  for (const journal of journals) {
    const copies = copiesOf(aside, journal);
    const dying = copies.filter(([number]) => !run.marks.isKept(number));
    if (dying.length > 0) await purgeRun(run, aside, { journal, copies: dying, looks });
    // A sleeper may be about to drop what lies in its place, if a move is two steps: then the copy is all there is.
    const isLongAgo = (journal.settledAt ?? Number.NaN) <= run.storageNow() - KEEP_PURGED_MS;
    const kept = isLongAgo ? copies.filter(([number]) => run.marks.isKept(number) && aside.isAside(number)) : [];
    const isInPlace = await mapAll(kept, ([number, copy]) => liesInPlace(run, aside, number, copy));
    await deleteData(
      run,
      aside,
      journal,
      kept.filter((_, i) => isInPlace[i]),
    );
  }
}

/** Whether a blob that was pushed again lies in its place, and holds what its digest says: then nobody will need its copy. */
async function liesInPlace(run: Run, aside: AsideStore, number: number, copy: AsideCopy): Promise<boolean> {
  const [place = ""] = run.registry.blobFootprint(run.digests.digest(number)).files;
  return (await isThere(run.driver, place)) && (await aside.isSound(run.driver, number, { ...copy, path: place }));
}

/** What a run put aside. */
function copiesOf(aside: AsideStore, journal: Journal): (readonly [number, AsideCopy])[] {
  const copies: (readonly [number, AsideCopy])[] = [];
  for (const [number, all] of aside.copies) for (const copy of all) if (copy.runId === journal.runId) copies.push([number, copy]);
  return copies;
}

/** Whose purge it is: a run that purges at once what it moved itself has deleted it. */
function countsOf(run: Run, { runId }: Journal): SweepCounts {
  return runId === run.ledger.runId ? run.ledger.deleted : run.ledger.purged;
}

interface Purge {
  readonly journal: Journal;
  readonly copies: readonly (readonly [number, AsideCopy])[];
  readonly looks: ReadonlyMap<string, RepositoryLook>;
}

async function purgeRun(run: Run, aside: AsideStore, { journal, copies, looks }: Purge): Promise<void> {
  await run.mayChange();
  await journal.write([{ kind: "purging", at: run.storageNow() }]);
  const left = new Map<string, readonly number[]>();
  for (const [name, manifests] of dyingManifests(run, journal, copies)) {
    const stuck = await unlinkAll(run, manifests, looks.get(name), countsOf(run, journal));
    if (stuck.length > 0) left.set(name, stuck);
  }
  await journal.write([{ kind: "unlinked", at: run.storageNow() }]);
  if (left.size > 0) await lookAgainAt(run, left);
  await deleteData(
    run,
    aside,
    journal,
    copies.filter(([number]) => !run.marks.isKept(number)),
  );
}

/** A revision link that is to go, and what goes before it: tag index entries and signatures. */
interface DyingManifest {
  readonly link: JournalLink;
  readonly parts: readonly JournalLink[];
}

/** What the journal names of dying manifests, by repository and number. */
function dyingManifests(run: Run, journal: Journal, copies: Purge["copies"]): Map<string, Map<number, DyingManifest>> {
  const dying = new Set(copies.map(([number]) => run.digests.digest(number)));
  const parts = new Map<string, JournalLink[]>();
  for (const link of journal.links) {
    if ((link.kind === "tagIndexEntry" || link.kind === "signature") && dying.has(link.digest)) addTo(parts, partsKey(link), link);
  }
  const manifests = new Map<string, Map<number, DyingManifest>>();
  for (const link of journal.links) {
    if (link.kind !== "manifest" || !dying.has(link.digest)) continue;
    const known = manifests.get(link.repository) ?? new Map<number, DyingManifest>();
    manifests.set(link.repository, known);
    known.set(run.digests.add(link.digest), { link, parts: parts.get(partsKey(link)) ?? [] });
  }
  return manifests;
}

function partsKey({ repository, digest }: JournalLink): string {
  return `${repository} ${digest}`;
}

/** Removes the revision links of one repository, parents before children: what a link that is left keeps is left too. Answers with these. */
async function unlinkAll(
  run: Run,
  manifests: ReadonlyMap<number, DyingManifest>,
  look: RepositoryLook | undefined,
  counts: SweepCounts,
): Promise<number[]> {
  const left: number[] = [];
  const numbers = [...manifests.keys()];
  for (const level of look === undefined ? [numbers] : parentsFirst(run, { look, manifests: numbers })) {
    const dying = look === undefined ? level : level.filter((number) => look.doomed.has(number));
    const stuck: number[] = [];
    await inBatches(run, dying, async (some) => {
      await mapAll(some, async (number) => {
        const manifest = manifests.get(number);
        if (manifest === undefined) return;
        const outcome = { isGone: false };
        await run.unlessPromised(manifest.link.digest, async () => {
          outcome.isGone = await unlinkManifest(run, manifest, counts);
        });
        if (!outcome.isGone) stuck.push(number);
      });
    });
    await look?.keep(stuck);
    for (const number of stuck) left.push(number);
  }
  return left;
}

/**
 * Removes a manifest's parts, then its revision link, then looks whether its data is back: a push of the same manifest writes the data
 * before the link. Whether it is gone for good; where it isn't, what was removed is written anew.
 */
async function unlinkManifest(run: Run, { link: revision, parts }: DyingManifest, counts: SweepCounts): Promise<boolean> {
  const removed: JournalLink[] = [];
  let isLeft = false;
  for (const link of [...parts, revision]) {
    const outcome = await unlink(run, link);
    if (outcome === "removed") removed.unshift(link);
    isLeft = outcome === "failed" || (outcome === "changed" && link === revision);
    if (isLeft) break;
  }
  const [place = ""] = run.registry.blobFootprint(revision.digest).files;
  const isGone = !isLeft && !(await isThere(run.settlingDriver, place));
  const gone: DeletedItem[] = [];
  for (const link of removed) {
    if (!isGone && (await isWrittenAnew(run, link))) continue;
    if (link.kind === "signature") continue;
    countItem(counts, { kind: link.kind });
    gone.push({ kind: link.kind, path: link.path, repository: link.repository, digest: link.digest, how: "deleted" });
  }
  run.signal.throwIfAborted();
  await tellDeleted(run, gone);
  return isGone;
}

async function unlink(run: Run, link: JournalLink): Promise<"removed" | "absent" | "changed" | "failed"> {
  try {
    return await removeIfSame(run.driver, link);
  } catch (error) {
    if (!run.signal.aborted) run.ledger.addFailure({ path: link.path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
    return "failed";
  }
}

/** Writes a link anew; an index entry only where its tag is still there. */
async function isWrittenAnew(run: Run, link: JournalLink): Promise<boolean> {
  const isOfTag = link.kind === "tagIndexEntry";
  if (isOfTag && (link.current === undefined || !(await isThere(run.settlingDriver, link.current)))) return false;
  await writeLink(run.settlingDriver, link);
  return true;
}

/** A purge that leaves a revision link looks at that repository once more before it deletes: what it needs stays, and goes back. */
async function lookAgainAt(run: Run, left: ReadonlyMap<string, readonly number[]>): Promise<void> {
  const looks: RepositoryLook[] = [];
  for await (const repository of run.registry.repositories(run.look)) {
    const revisions = left.get(repository.name);
    if (revisions === undefined) continue;
    const look = await RepositoryLook.mark(run, await RepositoryView.read(run, repository), "first");
    // Whatever the reason why a link is still there: what its manifest reaches stays.
    await look.keep(revisions);
    looks.push(look);
  }
  honourLeases(run, looks);
  await keepLinksToLivingManifests(run, looks);
  await putBackBlobs(run, (number) => run.marks.isKept(number));
}

async function deleteData(run: Run, aside: AsideStore, journal: Journal, copies: readonly (readonly [number, AsideCopy])[]): Promise<void> {
  const counts = countsOf(run, journal);
  const vacuum = new Vacuum(run.driver, { concurrency: run.settings.concurrency, logger: run.log });
  const items = copies.map(([number, copy]) => ({ number, copy, footprint: { files: [copy.path] } }));
  const options: RemovalOptions<(typeof items)[number]> = {
    signal: run.signal,
    beforeBatch: () => run.mayChange(),
    onBatch: async (gone, failed) => {
      const told: DeletedItem[] = [];
      for (const { number, copy } of gone) {
        aside.removeCopy(number, copy);
        countItem(counts, { kind: "blob", bytes: copy.size ?? 0 });
        if (copy.runId === run.ledger.runId) countAside(run.ledger.quarantined, copy, -1);
        if (run.marks.isKept(number)) continue;
        const digest = run.digests.digest(number);
        told.push({ kind: "blob", path: run.registry.blobFootprint(digest).files[0] ?? copy.path, digest, how: "deleted" });
      }
      for (const [, failure] of failed) run.ledger.addFailure(failure);
      await tellDeleted(run, told);
    },
  };
  if (run.settings.barrier === undefined) await vacuum.removeAll(items, options);
  else {
    // What the registry in this process has promised since stays aside.
    for (const item of items) {
      await run.unlessPromised(run.digests.digest(item.number), async () => {
        await vacuum.removeAll([item], options);
      });
    }
  }
  await pruneEmptied(
    run,
    items.map(({ number, copy }) => [number, copy] as const),
  );
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
      const paths = places.get(upTo) ?? [];
      places.set(upTo, paths);
      paths.push(dirname(files[0]));
    }
    for (const [upTo, paths] of places) await run.driver.pruneDirectories(paths, { upTo });
  } catch (error) {
    run.log.debug(`emptied directories stay: ${messageOf(error)}`, { error });
  }
}

/**
 * An interrupted purge may have died between the removal of a revision link and the look after it: of those that the journal names
 * and that are gone, each whose manifest's data is back is written anew, and so are its signatures. A client may have deleted it in between: that can't be told apart.
 */
export async function recoverLinks(run: Run, aside: AsideStore): Promise<void> {
  for (const journal of aside.journals.values()) {
    if (journal.damage !== undefined || journal.purgingAt === undefined || journal.purgedAt !== undefined) continue;
    for (const link of journal.links) {
      if ((link.kind !== "manifest" && link.kind !== "signature") || (await isThere(run.driver, link.path))) continue;
      const [place = ""] = run.registry.blobFootprint(link.digest).files;
      if (!(await isThere(run.driver, place))) continue;
      await run.mayChange();
      await writeLink(run.driver, link);
    }
  }
}

/** A journal is done once each of its items is purged, put back or kept; a day later it goes. */
export async function closeJournals(run: Run, aside: AsideStore): Promise<void> {
  const busy = new Set([...aside.copies.values()].flatMap((copies) => copies.map((copy) => copy.runId)));
  for (const journal of aside.journals.values()) {
    if (journal.damage !== undefined || journal.settledAt === undefined || busy.has(journal.runId)) continue;
    await run.mayChange();
    if (journal.purgedAt === undefined) await journal.write([{ kind: "purged", at: run.storageNow() }]);
    else if (run.storageNow() - lastUseOf(run, journal) > KEEP_PURGED_MS) await journal.remove();
  }
  for (const note of aside.notes) {
    if (note.time > run.storageNow() - Math.max(run.settings.gracePeriodMs, KEEP_PURGED_MS)) continue;
    await run.mayChange();
    await removeNote(run, note.path);
  }
}

/** A registry with a descriptor cache may go on to promise what a run took, as long as a purge would have waited. */
function lastUseOf({ settings }: Run, { purgedAt = Number.NaN, settledAt = Number.NaN }: Journal): number {
  return Math.max(purgedAt, settledAt + settings.quarantineMs);
}

async function removeNote(run: Run, path: string): Promise<void> {
  try {
    await run.driver.delete(path);
  } catch (error) {
    if (!isPathNotFound(error)) throw error;
  }
}
