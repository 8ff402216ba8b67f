import { randomUUID } from "node:crypto";
import { systemClock } from "../clock.js";
import { attachReport, end, isRefusal } from "../conduct.js";
import type { StorageDriver } from "../driver.js";
import { LockedError, messageOf, UnsupportedError } from "../errors.js";
import type { Namespace } from "../namespace.js";
import { AsideStore, isRunId } from "../online/asideStore.js";
import { NO_BEGINNING } from "../online/journal.js";
import { undo } from "../online/putBack.js";
import { RunLock } from "../online/runLock.js";
import { closeSession, openAside, sayDegree } from "../online/session.js";
import { measureOffset, refuseSkew } from "../online/storageClock.js";
import type { GcContext, GcOptions } from "../options.js";
import type { GcReport } from "../report.js";
import { Run } from "../run.js";
import { VERSION } from "../version.js";
import { WorkerRefusedError } from "./errors.js";
import { type Execute, Lead, Suspension } from "./lead.js";
import { piecesOf } from "./partRun.js";
import { PartStore } from "./partStore.js";
import type { PlannedOptions, RunPlan, WorkerHooks } from "./runPlan.js";
import { collectParts } from "./story.js";

/** The options of a run in parts: those of `markAndSweep`, but for what only one process can know. */
export type PartedOptions = PlannedOptions & Pick<GcOptions, "onProgress">;

export interface PartedRun {
  /** Who makes the parts. */
  readonly execute: Execute;
  /** By which a run is taken up again after a crash; a new one when absent. */
  readonly runId?: string | undefined;
  /** Which hooks the workers must have: decisions are theirs. */
  readonly needs?: readonly (keyof WorkerHooks)[] | undefined;
  /**
   * Into how many parts what concerns blobs is divided; a power of two, 1 to 65,536. Default 64: enough for a hundred million blobs.
   * Who makes a part holds what is garbage in it.
   */
  readonly shards?: number | undefined;
}

/**
 * Collects the garbage of a registry's storage, as `markAndSweep` does, with every chapter made in parts by others: the same is removed,
 * and the same is counted. What passes between the parts lies on the registry's own storage, so a dry run writes there, too; it is taken
 * away at the end.
 *
 * A stage begins only when the storage shows that every part of the one before is complete. Taken up again with the same `runId` after a
 * crash, the run goes on where it was.
 *
 * @throws as `markAndSweep` does; PartDamagedError where a part can't be believed; UnsupportedError where the registry can't be told in
 * pieces, or the store can't write where nothing is.
 */
export async function collectInParts(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  options: PartedOptions,
  parted: PartedRun,
): Promise<GcReport> {
  const { shards = 64, runId = randomUUID(), needs = [] } = parted;
  if (!Number.isInteger(Math.log2(shards)) || shards < 1 || shards > 0x10000)
    throw new TypeError(`option shards is ${shards}; expected a power of two, 1 to 65536`);
  if (!isRunId(runId)) throw new TypeError(`option runId is ${JSON.stringify(runId)}; expected 1 to 64 letters, digits and hyphens`);
  refuseHooks(options);
  const directory = `${registry.online?.aside ?? ""}/${runId}/parts`;
  const begun = await findPlan(driver, directory, runId);
  const planned = begun?.plan.options ?? toPlanned(options);
  const identity = begun?.plan ?? { runId, startedAt: (ctx.clock ?? systemClock).now(), storageOffset: 0 };
  const run = Run.begin(ctx, driver, registry, { ...planned, onProgress: options.onProgress }, identity);
  piecesOf(run);
  return leadRun(run, async () => {
    const about = { version: VERSION, runId, startedAt: run.startedAt, options: planned, shards, needs };
    const { store, plan } = begun ?? (await beginPlan(run, directory, about));
    return new Lead(run, store.through(run.settlingDriver), plan, parted.execute);
  });
}

const OF_WORKERS: readonly (keyof GcOptions)[] = ["keep", "onDeleted", "onItem", "referenceCache", "barrier"];

/** Left out of the plan without a word, a `keep` would keep nothing. */
function refuseHooks(options: GcOptions): void {
  const wrong = OF_WORKERS.find((name) => options[name] !== undefined);
  if (wrong === undefined) return;
  const instead = wrong === "barrier" ? "only markAndSweep takes it" : "give it to the workers, and name it in `needs`";
  throw new TypeError(`option ${wrong} can't be part of a plan that several processes carry out: ${instead}`);
}

/** JSON knows no infinity: a span of time for ever is 285,000 years. */
function toPlanned(options: PartedOptions): PlannedOptions {
  const finite = (value: unknown) => (value === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : value);
  const planned = Object.entries(options).filter(([name]) => name !== "onProgress");
  return Object.fromEntries(planned.map(([name, value]) => [name, finite(value)]));
}

interface BegunPlan {
  readonly store: PartStore;
  readonly plan: RunPlan;
}

/** The plan of a run that somebody has begun. */
async function findPlan(driver: StorageDriver, directory: string, runId: string): Promise<BegunPlan | undefined> {
  const store = await new PartStore(driver, directory, runId, "").find();
  if (store === undefined) return undefined;
  const plan = (await store.readPlan()) as RunPlan;
  if (plan.version === VERSION) return { store, plan };
  throw new WorkerRefusedError(
    `run ${runId} was begun by oci-registry-gc ${plan.version}, and this is ${VERSION}: all that make one run must be of one version`,
  );
}

/** Whose storage is it, and what is its time? Then the plan stands. */
async function beginPlan(run: Run, directory: string, about: Omit<RunPlan, "storageOffset" | "lock">): Promise<BegunPlan> {
  const { online } = run.registry;
  if (online === undefined || run.driver.putContent === undefined)
    throw new UnsupportedError(
      "a run in parts needs a place on the registry's storage: the namespace's `online`, and the driver's putContent",
    );
  await refuseEnded(run, about.runId);
  for (const warning of (await run.registry.guard?.(run.look)) ?? []) run.log.warn(warning);
  if (!run.settings.dryRun)
    run.storageOffset = await measureOffset(run.driver, run.settlingDriver, run.clock, `${online.lock}.${about.runId}`);
  if (!run.settings.readOnly) refuseSkew(run.storageOffset);
  const plan: RunPlan = { ...about, storageOffset: run.storageOffset, lock: RunLock.contentFor(about.runId, about.startedAt) };
  const store = await new PartStore(run.settlingDriver, directory, about.runId, "").begin(plan);
  if (JSON.stringify(await store.readPlan()) === JSON.stringify(plan)) return { store, plan };
  throw new LockedError(`run ${about.runId} was begun by somebody else at the same moment; whoever did leads it`);
}

/** A run whose journal is there has been, and what lies aside is told by it: nothing is to be written over that. */
async function refuseEnded(run: Run, runId: string): Promise<void> {
  const { online } = run.registry;
  const aside = new AsideStore(run.driver, online?.aside ?? "", run.digests);
  const { damage } = await aside.readJournal(runId, run.settlingDriver, { ...run.look, holds: () => false });
  if (damage === NO_BEGINNING) return;
  throw new LockedError(`run ${runId} is over, or was broken off: its journal is there. Begin another one, with a runId of its own`);
}

async function leadRun(run: Run, open: () => Promise<Lead>): Promise<GcReport> {
  return run.telemetry.span("run", async () => {
    let lead: Lead | undefined;
    try {
      run.signal.throwIfAborted();
      sayDegree(run);
      lead = await open();
      await takeLock(run, lead);
      await collectParts(lead);
      // The lock first: whoever is late finds it gone, while he could not see any more that his stage is closed.
      await closeSession(run);
      await lead.store.remove();
      return end(run, run.ledger.hasFailures ? "completed-with-failures" : "completed");
    } catch (thrown) {
      if (thrown instanceof Suspension) {
        run.lock?.letGo();
        throw thrown;
      }
      const error: unknown = run.signal.aborted ? run.signal.reason : thrown;
      await run.settle();
      const isBroken = lead !== undefined && run.lock !== undefined && (await breakOff(run, lead));
      await closeSession(run);
      if (isBroken) await lead?.store.remove().catch(() => undefined);
      attachReport(error, end(run, isRefusal(run, error) ? "refused" : "aborted", error));
      throw error;
    } finally {
      await run.settle();
    }
  });
}

/** Taken once, and then shared: a run that has lost its lock never takes it again. */
async function takeLock(run: Run, { store, plan }: Lead): Promise<void> {
  const path = run.registry.online?.lock ?? "";
  const isTaken = await store.once("lock", async () => {
    if (await RunLock.isHeldBy(run.settlingDriver, path, plan.lock)) return true;
    run.lock = await RunLock.take(run.settlingDriver, path, plan.lock, run.clock, () => run.storageNow());
    return true;
  });
  if (isTaken) run.lock ??= await RunLock.share(run.settlingDriver, path, plan.lock, run.clock);
}

/** What was taken goes back, and what others still make of the run stops. What fails here, the next run does. */
async function breakOff(run: Run, lead: Lead): Promise<boolean> {
  try {
    await lead.breakOff();
    await openAside(run);
    await undo(run, run.settlingDriver);
    return true;
  } catch (error) {
    run.log.error(`what run ${run.ledger.runId} took could not be put back: ${messageOf(error)}; the next run does`, { error });
    return false;
  }
}
