import { conduct } from "../conduct.js";
import type { GcContext } from "../context.js";
import type { StorageDriver } from "../driver.js";
import { refuseUnknowable } from "../guards.js";
import { lookAtRegistry, type RegistryLook } from "../look.js";
import { LIVE } from "../marks.js";
import type { Namespace } from "../namespace.js";
import type { GcOptions } from "../options.js";
import type { GcReport } from "../report.js";
import { Run } from "../run.js";
import { endBrokenPurges } from "./closeJournals.js";
import { goOnInterrupted, lookAndPutBack, settleAndPurge } from "./quarantine.js";
import { beginSession } from "./session.js";

/**
 * Looks at everything once, and puts back what lies aside and is needed; deletes nothing, and does not wait. Cheap enough for every
 * few minutes: where a registry has a descriptor cache, it mends what the registry promised from memory.
 *
 * @param options - Those of the runs whose quarantine it is: a look with others needs other things.
 * @throws as `markAndSweep` does.
 */
export async function heal(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions = {}): Promise<GcReport> {
  const story = async (run: Run) => {
    await beginSession(run);
    if (run.aside === undefined || run.settings.dryRun) return onlyLook(run);
    await endBrokenPurges(run, run.aside);
    await account(run, await lookAndPutBack(run));
  };
  return conduct(Run.begin(ctx, driver, registry, options), story, "heal");
}

/**
 * Drains, looks, puts back what is needed, and deletes what has been aside for `quarantineMs`. Takes nothing new aside.
 *
 * @param options - Those of the runs whose quarantine it is.
 * @throws as `markAndSweep` does.
 */
export async function purge(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions = {}): Promise<GcReport> {
  const story = async (run: Run) => {
    await beginSession(run);
    if (run.aside === undefined || run.settings.dryRun) return onlyLook(run);
    await goOnInterrupted(run);
    const found = await settleAndPurge(run, run.aside, { drains: run.aside.copies.size > 0 });
    if (found !== undefined) await account(run, found);
    sayWhatIsLeft(run);
  };
  return conduct(Run.begin(ctx, driver, registry, options), story, "purge");
}

function sayWhatIsLeft(run: Run): void {
  const left = run.aside?.copies.size ?? 0;
  if (left === 0) return;
  const hours = run.settings.quarantineMs / 3_600_000;
  const isBlocked = [...(run.aside?.journals.values() ?? [])].some(({ damage }) => damage !== undefined);
  const then = isBlocked
    ? "Nothing is purged while a journal can't be read: see problems"
    : `purge() takes what has lain there for quarantineMs (${hours} hours), and with a shorter one earlier`;
  run.notices.warn(`still aside: ${left} ${left === 1 ? "blob" : "blobs"}. ${then}`);
}

/** A dry run, or one on a store on which nothing can lie aside. */
async function onlyLook(run: Run): Promise<void> {
  const found = await run.phase("look", () => lookAtRegistry(run, "look"));
  refuseUnknowable(run);
  await account(run, found);
}

/** Without an inventory, the blobs that are marked are those that something alive names. */
async function account(run: Run, { repositories, tags, revisions, looks }: RegistryLook): Promise<void> {
  const doomed = looks.reduce((sum, look) => sum + look.doomed.size, 0);
  let blobs = 0;
  for (const [flags, count] of (await run.marks.countSets()).entries()) if ((flags & LIVE) !== 0) blobs += count;
  run.ledger.marked = { repositories, tags, manifests: revisions - doomed, blobs };
}
