/** The parts of a stage as children of the run's job. */

import { type Job, type JobsOptions, type Queue } from "bullmq";
import { type Execute, type PartJob, Suspension } from "../parts/index.js";
import { ask } from "./bounded.js";
import { QueueError } from "./errors.js";
import { type PartData, partJobId, type RunData, type RunProgress } from "./jobs.js";
import { toError } from "./outcome.js";
import { carryTrace } from "./trace.js";

/** Jobs asked for at once. */
const AT_ONCE = 200;
/** Finished parts stay for dashboards; their run takes no more note of them. */
const KEEP = { age: 86_400, count: 10_000 };

/** Thrown once the run's job waits for its children: the queue has it then, and nothing more is to be said to it. */
export class WaitingForParts extends Suspension {}

/** Adds what is missing, and lets go of the run until it is made. What the queue says of a part is never believed to be so. */
export function executeInQueue(run: Job<RunData>, token: string, parts: Queue<PartData>): Execute {
  return async (jobs, { phase, total }) => {
    const [first] = jobs;
    if (first === undefined) return;
    const progress: RunProgress = { phase, stage: first.stage, total };
    await ask(async () => run.updateProgress(progress));
    await clear(run, parts, jobs);
    const trace = carryTrace();
    for (const some of inChunks(jobs)) {
      const children = some.map((part) => ({
        name: part.stage,
        data: { start: run.data.start, part, run: run.id ?? "", trace },
        opts: optionsOf(run, part),
      }));
      await ask(() => parts.addBulk(children));
    }
    if (await ask(() => run.moveToWaitingChildren(token))) throw new WaitingForParts(`waiting for ${jobs.length} parts of ${first.stage}`);
    await clear(run, parts, jobs);
  };
}

function optionsOf(run: Job<RunData>, part: PartJob): JobsOptions {
  const { attempts, backoffMs } = run.data.retry;
  return {
    jobId: partJobId(part),
    parent: { id: run.id ?? "", queue: run.queueQualifiedName },
    attempts,
    backoff: { type: "exponential", delay: backoffMs },
    // One that can't be made ends the run at once: nobody needs the others any more.
    continueParentOnFailure: true,
    removeOnComplete: KEEP,
    removeOnFail: KEEP,
  };
}

/**
 * Takes jobs of an earlier time out of the way, which would stand for these parts.
 *
 * @throws The error of a part that failed for good.
 */
async function clear(run: Job<RunData>, parts: Queue<PartData>, jobs: readonly PartJob[]): Promise<void> {
  for (const some of inChunks(jobs)) {
    const known = await ask(() => Promise.all(some.map((part) => parts.getJob(partJobId(part)))));
    for (const [i, job] of known.entries()) {
      const part = some[i];
      if (job === undefined || part === undefined) continue;
      if (job.data.start !== run.data.start || job.data.part.plan !== part.plan) await remove(job);
      else if (job.finishedOn !== undefined && (await ask(() => job.isFailed()))) throw errorOf(job, part);
    }
  }
}

/** One that is being made can't be removed: then it counts. */
async function remove(job: Job<PartData>): Promise<void> {
  try {
    await job.remove();
  } catch {
    // Where Redis is gone, the next call says so.
  }
}

function errorOf({ data, failedReason }: Job<PartData>, { runId, stage, part }: PartJob): Error {
  if (data.error !== undefined) return toError(data.error);
  return new QueueError(runId, `the queue has given up part ${stage}/${part} of run ${runId}: ${failedReason}`);
}

function* inChunks<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let start = 0; start < items.length; start += AT_ONCE) yield items.slice(start, start + AT_ONCE);
}
