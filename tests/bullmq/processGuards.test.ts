/** Who leads a run or makes a part of it, with a queue that answers what a test says: no Redis is needed for what goes wrong with it. */

import { DelayedError, type Job, type Queue, UnrecoverableError } from "bullmq";
import { openRegistry, type StorageDriver } from "oci-registry-gc";
import { type PartJob, type PartWorker, runPart, Suspension } from "oci-registry-gc/parts";
import { describe, expect, test, vi } from "vitest";
import type { PartData, RunData } from "../../src/bullmq/jobs.js";
import { processPart } from "../../src/bullmq/processPart.js";
import { processRun } from "../../src/bullmq/processRun.js";
import { type WorkerParts, withSignal } from "../../src/bullmq/workers.js";
import { VERSION } from "../../src/version.js";
import { contentOf, memoryStore } from "../support/stores.js";
import { layOut, vector } from "../support/vectors.js";

const RUN = "a-run";

/** A worker, and the job of a run; the parts of that are made as soon as they are added. */
async function led(answers: Partial<Job<RunData>>) {
  const { driver } = await layOut(vector("siblings"), memoryStore());
  const worker: PartWorker = { driver, registry: openRegistry(driver), ctx: {} };
  const runs = { getJobLogs: async () => ({ logs: [] }) } as unknown as Queue<RunData>;
  const parts = {
    getJob: async () => undefined,
    addBulk: async (jobs: readonly { readonly data: { readonly part: PartJob } }[]) => {
      for (const { data } of jobs) await runPart(worker, data.part);
    },
  } as unknown as Queue<PartData>;
  const all: WorkerParts = { worker, runs, parts, closing: new AbortController().signal, lockMs: 1000 };
  const data: RunData = {
    ...{ version: VERSION, runId: RUN, start: "s", options: { readOnly: true, removeUntagged: true }, shards: 1, needs: [] },
    ...{ retry: { attempts: 1, backoffMs: 0 }, trace: {} },
  };
  const calls = {
    extendLock: vi.fn(async () => 1),
    updateData: vi.fn(async () => undefined),
    moveToDelayed: vi.fn(async () => undefined),
    removeUnprocessedChildren: vi.fn(async () => undefined),
    ...answers,
  };
  const job = { id: `run-${RUN}`, data, updateProgress: async () => undefined, moveToWaitingChildren: async () => false, ...calls };
  return { driver, all, job: job as unknown as Job<RunData>, calls };
}

describe("a leader", () => {
  test("whom the queue believes ends the run", async () => {
    const { all, job, calls } = await led({});
    expect(await processRun(all, job, "token", undefined)).toMatchObject({ status: "completed", deleted: { blobs: 3 } });
    expect(calls.updateData).toHaveBeenCalledTimes(1);
  });

  test.each([
    ["whose job another has by now", { extendLock: async () => 0 }],
    ["whom the queue does not answer", { extendLock: () => Promise.reject(new Error("gone")) }],
    ["who can't note down how it ended", { updateData: () => Promise.reject(new Error("gone")) }],
  ])("%s ends nothing in the run's name: it is given back, with all that its parts left", async (_, answers) => {
    const { driver, all, job, calls } = await led(answers);
    const updateData = vi.spyOn(job, "updateData");
    await expect(processRun(all, job, "token", undefined)).rejects.toBeInstanceOf(DelayedError);
    expect(calls.moveToDelayed).toHaveBeenCalledTimes(1);
    if (!("updateData" in answers)) expect(updateData).not.toHaveBeenCalled();
    expect(calls.removeUnprocessedChildren).not.toHaveBeenCalled();
    const left = [...(await contentOf(driver)).keys()];
    expect(left).toContain(`/docker/registry/v2/_gc/${RUN}/parts/plan`);
    expect(left).toContain("/docker/registry/lockfiles/gc-in-progress");
  });
});

test("how a run ended is told once: an error after that, as of what is cleared away, does not take its place", async () => {
  const { driver, all, job, calls } = await led({});
  const remove = vi.spyOn(driver, "delete").mockImplementation((path) => Promise.reject(new Error(`stuck: ${path}`)));
  await processRun(all, job, "token", undefined).catch(() => undefined);
  expect(remove).toHaveBeenCalled();
  expect(calls.updateData).toHaveBeenCalledTimes(1);
});

test("somebody ended the run with an error and a report, and died: it is no run that ended well", async () => {
  const { all, job } = await led({});
  const error = { name: "DriverError", message: "broken", code: "DRIVER_ERROR", isOurs: true, fields: {} };
  const ended = { ...job.data, outcome: { error, report: { runId: RUN } } };
  await expect(processRun(all, Object.assign(job, { data: ended }), "token", undefined)).rejects.toThrow("DRIVER_ERROR: broken");
});

describe("a part", () => {
  /** One of a run that is not there: nobody has begun it, or the storage can't be read. */
  async function making(attemptsMade: number, { driver, logs = [] }: { driver?: Partial<StorageDriver>; logs?: readonly string[] } = {}) {
    const { all } = await led({});
    const worker = { ...all.worker, driver: driver === undefined ? all.worker.driver : Object.assign(all.worker.driver, driver) };
    const part = { runId: RUN, version: VERSION, plan: "p", stage: "mark", part: 0 };
    const [updateData, moveToDelayed] = [vi.fn(async () => undefined), vi.fn(async () => undefined)];
    const data = { start: "s", part, run: `run-${RUN}`, trace: {} };
    const job = { data, attemptsMade, opts: { attempts: 2 }, updateData, moveToDelayed } as unknown as Job<PartData>;
    const runs = { getJobLogs: async () => ({ logs }) } as unknown as Queue<RunData>;
    return { updateData, moveToDelayed, make: (lock?: AbortSignal) => processPart({ ...all, runs, worker }, job, "token", lock) };
  }
  const broken = { getContent: () => Promise.reject(new Error("broken")) };

  test("is tried again as often as it may, and then fails for good with an error that the run can end with", async () => {
    const first = await making(0, { driver: broken });
    await expect(first.make()).rejects.not.toBeInstanceOf(UnrecoverableError);
    expect(first.updateData).not.toHaveBeenCalled();
    const last = await making(1, { driver: broken });
    await expect(last.make()).rejects.toBeInstanceOf(UnrecoverableError);
    expect(last.updateData).toHaveBeenCalledWith(
      expect.objectContaining({ error: expect.objectContaining({ message: "broken" }) as unknown }),
    );
  });

  test("that can't be believed is not tried again", async () => {
    await expect((await making(0)).make()).rejects.toBeInstanceOf(UnrecoverableError);
  });

  test("that its worker lets go of is given back, and is no attempt that failed", async () => {
    const control = new AbortController();
    const { make, updateData, moveToDelayed } = await making(1, {
      driver: {
        getContent: () => {
          control.abort();
          return Promise.reject(new Suspension("let go"));
        },
      },
    });
    await expect(make(control.signal)).rejects.toBeInstanceOf(DelayedError);
    expect(moveToDelayed).toHaveBeenCalledTimes(1);
    expect(updateData).not.toHaveBeenCalled();
  });

  test("of a run that was cancelled is not tried again", async () => {
    const cancelled = Object.assign(new Error("cancelled"), { name: "AbortError" });
    const { make } = await making(0, { driver: { getContent: () => Promise.reject(cancelled) } });
    await expect(make()).rejects.toBeInstanceOf(UnrecoverableError);
  });
});

describe("who makes a part stops", () => {
  const runs = { getJobLogs: async () => ({ logs: [] }) } as unknown as Queue<RunData>;
  const of = (closing: AbortSignal, lock: AbortSignal, work: (signal: AbortSignal) => Promise<unknown>) =>
    withSignal({ runs, closing } as unknown as WorkerParts, { runId: RUN, jobId: "job", lock }, work);
  const never = new AbortController().signal;

  test.each(["the queue gives the job to another", "the worker closes"])("where %s, before or meanwhile", async (why) => {
    const both = (signal: AbortSignal): [AbortSignal, AbortSignal] => (why === "the worker closes" ? [signal, never] : [never, signal]);
    const isStopped = async (signal: AbortSignal) => signal.aborted;
    expect(await of(...both(AbortSignal.abort()), isStopped)).toBe(true);
    const control = new AbortController();
    const meanwhile = of(...both(control.signal), (signal) => {
      control.abort();
      return isStopped(signal);
    });
    expect(await meanwhile).toBe(true);
  });

  test("but not where the queue can't say whether the run was cancelled", async () => {
    const asked = vi.fn(() => Promise.reject(new Error("gone")));
    const silent = { runs: { getJobLogs: asked }, closing: never } as unknown as WorkerParts;
    await withSignal(silent, { runId: RUN, jobId: "job", lock: undefined }, async (signal) => {
      await new Promise(setImmediate);
      expect(asked).toHaveBeenCalled();
      expect(signal.aborted).toBe(false);
    });
  });
});
