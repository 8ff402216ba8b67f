import type { GcContext } from "../context.js";
import type { StorageDriver } from "../driver.js";
import { messageOf } from "../errors.js";
import type { Namespace } from "../namespace.js";
import { Run } from "../run.js";
import { VERSION } from "../version.js";
import { WorkerRefusedError } from "./errors.js";
import { joinPart } from "./join.js";
import { markPart, settlePart } from "./mark.js";
import { letGo, type PartRun, shareLock } from "./partRun.js";
import { PartStore } from "./partStore.js";
import { announcePart, planPart, recordsPart } from "./plan.js";
import { purgePart, putBackLinksPart, putBackPart, unlinkPart } from "./purge.js";
import { RunDocuments } from "./runDocuments.js";
import type { PartJob, RunPlan, WorkerHooks } from "./runPlan.js";
import { inventoryPart, surveyPart } from "./survey.js";
import { asideLinksPart, asidePart, sweepPart } from "./sweep.js";

/** The kinds of parts. Each takes what its stage was opened with. */
export const PARTS = {
  survey: surveyPart,
  inventory: inventoryPart,
  mark: markPart,
  join: joinPart,
  settle: settlePart,
  plan: planPart,
  announce: announcePart,
  sweep: sweepPart,
  records: recordsPart,
  aside: asidePart,
  asideLinks: asideLinksPart,
  putBack: putBackPart,
  putBackLinks: putBackLinksPart,
  unlink: unlinkPart,
  purge: purgePart,
} as const;

export type PartKind = keyof typeof PARTS;

/** What a stage of this kind is opened with. */
export type InputOf<K extends PartKind> = Parameters<(typeof PARTS)[K]>[1];
/** What each of its parts answers with. */
export type ResultOf<K extends PartKind> = Awaited<ReturnType<(typeof PARTS)[K]>>;

/** What a worker makes parts with. */
export interface PartWorker {
  readonly driver: StorageDriver;
  readonly registry: Namespace;
  readonly ctx?: GcContext | undefined;
  /** Functions are in no plan: who makes a part decides by its own. */
  readonly hooks?: WorkerHooks | undefined;
}

/**
 * Makes one part of a run, and leaves what it found on the storage. Made twice, or by two workers at once, it comes to the same.
 *
 * @throws WorkerRefusedError where this worker is of another version than the run, or lacks a hook that the run needs.
 * @throws PartDamagedError where what an earlier part left can't be believed.
 * @throws LockedError where the run has lost its lock: it is over.
 */
export async function runPart(worker: PartWorker, job: PartJob): Promise<void> {
  if (job.version !== VERSION)
    throw new WorkerRefusedError(
      `run ${job.runId} was begun by oci-registry-gc ${job.version}, and this worker is ${VERSION}: all that make one run must be of one version`,
    );
  const opened = await openPart(worker, job);
  if (opened === undefined) return;
  const { partRun, kind, input } = opened;
  const { run, store, attempt } = partRun;
  try {
    const make = PARTS[kind as PartKind] as (part: PartRun, input: unknown) => Promise<unknown>;
    const attributes = { "registry_gc.part.stage": job.stage, "registry_gc.part.number": job.part };
    const result = await run.telemetry.span(`part.${kind}`, () => make(partRun, input), attributes);
    await run.settle();
    await run.fence?.();
    await attempt.finish({ result: result ?? {}, entries: run.ledger.entries });
  } catch (error) {
    await run.settle();
    if (run.signal.aborted) {
      await tellBrokenOff(partRun);
      throw run.signal.reason;
    }
    // Somebody else has made this part, and the run is past it.
    if (error instanceof LateError) return;
    throw error;
  } finally {
    await letGo(run, store);
  }
}

/** What was done until the abort belongs in the run's report. */
async function tellBrokenOff({ run, store, stage, part }: PartRun): Promise<void> {
  try {
    if (!(await store.documents.isOver())) await store.breakOff(stage, part, { entries: run.ledger.entries });
  } catch (error) {
    run.log.warn(`what part ${part} of stage ${stage} had done can't be told: ${messageOf(error)}`, { error });
  }
}

/** The stage was closed while this worker slept: another has made the part. */
class LateError extends Error {}

interface OpenedPart {
  readonly partRun: PartRun;
  readonly kind: string;
  readonly input: unknown;
}

/** Finds out from the storage what is to be done; nothing where it is done. */
async function openPart({ driver, registry, ctx = {}, hooks = {} }: PartWorker, job: PartJob): Promise<OpenedPart | undefined> {
  const aside = registry.online?.aside ?? "";
  const documents = new RunDocuments(driver, `${aside}/${job.runId}/parts`, job.runId, job.plan);
  const plan = (await documents.readPlan()) as RunPlan;
  for (const hook of plan.needs) {
    if (hooks[hook] === undefined)
      throw new WorkerRefusedError(`run ${job.runId} was begun with the hook ${hook}, and this worker has none: give it to createWorker`);
  }
  const begin = () => Run.begin(ctx, driver, registry, { ...plan.options, ...hooks }, plan);
  const run = begin();
  const store = new PartStore(documents.through(run.settlingDriver));
  const [isDone, { kind, parts, input }] = await Promise.all([store.isDone(job.stage, job.part), store.opening(job.stage)]);
  if (isDone) return undefined;
  if (!Object.hasOwn(PARTS, kind))
    throw new WorkerRefusedError(`run ${job.runId} has parts of the kind ${kind}, which this worker does not know`);
  run.lock = await shareLock(run, plan);
  run.fence = async () => {
    if ((await store.isClosed(job.stage)) || (await store.documents.isOver()))
      throw new LateError(`stage ${job.stage} of run ${job.runId} is closed`);
  };
  const attempt = store.attempt(job.stage, job.part);
  return { partRun: { run, store, attempt, stage: job.stage, part: job.part, parts, begin }, kind, input };
}
