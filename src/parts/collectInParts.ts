import { randomUUID } from "node:crypto";
import { show } from "../arguments.js";
import { systemClock } from "../clock.js";
import { end, isRefusal } from "../conduct.js";
import { checkParts, type GcContext } from "../context.js";
import type { StorageDriver } from "../driver.js";
import { attachReport, isPathNotFound, LockedError, messageOf, UnsupportedError } from "../errors.js";
import type { Namespace } from "../namespace.js";
import { isRunId } from "../online/asideFiles.js";
import { RunLock } from "../online/runLock.js";
import { sayDegree } from "../online/session.js";
import { measureOffset, refuseSkew } from "../online/storageClock.js";
import type { GcOptions } from "../options.js";
import type { GcReport } from "../report.js";
import { Run } from "../run.js";
import { VERSION } from "../version.js";
import { WorkerRefusedError } from "./errors.js";
import { forget, giveBack } from "./giveBack.js";
import { HeldSignal } from "./heldSignal.js";
import { type Execute, Lead, Suspension } from "./lead.js";
import { letGo, piecesOf, shareLock } from "./partRun.js";
import { PartStore } from "./partStore.js";
import { RunDocuments } from "./runDocuments.js";
import { checkNeeds, DEFAULT_SHARDS, type PlannedOptions, type RunPlan, refuseOthers, toPlanned, type WorkerHooks } from "./runPlan.js";
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
  /**
   * Asked before the run is ended, well or not. Where somebody else leads the run by now it throws a {@link Suspension}: then this one
   * leaves all as it is. So it does where this throws anything else, since nobody knows then whose run it is.
   */
  readonly confirm?: (() => Promise<void>) | undefined;
  /**
   * Told how the run ended, while all that the parts left is still there: whoever takes the run up after a crash that comes later must
   * not make it a second time, but {@link tidyUp}. Where it throws, the run is not ended: who takes it up tells its end again.
   */
  readonly ended?: ((report: GcReport, error?: unknown) => Promise<void>) | undefined;
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
 * pieces, or the store can't write where nothing is; {@link Suspension} where the run was let go of, with what `confirm` or `ended` threw
 * as its `cause`: it can be taken up for five minutes, until its lock is somebody else's to take.
 */
export async function collectInParts(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  options: PartedOptions,
  parted: PartedRun,
): Promise<GcReport> {
  const { shards = DEFAULT_SHARDS, runId = randomUUID(), needs = [] } = parted;
  const given = toPlanned(options);
  checkParted({ ...parted, runId, shards, needs });
  checkParts(ctx, driver, registry);
  const { begun, freeId } = await findRun(driver, registry, runId);
  if (begun !== undefined) refuseOthers(freeId, begun.plan, { options: given, shards: parted.shards, needs: parted.needs });
  const planned = begun?.plan.options ?? given;
  const identity = begun?.plan ?? { runId: freeId, startedAt: (ctx.clock ?? systemClock).now(), storageOffset: 0 };
  const { logger, tracerProvider, meterProvider, clock } = ctx;
  const held = new HeldSignal(ctx.signal);
  try {
    if (begun === undefined) held.release();
    const surroundings = { logger, tracerProvider, meterProvider, clock, signal: held.signal };
    const run = Run.begin(surroundings, driver, registry, { ...planned, onProgress: options.onProgress }, identity);
    piecesOf(run);
    const leadBy = ({ documents, plan }: BegunPlan) =>
      new Lead(run, new PartStore(documents.through(run.settlingDriver)), plan, parted.execute, held.release);
    const about = { version: VERSION, runId: freeId, startedAt: run.startedAt, options: planned, shards, needs };
    const leading = { begun: begun && leadBy(begun), open: async () => leadBy(await beginPlan(run, about)), release: held.release };
    // A run that is let go of has not failed: its span must not say so.
    const outcome = await run.telemetry.run("collect", () => leadRun(run, leading, parted));
    if (outcome instanceof Suspension) throw outcome;
    return outcome;
  } finally {
    held.end();
  }
}

/** Gives back the lock of a run that has ended, and takes away what its parts left: for whoever finds that it died right after its end. */
export async function tidyUp(driver: StorageDriver, registry: Namespace, runId: string): Promise<void> {
  const { begun } = await findRun(driver, registry, runId);
  if (begun === undefined) return;
  const path = registry.online?.lock ?? "";
  if (await RunLock.isHeldBy(driver, path, begun.plan.lock)) await driver.delete(path);
  await begun.documents.remove();
}

/** What names a run that is begun anew has a number more. */
const MAX_RUN_ID = 56;

function checkParted({
  runId,
  shards,
  needs,
  execute,
  confirm,
  ended,
}: PartedRun & { readonly runId: string; readonly shards: number }): void {
  checkNeeds(needs);
  for (const [name, value] of Object.entries({ execute, ...(confirm && { confirm }), ...(ended && { ended }) }))
    if (typeof value !== "function") throw new TypeError(`option ${name} is ${show(value)}; expected a function`);
  if (!Number.isInteger(Math.log2(shards)) || shards < 1 || shards > 0x10000)
    throw new TypeError(`option shards is ${shards}; expected a power of two, 1 to 65536`);
  if (typeof runId !== "string" || !isRunId(runId) || runId.length > MAX_RUN_ID)
    throw new TypeError(`option runId is ${JSON.stringify(runId)}; expected 1 to ${MAX_RUN_ID} letters, digits and hyphens`);
}

function directoryOf(registry: Namespace, runId: string): string {
  return `${registry.online?.aside ?? ""}/${runId}/parts`;
}

interface BegunPlan {
  readonly documents: RunDocuments;
  readonly plan: RunPlan;
}

/**
 * The run that was begun by this name, or the name under which it is to be begun: where the first one has been used up, since a run of
 * that name came to its end and left its journal, the same with a number.
 */
async function findRun(driver: StorageDriver, registry: Namespace, runId: string): Promise<{ begun?: BegunPlan; freeId: string }> {
  for (let number = 1; ; number++) {
    const freeId = number === 1 ? runId : `${runId}-${number}`;
    const begun = await findPlan(driver, directoryOf(registry, freeId), freeId);
    if (begun !== undefined) return { begun, freeId };
    if (registry.online === undefined || !(await hasJournal(driver, `${registry.online.aside}/${freeId}/journal`))) return { freeId };
  }
}

/** Whether a run has left a journal, which tells what lies aside: nothing is to be written over that. */
async function hasJournal(driver: StorageDriver, directory: string): Promise<boolean> {
  try {
    for await (const page of driver.list(directory)) if (page.length > 0) return true;
    return false;
  } catch (error) {
    if (isPathNotFound(error)) return false;
    throw error;
  }
}

/** The plan of a run that somebody has begun. */
async function findPlan(driver: StorageDriver, directory: string, runId: string): Promise<BegunPlan | undefined> {
  const documents = await new RunDocuments(driver, directory, runId).find();
  if (documents === undefined) return undefined;
  const plan = (await documents.readPlan()) as RunPlan;
  if (plan.version === VERSION) return { documents, plan };
  throw new WorkerRefusedError(
    `run ${runId} was begun by oci-registry-gc ${plan.version}, and this is ${VERSION}: all that make one run must be of one version`,
  );
}

/** Whose storage is it, and what is its time? Then the plan stands. */
async function beginPlan(run: Run, about: Omit<RunPlan, "storageOffset" | "lock">): Promise<BegunPlan> {
  const { online } = run.registry;
  if (online === undefined || run.driver.putContent === undefined)
    throw new UnsupportedError(
      "a run in parts needs a place on the registry's storage: the namespace's `online`, and the driver's putContent",
    );
  for (const warning of (await run.registry.guard?.(run.look)) ?? []) run.log.warn(warning);
  run.storageOffset = await refuseOwnSkew(run);
  const plan: RunPlan = { ...about, storageOffset: run.storageOffset, lock: RunLock.contentFor(about.runId, about.startedAt) };
  const documents = await new RunDocuments(run.settlingDriver, directoryOf(run.registry, about.runId), about.runId).begin(plan);
  if (JSON.stringify(await documents.readPlan()) === JSON.stringify(plan)) return { documents, plan };
  throw new LockedError(`run ${about.runId} was begun by somebody else at the same moment; whoever did leads it`);
}

/** How far the storage's clock is ahead of this machine's: whoever takes a run up tells by it what is young, and what has lain aside for long. */
async function refuseOwnSkew(run: Run): Promise<number> {
  const { dryRun, readOnly } = run.settings;
  if (dryRun) return 0;
  const offset = await measureOffset(run, run.registry.online?.lock ?? "");
  if (!readOnly) refuseSkew(offset);
  return offset;
}

interface Leading {
  /** Who leads it, where somebody has begun it before. */
  readonly begun: Lead | undefined;
  readonly open: () => Promise<Lead>;
  /** Lets an abort be heard. */
  readonly release: () => void;
}

/** The whole of it; where it is let go of meanwhile, the suspension. */
async function leadRun(run: Run, { begun, open, release }: Leading, parted: PartedRun): Promise<GcReport | Suspension> {
  let lead = begun;
  try {
    run.signal.throwIfAborted();
    sayDegree(run);
    if (lead !== undefined) await refuseOwnSkew(run);
    lead ??= await open();
    await takeLock(run, lead);
    await collectParts(lead);
    await consult("confirm", () => parted.confirm?.());
    const report = end(run, run.ledger.hasFailures ? "completed-with-failures" : "completed");
    await consult("ended", () => parted.ended?.(report));
    await forget(run, lead);
    return report;
  } catch (thrown) {
    release();
    const error: unknown = run.signal.aborted ? run.signal.reason : thrown;
    await run.settle();
    const suspension = (await breakOff(run, lead, parted, error)) ?? error;
    if (!(suspension instanceof Suspension)) throw error;
    if (lead !== undefined) await letGo(run, lead.store);
    return suspension;
  } finally {
    await run.settle();
  }
}

/** What was taken goes back, and what others still make of the run stops; or the suspension, where the run is not this one's to end. */
async function breakOff(run: Run, lead: Lead | undefined, parted: PartedRun, error: unknown): Promise<Suspension | undefined> {
  if (error instanceof Suspension) return error;
  let isUndone = false;
  try {
    await consult("confirm", () => parted.confirm?.());
    isUndone = lead !== undefined && (await giveBack(run, lead));
    const report = end(run, isRefusal(run, error) ? "refused" : "aborted", error);
    attachReport(error, report);
    await consult("ended", () => parted.ended?.(report, error));
  } catch (thrown) {
    if (thrown instanceof Suspension) return thrown;
    throw thrown;
  }
  await forget(run, isUndone ? lead : undefined);
  return undefined;
}

/** Whatever a hook throws lets go of the run: whose it is, or whether its end was heard, is not known. */
async function consult(name: "confirm" | "ended", hook: () => Promise<void> | undefined): Promise<void> {
  try {
    await hook();
  } catch (error) {
    if (error instanceof Suspension) throw error;
    throw new Suspension(`\`${name}\` failed: ${messageOf(error)}. The run is left as it is, to be taken up with its runId`, {
      cause: error,
    });
  }
}

/** Where another run had begun to take away what this one's parts left, and was cut short: what is left of it tells of long ago. */
async function refuseHalfRemoved(documents: RunDocuments): Promise<void> {
  const names = await documents.names();
  const isBegun = [...names].some((name) => name !== "plan" && name !== "lock.value");
  if (!isBegun || (await documents.has("lock.value"))) return;
  throw new LockedError(
    `what the parts of this run left, beside ${documents.pathOf("plan")}, is half taken away by a run that came after it: this one is over. Begin a new run`,
  );
}

/** Taken once, and then shared: a run that has lost its lock never takes it again. */
async function takeLock(run: Run, { store, plan }: Lead): Promise<void> {
  const path = run.registry.online?.lock ?? "";
  const isTaken = await store.documents.once("lock", async () => {
    await refuseHalfRemoved(store.documents);
    if (await RunLock.isHeldBy(run.settlingDriver, path, plan.lock)) return true;
    run.lock = await RunLock.take(run.lockDriver, path, plan.lock, run.clock, () => run.storageNow());
    return true;
  });
  if (isTaken) run.lock ??= await shareLock(run, plan);
}
