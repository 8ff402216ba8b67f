/**
 * A run that deletes later: it takes data out of sight, waits until no request that could have seen it is still running, looks at the
 * links again and puts back what turned out to be needed. A later run does the same, and deletes what went out of sight long ago and
 * nobody came to need. docs/online.md tells it for operators; docs/online-model checks it on every interleaving.
 */

import { refuseDamage, refuseEmptyLook, refuseUnknowable } from "../guards.js";
import { lookAtRegistry, type RegistryLook } from "../look.js";
import { honourLeases, keepLinksToLivingManifests, type Plan } from "../plan.js";
import type { Run } from "../run.js";
import { sweepUploads } from "../sweep.js";
import type { AsideStore } from "./asideStore.js";
import { closeJournals, endBrokenPurges } from "./closeJournals.js";
import { moveAside } from "./moveAside.js";
import { purgeAside, purgeable } from "./purgeAside.js";
import { putBackNeeded, undo } from "./putBack.js";

/** The drain is slept in pieces, so that the lock is kept alive: by a clock that no timer goes by, too, and where a heartbeat fails. */
const NAP_MS = 10_000;

/** Goes on with runs that ended before they had settled: links, drain, look, put back, settle. */
export async function goOnInterrupted(run: Run): Promise<void> {
  const { aside } = run;
  if (aside === undefined || run.settings.dryRun) return;
  await endBrokenPurges(run, aside);
  const interrupted = [...aside.journals.values()].filter((journal) => journal.isInterrupted);
  if (interrupted.length === 0) return;
  run.log.info(`going on with ${interrupted.length} interrupted runs: ${interrupted.map(({ runId }) => runId).join(", ")}`);
  if (!run.settings.readOnly) await drain(run);
  await lookAndPutBack(run);
  for (const journal of interrupted) {
    await run.mayChange();
    await journal.write([{ kind: "settled", at: run.storageNow() }]);
  }
  run.renewMarks();
}

/** Steps 4 to 7. */
export async function quarantine(run: Run, aside: AsideStore, plan: Plan): Promise<void> {
  const hasPlan = plan.blobs.length > 0 || plan.repositories.length > 0;
  try {
    if (hasPlan) {
      await run.phase("sweep", async () => {
        await moveAside(run, aside, plan);
        await sweepUploads(run, plan);
      });
    }
    await settleAndPurge(run, aside, { drains: hasPlan });
  } catch (error) {
    await undo(run, run.settlingDriver);
    throw error;
  }
}

/** Steps 5 to 7: drain, look, put back, settle; then purge what has been aside for long. Answers with the look, where one was needed. */
export async function settleAndPurge(
  run: Run,
  aside: AsideStore,
  options: { readonly drains: boolean },
): Promise<RegistryLook | undefined> {
  const own = aside.journals.get(run.ledger.runId);
  const mayPurge = purgeable(run, aside).length > 0 || (own !== undefined && run.settings.quarantineMs === 0);
  if (!options.drains && !mayPurge) {
    await closeJournals(run, aside);
    return undefined;
  }
  if (!run.settings.readOnly) await drain(run);
  const found = await lookAndPutBack(run);
  refuseDamage(run);
  await run.mayChange();
  await own?.write([{ kind: "settled", at: run.storageNow() }]);
  const journals = purgeable(run, aside);
  if (journals.length > 0) await run.phase("purge", () => purgeAside(run, aside, journals, found));
  await closeJournals(run, aside);
  return found;
}

/** Step 6: looks at everything with fresh marks, what lies aside counted as present, and puts back what is needed. */
export async function lookAndPutBack(run: Run): Promise<RegistryLook> {
  run.renewMarks();
  const found = await run.phase("look", () => lookAtRegistry(run, "look"));
  refuseEmptyLook(run, found.repositories, (run.aside?.copies.size ?? 0) > 0);
  await markLeases(run, found);
  await putBackNeeded(run, found);
  // Not before: what is known to be needed goes back all the same.
  refuseUnknowable(run);
  return found;
}

async function markLeases(run: Run, { looks }: RegistryLook): Promise<void> {
  honourLeases(run, looks);
  await keepLinksToLivingManifests(run, looks);
}

/** What earlier runs put aside, or took, and is needed goes back at once. */
export async function putBackAtOnce(run: Run, found: RegistryLook): Promise<void> {
  if (run.settings.dryRun || run.aside === undefined || run.aside.journals.size === 0) return;
  await markLeases(run, found);
  await putBackNeeded(run, found);
}

/** Step 5: longer than any request takes between its check and its write. */
export async function drain(run: Run): Promise<void> {
  const { drainMs } = run.settings;
  await run.phase("drain", async () => {
    for (let done = 0; done < drainMs; ) {
      run.progress({ phase: "drain", done, total: drainMs });
      const nap = Math.min(NAP_MS, drainMs - done);
      await run.clock.sleep(nap, run.signal);
      done += nap;
      await run.mayChange();
    }
    run.progress({ phase: "drain", done: drainMs, total: drainMs }, true);
  });
}
