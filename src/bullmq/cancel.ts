/** Cancelling: a line in the log of the run's job, which everybody who works for the run looks at. */

import { Job, type Queue } from "bullmq";
import type { RunData } from "./jobs.js";

const CANCELLED = "cancelled";
const LOOK_MS = 1000;

/** What a run that was cancelled ends with. */
export function cancellation(runId: string): Error {
  const error = new Error(`run ${runId} was cancelled`);
  error.name = "AbortError";
  return error;
}

export async function markCancelled(runs: Queue<RunData>, jobId: string): Promise<void> {
  await Job.addJobLog(runs, jobId, CANCELLED);
}

export async function isCancelled(runs: Queue<RunData>, jobId: string): Promise<boolean> {
  const { logs } = await runs.getJobLogs(jobId);
  return logs.includes(CANCELLED);
}

/** Calls back once a run is cancelled; returns what ends the watch. */
export function watchCancel(runs: Queue<RunData>, jobId: string, cancel: () => void): () => void {
  let isLooking = false;
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    try {
      if (await isCancelled(runs, jobId)) cancel();
    } catch {
      // Without an answer the work goes on.
    } finally {
      isLooking = false;
    }
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  void look();
  return () => clearInterval(timer);
}
