/** Attacks on a run in parts: what its parts find on the storage is damaged, they are made twice, late, or by workers that die. */

import { randomUUID } from "node:crypto";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { type PartedOptions, type PartJob, type PartWorker, runPart } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { contentOf, filesystemStore } from "../support/stores.js";
import { push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, type World } from "../support/world.js";
import { collectParted, collectSingle, countsOf, DEGREES, dying, image, lay, leftOf, PARTS, partFiles, watched } from "./attackers.js";
import { collectInProcess } from "./inProcess.js";

/** Of all calls at which somebody may die, every how many is tried; 1: all. */
const STEP = Number(process.env["STEP"] ?? 7);

describe("the small registry of these tests", () => {
  test.each(DEGREES)("is collected alike by both, %s", async (_, options) => {
    const [one, other] = [await lay(), await lay()];
    const single = await collectSingle(one.world, options);
    const parted = await collectParted(other.world, options);
    expect(countsOf(parted)).toEqual(countsOf(single));
    expect(parted.eligible.blobs).toBeGreaterThan(3);
    if (options.readOnly !== true) expect(await leftOf(other.world)).toEqual(await leftOf(one.world));
    const files = await other.world.files();
    for (const path of other.live) expect(files.has(path), path).toBe(true);
    expect(await partFiles(other.world)).toEqual([]);
  });
});

describe("what a caller may get wrong", () => {
  test("a run's id that its quarantine would not be found by is refused", async () => {
    for (const runId of ["my_run", "a/b", "../x", "", "x".repeat(65)]) {
      const { world } = await lay(false);
      const before = await contentOf(world.driver);
      await expect(collectParted(world, {}, { runId })).rejects.toThrow(TypeError);
      expect(await contentOf(world.driver)).toEqual(before);
    }
  });

  test("hooks that only workers can have are refused as options", async () => {
    const { world } = await lay(false);
    for (const wrong of [{ keep: () => true }, { barrier: {} }, { onItem: () => undefined }, { onDeleted: () => undefined }]) {
      await expect(collectParted(world, wrong as PartedOptions)).rejects.toThrow(TypeError);
    }
  });

  test("the id of a run that is over gets a number: its journal says what lies aside", async () => {
    const { world } = await lay(false);
    const runId = randomUUID();
    await collectParted(world, {}, { runId });
    const before = await contentOf(world.driver);
    await push((path, content) => world.put(path, content), "a", image("later"), ["later"]);
    world.now += 3 * 86_400_000;
    expect((await collectParted(world, {}, { runId })).runId).toBe(`${runId}-2`);
    const after = await contentOf(world.driver);
    const aside = [...before].filter(([path]) => path.includes(runId));
    expect(aside.length).toBeGreaterThan(1);
    for (const [path, content] of aside) expect(after.get(path)).toBe(content);
  });

  test("two that lead a run of one id, begun at once with other options, don't mix", async () => {
    const { world } = await lay(false);
    const before = await world.files();
    const runId = randomUUID();
    const [dry] = await Promise.allSettled([collectParted(world, { dryRun: true }, { runId }), collectParted(world, {}, { runId })]);
    if (dry.status === "fulfilled") expect(await world.files()).toEqual(before);
  });
});

test("a repository whose layers are another's by a symbolic link", async () => {
  const reports: GcReport[] = [];
  for (const isParted of [false, true]) {
    const store = filesystemStore();
    const put = (path: string, content: string) => store.put(path, content);
    await push(put, "a", image("x", "y"), ["x", "y"], "latest");
    await push(put, "b", image("z"), ["z"]);
    await store.driver.delete(`${repo("b")}/_layers`);
    await symlink(join(store.folder, repo("a"), "_layers"), join(store.folder, repo("b"), "_layers"));
    const options = { removeUntagged: true, readOnly: true };
    if (isParted) reports.push(await collectInProcess(store.driver, options));
    else reports.push(await markAndSweep({}, store.driver, openRegistry(store.driver), options));
    const files = await contentOf(store.driver);
    for (const layer of ["x", "y"]) expect([...files.keys()]).toContain(`${repo("a")}/_layers/sha256/${digestOf(layer).slice(7)}/link`);
  }
  expect(countsOf(reports[1]!)).toEqual(countsOf(reports[0]!));
});

test("a dry run tells of a journal that can't be read", async () => {
  const { world } = await lay();
  for (const path of (await contentOf(world.driver)).keys()) if (path.includes("/journal/")) await world.put(path, "nonsense");
  const single = await collectSingle(world, { dryRun: true });
  const parted = await collectParted(world, { dryRun: true });
  expect(single.problemCount).toBeGreaterThan(0);
  expect(countsOf(parted)).toEqual(countsOf(single));
});

describe("workers that die", () => {
  test.each(DEGREES)("at any call, after which their part is made again: the same comes of it, %s", async (_, options) => {
    const whole = await lay();
    const expected = countsOf(await collectParted(whole.world, options));
    const end = await leftOf(whole.world);
    for (let n = 1; ; n += STEP) {
      const { world } = await lay();
      let most = 0;
      const report = await collectParted(world, options, {
        make: async (worker, job) => {
          const mortal = dying(worker.driver, n);
          await runPart({ ...worker, driver: mortal.driver, registry: openRegistry(mortal.driver) }, job).catch(() => undefined);
          most = Math.max(most, mortal.calls());
          if (mortal.calls() >= n) await runPart(worker, job);
        },
      });
      expect(countsOf(report), `dead before call ${n}`).toEqual(expected);
      expect(await leftOf(world)).toEqual(end);
      if (most < n) break;
    }
  });
});

test("a push that a worker's removal crosses is kept, though the worker dies before he has looked", async () => {
  const { world } = await lay();
  const manifest = image("old 1", "shared");
  const link = revision("old", digestOf(manifest));
  let isCrossed = false;
  await collectParted(
    world,
    {},
    {
      make: async (worker, job) => {
        const fate = { isDead: false };
        const mortal = watched(worker.driver, async (method, path) => {
          if (fate.isDead) throw new Error("dead");
          if (method !== "delete" || path !== link || isCrossed) return;
          // Between the look at the link and its removal, a client pushes what it belongs to.
          fate.isDead = true;
          isCrossed = true;
          await push((file, content) => world.put(file, content), "old", manifest, ["old 1", "shared"]);
        });
        await runPart({ ...worker, driver: mortal, registry: openRegistry(mortal) }, job).catch(() => undefined);
        if (fate.isDead) await runPart(worker, job);
      },
    },
  );
  expect(isCrossed).toBe(true);
  const files = await world.files();
  for (const path of [link, blobPath(digestOf(manifest)), blobPath(digestOf("old 1"))]) expect(files.has(path), path).toBe(true);
});

describe("who leads the run dies", () => {
  test.each(DEGREES)("at any call, and is called again: the same comes of it, %s", async (_, options) => {
    const whole = await lay();
    const expected = countsOf(await collectParted(whole.world, options));
    const end = await leftOf(whole.world);
    for (let n = 1; ; n += 5 * STEP) {
      const { world, live } = await lay();
      const runId = randomUUID();
      const mortal = dying(world.driver, n);
      // The workers live on: only who leads it is dead, and breaks nothing off.
      const first = await collectParted(world, options, {
        runId,
        driver: mortal.driver,
        make: (worker, job) => runPart({ ...worker, driver: world.driver, registry: openRegistry(world.driver) }, job),
      }).catch(() => undefined);
      if (first !== undefined) {
        expect(mortal.calls()).toBeGreaterThan(100);
        break;
      }
      const files = await world.files();
      for (const path of live) expect(files.has(path), `${path}, dead before call ${n}`).toBe(true);
      const again = await collectParted(world, options, { runId }).catch((error: unknown) => error);
      if (again instanceof Error) {
        // What had come to its end can't be begun again; the next run finds nothing left to do.
        await collectParted(world, options);
      } else expect(countsOf(again as GcReport), `dead before call ${n}`).toEqual(expected);
      expect(await leftOf(world), `dead before call ${n}`).toEqual(end);
    }
  });
});

/** What may become of a file. `others`: what lies beside it, and what another run of the same wrote there. */
const DAMAGES: Readonly<Record<string, (bytes: Buffer, others: Others) => Buffer | undefined>> = {
  deleted: () => undefined,
  "cut short": (bytes) => bytes.subarray(0, bytes.length >> 1),
  emptied: () => Buffer.alloc(0),
  "one bit flipped": (bytes, { at }) => {
    const changed = Buffer.from(bytes);
    const place = (at * 7919) % bytes.length;
    changed[place] = changed[place]! ^ (1 << (at % 8));
    return changed;
  },
  "another run's": (_, { foreign }) => foreign,
  "another file's": (_, { beside }) => beside,
};

interface Others {
  readonly at: number;
  readonly foreign: Buffer;
  readonly beside: Buffer;
}

/** Files of parts by names that are the same in every run: what attempts wrote, in order. */
async function namedFiles(driver: StorageDriver): Promise<Map<string, readonly [path: string, bytes: Buffer]>> {
  const files = new Map<string, readonly [string, Buffer]>();
  const counts = new Map<string, number>();
  for (const [path, content] of [...(await contentOf(driver))].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!PARTS.test(path)) continue;
    const short = path.replace(/.*\/parts\//, "");
    const [stem = ""] = short.split(/\.[0-9a-f]{8}-/);
    const place = counts.get(stem) ?? 0;
    counts.set(stem, place + 1);
    files.set(short === stem ? short : `${stem}#${place}`, [path, Buffer.from(content, "latin1")]);
  }
  return files;
}

/** Of all files, stages and kinds of damage, every how many is tried; 1: all. */
const DAMAGE_STEP = Number(process.env["DAMAGE_STEP"] ?? 197);

describe("a file of a part that is damaged before any stage", () => {
  test.each(DEGREES)("ends the run, which says which; or is not needed any more, %s", async (_, options) => {
    // Every part is made twice, so that there are attempts that don't count.
    const twice = async (worker: PartWorker, job: PartJob) => {
      await Promise.all([runPart(worker, job), runPart(worker, job)]);
    };
    /** `before(n)`: told before the n-th stage is made. */
    const collect = async (world: World, before: (n: number, stage: string) => Promise<void>) => {
      let stages = 0;
      let stage = "";
      let isReady: Promise<void> | undefined;
      return collectParted(world, options, {
        shards: 1,
        make: async (worker, job) => {
          if (job.stage !== stage) {
            stage = job.stage;
            isReady = before(stages++, stage);
          }
          // The stage's other parts wait, too: what they write is no file from before it.
          await isReady;
          await twice(worker, job);
        },
      });
    };
    const whole = await lay();
    const snapshots: Map<string, readonly [string, Buffer]>[] = [];
    const stages: string[] = [];
    const expected = countsOf(
      await collect(whole.world, async (n, stage) => {
        snapshots[n] = await namedFiles(whole.world.driver);
        stages[n] = stage;
      }),
    );
    const end = await leftOf(whole.world);
    const settled = stages.findIndex((stage) => /^(sweep|settle.putBackLinks|purge)/.test(stage));

    let tried = 0;
    const outcomes = { right: 0, refused: 0 };
    for (const [n, files] of snapshots.entries()) {
      for (const name of files.keys()) {
        for (const [kind, damage] of Object.entries(DAMAGES)) {
          if (tried++ % DAMAGE_STEP !== 0) continue;
          const { world, live } = await lay();
          const start = await contentOf(world.driver);
          let damaged = "";
          let reached = 0;
          const result = await collect(world, async (stage) => {
            reached = stage;
            if (stage !== n) return;
            const now = await namedFiles(world.driver);
            const [path, bytes] = now.get(name)!;
            const all = [...now.values()];
            const [, beside] = all[(tried * 31) % all.length]!;
            const changed = damage(bytes, { at: tried, foreign: files.get(name)![1], beside });
            damaged = path;
            if (changed === undefined) await world.driver.delete(path);
            else await world.driver.putContent(path, changed);
          }).catch((error: unknown) => error);
          const what = `${name} ${kind} before ${stages[n]}`;
          expect(damaged, what).not.toBe("");
          const after = await contentOf(world.driver);
          for (const path of live) expect(after.get(path), `${what}: ${path}`).toBe(start.get(path));
          if (result instanceof Error) {
            outcomes.refused++;
            expect(result.message, what).toContain(damaged.replace(/\.[0-9a-f-]{36}\.\d+$/, ""));
            // Until the first chapter of a sweep or of a purge, nothing is deleted, and all that was put aside is back.
            if (reached < settled || settled < 0) for (const path of start.keys()) expect(after.has(path), `${what}: ${path}`).toBe(true);
          } else {
            outcomes.right++;
            expect(countsOf(result as GcReport), what).toEqual(expected);
            expect(await leftOf(world), what).toEqual(end);
          }
        }
      }
    }
    expect(tried).toBeGreaterThan(1000);
    expect(outcomes.refused).toBeGreaterThan(0);
  });
});
