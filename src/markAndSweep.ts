import type { StorageDriver } from "./driver.js";
import { DamagedRegistryError, DeleteRatioError, EmptyMarkError, isRegistryGcError, messageOf } from "./errors.js";
import { takeInventory } from "./inventory.js";
import { lookAtRegistry, type RegistryLook } from "./look.js";
import type { Namespace } from "./namespace.js";
import type { GcContext, GcOptions } from "./options.js";
import { makePlan, type Plan, tally } from "./plan.js";
import { countItem, type GcReport, noCounts, type RepositoryCounts, type RunStatus } from "./report.js";
import { Run } from "./run.js";
import { sweep } from "./sweep.js";
import { itemsOf } from "./sweepItems.js";
import { DOOMED } from "./marks.js";

/** Below so many blobs a large share of garbage tells nothing. */
const RATIO_FROM_BLOBS = 100;

const REFUSALS: ReadonlySet<string> = new Set(["DATABASE_IN_USE", "EMPTY_MARK", "DELETE_RATIO", "DAMAGED", "LOCKED", "CLOCK_SKEW"]);

/**
 * Collects the garbage of a registry's storage, by mark and sweep.
 *
 * Nothing is deleted before everything has been looked at: the inventory of blobs first, then the mark of what repositories keep,
 * then the plan and its guards, then, unless `readOnly`, a second look. Any error before the sweep ends the run with nothing
 * deleted; damage that was read is no error, and protects its repository. In the sweep, a delete that fails is recorded, and the
 * rest goes on.
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
  const run = Run.begin(ctx, driver, registry, options);
  return run.telemetry.span("run", async () => {
    try {
      await collect(run);
      return end(run, run.ledger.hasFailures ? "completed-with-failures" : "completed");
    } catch (thrown) {
      const error: unknown = run.signal.aborted ? run.signal.reason : thrown;
      await run.settle();
      attachReport(error, end(run, isRefusal(error) ? "refused" : "aborted", error));
      throw error;
    } finally {
      await run.settle();
    }
  });
}

/** The story of a run. */
async function collect(run: Run): Promise<void> {
  run.signal.throwIfAborted();
  for (const warning of (await run.registry.guard?.(run.look)) ?? []) run.log.warn(warning);

  const blobs = await run.phase("inventory", () => takeInventory(run));
  const found = await run.phase("mark", () => lookAtRegistry(run, "mark"));
  refuseDamage(run);
  refuseEmptyMark(run, blobs, found);

  let plan = await makePlan(run, found.looks);
  account(run, found, plan);
  refuseRatio(run);

  if (!run.settings.readOnly && !run.settings.dryRun && isSomething(plan)) {
    const again = await run.phase("look", () => lookAtRegistry(run, "look", found));
    refuseDamage(run);
    plan = await makePlan(run, again.looks, plan);
    account(run, again, plan);
  }

  await announce(run, plan);
  if (!run.settings.dryRun) await run.phase("sweep", () => sweep(run, plan));
}

function isSomething(plan: Plan): boolean {
  return plan.blobs.length > 0 || plan.repositories.length > 0;
}

function refuseDamage(run: Run): void {
  if (run.settings.onDamage !== "abort" || !run.ledger.hasProblems) return;
  throw new DamagedRegistryError(
    'the registry is damaged, and onDamage is "abort": nothing was deleted. report.problems lists the damage; mend it, or collect with onDamage "protect"',
  );
}

/** Blobs without a single repository: a wrong root, a disk that is not mounted, a listing that lied. */
function refuseEmptyMark(run: Run, blobs: number, { repositories }: RegistryLook): void {
  if (repositories > 0) return;
  if (blobs === 0) {
    run.log.warn("no repositories and no blobs were found: an empty registry, or a wrong root");
    return;
  }
  if (run.settings.allowEmptyMark) return;
  throw new EmptyMarkError(
    `${blobs} blobs, but not one repository was found: is the root right, is everything mounted? Nothing was deleted; allowEmptyMark: true collects all the same`,
  );
}

function refuseRatio(run: Run): void {
  const { maxDeleteRatio } = run.settings;
  const { present } = tally(run);
  const doomed = run.ledger.eligible.blobs;
  if (present < RATIO_FROM_BLOBS || doomed <= present * maxDeleteRatio) return;
  throw new DeleteRatioError(
    `the plan would delete ${doomed} of ${present} blobs, more than maxDeleteRatio ${maxDeleteRatio} allows; nothing was deleted. Look at a dry run; if the plan is right, raise maxDeleteRatio (1 switches it off)`,
  );
}

/** Writes the plan's numbers into the report. */
function account(run: Run, { repositories, tags, revisions, looks }: RegistryLook, plan: Plan): void {
  const { ledger } = run;
  const { live, young, protected: spared } = tally(run);
  ledger.kept = { young, protected: spared };
  const doomed = looks.reduce((sum, look) => sum + look.doomed.size, 0);
  ledger.marked = { repositories, tags, manifests: revisions - doomed, blobs: live };
  ledger.eligible = noCounts();
  ledger.reasons = {};
  for (const { planned } of itemsOf(run, plan)) {
    countItem(ledger.eligible, planned);
    ledger.addReason(planned.reason, planned.kind === "blob" ? (planned.bytes ?? 0) : 0);
  }
  ledger.rank(plan.repositories.map((each) => countRepository(run, each)));
}

function countRepository(run: Run, { look, manifests, layerLinks, tagIndexEntries }: Plan["repositories"][number]): RepositoryCounts {
  const blobs = new Set(manifests);
  for (const { blob } of look.loose.values()) blobs.add(blob);
  let bytes = 0;
  for (const number of blobs) if (run.marks.has(number, DOOMED)) bytes += run.sizes.get(number) || 0;
  return {
    name: look.repository.name,
    manifests: manifests.length,
    layerLinks: layerLinks.length,
    tagIndexEntries: tagIndexEntries.length,
    bytes,
  };
}

/** Tells the plan: every item to the caller, the sum to the log, and what stays because it is young. */
async function announce(run: Run, plan: Plan): Promise<void> {
  const { ledger, log, settings } = run;
  const { eligible, kept, marked } = ledger;
  log.info(`${marked.blobs} blobs are kept, ${eligible.blobs} are eligible for deletion (${eligible.bytes} bytes)`, {
    blobs_marked: marked.blobs,
    blobs_to_delete: eligible.blobs,
    manifests_to_delete: eligible.manifests,
    storage_use_estimate_bytes: eligible.bytes,
  });
  if (kept.young > eligible.blobs) {
    const hours = settings.gracePeriodMs / 3_600_000;
    log.info(
      `${kept.young} blobs that nothing needs stay because they are young: they go once they are older than gracePeriodMs (${hours} hours); where nothing writes to the registry, readOnly: true collects them now`,
      {
        young: kept.young,
        grace_period_ms: settings.gracePeriodMs,
        eligible_after: new Date(run.clock.now() + settings.gracePeriodMs).toISOString(),
      },
    );
  }
  for (const { planned } of itemsOf(run, plan)) {
    log.debug(`${planned.kind} eligible for deletion: ${planned.path}`, { reason: planned.reason });
    await settings.onItem?.(planned);
  }
}

function isRefusal(error: unknown): boolean {
  return isRegistryGcError(error) && REFUSALS.has(error.code);
}

function end(run: Run, status: RunStatus, error?: unknown): GcReport {
  const report = run.ledger.report(status, run.clock.now());
  run.telemetry.finish(report, error);
  const totals = {
    ...report.deleted,
    status,
    failures: report.failureCount,
    problems: report.problemCount,
    duration_s: report.durationsMs.total / 1000,
  };
  if (error === undefined)
    run.log.info(`collection ${status}: ${report.deleted.blobs} blobs deleted (${report.deleted.bytes} bytes)`, totals);
  else run.log.error(`collection ${status}: ${messageOf(error)}`, { ...totals, error });
  return report;
}

function attachReport(error: unknown, report: GcReport): void {
  if (typeof error !== "object" || error === null || !Object.isExtensible(error)) return;
  Object.defineProperty(error, "report", { value: report, configurable: true, enumerable: false, writable: true });
}
