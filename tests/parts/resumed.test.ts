/** A run in parts that is taken up again: after a pause, or by somebody who asks for something else. */

import { randomUUID } from "node:crypto";
import { type GcOptions, openRegistry } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { collectInParts, type PartedRun, type PartJob, runPart, Suspension } from "oci-registry-gc/parts";
import { type Descriptor, RegistryBuilder } from "oci-registry-gc/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { contentOf } from "../support/stores.js";

const MINUTE = 60_000;
const DAY = 86_400_000;
const LOCK = "/docker/registry/lockfiles/gc-in-progress";

let now: number;
let driver: MemoryDriver;
let builder: RegistryBuilder;
let old: Descriptor;
beforeEach(async () => {
  now = Date.UTC(2026, 0, 1);
  driver = new MemoryDriver({ now: () => now });
  builder = new RegistryBuilder(driver);
  old = await builder.layer("old");
  await builder.layerLink("a", old.digest);
  await builder.image("a", { layers: [await builder.layer("kept")], tag: "t" });
  now += 10 * DAY;
});

const clock = { now: () => now, sleep: async () => undefined };

async function make(jobs: readonly PartJob[]): Promise<void> {
  for (const job of jobs) await runPart({ driver, registry: openRegistry(driver), ctx: { clock } }, job);
}

function lead(options: GcOptions, parted: Partial<PartedRun>) {
  return collectInParts({ clock }, driver, openRegistry(driver), options, { shards: 2, execute: make, ...parted });
}

/** Makes all parts until a stage of this kind comes, and lets go of the run then. */
const until = (stage: string) => async (jobs: readonly PartJob[]) => {
  if (jobs[0]?.stage.startsWith(stage) === true) throw new Suspension("nobody is left");
  await make(jobs);
};

const DEGREES: readonly [string, GcOptions, string][] = [
  ["readOnly", { readOnly: true }, "sweep."],
  ["grace", { quarantine: false }, "sweep."],
  ["quarantine, at once", { quarantineMs: 0 }, "purge"],
];

describe.each(DEGREES)("%s: whoever takes up a run that nobody has kept alive", (_, degree, stage) => {
  const options = { removeUntagged: true, maxDeleteRatio: 1, drainMs: 0, ...degree };

  test("for more than five minutes is refused: its plan may be of yesterday", async () => {
    const runId = randomUUID();
    await expect(lead(options, { runId, execute: until(stage) })).rejects.toBeInstanceOf(Suspension);
    const before = await contentOf(driver);
    // A client has been told that the layer is there, and puts an image that needs it.
    await builder.image("a", { layers: [old], tag: "new" });
    now += 5 * MINUTE + 1;
    const refused = lead(options, { runId });
    await expect(refused).rejects.toMatchObject({ code: "LOCKED" });
    await expect(refused).rejects.toThrow(/was last kept alive 300 seconds ago: .* begin a new run/);
    const after = await contentOf(driver);
    expect([...before.keys()].filter((path) => !after.has(path))).toEqual([]);
  });

  test("is refused each of its parts, too, by a queue that still holds them", async () => {
    const runId = randomUUID();
    const held: PartJob[] = [];
    const execute = async (jobs: readonly PartJob[]) => {
      if (jobs[0]?.stage.startsWith(stage) !== true) return make(jobs);
      held.push(...jobs);
      throw new Suspension("nobody is left");
    };
    await expect(lead(options, { runId, execute })).rejects.toBeInstanceOf(Suspension);
    expect(held.length).toBeGreaterThan(0);
    now += DAY;
    const before = await contentOf(driver);
    for (const job of held) await expect(make([job])).rejects.toMatchObject({ code: "LOCKED" });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("and of which what its parts left is half taken away, is refused", async () => {
    const runId = randomUUID();
    await expect(lead(options, { runId, execute: until(stage) })).rejects.toBeInstanceOf(Suspension);
    const lockValue = [...(await contentOf(driver)).keys()].find((path) => path.endsWith(`/${runId}/parts/lock.value`)) ?? "";
    await driver.delete(lockValue);
    await driver.delete(LOCK);
    await builder.image("a", { layers: [old], tag: "new" });
    now += 5 * MINUTE + 1;
    const before = await contentOf(driver);
    await expect(lead(options, { runId })).rejects.toMatchObject({ code: "LOCKED" });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("for less than that goes on", async () => {
    const runId = randomUUID();
    await expect(lead(options, { runId, execute: until(stage) })).rejects.toBeInstanceOf(Suspension);
    now += 4 * MINUTE;
    expect(await lead(options, { runId })).toMatchObject({ status: "completed", deleted: { blobs: 1 } });
    expect((await contentOf(driver)).has(LOCK)).toBe(false);
  });
});

describe("cancelled while nobody leads it, and taken up to be ended", () => {
  const options = { removeUntagged: true, maxDeleteRatio: 1, drainMs: 0 };
  const reason = new Error("the operator cancels");
  const aborted = (parted: Partial<PartedRun>, signal = AbortSignal.abort(reason)) =>
    collectInParts({ clock, signal }, driver, openRegistry(driver), options, { shards: 2, execute: make, ...parted });

  /** Moves garbage aside, all or the first part's, and lets go of the run. */
  async function goAside(runId: string, made = Number.POSITIVE_INFINITY): Promise<readonly PartJob[]> {
    for (let i = 0; i < 8; i++) await builder.layer(`garbage ${i}`);
    now += 10 * DAY;
    const held: PartJob[] = [];
    const execute = async (jobs: readonly PartJob[]) => {
      if (jobs[0]?.stage !== "aside.blobs") return make(jobs);
      await make(jobs.slice(0, made));
      held.push(...jobs.slice(made));
      throw new Suspension("all wait");
    };
    await expect(lead(options, { runId, execute })).rejects.toBeInstanceOf(Suspension);
    return held;
  }

  const registryOf = (files: ReadonlyMap<string, string>) => new Map([...files].filter(([path]) => !path.includes("/_gc/")));

  test.each([1, 2])("puts back what it took, gives its lock back, and reports (%i parts made)", async (made) => {
    const runId = randomUUID();
    const held = await goAside(runId, made);
    const aside = [...(await contentOf(driver)).keys()].filter((path) => path.includes(`/_gc/${runId}/blobs/`)).length;
    expect(aside).toBeGreaterThan(0);
    const ended: unknown[] = [];
    await expect(aborted({ runId, ended: async (report) => void ended.push(report) })).rejects.toBe(reason);
    expect(ended).toMatchObject([
      {
        status: "aborted",
        eligible: { blobs: 9 },
        quarantined: { blobs: 0 },
        restored: { blobs: aside },
        deleted: { blobs: 0, layerLinks: 0 },
      },
    ]);
    const after = await contentOf(driver);
    expect(after.has(LOCK)).toBe(false);
    expect([...after.keys()].filter((path) => path.includes("/parts/") || (path.includes("/_gc/") && path.includes("/blobs/")))).toEqual(
      [],
    );
    for (let i = 0; i < 8; i++) expect([...after.values()]).toContain(`layer garbage ${i}`);
    // Whom the queue still gives a part of it makes none.
    for (const job of held) await make([job]).catch(() => undefined);
    expect(registryOf(await contentOf(driver))).toEqual(registryOf(after));
  });

  test("though what a part of the open stage left is damaged", async () => {
    const runId = randomUUID();
    await goAside(runId, 1);
    const done = [...(await contentOf(driver)).keys()].find((path) => path.endsWith("/aside.blobs/0.done")) ?? "";
    await driver.putContent(done, Buffer.from("nonsense"));
    await expect(aborted({ runId })).rejects.toBe(reason);
    const after = await contentOf(driver);
    expect(after.has(LOCK)).toBe(false);
    for (let i = 0; i < 8; i++) expect([...after.values()]).toContain(`layer garbage ${i}`);
    expect([...after.keys()].filter((path) => path.includes("/_gc/") && path.includes("/blobs/"))).toEqual([]);
  });

  test("and no worker who is late takes anything away again, while that goes back", async () => {
    const runId = randomUUID();
    const held = await goAside(runId, 1);
    expect(held.length).toBeGreaterThan(0);
    const { move } = driver;
    let isLate = false;
    driver.move = async (...args) => {
      if (!isLate) {
        isLate = true;
        await make(held);
      }
      return move.apply(driver, args);
    };
    await expect(aborted({ runId })).rejects.toBe(reason);
    expect(isLate).toBe(true);
    const after = [...(await contentOf(driver)).keys()];
    expect(after.filter((path) => path.includes("/_gc/") && path.includes("/blobs/"))).toEqual([]);
  });

  test("and tells what its parts had deleted by then, whoever had not closed their stage", async () => {
    for (let i = 0; i < 8; i++) await builder.layer(`garbage ${i}`);
    const runId = randomUUID();
    const quiesced = { ...options, readOnly: true };
    const before = (await contentOf(driver)).size;
    const execute = async (jobs: readonly PartJob[]) => {
      await make(jobs);
      if (jobs[0]?.stage === "sweep.blobs") throw new Suspension("all wait");
    };
    await expect(lead(quiesced, { runId, execute })).rejects.toBeInstanceOf(Suspension);
    const ended: unknown[] = [];
    const signal = AbortSignal.abort(reason);
    const cancelled = collectInParts({ clock, signal }, driver, openRegistry(driver), quiesced, {
      ...{ shards: 2, execute: make, runId },
      ended: async (report) => void ended.push(report),
    });
    await expect(cancelled).rejects.toBe(reason);
    expect(ended).toMatchObject([{ status: "aborted", eligible: { blobs: 9 }, deleted: { blobs: 9, layerLinks: 1 } }]);
    expect((await contentOf(driver)).size).toBe(before - 10);
  });

  test("and tells what the attempt had deleted that came farthest, where a part was broken off twice", async () => {
    for (let i = 0; i < 8; i++) await builder.layer(`garbage ${i}`);
    const runId = randomUUID();
    Object.assign(driver, { deleteFiles: undefined });
    const before = (await contentOf(driver)).size;
    const remove = driver.delete;
    /** Whoever makes the part is stopped by what he is told when he has deleted so many blobs. */
    const stoppedAt =
      (count: number, why: Error): PartedRun["execute"] =>
      async (jobs) => {
        if (jobs[0]?.stage !== "sweep.blobs") return make(jobs);
        const control = new AbortController();
        let deleted = 0;
        driver.delete = async (path, ...rest) => {
          if (++deleted === count) control.abort(why);
          return remove.apply(driver, [path, ...rest]);
        };
        const ctx = { clock, signal: control.signal };
        for (const job of jobs) await runPart({ driver, registry: openRegistry(driver), ctx }, job).finally(() => (driver.delete = remove));
      };
    const one = { runId, shards: 1 };
    const quiesced = { ...options, readOnly: true, concurrency: 1 };
    const paused = new Suspension("all wait");
    await expect(lead(quiesced, { ...one, execute: stoppedAt(2, paused) })).rejects.toBe(paused);
    const ended: unknown[] = [];
    const cancelled = lead(quiesced, { ...one, execute: stoppedAt(5, reason), ended: async (report) => void ended.push(report) });
    await expect(cancelled).rejects.toBe(reason);
    const gone = before - (await contentOf(driver)).size - 1;
    expect(gone).toBeGreaterThanOrEqual(4);
    expect(ended).toMatchObject([{ eligible: { blobs: 9 }, deleted: { blobs: gone, layerLinks: 1 } }]);
  });

  test.each<[string, GcOptions, string]>([
    ["readOnly", { readOnly: true }, "sweep.blobs"],
    ["quarantine", {}, "aside.blobs"],
  ])("a worker who writes its lock when it has ended gives that back, and changes nothing: %s", async (_, degree, stage) => {
    const runId = randomUUID();
    const control = new AbortController();
    const { putContent } = driver;
    let late: Promise<unknown> = Promise.resolve();
    let goOn: () => void = () => undefined;
    const execute = async (jobs: readonly PartJob[]) => {
      if (jobs[0]?.stage !== stage) return make(jobs);
      // He has seen that the lock is the run's, and is about to show it alive.
      const written = new Promise<void>((resolve) => {
        driver.putContent = async (path, ...rest) => {
          if (path === LOCK) {
            driver.putContent = putContent;
            resolve();
            await new Promise<void>((go) => (goOn = go));
          }
          return putContent.apply(driver, [path, ...rest]);
        };
      });
      late = make(jobs).catch((error: unknown) => error);
      await written;
      control.abort(reason);
      throw reason;
    };
    const parted = { shards: 2, runId, execute };
    const run = collectInParts({ clock, signal: control.signal }, driver, openRegistry(driver), { ...options, ...degree }, parted);
    await expect(run).rejects.toBe(reason);
    const before = await contentOf(driver);
    expect(before.has(LOCK)).toBe(false);
    goOn();
    await late;
    expect(await contentOf(driver)).toEqual(before);
  });

  test("by a signal that fires while it is told again, too", async () => {
    const runId = randomUUID();
    await goAside(runId, 1);
    const control = new AbortController();
    const { stat } = driver;
    let calls = 0;
    driver.stat = (...args) => {
      if (++calls === 5) control.abort(reason);
      return stat.apply(driver, args);
    };
    const ended: unknown[] = [];
    await expect(aborted({ runId, ended: async (report) => void ended.push(report) }, control.signal)).rejects.toBe(reason);
    expect(ended).toMatchObject([{ status: "aborted", eligible: { blobs: 9 }, quarantined: { blobs: 0 } }]);
    const after = await contentOf(driver);
    expect(after.has(LOCK)).toBe(false);
    for (let i = 0; i < 8; i++) expect([...after.values()]).toContain(`layer garbage ${i}`);
  });

  test("by a clock that is wrong it is refused, and puts back all the same", async () => {
    const runId = randomUUID();
    await goAside(runId, 1);
    const wrong = { now: () => now - DAY, sleep: async () => undefined };
    const refused = collectInParts({ clock: wrong }, driver, openRegistry(driver), options, { shards: 2, execute: make, runId });
    await expect(refused).rejects.toMatchObject({ code: "CLOCK_SKEW" });
    const after = await contentOf(driver);
    expect(after.has(LOCK)).toBe(false);
    for (let i = 0; i < 8; i++) expect([...after.values()]).toContain(`layer garbage ${i}`);
  });

  test("where its lock is another's by now nothing is touched", async () => {
    const runId = randomUUID();
    await goAside(runId, 1);
    await driver.putContent(LOCK, Buffer.from(JSON.stringify({ runId: "another", host: "h", pid: 1, startedAt: new Date(now) })));
    const before = await contentOf(driver);
    await expect(aborted({ runId })).rejects.toBe(reason);
    expect(await contentOf(driver)).toEqual(before);
  });
});

test("where the storage tells no times, nobody knows how old a lock is: a run that is taken up is refused", async () => {
  const runId = randomUUID();
  await expect(lead({ readOnly: true }, { runId, execute: until("sweep.") })).rejects.toBeInstanceOf(Suspension);
  const { stat } = driver;
  driver.stat = async (...args) => ({ ...(await stat.apply(driver, args)), modTime: undefined });
  await expect(lead({ readOnly: true }, { runId })).rejects.toThrow(/kept alive at a time that the storage does not tell/);
});

test("a dry run changes nothing, and is gone on with however late", async () => {
  const runId = randomUUID();
  await expect(lead({ dryRun: true }, { runId, execute: until("mark") })).rejects.toBeInstanceOf(Suspension);
  now += DAY;
  expect(await lead({}, { runId })).toMatchObject({ status: "completed", dryRun: true });
});

describe("asked for with other options than it was begun with", () => {
  test.each([
    [{ dryRun: true }, /was begun with dryRun: false, not true/],
    [{ removeUntagged: false }, /was begun with removeUntagged: true, not false/],
    [{ gracePeriodMs: 5 }, /was begun with gracePeriodMs: 0, not 5/],
  ])("%j, a run is refused, and nothing goes", async (other, message) => {
    const runId = randomUUID();
    await expect(lead({ readOnly: true, removeUntagged: true }, { runId, execute: until("sweep.") })).rejects.toBeInstanceOf(Suspension);
    const before = await contentOf(driver);
    await expect(lead(other, { runId })).rejects.toThrow(TypeError);
    await expect(lead(other, { runId })).rejects.toThrow(message);
    expect(await contentOf(driver)).toEqual(before);
    await expect(lead({}, { runId, shards: 4 })).rejects.toThrow(/was begun with shards: 2, not 4/);
    await expect(lead({}, { runId, needs: ["keep"] })).rejects.toThrow(/was begun with needs: \[\], not \["keep"\]/);
    // The same, in other words.
    expect(await lead({ removeUntagged: true, dryRun: false }, { runId })).toMatchObject({ status: "completed", deleted: { blobs: 1 } });
  });
});
