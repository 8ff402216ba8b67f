/** Who leads a run in parts: he may be aborted, let go of it, find that another leads it, or die right after its end. */

import { randomUUID } from "node:crypto";
import { type GcReport, openRegistry, type StorageDriver } from "oci-registry-gc";
import { collectInParts, type PartedOptions, type PartedRun, type PartJob, runPart, Suspension, tidyUp } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../src/clock.js";
import { contentOf, DAY, memoryStore } from "../support/stores.js";
import { layOut, vector } from "../support/vectors.js";
import { blobPath, digestOf } from "../support/world.js";
import { collectParted, lay } from "./attackers.js";

const OPTIONS: PartedOptions = { removeUntagged: true, drainMs: 0 };
const LOCK = "/docker/registry/lockfiles/gc-in-progress";

/** What keeps locks alive at the moment. */
const hearts = vi.hoisted(() => new Set<unknown>());
vi.mock("node:timers", async (original) => {
  const timers = await original<typeof import("node:timers")>();
  const setInterval = (work: () => void, ms: number) => {
    const heart = timers.setInterval(work, ms);
    hearts.add(heart);
    return heart;
  };
  const clearInterval = (heart: NodeJS.Timeout) => {
    hearts.delete(heart);
    timers.clearInterval(heart);
  };
  return { ...timers, setInterval, clearInterval };
});

let driver: StorageDriver;
let before: Map<string, string>;
beforeEach(async () => {
  ({ driver } = await layOut(vector("siblings"), memoryStore()));
  before = await contentOf(driver);
});

const make = async (jobs: readonly PartJob[], through = driver) => {
  for (const job of jobs) await runPart({ driver: through, registry: openRegistry(through) }, job);
};

function lead(runId: string, parted: Partial<PartedRun> = {}, { signal }: { signal?: AbortSignal } = {}): Promise<GcReport> {
  const run = { runId, shards: 2, execute: (jobs: readonly PartJob[]) => make(jobs), ...parted };
  return collectInParts({ signal }, driver, openRegistry(driver), OPTIONS, run);
}

const paths = async () => [...(await contentOf(driver)).keys()];
const parts = async () => (await paths()).filter((path) => path.includes("/parts/"));
const registry = async () => new Map([...(await contentOf(driver))].filter(([path]) => !/\/_gc\/|\/lockfiles\//.test(path)));

describe("aborted after something was moved aside", () => {
  test("it puts back what it took, and leaves neither parts nor lock", async () => {
    const control = new AbortController();
    const reason = new Error("enough");
    const execute = async (jobs: readonly PartJob[]) => {
      await make(jobs);
      if (jobs[0]?.stage === "aside.links") control.abort(reason);
    };
    await expect(lead(randomUUID(), { execute }, control)).rejects.toBe(reason);
    expect(reason).toMatchObject({ report: { status: "aborted" } });
    expect(await registry()).toEqual(before);
    expect(await parts()).toEqual([]);
    expect(await paths()).not.toContain(LOCK);
  });

  test("in the middle of a stage, its report counts what is aside at its end: nothing", async () => {
    const control = new AbortController();
    const reason = new Error("enough");
    const stopping = new InterceptedDriver(driver, ({ method }, proceed) => {
      if (method === "move") control.abort(reason);
      return proceed();
    });
    const execute = (jobs: readonly PartJob[]) => make(jobs, stopping);
    await expect(lead(randomUUID(), { execute }, control)).rejects.toBe(reason);
    const none = { manifests: 0, blobs: 0, bytes: 0 };
    expect(reason).toMatchObject({ report: { quarantined: none, deleted: { blobs: 0 } } });
    expect(await registry()).toEqual(before);
  });

  test("by a suspension, all stays as it is, and who takes it up goes on", async () => {
    const control = new AbortController();
    const runId = randomUUID();
    const made: string[] = [];
    const execute = async (jobs: readonly PartJob[]) => {
      made.push(...jobs.map(({ stage }) => stage));
      await make(jobs);
      if (jobs[0]?.stage === "aside.blobs") control.abort(new Suspension("later"));
    };
    await expect(lead(runId, { execute }, control)).rejects.toBeInstanceOf(Suspension);
    expect((await registry()).size).toBeLessThan(before.size);
    expect(await paths()).toContain(LOCK);
    const first = [...made];
    const report = await lead(runId, {
      execute: (jobs) => {
        made.push(...jobs.map(({ stage }) => stage));
        return make(jobs);
      },
    });
    expect(report).toMatchObject({ runId, status: "completed", quarantined: { blobs: 3 } });
    expect(made.slice(first.length).filter((stage) => first.includes(stage))).toEqual([]);
  });
});

describe("another leads the run by now", () => {
  const confirm = () => Promise.reject(new Suspension("another leads it"));

  test("its end is left to him", async () => {
    const runId = randomUUID();
    await expect(lead(runId, { confirm })).rejects.toBeInstanceOf(Suspension);
    expect(await paths()).toContain(LOCK);
    expect(await lead(runId)).toMatchObject({ status: "completed", quarantined: { blobs: 3 } });
  });

  test("and so is its breaking off", async () => {
    const runId = randomUUID();
    const execute = async (jobs: readonly PartJob[]) => {
      if (jobs[0]?.stage === "aside.links") throw new Error("no");
      await make(jobs);
    };
    await expect(lead(runId, { execute, confirm })).rejects.toBeInstanceOf(Suspension);
    expect((await registry()).size).toBeLessThan(before.size);
    expect(await lead(runId)).toMatchObject({ status: "completed", quarantined: { blobs: 3 } });
  });
});

test("a sweep that is aborted tells what was deleted by parts that did not come to their end", async () => {
  const { world } = await lay(false);
  for (let i = 0; i < 40; i++) await world.put(blobPath(digestOf(`stray ${i}`)), `stray ${i}`);
  world.now += 60 * DAY;
  const before = await world.files();
  const control = new AbortController();
  const reason = new Error("enough");
  const stopping = new InterceptedDriver(world.driver, async ({ method, paths: [path = ""] }, proceed) => {
    const answer = await proceed();
    if (method === "deleteFiles" && path.includes("/blobs/")) control.abort(reason);
    return answer;
  });
  const ctx = { clock: world.clock, signal: control.signal };
  await expect(collectParted(world, { readOnly: true }, { driver: stopping, ctx })).rejects.toBe(reason);
  const after = await world.files();
  const blobs = [...before.keys()].filter((path) => path.endsWith("/data") && !after.has(path)).length;
  expect(blobs).toBeGreaterThan(0);
  expect(reason).toMatchObject({ report: { status: "aborted", deleted: { blobs } } });
});

describe("nobody can say whose the run is, or whether its end was heard", () => {
  const failed = new Error("no answer");
  const fail = () => Promise.reject(failed);
  const untold = { name: "Suspension", cause: failed };

  test.each(["confirm", "ended"])("%s fails: all stays for who takes the run up", async (hook) => {
    const runId = randomUUID();
    await expect(lead(runId, { [hook]: fail })).rejects.toMatchObject(untold);
    expect(await paths()).toContain(LOCK);
    const told: unknown[] = [];
    const ended = async ({ status }: GcReport) => void told.push(status);
    expect(await lead(runId, { ended })).toMatchObject({ runId, status: "completed", quarantined: { blobs: 3 } });
    expect(told).toEqual(["completed"]);
    expect(await paths()).not.toContain(LOCK);
  });

  test.each([
    ["confirm", "lies aside still", { status: "completed", quarantined: { blobs: 3 } }],
    ["ended", "is back", { code: "PART_DAMAGED" }],
  ] as const)("%s fails where the run is broken off: what it took %s, and its lock is kept alive no longer", async (hook, _, outcome) => {
    const runId = randomUUID();
    const execute = async (jobs: readonly PartJob[]) => {
      expect(hearts.size).toBeGreaterThan(0);
      if (jobs[0]?.stage === "aside.links") throw new Error("broken");
      await make(jobs);
    };
    await expect(lead(runId, { execute, [hook]: fail })).rejects.toMatchObject(untold);
    expect(hearts.size).toBe(0);
    expect(await paths()).toContain(LOCK);
    expect((await registry()).size === before.size).toBe(hook === "ended");
    expect(await lead(runId).catch((error: unknown) => error)).toMatchObject(outcome);
    expect(await paths()).not.toContain(LOCK);
    expect(await parts()).toEqual([]);
  });
});

test("what is no driver is refused before anything is asked", async () => {
  const run = { runId: "a-run", execute: fail };
  await expect(collectInParts({}, driver, undefined as never, OPTIONS, run)).rejects.toThrow(/registry/);
  const untouched = new InterceptedDriver(driver, () => Promise.reject(new Error("asked")));
  const clock = {} as never;
  await expect(collectInParts({ clock }, untouched, openRegistry(untouched), OPTIONS, run)).rejects.toThrow(/clock/);

  function fail(): Promise<never> {
    return Promise.reject(new Error("executed"));
  }
});

describe("the end of a run", () => {
  test("is told while its parts and its lock are there; whoever died then is tidied up after", async () => {
    const runId = randomUUID();
    const ended = async (report: GcReport) => {
      expect(report.quarantined.blobs).toBe(3);
      expect((await parts()).length).toBeGreaterThan(0);
      throw new Suspension("dead");
    };
    await expect(lead(runId, { ended })).rejects.toBeInstanceOf(Suspension);
    await tidyUp(driver, openRegistry(driver), runId);
    expect(await parts()).toEqual([]);
    expect(await paths()).not.toContain(LOCK);
    await tidyUp(driver, openRegistry(driver), randomUUID());
  });

  test("tidying up leaves another run's lock", async () => {
    const runId = randomUUID();
    await expect(lead(runId, { ended: () => Promise.reject(new Suspension("dead")) })).rejects.toBeInstanceOf(Suspension);
    await driver.putContent?.(LOCK, Buffer.from("another"));
    await tidyUp(driver, openRegistry(driver), runId);
    expect(await paths()).toContain(LOCK);
  });

  test("is told of an error, too, with the report", async () => {
    const told: unknown[] = [];
    const execute = () => Promise.reject(new Error("no"));
    const ended = async (report: GcReport, error?: unknown) => void told.push([report.status, (error as Error).message]);
    await expect(lead(randomUUID(), { execute, ended })).rejects.toThrow("no");
    expect(told).toEqual([["aborted", "no"]]);
  });

  test("what can't be taken away after it does not undo it", async () => {
    const stubborn = new InterceptedDriver(driver, async ({ method, paths: [path = ""] }, proceed) => {
      if (method === "delete" && path.endsWith("/parts")) throw new Error("no");
      return proceed();
    });
    const warnings: string[] = [];
    const ignore = () => undefined;
    const logger = { debug: ignore, info: ignore, error: ignore, warn: (message: string) => void warnings.push(message) };
    const run = { runId: randomUUID(), shards: 2, execute: (jobs: readonly PartJob[]) => make(jobs) };
    const report = await collectInParts({ logger }, stubborn, openRegistry(stubborn), OPTIONS, run);
    expect(report).toMatchObject({ status: "completed", quarantined: { blobs: 3 } });
    expect(warnings.join()).toContain("left could not be removed");
  });
});

test("whoever takes a run up is asked for its clock, as whoever begins one", async () => {
  const runId = randomUUID();
  const execute = () => Promise.reject(new Suspension("later"));
  await expect(lead(runId, { execute })).rejects.toBeInstanceOf(Suspension);
  for (const days of [9, -9]) {
    const clock = { ...systemClock, now: () => Date.now() + days * 86_400_000 };
    const run = { runId, shards: 2, execute };
    const taken = collectInParts({ clock }, driver, openRegistry(driver), OPTIONS, run);
    await expect(taken).rejects.toMatchObject({ code: "CLOCK_SKEW" });
  }
  await expect(lead(runId)).resolves.toMatchObject({ status: "completed" });
});

test("a name that a run with a journal has used up is not used again: the journal stays what it was", async () => {
  const runId = randomUUID();
  expect((await lead(runId)).runId).toBe(runId);
  const journal = [...(await contentOf(driver))].filter(([path]) => path.includes("/journal/"));
  expect(journal.length).toBeGreaterThan(0);
  const again = await lead(runId);
  expect(again).toMatchObject({ runId: `${runId}-2`, status: "completed" });
  const after = await contentOf(driver);
  for (const [path, content] of journal) expect(after.get(path)).toBe(content);
});

test("a part of a run that has ended is no part any more", async () => {
  const runId = randomUUID();
  let late: PartJob | undefined;
  await lead(runId, {
    execute: async (jobs) => {
      late = jobs[0];
      await make(jobs);
    },
  });
  await expect(make([late!])).rejects.toMatchObject({ code: "PART_DAMAGED" });
});
