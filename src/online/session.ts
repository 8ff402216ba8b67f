/** What surrounds a run that changes something: the lock, the storage's clock, and the knowledge of what lies aside. */

import type { StorageDriver } from "../driver.js";
import { messageOf, UnsupportedError } from "../errors.js";
import { untilAborted } from "../internal/untilAborted.js";
import type { Run } from "../run.js";
import { AsideStore } from "./asideStore.js";
import { RunLock } from "./runLock.js";
import { measureOffset, refuseSkew } from "./storageClock.js";

/**
 * Whose storage is it? Then takes the lock and sets the clock, where the run is to change something; then looks what lies aside.
 *
 * @throws DatabaseInUseError, ClockSkewError, LockedError; UnsupportedError where something lies aside, and the driver can't write.
 */
export async function beginSession(run: Run): Promise<void> {
  run.signal.throwIfAborted();
  const warnings = await untilAborted(run.registry.guard?.(run.look) ?? Promise.resolve([]), run.signal);
  for (const warning of warnings) run.log.warn(warning);
  const { online } = run.registry;
  sayDegree(run);
  if (online === undefined) return;
  if (!run.settings.dryRun && run.driver.putContent !== undefined) {
    run.storageOffset = await measureOffset(run, online.lock);
    if (!run.settings.readOnly) refuseSkew(run.storageOffset);
    const content = RunLock.contentFor(run.ledger.runId, run.clock.now());
    run.lock = await RunLock.take(run.lockDriver, online.lock, content, run.clock, () => run.storageNow());
  }
  await openAside(run);
  refuseUnwritable(run);
}

/** Without a lock, and without a way to write anew what a client needs, what lies aside is safe only where it is. */
function refuseUnwritable({ driver, settings, aside }: Run): void {
  if (settings.dryRun || driver.putContent !== undefined || aside === undefined) return;
  if (aside.copies.size === 0 && aside.journals.size === 0) return;
  throw new UnsupportedError(
    `earlier runs put something aside below ${aside.directory}, and the driver ${driver.name} has no putContent: it can neither take the lock nor write a link anew. Use a driver that has it`,
  );
}

/** Lists what lies aside, and reads the journals. */
export async function openAside(run: Run): Promise<void> {
  const { online } = run.registry;
  if (online === undefined) return;
  const strays = () => {
    run.ledger.unrecognized++;
  };
  run.aside = await AsideStore.open(run.driver, online.aside, run.digests, {
    ...run.look,
    onUnrecognized: strays,
    journalDriver: run.settlingDriver,
  });
  run.aside.honourNotes(run.storageNow() - run.settings.gracePeriodMs);
  reportDamaged(run, run.aside);
  run.renewMarks();
}

/** Journals that can't be read are a problem of their own. */
export function reportDamaged(run: Run, aside: AsideStore): void {
  for (const journal of aside.journals.values()) {
    if (journal.damage === undefined) continue;
    const path = aside.runDirectory(journal.runId);
    const message = `the journal of run ${journal.runId} can't be read: ${journal.damage}. What lies aside and is needed goes back; nothing of any run is purged until restore({ runId }) has brought back what it put aside, and ${path}/journal is removed by hand`;
    run.ledger.addProblem({ kind: "damaged-journal", path, message });
    run.log.warn(message);
  }
}

/** Gives the lock back, whatever has happened. */
export async function closeSession(run: Run): Promise<void> {
  try {
    await run.lock?.release();
  } catch (error) {
    run.log.warn(`the lock could not be given back: ${messageOf(error)}; it is taken over once it is five minutes old`, { error });
  }
}

/** Which degree of safety holds, and why not a better one. */
export function sayDegree(run: Run): void {
  const { readOnly, quarantine } = run.settings;
  run.ledger.safety = readOnly ? "quiesced" : run.quarantines ? "quarantine" : "grace";
  if (run.ledger.safety !== "grace") return;
  const why = !quarantine
    ? "quarantine is false"
    : run.registry.online === undefined
      ? "the registry has no place for a quarantine"
      : `the driver has no ${missing(run.driver)}`;
  run.log.info(`safety is "grace": ${why}. A push that re-uses garbage while it is being deleted can lose it; docs/online.md says when`);
}

function missing(driver: StorageDriver): string {
  return [driver.putContent === undefined ? "putContent" : "", driver.move === undefined ? "move" : ""]
    .filter((name) => name !== "")
    .join(" and no ");
}
