import { type ConnectionOptions, type Job, Queue, Worker, type WorkerOptions } from "bullmq";
import { checkParts, type GcContext } from "../context.js";
import type { StorageDriver } from "../driver.js";
import { messageOf } from "../errors.js";
import { safeLogger } from "../logger.js";
import type { Namespace } from "../namespace.js";
import type { WorkerHooks } from "../parts/index.js";
import { checkOption } from "../settings.js";
import { checkConnection } from "./connection.js";
import { DEFAULT_QUEUE, type PartData, partsQueueOf, type RunData } from "./jobs.js";
import { processPart } from "./processPart.js";
import { processRun } from "./processRun.js";
import type { WorkerParts } from "./workers.js";

export interface WorkerSettings {
  /** Redis, as BullMQ takes it: ioredis' options, or a client with `maxRetriesPerRequest: null`. */
  readonly connection: ConnectionOptions;
  /** One queue is one registry: all its workers have the same storage. Default `"registry-gc"`. */
  readonly queue?: string | undefined;
  /** Of all keys in Redis; BullMQ's own default is `"bull"`. In a cluster, one in braces. */
  readonly prefix?: string | undefined;
  readonly driver: StorageDriver;
  readonly registry: Namespace;
  /** What decides or is told, where a part is made. What a run names as `needs` must be here. */
  readonly hooks?: WorkerHooks | undefined;
  readonly ctx?: Omit<GcContext, "signal"> | undefined;
  /** Parts made at once by this process. Default 1. */
  readonly concurrency?: number | undefined;
  /** Handed on to BullMQ's `Worker`: `limiter`, `lockDuration`, `stalledInterval`, `maxStalledCount` and their like. */
  readonly bullmq?: Omit<Partial<WorkerOptions>, "connection" | "prefix" | "concurrency" | "autorun"> | undefined;
}

export interface CollectionWorker {
  /** Resolves once Redis answers. */
  ready(): Promise<void>;
  /**
   * Takes no more jobs, and resolves once what is under way has ended. `graceMs`: how long that may take; then it is given back, and
   * others make it. Default: as long as it takes.
   */
  close(options?: { readonly graceMs?: number | undefined }): Promise<void>;
}

const LOCK_MS = 30_000;
/** How often a job may lose its worker before it is given up; leaders work for moments at a time. */
const STALLS = 10;
const DISCONNECT_MS = 5000;

/**
 * Begins to make runs and parts, as they come.
 *
 * @throws TypeError where a setting is not what it must be, before anything is asked of Redis.
 */
export function createWorker(settings: WorkerSettings): CollectionWorker {
  const { connection, queue = DEFAULT_QUEUE, driver, registry, hooks, ctx = {}, concurrency = 1, bullmq = {} } = settings;
  checkConnection(connection);
  checkParts(ctx, driver, registry);
  checkOption("concurrency", concurrency);
  const log = safeLogger(ctx.logger, () => ({ queue }));
  const common = { connection, ...(settings.prefix !== undefined && { prefix: settings.prefix }) };
  const runs = new Queue<RunData>(queue, common);
  const parts = new Queue<PartData>(partsQueueOf(queue), common);
  const closing = new AbortController();
  const all: WorkerParts = {
    worker: { driver, registry, ctx, hooks },
    runs,
    parts,
    closing: closing.signal,
    lockMs: bullmq.lockDuration ?? LOCK_MS,
  };

  // A run is taken up again and again, and at once: what holds back parts must not hold it back.
  const { limiter, maxStartedAttempts, ...forRuns } = bullmq;
  const leader = new Worker<RunData>(
    queue,
    (job: Job<RunData>, token?: string, lock?: AbortSignal) => processRun(all, job, token ?? "", lock),
    { maxStalledCount: STALLS, ...forRuns, ...common },
  );
  const maker = new Worker<PartData>(
    partsQueueOf(queue),
    (job: Job<PartData>, token?: string, lock?: AbortSignal) => processPart(all, job, token ?? "", lock),
    {
      maxStalledCount: STALLS,
      ...forRuns,
      ...(limiter !== undefined && { limiter }),
      ...(maxStartedAttempts !== undefined && { maxStartedAttempts }),
      ...common,
      concurrency,
    },
  );
  const complain = (error: Error) => log.warn(`queue ${queue}: ${messageOf(error)}`, { error });
  for (const each of [runs, parts]) each.on("error", complain);
  for (const worker of [leader, maker]) {
    worker.on("error", complain);
    worker.on("lockRenewalFailed", (jobIds) => {
      for (const jobId of jobIds) worker.cancelJob(jobId, "another worker has this job by now");
    });
  }
  const open = [leader, maker, runs, parts];

  return {
    async ready() {
      await Promise.all(open.map((each) => each.waitUntilReady()));
    },
    async close({ graceMs } = {}) {
      const grace = graceMs === undefined ? undefined : setTimeout(() => closing.abort(), graceMs);
      const work = Promise.all([leader.close(), maker.close()]);
      await (graceMs === undefined ? work : Promise.race([work, sleep(graceMs + DISCONNECT_MS)]));
      clearTimeout(grace);
      closing.abort();
      await Promise.race([Promise.all([runs.close(), parts.close()]), sleep(DISCONNECT_MS)]);
      await Promise.race([Promise.allSettled(open.map((each) => each.disconnect())), sleep(DISCONNECT_MS)]);
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
