import { type Job, WaitingChildrenError } from "bullmq";
import { collectInParts, Suspension, tidyUp, WorkerRefusedError } from "../parts/index.js";
import type { GcReport } from "../report.js";
import { VERSION } from "../version.js";
import { ask, bounded } from "./bounded.js";
import { executeInQueue, WaitingForParts } from "./execute.js";
import type { RunData } from "./jobs.js";
import { type Outcome, toError, toPlain } from "./outcome.js";
import { withTrace } from "./trace.js";
import { forGood, giveBack, type WorkerParts, withSignal } from "./workers.js";

const CLEAR_MS = 5000;

/** Leads a run from where it is to its next stage, or to its end. */
export async function processRun(all: WorkerParts, job: Job<RunData>, token: string, lock: AbortSignal | undefined): Promise<GcReport> {
  const { worker } = all;
  const { outcome, runId, trace } = job.data;
  try {
    if (outcome !== undefined) return await repeat(all, runId, outcome);
    return await withSignal(all, { runId, jobId: job.id ?? "", lock }, (signal) =>
      withTrace(trace, () => lead({ ...all, worker: { ...worker, ctx: { ...worker.ctx, signal } } }, job, token)),
    );
  } catch (error) {
    if (error instanceof WaitingForParts) throw new WaitingChildrenError();
    if (error instanceof Suspension) return giveBack(job, token);
    await bounded(CLEAR_MS, job.removeUnprocessedChildren()).catch(() => undefined);
    throw forGood(error);
  }
}

/** Somebody ended the run and died before he had said so. */
async function repeat({ worker }: WorkerParts, runId: string, { report, error }: Outcome): Promise<GcReport> {
  await tidyUp(worker.driver, worker.registry, runId);
  if (report === undefined || error !== undefined) throw toError(error ?? toPlain(new Error("the run left no report")), report);
  return report;
}

async function lead({ worker, parts, lockMs }: WorkerParts, job: Job<RunData>, token: string): Promise<GcReport> {
  const { version, runId, options, shards, needs } = job.data;
  const end = (outcome: Outcome) => ask(() => job.updateData({ ...job.data, outcome }));
  const told = { end: false };
  try {
    if (version !== VERSION)
      throw new WorkerRefusedError(
        `run ${runId} was started by oci-registry-gc ${version}, and this worker is ${VERSION}: all that make one run must be of one version`,
      );
    return await collectInParts(worker.ctx ?? {}, worker.driver, worker.registry, options, {
      runId,
      needs,
      shards,
      execute: executeInQueue(job, token, parts),
      async confirm() {
        if ((await ask(() => job.extendLock(token, lockMs))) !== 1) throw new Suspension("another worker leads this run by now");
      },
      async ended(report, error) {
        await end({ report, error: error === undefined ? undefined : toPlain(error) });
        told.end = true;
      },
    });
  } catch (error) {
    if (!(error instanceof Suspension) && !told.end) await end({ error: toPlain(error) });
    throw error;
  }
}
