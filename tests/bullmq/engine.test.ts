/** A run as jobs on BullMQ, with a real Redis: it comes to what a single run comes to, and fails as one does. */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Queue, UnrecoverableError, Worker } from "bullmq";
import fc from "fast-check";
import {
  createWriteBarrier,
  type GcOptions,
  type GcReport,
  LockedError,
  markAndSweep,
  memoryReferenceCache,
  openRegistry,
  type StorageDriver,
} from "oci-registry-gc";
import {
  type CollectionSettings,
  type CollectionWorker,
  cancelCollection,
  createWorker,
  startCollection,
  type WorkerSettings,
} from "oci-registry-gc/bullmq";
import type { PartedOptions } from "oci-registry-gc/parts";
import { type DriverCall, FaultyDriver, InterceptedDriver } from "oci-registry-gc/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { fill, outcomeOf, options as someOptions } from "../parts/outcomes.js";
import { layOutRecipe, recipe } from "../property/registries.js";
import { contentOf, memoryStore } from "../support/stores.js";
import { layOut, vector } from "../support/vectors.js";
import { describeRedis, RedisServer } from "./redis.js";

const UNTAGGED: PartedOptions = { readOnly: true, removeUntagged: true };
const QUARANTINE: PartedOptions = { removeUntagged: true, drainMs: 0 };
const siblings = () => layOut(vector("siblings"), memoryStore());

describeRedis("a run on BullMQ", () => {
  let redis: RedisServer;
  let queue = "";
  const workers: CollectionWorker[] = [];
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.stop());
  beforeEach(() => {
    queue = `test-${randomUUID()}`;
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close({ graceMs: 0 })));
  });

  const connection = () => ({ ...redis.connection, retryStrategy: () => 50 });
  function work(driver: StorageDriver, settings: Partial<WorkerSettings> = {}): CollectionWorker {
    const bullmq = { drainDelay: 1, lockDuration: 3000, stalledInterval: 1000, runRetryDelay: 100 };
    const worker = createWorker({ connection: connection(), queue, driver, registry: openRegistry(driver), bullmq, ...settings });
    workers.push(worker);
    return worker;
  }
  const start = (options: PartedOptions, settings: Partial<CollectionSettings> = {}): Promise<GcReport> =>
    startCollection({ connection: connection(), queue, shards: 2, backoffMs: 10, ...settings }, options);
  /** Jobs of parts, by state. */
  async function partJobs<T>(look: (parts: Queue) => Promise<T>): Promise<T> {
    const parts = new Queue(`${queue}-parts`, { connection: connection() });
    try {
      return await look(parts);
    } finally {
      await parts.close();
    }
  }

  test.each(
    fc.sample(fc.tuple(recipe, someOptions, fc.constantFrom(0, 20)), { seed: 21, numRuns: 4 }).map((each, i) => [i, each] as const),
  )("removes and counts what a single run does: registry %i", async (_, [each, options, young]) => {
    const files = layOutRecipe(each);
    const one = await fill(files, memoryStore(), young);
    const other = await fill(files, memoryStore(), young);
    const single = await outcomeOf(one, markAndSweep({}, one, openRegistry(one), options));
    work(other);
    work(other, { concurrency: 2 });
    expect(await outcomeOf(other, start(options))).toEqual(single);
  });

  test("tells how far it is", async () => {
    const { driver } = await siblings();
    const slow = new InterceptedDriver(driver, async ({ method }, proceed) => {
      if (method === "list") await sleep(20);
      return proceed();
    });
    work(slow);
    const told: number[] = [];
    const phases = new Set<string>();
    await start({
      ...UNTAGGED,
      onProgress({ phase, done, total = 0 }) {
        phases.add(phase);
        told.push(total - done);
      },
    });
    expect(phases.size).toBeGreaterThan(0);
    expect(Math.min(...told)).toBeGreaterThanOrEqual(0);
  });

  test("a run that has ended well is not made again: its report comes", async () => {
    const { driver } = await siblings();
    work(driver);
    const runId = randomUUID();
    const report = await start(UNTAGGED, { runId });
    expect(report.deleted.blobs).toBe(3);
    expect(await start(UNTAGGED, { runId })).toEqual(report);
    // Who only asks how it ended need not know what it was.
    expect(await start({}, { runId })).toEqual(report);
    const other = start({ ...UNTAGGED, dryRun: true }, { runId });
    await expect(other).rejects.toThrow(/was begun with dryRun: false, not true/);
  });

  test.each(["keep", "onDeleted", "onItem", "referenceCache", "barrier"])(
    "the option %s is refused: no queue can hold it",
    async (name) => {
      const hooks = {
        keep: () => true,
        onDeleted() {},
        onItem() {},
        referenceCache: memoryReferenceCache(),
        barrier: createWriteBarrier(),
      };
      const options: GcOptions = { [name]: hooks[name as keyof typeof hooks] };
      await expect(start(options)).rejects.toThrow(new RegExp(`^option ${name} can't be part of a plan`));
    },
  );

  test("options are looked at before anything is begun", async () => {
    await expect(start({ drainMs: -1 })).rejects.toThrow(TypeError);
    await expect(start({}, { runId: "a/b" })).rejects.toThrow("runId");
    await expect(start({}, { runId: "a".repeat(57) })).rejects.toThrow("up to 56");
    await expect(start({}, { attempts: 0 })).rejects.toThrow("attempts");
    await expect(start({}, { backoffMs: Number.NaN })).rejects.toThrow("backoffMs");
  });

  test("a refusal is that of a single run", async () => {
    const store = memoryStore();
    await store.put("/docker/registry/v2/blobs/sha256/aa/" + "aa".repeat(32) + "/data", "x");
    const before = await contentOf(store.driver);
    const refusal = await markAndSweep({}, store.driver, openRegistry(store.driver), UNTAGGED).catch((error: unknown) => error);
    work(store.driver);
    const error = await start(UNTAGGED).catch((thrown: unknown) => thrown);
    const { code, message, name } = refusal as { code: string; message: string; name: string };
    expect(error).toMatchObject({ code, message, name, report: { status: "refused" } });
    expect(await contentOf(store.driver)).toEqual(before);
  });

  test("another run's lock is a LockedError", async () => {
    const store = await siblings();
    await store.put("/docker/registry/lockfiles/gc-in-progress", "another", Date.now());
    work(store.driver);
    await expect(start(UNTAGGED)).rejects.toBeInstanceOf(LockedError);
  });

  test("a part that fails is tried again", async () => {
    const { driver } = await siblings();
    work(new FaultyDriver(driver, [{ on: { method: "getContent", path: (path) => path.includes("/v2/blobs/"), nth: 1 }, does: "fail" }]));
    expect((await start(UNTAGGED)).deleted.blobs).toBe(3);
    const failures = await partJobs(async (parts) => (await parts.getJobs(["completed"])).map((job) => job.attemptsMade));
    expect(failures.filter((attempts) => attempts > 1).length).toBeGreaterThan(0);
  });

  test("a part that fails for good ends the run with its error, and nothing is deleted", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const isRead = { method: "getContent" as const, path: (path: string) => path.includes("/v2/blobs/") };
    work(new FaultyDriver(driver, [{ on: { ...isRead, andAfter: true, nth: 1 }, does: "fail" }]));
    const runId = randomUUID();
    await expect(start(UNTAGGED, { attempts: 2, runId })).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      name: "DriverError",
      report: { status: "aborted", runId },
    });
    expect(await contentOf(driver)).toEqual(before);
    const failed = await partJobs((parts) => parts.getJobs(["failed"]));
    expect(failed.map((job) => job.attemptsMade)).toContain(2);
    // The storage is well again, and so is the run: what failed then does not stand for it now.
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
    work(driver);
    expect((await start(UNTAGGED, { runId })).deleted.blobs).toBe(3);
  });

  test("what a part left that can't be believed ends the run by its path, once, and nothing is deleted", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const rotten = new InterceptedDriver(driver, async <T>({ method, paths: [path = ""] }: DriverCall, proceed: () => Promise<T>) => {
      const isLooks = method === "getContent" && /\/parts\/mark\.mark\/\d+\.[0-9a-f-]{36}\.\d+$/.test(path);
      return isLooks ? (Buffer.from("[]") as T) : proceed();
    });
    work(rotten);
    const error = await start(UNTAGGED).catch((thrown: unknown) => thrown);
    const path = expect.stringMatching(/_gc\/.*\/parts\/mark\.mark\/\d+\./) as string;
    expect(error).toMatchObject({ code: "PART_DAMAGED", name: "PartDamagedError", path, report: { status: "aborted" } });
    expect(await contentOf(driver)).toEqual(before);
    const attempts = await partJobs(async (parts) => (await parts.getJobs(["failed"])).map((job) => job.attemptsMade));
    expect(Math.max(...attempts)).toBe(1);
  });

  test("a part that the queue has given up ends the run, and says so", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const isRead = { method: "getContent" as const, path: (path: string) => path.includes("/v2/blobs/") };
    work(new FaultyDriver(driver, [{ on: { ...isRead, andAfter: true, nth: 1 }, does: "fail" }]), { bullmq: { maxStartedAttempts: 1 } });
    const error = await start(UNTAGGED, { attempts: 5 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "QUEUE_FAILED", name: "QueueError", report: { status: "aborted" } });
    expect((error as Error).message).toMatch(/the queue has given up part mark\.mark\/\d of run .*: /);
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a run that the queue has given up can be gone on with", async () => {
    const { driver } = await siblings();
    const runId = randomUUID();
    const bad = new Worker(queue, () => Promise.reject(new UnrecoverableError("no")), { connection: connection() });
    const error = await start(UNTAGGED, { runId }).catch((thrown: unknown) => thrown);
    await bad.close();
    expect(error).toMatchObject({ code: "QUEUE_FAILED", runId });
    expect((error as Error).message).toContain(`the queue has given up run ${runId}: no`);
    work(driver);
    expect((await start(UNTAGGED, { runId })).deleted.blobs).toBe(3);
  });

  test("a job of an earlier time does not stand for a part", async () => {
    const { driver } = await siblings();
    const runId = randomUUID();
    const stale = {
      start: "earlier",
      run: `run-${runId}`,
      trace: {},
      part: { runId, version: "0", plan: "another", stage: "inventory", part: 0 },
    };
    await partJobs((parts) => parts.add("inventory", stale, { jobId: `${runId}/inventory/0` }));
    work(driver);
    expect((await start(UNTAGGED, { runId })).deleted.blobs).toBe(3);
  });

  test("a worker without a hook that the run needs is refused by the hook's name, once", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    work(driver);
    const error = await start(UNTAGGED, { needs: ["keep"] }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "WORKER_REFUSED", name: "WorkerRefusedError", report: { status: "aborted" } });
    expect((error as Error).message).toContain("the hook keep");
    expect(await contentOf(driver)).toEqual(before);
    const attempts = await partJobs(async (parts) => (await parts.getJobs(["failed"])).map((job) => job.attemptsMade));
    expect(Math.max(...attempts)).toBe(1);
  });

  test("hooks decide and are told where parts are made", async () => {
    const { driver } = await siblings();
    const deleted: string[] = [];
    const items: string[] = [];
    const hooks = {
      onItem: ({ kind }: { kind: string }) => void items.push(kind),
      onDeleted: (some: readonly { kind: string }[]) => void deleted.push(...some.map(({ kind }) => kind)),
    };
    work(driver, { hooks });
    const report = await start(UNTAGGED, { needs: ["onItem", "onDeleted"] });
    expect(items.filter((kind) => kind === "blob")).toHaveLength(3);
    expect(deleted.filter((kind) => kind === "blob")).toHaveLength(report.deleted.blobs);

    const kept = await siblings();
    await Promise.all(workers.splice(0).map((worker) => worker.close()));
    work(kept.driver, { hooks: { keep: () => true } });
    expect((await start(UNTAGGED, { needs: ["keep"] })).deleted.manifests).toBe(0);
  });

  test("a run that another version started is refused by name and version, and so is a part", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const runId = randomUUID();
    const runs = new Queue(queue, { connection: connection() });
    const retry = { attempts: 1, backoffMs: 0 };
    const waiting = await runs.add(
      "run",
      { version: "0.0.1", runId, start: "s", options: UNTAGGED, needs: [], retry, trace: {} },
      { jobId: `run-${runId}` },
    );
    // Whoever starts a run that has failed by then has it made anew: so a worker comes once this one is watched.
    await waiting.updateProgress({ phase: "mark", stage: "survey", total: 1 });
    await runs.close();
    let isWatched = false;
    const onProgress = () => {
      if (!isWatched) work(driver);
      isWatched = true;
    };
    const error = await start({ ...UNTAGGED, onProgress }, { runId }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "WORKER_REFUSED" });
    expect((error as Error).message).toMatch(new RegExp(`run ${runId} was started by oci-registry-gc 0\\.0\\.1, and this worker is \\d`));
    const part = { runId, version: "0.0.1", plan: "p", stage: "mark", part: 0 };
    const refused = await partJobs(async (parts) => {
      const job = await parts.add("mark", { start: "s", run: `run-${runId}`, trace: {}, part }, { attempts: 5 });
      while (!(await job.isFailed())) await sleep(50);
      return parts.getJob(job.id ?? "");
    });
    expect(refused).toMatchObject({ attemptsMade: 1, failedReason: expect.stringContaining("WORKER_REFUSED: run") as string });
    expect(refused?.failedReason).toContain("0.0.1");
    expect(await contentOf(driver)).toEqual(before);
  });

  /** A driver that stops at its first move, until it is told to go on or the call is given up. */
  function stopping(driver: StorageDriver) {
    let reached: () => void = () => undefined;
    const isReached = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let moves = 0;
    const stopped = new InterceptedDriver(driver, async ({ method, signal }, proceed) => {
      if (method !== "move" || ++moves !== 2) return proceed();
      reached();
      await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      return proceed();
    });
    return { stopped, isReached };
  }

  test("cancelled while it moves things aside: those who are at it stop, and what was taken goes back", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const { stopped, isReached } = stopping(driver);
    work(stopped);
    work(stopped);
    const control = new AbortController();
    const reason = new Error("enough");
    const run = start(QUARANTINE, { signal: control.signal });
    await isReached;
    control.abort(reason);
    const error = await run.catch((thrown: unknown) => thrown);
    expect(error).toBe(reason);
    expect(reason).toMatchObject({ report: { status: "aborted", deleted: { blobs: 0 } } });
    const after = new Map([...(await contentOf(driver))].filter(([path]) => !path.includes("/_gc/")));
    expect(after).toEqual(before);
    expect(await partJobs((parts) => parts.getJobCountByTypes("waiting", "active", "delayed"))).toBe(0);
  });

  test("cancelled by somebody else, it ends with an AbortError", async () => {
    const { driver } = await siblings();
    const { stopped, isReached } = stopping(driver);
    work(stopped);
    const runId = randomUUID();
    const run = start(QUARANTINE, { runId }).catch((thrown: unknown) => thrown);
    await isReached;
    await cancelCollection({ connection: connection(), queue, runId });
    expect(await run).toMatchObject({ name: "AbortError", message: `run ${runId} was cancelled`, report: { status: "aborted" } });
    await expect(cancelCollection({ connection: connection(), queue, runId: randomUUID() })).rejects.toMatchObject({
      code: "QUEUE_FAILED",
    });
  });

  test("cancelled before anybody has begun it, it is gone at once", async () => {
    const control = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => control.abort(reason), 500);
    await expect(start(UNTAGGED, { signal: control.signal })).rejects.toBe(reason);
    const runs = new Queue(queue, { connection: connection() });
    expect(await runs.getJobCountByTypes("waiting", "active")).toBe(0);
    await runs.close();
    await expect(start(UNTAGGED, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });

  test("a worker that closes gives back what takes too long, and another makes it", async () => {
    const { driver } = await siblings();
    const { stopped, isReached } = stopping(driver);
    const first = work(stopped);
    // That is no attempt that failed.
    const run = start(QUARANTINE, { attempts: 1 });
    await isReached;
    work(driver);
    await first.close({ graceMs: 50 });
    expect((await run).quarantined.blobs).toBe(3);
  });

  test("a worker that closes while it leads the run lets go of it, and another leads it on", async () => {
    const { driver } = await siblings();
    let reached: () => void = () => undefined;
    const drains = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const first = work(
      new InterceptedDriver(driver, async ({ paths }, proceed) => {
        if (paths.some((path) => path.endsWith("aside.listing.closed"))) reached();
        return proceed();
      }),
    );
    const run = start({ ...QUARANTINE, drainMs: 2000 });
    await drains;
    await sleep(300);
    await first.close({ graceMs: 50 });
    work(driver);
    expect(await run).toMatchObject({ status: "completed", quarantined: { blobs: 3 } });
  });

  test("one trace shows the run, across all that make it", async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const exporter = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    try {
      const { driver } = await siblings();
      work(driver, { ctx: { tracerProvider } });
      work(driver, { ctx: { tracerProvider } });
      await start(UNTAGGED, { tracerProvider });
      const spans = exporter.getFinishedSpans();
      const [root] = spans.filter(({ name }) => name === "registry_gc.collection");
      expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([root!.spanContext().traceId]));
      const runs = spans.filter(({ name }) => name === "registry_gc.run");
      expect(runs.length).toBeGreaterThan(1);
      for (const span of runs) expect(span.parentSpanContext?.spanId).toBe(root!.spanContext().spanId);
      // A run that waits for its parts has not failed.
      expect(runs.map(({ status }) => status.code)).toEqual(runs.map(() => 0));
      const ids = new Set(runs.map((span) => span.spanContext().spanId));
      const parts = spans.filter(({ name }) => name.startsWith("registry_gc.part."));
      expect(parts.map(({ name }) => name)).toContain("registry_gc.part.mark");
      for (const span of parts) expect(ids).toContain(span.parentSpanContext?.spanId);
    } finally {
      await tracerProvider.shutdown();
      context.disable();
    }
  });

  test("somebody ended the run and died before he said so: it is not made again, and what it left goes", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const runId = randomUUID();
    const report = { runId, status: "completed" };
    const runs = new Queue(queue, { connection: connection() });
    const data = { version: "x", runId, start: "s", options: {}, needs: [], retry: {}, trace: {}, outcome: { report } };
    await runs.add("run", data, { jobId: `run-${runId}` });
    await runs.close();
    work(driver);
    expect(await start({}, { runId })).toEqual(report);
    expect(await contentOf(driver)).toEqual(before);
  });
});

describeRedis("Redis that is gone", () => {
  test("at the start: one clear error, in time", async () => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const redis = await RedisServer.start();
    await redis.stop();
    const runId = randomUUID();
    const error = await startCollection({ connection: redis.connection, runId, patienceMs: 700 }, UNTAGGED).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "QUEUE_FAILED", name: "QueueError", runId });
    expect((error as Error).message).toMatch(/Redis did not answer for 0.7 seconds: .*ECONNREFUSED/);
    expect(await contentOf(driver)).toEqual(before);
  });

  test.each([
    ["gone in the middle", 700, 0],
    ["restarted without its data", 20_000, 1],
  ])("%s: one clear error, and the next start goes on", async (_, patienceMs, restarts) => {
    const { driver } = await siblings();
    const before = await contentOf(driver);
    const redis = await RedisServer.start();
    const connection = { ...redis.connection, retryStrategy: () => 50 };
    let reached: () => void = () => undefined;
    let goOn: () => void = () => undefined;
    const isReached = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const mayGoOn = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const slow = new InterceptedDriver(driver, async ({ method, paths }, proceed) => {
      if (method !== "getContent" || !paths.some((path) => path.includes("/v2/blobs/"))) return proceed();
      reached();
      await mayGoOn;
      return proceed();
    });
    const bullmq = { drainDelay: 1, lockDuration: 1000, stalledInterval: 500, runRetryDelay: 100 };
    const worker = createWorker({ connection, driver: slow, registry: openRegistry(slow), bullmq });
    const runId = randomUUID();
    try {
      const run = startCollection({ connection, runId, shards: 2, patienceMs }, UNTAGGED).catch((thrown: unknown) => thrown);
      await isReached;
      await redis.end();
      if (restarts > 0) await redis.begin();
      const error = await run;
      expect(error).toMatchObject({ code: "QUEUE_FAILED", runId });
      expect((error as Error).message).toContain(restarts > 0 ? `no longer knows run ${runId}` : "Redis did not answer for 0.7 seconds");
      const kept = new Map([...(await contentOf(driver))].filter(([path]) => !/\/_gc\/|\/lockfiles\//.test(path)));
      expect(kept).toEqual(before);
      goOn();
      if (restarts === 0) await redis.begin();
      const report = await startCollection({ connection, runId, shards: 2 }, UNTAGGED);
      expect(report).toMatchObject({ runId, status: "completed", deleted: { blobs: 3 } });
    } finally {
      goOn();
      await worker.close({ graceMs: 0 });
      await redis.stop();
    }
  });
});
