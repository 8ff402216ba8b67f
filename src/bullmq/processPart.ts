import type { Job } from "bullmq";
import { runPart, Suspension } from "../parts/index.js";
import { bounded } from "./bounded.js";
import type { PartData } from "./jobs.js";
import { mayPass, toPlain } from "./outcome.js";
import { withTrace } from "./trace.js";
import { forGood, giveBack, type WorkerParts, withSignal } from "./workers.js";

const NOTE_MS = 5000;

/** Makes one part. */
export async function processPart(all: WorkerParts, job: Job<PartData>, token: string, lock: AbortSignal | undefined): Promise<void> {
  const { worker } = all;
  const { part, run, trace } = job.data;
  try {
    await withSignal(all, { runId: part.runId, jobId: run, lock }, (signal) =>
      withTrace(trace, () => runPart({ ...worker, ctx: { ...worker.ctx, signal } }, part)),
    );
  } catch (error) {
    if (error instanceof Suspension) return giveBack(job, token);
    const isCancelled = error instanceof Error && error.name === "AbortError";
    const isWorthIt = mayPass(error) && !isCancelled;
    if (isWorthIt && job.attemptsMade + 1 < (job.opts.attempts ?? 1)) throw error;
    // The run ends with this very error. Where it can't be noted down, it ends with what the queue says.
    await bounded(NOTE_MS, job.updateData({ ...job.data, error: toPlain(error) })).catch(() => undefined);
    throw forGood(error);
  }
}
