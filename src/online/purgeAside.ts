/**
 * Step 7: what earlier runs put aside long ago, and nobody needs, goes for good. Its tag index entries and revision links are removed,
 * each only if it is still the one that the journal names; after each removal it is looked whether the manifest's data is back: a
 * push of the same manifest writes the data before the link. Then the data aside is deleted.
 */

import { dirname } from "../driver.js";
import { codeOf, isPathNotFound, messageOf } from "../errors.js";
import { RepositoryLook } from "../look.js";
import type { DeletedItem } from "../options.js";
import { honourLeases, keepLinksToLivingManifests } from "../plan.js";
import { countItem, type SweepCounts } from "../report.js";
import { RepositoryView } from "../repositoryView.js";
import type { Run } from "../run.js";
import { tellDeleted } from "../tellDeleted.js";
import { Vacuum } from "../vacuum.js";
import type { AsideCopy, AsideStore } from "./asideStore.js";
import type { Journal, JournalLink } from "./journal.js";
import { removeIfSame } from "./moveAside.js";
import { isThere, putBackBlobs, writeLink } from "./putBack.js";

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
 * Purges what these runs put aside, after a drain and a look whose marks say what is needed. Only copies that were listed when the run
 * began: what a sleeper moved since was out of sight for no drain.
 */
export async function purgeAside(run: Run, aside: AsideStore, journals: readonly Journal[]): Promise<void> {
  for (const journal of journals) {
    const copies = dyingCopies(run, aside, journal);
    if (copies.length > 0) await purgeRun(run, aside, journal, copies);
  }
}

/** What a run put aside and is needed by nobody. */
function dyingCopies(run: Run, aside: AsideStore, journal: Journal): (readonly [number, AsideCopy])[] {
  const copies: (readonly [number, AsideCopy])[] = [];
  for (const [number, all] of aside.copies) {
    if (run.marks.isKept(number)) continue;
    for (const copy of all) if (copy.runId === journal.runId) copies.push([number, copy]);
  }
  return copies;
}

async function purgeRun(run: Run, aside: AsideStore, journal: Journal, copies: readonly (readonly [number, AsideCopy])[]): Promise<void> {
  const counts = journal.runId === run.ledger.runId ? run.ledger.deleted : run.ledger.purged;
  const dying = new Set(copies.map(([number]) => run.digests.digest(number)));
  const entries = journal.links.filter((link) => link.kind === "tagIndexEntry" && dying.has(link.digest));
  const revisions = journal.links.filter((link) => link.kind === "manifest" && dying.has(link.digest));

  await run.mayChange();
  await journal.write([{ kind: "purging", at: run.storageNow() }]);
  for (const entry of entries) await unlink(run, entry, counts);
  const left = new Map<string, number[]>();
  for (const revision of revisions) {
    const outcome = { isGone: false };
    await run.unlessPromised(revision.digest, async () => {
      outcome.isGone = await unlinkRevision(run, revision, entries, counts);
    });
    if (!outcome.isGone) left.set(revision.repository, [...(left.get(revision.repository) ?? []), run.digests.add(revision.digest)]);
  }
  await journal.write([{ kind: "unlinked", at: run.storageNow() }]);
  if (left.size > 0) await lookAgainAt(run, left);
  await deleteData(
    run,
    aside,
    copies.filter(([number]) => !run.marks.isKept(number)),
    counts,
  );
}

async function unlink(run: Run, link: JournalLink, counts: SweepCounts): Promise<boolean> {
  await run.mayChange();
  try {
    const before = await isThere(run.driver, link.path);
    if (!(await removeIfSame(run.driver, link))) return false;
    if (before) countItem(counts, link);
    return true;
  } catch (error) {
    run.signal.throwIfAborted();
    run.ledger.addFailure({ path: link.path, code: codeOf(error) ?? "DRIVER_ERROR", message: messageOf(error) });
    return false;
  }
}

/** Removes a revision link, then looks whether its manifest is back; whether the link is gone for good. */
async function unlinkRevision(run: Run, link: JournalLink, entries: readonly JournalLink[], counts: SweepCounts): Promise<boolean> {
  if (!(await unlink(run, link, counts))) return false;
  const [place = ""] = run.registry.blobFootprint(link.digest).files;
  if (!(await isThere(run.settlingDriver, place))) {
    await tellDeleted(run, [{ kind: "manifest", path: link.path, repository: link.repository, digest: link.digest, how: "deleted" }]);
    return true;
  }
  await writeLink(run.settlingDriver, link);
  for (const entry of entries) {
    const belongs = entry.repository === link.repository && entry.digest === link.digest && entry.current !== undefined;
    if (belongs && (await isThere(run.settlingDriver, entry.current))) await writeLink(run.settlingDriver, entry);
  }
  return false;
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

async function deleteData(
  run: Run,
  aside: AsideStore,
  copies: readonly (readonly [number, AsideCopy])[],
  counts: SweepCounts,
): Promise<void> {
  const vacuum = new Vacuum(run.driver, { concurrency: run.settings.concurrency, logger: run.log });
  const items = copies.map(([number, copy]) => ({ number, copy, footprint: { files: [copy.path] } }));
  await run.mayChange();
  await vacuum.removeAll(items, {
    signal: run.signal,
    onBatch: async (gone, failed) => {
      const told: DeletedItem[] = [];
      for (const { number, copy } of gone) {
        aside.removeCopy(number, copy);
        countItem(counts, { kind: "blob", bytes: copy.size ?? 0 });
        if (copy.runId === run.ledger.runId) takeFromQuarantined(run, number, copy);
        const digest = run.digests.digest(number);
        told.push({ kind: "blob", path: run.registry.blobFootprint(digest).files[0] ?? copy.path, digest, how: "deleted" });
      }
      for (const [, failure] of failed) run.ledger.addFailure(failure);
      await tellDeleted(run, told);
      await run.mayChange();
    },
  });
  await pruneEmptied(
    run,
    items.map(({ number, copy }) => [number, copy] as const),
  );
}

function takeFromQuarantined(run: Run, number: number, copy: AsideCopy): void {
  const { quarantined } = run.ledger;
  quarantined.blobs--;
  quarantined.bytes -= copy.size ?? 0;
  if (run.catalog.isManifest(number)) quarantined.manifests--;
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
 * and that are gone, each whose manifest's data is back is written anew. A client may have deleted it in between: that can't be told apart.
 */
export async function recoverLinks(run: Run, aside: AsideStore): Promise<void> {
  for (const journal of aside.journals.values()) {
    if (journal.damage !== undefined || journal.purgingAt === undefined || journal.purgedAt !== undefined) continue;
    for (const link of journal.links) {
      if (link.kind !== "manifest" || (await isThere(run.driver, link.path))) continue;
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
    else if (run.storageNow() - journal.purgedAt > KEEP_PURGED_MS) await journal.remove();
  }
  for (const note of aside.notes) {
    if (note.time > run.storageNow() - Math.max(run.settings.gracePeriodMs, KEEP_PURGED_MS)) continue;
    await run.mayChange();
    await removeNote(run, note.path);
  }
}

async function removeNote(run: Run, path: string): Promise<void> {
  try {
    await run.driver.delete(path);
  } catch (error) {
    if (!isPathNotFound(error)) throw error;
  }
}
