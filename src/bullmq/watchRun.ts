/** Waits for a run's end by looking at its job now and then: that misses nothing, whatever becomes of Redis meanwhile. */

import type { Job, Queue } from "bullmq";
import { attachReport, messageOf } from "../errors.js";
import type { Progress } from "../options.js";
import type { GcReport } from "../report.js";
import { bounded } from "./bounded.js";
import { markCancelled } from "./cancel.js";
import { QueueError } from "./errors.js";
import { type RunData, type RunProgress, runJobId } from "./jobs.js";
import { toError } from "./outcome.js";

const LOOK_MS = 250;

export interface Watch {
  readonly runs: Queue<RunData>;
  readonly runId: string;
  /** Puts the run into the queue, or finds it there. */
  readonly enlist: () => Promise<Job<RunData>>;
  /** Throws where that is another run than the one that is asked for. */
  readonly accept: (found: RunData) => void;
  readonly signal: AbortSignal | undefined;
  readonly patienceMs: number;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  /** What the connection said last. */
  readonly trouble: () => unknown;
}

export async function watchRun(watch: Watch): Promise<GcReport> {
  const { runs, runId, enlist, signal, patienceMs } = watch;
  watch.accept((await reach(watch, enlist)).data);
  let isCancelled = false;
  let cancelledAt = 0;
  for (;;) {
    const job = await reach(watch, () => runs.getJob(runJobId(runId)));
    if (job === undefined)
      throw new QueueError(
        runId,
        `the queue no longer knows run ${runId}: was Redis emptied, or restarted without its data? Nothing more is done for it. Start it again with this runId: it goes on where it was, or begins anew`,
      );
    if (job.finishedOn !== undefined) return conclude(watch, job);
    await tellProgress(watch, job);
    if (signal?.aborted === true) {
      if (!isCancelled) cancelledAt = Date.now();
      if (!isCancelled && (await cancel(watch, job))) throw signal.reason;
      isCancelled = true;
      // Nobody is there who could end it; whoever comes will.
      if (Date.now() - cancelledAt > patienceMs) throw signal.reason;
    }
    await pause(signal);
  }
}

/** The end of a run, as whoever led it noted it. */
function conclude({ runId, signal }: Watch, { data, failedReason }: Job<RunData>): GcReport {
  const { report, error } = data.outcome ?? {};
  if (error === undefined && report !== undefined) return report;
  if (error === undefined)
    throw new QueueError(
      runId,
      `the queue has given up run ${runId}: ${failedReason}. Start it again with this runId: it goes on where it was`,
    );
  if (signal?.aborted !== true || error.name !== "AbortError") throw toError(error, report);
  if (report !== undefined) attachReport(signal.reason, report);
  throw signal.reason;
}

/** Cancels the run; whether it was over at once, since nobody had begun it. */
async function cancel(watch: Watch, job: Job<RunData>): Promise<boolean> {
  await reach(watch, () => markCancelled(watch.runs, job.id ?? ""));
  if (job.attemptsStarted > 0) return false;
  try {
    await job.remove();
    return true;
  } catch {
    return false;
  }
}

/** Calls the queue until it answers, as long as patience lasts. */
async function reach<T>({ runId, patienceMs, trouble }: Watch, call: () => Promise<T>): Promise<T> {
  const until = Date.now() + patienceMs;
  for (;;) {
    try {
      return await bounded(Math.max(1, until - Date.now()), call());
    } catch (cause) {
      if (Date.now() < until) {
        await pause();
        continue;
      }
      const why = messageOf(trouble() ?? cause) || messageOf(cause);
      throw new QueueError(
        runId,
        `Redis did not answer for ${patienceMs / 1000} seconds: ${why}. Workers that reach it go on with run ${runId}, others wait; start it again with this runId to go on, or to learn how it ended`,
        { cause },
      );
    }
  }
}

async function tellProgress({ onProgress }: Watch, job: Job<RunData>): Promise<void> {
  if (onProgress === undefined || !isProgress(job.progress)) return;
  const { phase, total } = job.progress;
  try {
    const { unprocessed = 0 } = await bounded(LOOK_MS * 4, job.getDependenciesCount({ unprocessed: true }));
    onProgress({ phase, done: Math.max(0, total - unprocessed), total });
  } catch {
    // Progress is a courtesy.
  }
}

function isProgress(value: unknown): value is RunProgress {
  return typeof value === "object" && value !== null && "phase" in value && "total" in value;
}

/** A moment; an abort ends it. */
async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(end, LOOK_MS);
    function end() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    if (signal?.aborted === false) signal.addEventListener("abort", end, { once: true });
  });
}
