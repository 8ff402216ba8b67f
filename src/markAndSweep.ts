import { account, announce } from "./accounts.js";
import { conduct } from "./conduct.js";
import type { GcContext } from "./context.js";
import type { StorageDriver } from "./driver.js";
import { refuseDamage, refuseEmptyMark, refuseRatio, refuseUnknowable } from "./guards.js";
import { takeInventory } from "./inventory.js";
import { lookAtRegistry } from "./look.js";
import type { Namespace } from "./namespace.js";
import { goOnInterrupted, putBackAtOnce, quarantine, settleAndPurge } from "./online/quarantine.js";
import { beginSession } from "./online/session.js";
import type { GcOptions } from "./options.js";
import { makePlan, type Plan } from "./plan.js";
import type { GcReport } from "./report.js";
import { Run } from "./run.js";
import { sweep } from "./sweep.js";

/**
 * Collects the garbage of a registry's storage, by mark and sweep.
 *
 * Nothing is deleted before everything has been looked at. Any error before the sweep ends the run with nothing deleted; damage that
 * was read is no error, and protects its repository. In the sweep, a delete that fails is recorded, and the rest goes on. While the
 * registry serves (without `readOnly`), garbage is put aside where the driver can move, and a later run deletes it.
 *
 * @remarks Time and memory are linear in the size of the registry: about 44 bytes and a mark for each digest, and a few words for
 * each reference of a manifest. Each manifest is read once, however many repositories have it.
 * @param ctx - Signal, logger, telemetry and clock; all optional.
 * @param driver - Where the bytes live. Everything that is deleted is deleted through it.
 * @param registry - What the registry looks like: `openRegistry(driver)` for the layout of distribution.
 * @throws TypeError for a wrong option, driver or registry, before any call to the driver.
 * @throws RegistryGcError with a `code`, or the signal's reason; with `report` where it is an object: what was known by then.
 */
export async function markAndSweep(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions = {}): Promise<GcReport> {
  return conduct(Run.begin(ctx, driver, registry, options), collect);
}

/** The story of a run. */
async function collect(run: Run): Promise<void> {
  const { dryRun, readOnly } = run.settings;

  // Who else owns this storage? A metadata database ends the run here, or another run's lock.
  await beginSession(run);
  await goOnInterrupted(run);

  // Every blob first, then what repositories keep: a blob that appears later is never a candidate.
  await run.phase("inventory", () => takeInventory(run));
  const found = await run.phase("mark", () => lookAtRegistry(run, "mark"));
  await putBackAtOnce(run, found);
  refuseUnknowable(run);

  // What nothing keeps is to go, unless that is too much to be true.
  let plan = await makePlan(run, found.looks);
  const blobs = await account(run, found, plan);
  refuseDamage(run);
  refuseEmptyMark(run, found.repositories, blobs);
  refuseRatio(run, blobs);

  // While others write: look again, and let go of what appeared or changed since.
  if (!readOnly && !dryRun && isSomething(plan)) {
    const again = await run.phase("look", () => lookAtRegistry(run, "look", found));
    refuseDamage(run);
    plan = await makePlan(run, again.looks, plan);
    await account(run, again, plan);
  }
  await announce(run, plan);
  if (dryRun) return;

  // Until here nothing was deleted. Now garbage is put aside, for a later run to delete; or, where nobody writes, deleted at once.
  if (run.quarantines && run.aside !== undefined) {
    await quarantine(run, run.aside, plan);
    return;
  }
  await run.phase("sweep", () => sweep(run, plan));
  if (run.aside !== undefined) await settleAndPurge(run, run.aside, { drains: false });
}

function isSomething(plan: Plan): boolean {
  return plan.blobs.length > 0 || plan.repositories.length > 0;
}
