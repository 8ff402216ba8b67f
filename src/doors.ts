/**
 * The ways into a run. What runs is loaded by the first of them that is called, all of it, and before any call to the storage: an
 * application that embeds the collector starts without it, and a run that has begun loads nothing any more.
 */

import type { StorageDriver } from "./driver.js";
import type { Explanation } from "./explain.js";
import type { Namespace } from "./namespace.js";
import type { QuarantinedRun } from "./online/listRuns.js";
import type { RestoreReport, RestoreTarget } from "./online/restore.js";
import type { GcContext, GcOptions } from "./options.js";
import type { GcReport } from "./report.js";

const chapters = () => import("./chapters.js");

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
  return (await chapters()).markAndSweep(ctx, driver, registry, options);
}

/**
 * Looks at everything once, and puts back what lies aside and is needed; deletes nothing, and does not wait. Cheap enough for every
 * few minutes: where a registry has a descriptor cache, it mends what the registry promised from memory.
 *
 * @param options - Those of the runs whose quarantine it is: a look with others needs other things.
 * @throws as `markAndSweep` does.
 */
export async function heal(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions = {}): Promise<GcReport> {
  return (await chapters()).heal(ctx, driver, registry, options);
}

/**
 * Drains, looks, puts back what is needed, and deletes what has been aside for `quarantineMs`. Takes nothing new aside.
 *
 * @param options - Those of the runs whose quarantine it is.
 * @throws as `markAndSweep` does.
 */
export async function purge(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions = {}): Promise<GcReport> {
  return (await chapters()).purge(ctx, driver, registry, options);
}

/**
 * What lies aside, by run, the newest first. Reads only, and takes no lock.
 *
 * @throws RegistryGcError as `markAndSweep` does.
 */
export async function listRuns(ctx: GcContext, driver: StorageDriver, registry: Namespace): Promise<readonly QuarantinedRun[]> {
  return (await chapters()).listRuns(ctx, driver, registry);
}

/**
 * Brings back what a run put aside: data only where there is none and after its digest was checked, the layer links that the run took
 * only where there are none. What is restored counts as young for `gracePeriodMs`, so that there is time to tag it.
 *
 * @throws TypeError where the run or the digest is none, RegistryGcError as `markAndSweep` does.
 */
export async function restore(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  what: RestoreTarget = {},
): Promise<RestoreReport> {
  return (await chapters()).restore(ctx, driver, registry, what);
}

/**
 * Tells why a blob or manifest is kept, or what would take it away, by a look at the whole registry. Reads only, and takes no lock.
 *
 * @param options - Those of the run that is asked about: what is kept depends on them.
 * @throws InvalidDigestError where `digest` is none; otherwise as `markAndSweep` does.
 */
export async function explain(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  digest: string,
  options: GcOptions = {},
): Promise<Explanation> {
  return (await chapters()).explain(ctx, driver, registry, digest, options);
}
