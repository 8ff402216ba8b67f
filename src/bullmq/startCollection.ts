import { randomUUID } from "node:crypto";
import { context, SpanStatusCode, type TracerProvider, trace } from "@opentelemetry/api";
import { type ConnectionOptions, type Job, Queue } from "bullmq";
import { messageOf } from "../errors.js";
import type { PartedOptions, WorkerHooks } from "../parts/index.js";
import { checkNeeds, refuseOthers, toPlanned } from "../parts/runPlan.js";
import type { GcReport } from "../report.js";
import { checkOptions } from "../settings.js";
import { VERSION } from "../version.js";
import { bounded } from "./bounded.js";
import { checkConnection } from "./connection.js";
import { DEFAULT_QUEUE, type RunData, runJobId } from "./jobs.js";
import { carryTrace } from "./trace.js";
import { watchRun } from "./watchRun.js";

export interface CollectionSettings {
  /** Redis, as BullMQ takes it: ioredis' options, or a client. */
  readonly connection: ConnectionOptions;
  /** That of the workers. Default `"registry-gc"`. */
  readonly queue?: string | undefined;
  readonly prefix?: string | undefined;
  /** Cancels the run. What was taken goes back, and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Of a run to go on with, after a crash or a {@link QueueError}; one that has ended well is not made again, and its report comes. Letters,
   * digits and hyphens, up to 56. A new one when absent. Options need not be given again; others than the run was begun with are refused.
   */
  readonly runId?: string | undefined;
  /** Into how many parts what concerns blobs is divided: a power of two, 1 to 65,536. Default 64. */
  readonly shards?: number | undefined;
  /** Which hooks the workers must have. */
  readonly needs?: readonly (keyof WorkerHooks)[] | undefined;
  /** How often a part is tried. Default 5. */
  readonly attempts?: number | undefined;
  /** Milliseconds between the first failure of a part and the next attempt; doubles each time. Default 1000. */
  readonly backoffMs?: number | undefined;
  /**
   * Milliseconds. How long Redis may be out of reach, and how long a cancelled run may take to end, before this gives up. Default a minute.
   */
  readonly patienceMs?: number | undefined;
  /** The global one when absent. */
  readonly tracerProvider?: TracerProvider | undefined;
}

const RUN_ID = /^[A-Za-z0-9][A-Za-z0-9-]{0,55}$/;
/** Runs stay for dashboards, and for whoever asks again how one ended. */
const KEEP = { age: 7 * 86_400, count: 1000 };
const CLOSE_MS = 1000;

/**
 * Has the garbage of a registry collected by workers, wherever they are: what `markAndSweep` does, with the same report.
 *
 * @throws as `markAndSweep` does, with the same `code`, and `report` attached; a {@link QueueError} where Redis is out of reach for longer
 * than `patienceMs`, or has lost the run.
 */
export async function startCollection(settings: CollectionSettings, options: PartedOptions): Promise<GcReport> {
  const { connection, queue = DEFAULT_QUEUE, signal, runId = randomUUID(), patienceMs = 60_000 } = settings;
  const data = dataOf({ ...settings, runId }, options);
  signal?.throwIfAborted();
  const runs = new Queue<RunData>(queue, { connection, ...(settings.prefix !== undefined && { prefix: settings.prefix }) });
  let trouble: unknown;
  runs.on("error", (error) => {
    trouble = error;
  });
  try {
    return await inSpan(settings, runId, () =>
      watchRun({
        runs,
        runId,
        enlist: () => enlist(runs, { ...data, trace: carryTrace() }),
        // One of another version is its workers' to refuse.
        accept: (found) => found.version !== VERSION || refuseOthers(runId, found, data),
        signal,
        patienceMs,
        onProgress: options.onProgress,
        trouble: () => trouble,
      }),
    );
  } finally {
    await bounded(CLOSE_MS, runs.close()).catch(() => undefined);
    await bounded(CLOSE_MS, runs.disconnect()).catch(() => undefined);
  }
}

/** @throws TypeError that names the option. */
function dataOf(settings: CollectionSettings & { readonly runId: string }, options: PartedOptions): RunData {
  const { runId, shards, needs, attempts = 5, backoffMs = 1000 } = settings;
  checkConnection(settings.connection);
  checkOptions(options);
  checkNeeds(needs);
  if (!RUN_ID.test(runId)) throw new TypeError(`runId is ${JSON.stringify(runId)}; expected letters, digits and hyphens, up to 56`);
  if (!Number.isSafeInteger(attempts) || attempts < 1) throw new TypeError(`attempts is ${attempts}; expected a whole number, 1 or more`);
  if (!(backoffMs >= 0)) throw new TypeError(`backoffMs is ${backoffMs}; expected a number of milliseconds, 0 or more`);
  const retry = { attempts, backoffMs };
  return { version: VERSION, runId, start: randomUUID(), options: toPlanned(options), shards, needs, retry, trace: {} };
}

/** Adds the run's job, unless it is there: then this goes on with it. One that failed makes room for a new one. */
async function enlist(runs: Queue<RunData>, data: RunData): Promise<Job<RunData>> {
  const jobId = runJobId(data.runId);
  const known = await runs.getJob(jobId);
  if (known !== undefined) {
    if (!(await known.isFailed())) return known;
    await known.remove({ removeChildren: false });
  }
  return runs.add("run", data, { jobId, removeOnComplete: KEEP, removeOnFail: KEEP });
}

async function inSpan<T>({ tracerProvider }: CollectionSettings, runId: string, work: () => Promise<T>): Promise<T> {
  const tracer = (tracerProvider ?? trace).getTracer("oci-registry-gc", VERSION);
  const span = tracer.startSpan("registry_gc.collection", { attributes: { "registry_gc.run_id": runId } });
  try {
    return await context.with(trace.setSpan(context.active(), span), work);
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
    throw error;
  } finally {
    span.end();
  }
}
