/** How journals end: what an interrupted purge left half done is mended, and a journal that is done is closed, and goes a day later. */

import { dirname } from "../driver.js";
import { failureOf } from "../remover.js";
import type { Run } from "../run.js";
import type { AsideStore } from "./asideStore.js";
import { isThere, removeFile, writeIfAbsent } from "./files.js";
import type { Journal } from "./journal.js";
import { pruneAside } from "./pruneAside.js";

/** A purged journal stays for a day: a sleeper's late move is then still somebody's. */
export const KEEP_PURGED_MS = 86_400_000;

/**
 * An interrupted purge may have died between the removal of a revision link and the look after it: of those that the journal names
 * and that are gone, each whose manifest's data is back is written anew, and so are its signatures. A client may have deleted it in between: that can't be told apart.
 */
async function recoverLinks(run: Run, aside: AsideStore): Promise<void> {
  for (const journal of brokenPurges(run, aside)) {
    for (const link of journal.links) {
      if ((link.kind !== "manifest" && link.kind !== "signature") || (await isThere(run.driver, link.path))) continue;
      const [place = ""] = run.registry.blobFootprint(link.digest).files;
      if (!(await isThere(run.driver, place))) continue;
      await run.mayChange();
      await writeIfAbsent(run.driver, link.path, link.target);
    }
  }
}

/** The same, of journals that hold their links; and what was broken off for so long that nobody is about to remove a link any more has been looked after for good. */
export async function endBrokenPurges(run: Run, aside: AsideStore): Promise<void> {
  await recoverLinks(run, aside);
  for (const journal of brokenPurges(run, aside)) {
    if (journal.purgingAt === undefined || !(run.storageNow() - journal.purgingAt > KEEP_PURGED_MS)) continue;
    await run.mayChange();
    await journal.write([{ kind: "unlinked", at: run.storageNow() }]);
  }
}

/** Purges that nobody has brought to an end, and for a day those that somebody else has: a sleeper may remove a link yet, and then die. */
export function brokenPurges(run: Run, aside: AsideStore): Journal[] {
  return [...aside.journals.values()].filter(
    ({ damage, purgingAt, takenOverAt = Number.NaN }) =>
      damage === undefined && (purgingAt !== undefined || run.storageNow() - takenOverAt <= KEEP_PURGED_MS),
  );
}

/** A journal is done once each of its items is purged, put back or kept; a day later it goes. */
export async function closeJournals(run: Run, aside: AsideStore, busy: ReadonlySet<string> = aside.busyRuns()): Promise<void> {
  for (const journal of aside.journals.values()) {
    if (journal.purgedAt === undefined || busy.has(journal.runId)) continue;
    if (journal.damage !== undefined || !(run.storageNow() - lastUseOf(run, journal) > KEEP_PURGED_MS)) continue;
    await takeAway(run, aside.runDirectory(journal.runId), () => journal.remove());
  }
  await endJournals(run, aside, busy);
  for (const journal of aside.leftovers) await takeAway(run, aside.runDirectory(journal.runId), () => journal.remove());
  // Whoever left these held the lock that is ours now.
  for (const runId of aside.partsOf) {
    if (runId === run.ledger.runId) continue;
    await removeIfThere(run, aside.partsDirectory(runId));
  }
  for (const path of aside.temporaries) {
    await removeIfThere(run, path);
    await pruneAside(run.driver, [dirname(path)], aside.directory);
  }
  for (const note of aside.notes) {
    if (note.time > run.storageNow() - Math.max(run.settings.gracePeriodMs, KEEP_PURGED_MS)) continue;
    await removeIfThere(run, note.path);
    await pruneAside(run.driver, [dirname(note.path)], aside.directory);
  }
  await pruneAside(run.driver, aside.emptied, aside.directory);
}

/** Says in journals that they are done; takes nothing away. */
export async function endJournals(run: Run, aside: AsideStore, busy: ReadonlySet<string> = aside.busyRuns()): Promise<void> {
  for (const journal of aside.journals.values()) {
    if (!journal.isOpen || journal.settledAt === undefined || busy.has(journal.runId)) continue;
    await run.mayChange();
    await journal.write([{ kind: "purged", at: run.storageNow() }]);
  }
}

/** A registry with a descriptor cache may go on to promise what a run took, as long as a purge would have waited. */
function lastUseOf({ settings }: Run, { purgedAt = Number.NaN, settledAt = Number.NaN }: Journal): number {
  return Math.max(purgedAt, settledAt + settings.quarantineMs);
}

function removeIfThere(run: Run, path: string): Promise<void> {
  return takeAway(run, path, () => removeFile(run.driver, path));
}

/** Of what is of no use any more, and was only not taken away, a run whose work is done does not fail. */
async function takeAway(run: Run, path: string, work: () => Promise<void>): Promise<void> {
  await run.mayChange();
  try {
    await work();
  } catch (error) {
    run.signal.throwIfAborted();
    run.ledger.addFailure(failureOf(path, error));
  }
}
