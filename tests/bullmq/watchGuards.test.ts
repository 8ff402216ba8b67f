/** Whoever waits for a run on a queue: how it ended is told as it was, and what was cancelled is left to whoever has begun it. */

import type { Job, Queue } from "bullmq";
import type { GcReport } from "oci-registry-gc";
import { expect, test, vi } from "vitest";
import type { RunData } from "../../src/bullmq/jobs.js";
import { watchRun } from "../../src/bullmq/watchRun.js";

const REPORT = { runId: "a-run" } as GcReport;
const ABORTED = AbortSignal.abort(new Error("stop"));

/** Waits for the run of this job, for a moment. */
function watch(job: object, signal?: AbortSignal, getJob = async () => job) {
  const runs = { getJob, client: Promise.resolve(), addJobLog: async () => 1 } as unknown as Queue<RunData>;
  const enlist = async () => job as Job<RunData>;
  const settings = { accept: () => undefined, onProgress: undefined, trouble: () => undefined };
  return watchRun({ runs, runId: "a-run", enlist, signal, patienceMs: 400, ...settings });
}

const failed = (name: string) => ({
  finishedOn: 1,
  data: { outcome: { report: REPORT, error: { name, message: "broken", code: "DRIVER_ERROR", isOurs: true, fields: {} } } },
});

test("a run that failed is not told as one that ended well, though it left a report", async () => {
  await expect(watch(failed("DriverError"))).rejects.toMatchObject({ code: "DRIVER_ERROR", report: REPORT });
});

test("whoever cancelled a run that failed by itself hears why", async () => {
  await expect(watch(failed("DriverError"), ABORTED)).rejects.toMatchObject({ code: "DRIVER_ERROR", report: REPORT });
  await expect(watch(failed("AbortError"), ABORTED)).rejects.toBe(ABORTED.reason);
});

test("a call that fails once is made again", async () => {
  const done = { finishedOn: 1, data: { outcome: { report: REPORT } } };
  const getJob = vi.fn(async () => done).mockRejectedValueOnce(new Error("gone for a moment"));
  expect(await watch(done, undefined, getJob)).toBe(REPORT);
});
