/** Attacks on a run in parts by who comes late, holds the lock, or sees something else; and by numbers. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import type { DeletedItem, PlannedItem } from "oci-registry-gc";
import { openRegistry } from "oci-registry-gc";
import { runPart } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { push } from "../support/tree.js";
import { digestOf } from "../support/world.js";
import { collectParted, collectSingle, countsOf, DEGREES, image, lay, leftOf, PARTS, partFiles, watched } from "./attackers.js";

/** Of all parts before which the lock is attacked, every how many is tried; 1: all. */
const STEP = Number(process.env["STEP"] ?? 11);
const LOCK = "/docker/registry/lockfiles/gc-in-progress";

describe("a worker that falls asleep in a part which another then makes", () => {
  test.each(DEGREES)("does no harm when it wakes, %s", async (_, options) => {
    const whole = await lay();
    const expected = countsOf(await collectParted(whole.world, options));
    const end = await leftOf(whole.world);
    const stages = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.nat(40), fc.nat(30), async (sleepAt, part, wakeAfter) => {
        const { world, live } = await lay();
        let parts = 0;
        let wake = () => {};
        let asleep: Promise<unknown> | undefined;
        const report = await collectParted(world, options, {
          make: async (worker, job) => {
            parts++;
            if (parts === part + wakeAfter) wake();
            if (parts !== part) return runPart(worker, job);
            let calls = 0;
            const morning = new Promise<void>((resolve) => {
              wake = resolve;
            });
            const sleepy = watched(worker.driver, async () => {
              if (++calls >= sleepAt) await morning;
            });
            stages.add(job.stage);
            asleep = runPart({ ...worker, driver: sleepy, registry: openRegistry(sleepy) }, job).catch((error: unknown) => error);
            await new Promise((resolve) => setImmediate(resolve));
            return runPart(worker, job);
          },
        });
        wake();
        await asleep;
        expect(countsOf(report)).toEqual(expected);
        const files = await world.files();
        for (const path of live) expect(files.has(path), path).toBe(true);
        // Directories of what woke up after the end may be left; nothing of the registry's is.
        expect((await leftOf(world)).filter((path) => path !== LOCK)).toEqual(end);
      }),
      { numRuns: Number(process.env["RUNS"] ?? 8), seed: 5 },
    );
    expect(stages.size).toBeGreaterThan(2);
  });
});

describe("the lock", () => {
  test.each([
    ["taken over", async (world: Awaited<ReturnType<typeof lay>>["world"]) => world.put(LOCK, "another's")],
    ["taken away", async (world: Awaited<ReturnType<typeof lay>>["world"]) => world.driver.delete(LOCK)],
  ])("%s before any stage ends the run; nothing is lost, and the next one goes on", async (_, attack) => {
    const whole = await lay();
    let count = 0;
    await collectParted(whole.world, { quarantineMs: 0 }, { make: async (worker, job) => (count++, runPart(worker, job)) });
    for (let at = 1; at <= count; at += STEP) {
      const { world, live } = await lay();
      let parts = 0;
      const make: typeof runPart = async (worker, job) => {
        if (++parts === at) await attack(world);
        return runPart(worker, job);
      };
      const work = collectParted(world, { quarantineMs: 0 }, { make });
      await expect(work, `at part ${at}`).rejects.toMatchObject({ code: "LOCKED" });
      const files = await contentOf(world.driver);
      if (_ === "taken over") expect(files.get(LOCK)).toBe("another's");
      for (const path of live) expect(files.has(path), `${path}, at part ${at}`).toBe(true);
      world.now += 10 * 60_000;
      await collectParted(world, { quarantineMs: 0 });
      const after = await world.files();
      for (const path of live) expect(after.has(path), path).toBe(true);
    }
  });

  test("a run beside it is refused, single or in parts; a single dry run is not", async () => {
    const { world } = await lay();
    let told = 0;
    await collectParted(
      world,
      {},
      {
        make: async (worker, job) => {
          if (job.stage === "aside.blobs" && told++ === 0) {
            await expect(collectSingle(world, {})).rejects.toMatchObject({ code: "LOCKED" });
            await expect(collectParted(world, {})).rejects.toMatchObject({ code: "LOCKED" });
            expect((await collectSingle(world, { dryRun: true })).status).toBe("completed");
          }
          await runPart(worker, job);
        },
      },
    );
    expect(told).toBe(2);
  });
});

describe("hooks", () => {
  test.each(DEGREES)("onDeleted is told of exactly what has gone, %s", async (_, options) => {
    const [one, other] = [await lay(), await lay()];
    const [single, parted]: [DeletedItem[], DeletedItem[]] = [[], []];
    const tell = (told: DeletedItem[]) => (items: readonly DeletedItem[]) => void told.push(...items);
    await collectSingle(one.world, { ...options, onDeleted: tell(single) } as typeof options);
    await collectParted(other.world, options, { hooks: { onDeleted: tell(parted) } });
    const names = (items: readonly DeletedItem[]) => items.map(({ kind, path, how }) => `${kind} ${path} ${how}`).sort();
    expect(names(parted)).toEqual(names(single));
    expect(parted.length).toBeGreaterThan(5);
  });

  test.each(["keep", "onItem"] as const)("%s that throws ends the run with nothing deleted", async (hook) => {
    for (const [, options] of DEGREES) {
      const { world } = await lay();
      const before = await world.files();
      const wrong = () => {
        throw new Error("the hook's own");
      };
      await expect(collectParted(world, options, { hooks: { [hook]: wrong } })).rejects.toThrow("the hook's own");
      expect(await world.files()).toEqual(before);
      expect(await partFiles(world)).toEqual([]);
    }
  });

  test("onItem is told what the plan has, once each", async () => {
    const [one, other] = [await lay(), await lay()];
    const [single, parted]: [string[], string[]] = [[], []];
    const tell = (told: string[]) => (item: PlannedItem) => void told.push(JSON.stringify(item));
    await collectSingle(one.world, { onItem: tell(single) } as object);
    await collectParted(other.world, {}, { hooks: { onItem: tell(parted) } });
    expect(parted.sort()).toEqual(single.sort());
  });
});

describe("numbers", () => {
  test.each([1, 2, 64])("into %d shards: the same", async (shards) => {
    const [one, other] = [await lay(), await lay()];
    expect(countsOf(await collectParted(other.world, {}, { shards }))).toEqual(countsOf(await collectSingle(one.world, {})));
    expect(await leftOf(other.world)).toEqual(await leftOf(one.world));
  });

  test("many repositories with names that begin alike: the same", async () => {
    const worlds = [await lay(), await lay()];
    for (const { world } of worlds) {
      const now = world.now;
      world.now -= 30 * DAY;
      for (let i = 0; i < 60; i++) {
        const name = ["x", "x-", "x/y", "xx"][i % 4]! + String(i % 7) + (i % 5 === 0 ? `/z${i}` : "");
        const layer = createHash("sha256")
          .update(String(i % 11))
          .digest("hex");
        await push(
          (path, content) => world.put(path, content),
          name,
          image(layer, "shared"),
          [layer, "shared"],
          i % 3 === 0 ? "t" : undefined,
        );
      }
      world.now = now;
    }
    const single = await collectSingle(worlds[0]!.world, { readOnly: true });
    expect(countsOf(await collectParted(worlds[1]!.world, { readOnly: true }))).toEqual(countsOf(single));
    expect(single.deleted.manifests).toBeGreaterThan(10);
    expect(await worlds[1]!.world.files()).toEqual(await worlds[0]!.world.files());
  });

  test("an empty registry, and blobs without a repository", async () => {
    for (const orphan of [false, true]) {
      const results = [];
      for (const collect of [collectSingle, collectParted]) {
        const { world } = await lay(false);
        await world.driver.delete("/docker");
        if (orphan) await world.put(`/docker/registry/v2/blobs/sha256/${digestOf("o").slice(7, 9)}/${digestOf("o").slice(7)}/data`, "o");
        results.push(await collect(world, {}).then(countsOf, (error: unknown) => (error as { code: string }).code));
        expect([...(await contentOf(world.driver)).keys()].filter((path) => PARTS.test(path))).toEqual([]);
      }
      expect(results[1]).toEqual(results[0]);
    }
  });
});
