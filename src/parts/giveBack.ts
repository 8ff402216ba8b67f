/** How a run in parts ends: what it took goes back where it is broken off, and its lock and what its parts left go. */

import { messageOf } from "../errors.js";
import { AsideStore } from "../online/asideStore.js";
import { countAside, undo } from "../online/putBack.js";
import { RunLock } from "../online/runLock.js";
import { closeSession } from "../online/session.js";
import type { Run } from "../run.js";
import type { Lead } from "./lead.js";
import { shareLock } from "./partRun.js";

/** Whether the run has the lock, even if it was taken by who led the run before. */
async function holdsLock(run: Run, { plan }: Lead): Promise<boolean> {
  if (run.lock !== undefined) return true;
  try {
    if (!(await RunLock.isHeldBy(run.settlingDriver, run.registry.online?.lock ?? "", plan.lock))) return false;
    run.lock = await shareLock(run, plan);
    return true;
  } catch (error) {
    run.log.error(`what run ${run.ledger.runId} took was not put back: ${messageOf(error)}; the next run does`, { error });
    return false;
  }
}

/**
 * Brings back what the run took, where it has its lock; whether all was tried. No abort stops this: one may be why it is done. What fails,
 * the next run does.
 */
export async function giveBack(run: Run, lead: Lead): Promise<boolean> {
  if (!(await holdsLock(run, lead))) return false;
  try {
    await lead.breakOff();
    const { settlingDriver, registry, digests } = run;
    if (registry.online === undefined) return true;
    run.aside = new AsideStore(settlingDriver, registry.online.aside, digests, run.ledger.runId);
    await run.aside.list({});
    await lead.findMoved(run.aside);
    await run.aside.readJournals({ journalDriver: settlingDriver });
    recountAside(run, run.aside);
    await undo(run, run.settlingDriver);
    // Of links that parts removed which did not come to their end nobody has told.
    run.ledger.deleted.layerLinks = Math.max(0, run.ledger.deleted.layerLinks);
    return true;
  } catch (error) {
    run.log.error(`what run ${run.ledger.runId} took could not be put back: ${messageOf(error)}; the next run does`, { error });
    return false;
  }
}

/** What the run has put aside by now: of a stage that was not closed nobody has told how much. */
function recountAside(run: Run, aside: AsideStore): void {
  const { quarantined, runId } = run.ledger;
  Object.assign(quarantined, { manifests: 0, blobs: 0, bytes: 0 });
  for (const copy of [...aside.copies.values()].flat()) if (copy.runId === runId) countAside(quarantined, copy, 1);
}

/**
 * The run has ended: the lock is given back, and what its parts left goes. The lock first: whoever is late finds it gone, when he can't see
 * any more that his stage is closed. And again, since he may have been about to write it anew.
 */
export async function forget(run: Run, lead: Lead | undefined): Promise<void> {
  await closeSession(run);
  try {
    await lead?.store.documents.remove();
  } catch (error) {
    run.log.warn(`what the parts of run ${run.ledger.runId} left could not be removed: ${messageOf(error)}; the next run does`, { error });
  }
  await closeSession(run);
}
