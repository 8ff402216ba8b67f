/** What the processors of both kinds of jobs have in common. */

import { DelayedError, type Job, type Queue, UnrecoverableError } from "bullmq";
import { codeOf, messageOf } from "../errors.js";
import { type PartWorker, Suspension } from "../parts/index.js";
import { bounded } from "./bounded.js";
import { cancellation, watchCancel } from "./cancel.js";
import type { PartData, RunData } from "./jobs.js";

export interface WorkerParts {
  readonly worker: PartWorker;
  readonly runs: Queue<RunData>;
  readonly parts: Queue<PartData>;
  /** Aborted where the worker must end, whatever is under way. */
  readonly closing: AbortSignal;
  readonly lockMs: number;
}

const AGAIN_MS = 1000;
const GIVE_BACK_MS = 5000;

/** A job's signal: of a cancelled run, of a lock that the queue gave to another, of a worker that closes. */
export async function withSignal<T>(
  { runs, closing }: WorkerParts,
  { runId, jobId, lock }: { readonly runId: string; readonly jobId: string; readonly lock: AbortSignal | undefined },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const control = new AbortController();
  const letGo = () => control.abort(new Suspension("this worker lets go of the job"));
  const stop = watchCancel(runs, jobId, () => control.abort(cancellation(runId)));
  closing.addEventListener("abort", letGo);
  lock?.addEventListener("abort", letGo);
  try {
    if (closing.aborted || lock?.aborted === true) letGo();
    return await work(control.signal);
  } finally {
    stop();
    closing.removeEventListener("abort", letGo);
    lock?.removeEventListener("abort", letGo);
  }
}

/** Gives a job back, to be taken up again soon. Where the queue does not hear, it finds out by itself that nobody has it. */
export async function giveBack(job: Job<RunData> | Job<PartData>, token: string): Promise<never> {
  await bounded(GIVE_BACK_MS, job.moveToDelayed(Date.now() + AGAIN_MS, token)).catch(() => undefined);
  throw new DelayedError();
}

/** An error after which the queue does not try again; dashboards show what it says. */
export function forGood(error: unknown): UnrecoverableError {
  const code = codeOf(error);
  return new UnrecoverableError(code === undefined ? messageOf(error) : `${code}: ${messageOf(error)}`);
}
