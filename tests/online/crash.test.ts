/** A crash at every changing call, and a later run: the same end as without the crash, and nothing live missing on the way. */

import { type GcOptions, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { World } from "../support/world.js";

const CHANGES: ReadonlySet<unknown> = new Set(["delete", "deleteFiles", "putContent", "move", "pruneDirectories"]);

/** The driver of a process that dies right before its n-th change, or right after it. */
function dying(driver: StorageDriver, n: number, when: "before" | "after"): { driver: StorageDriver; changes(): number } {
  let changes = 0;
  let isDead = false;
  const proxy = new Proxy(driver, {
    get(target, member) {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== "function") return value;
      if (member === "list") return value.bind(target) as unknown;
      return async (...parameters: unknown[]) => {
        if (isDead) throw new Error("dead");
        if (!CHANGES.has(member) || ++changes !== n) return Reflect.apply(value, target, parameters) as unknown;
        isDead = true;
        if (when === "after") await Reflect.apply(value, target, parameters);
        throw new Error("dead");
      };
    },
  });
  return { driver: proxy, changes: () => changes };
}

/** Later runs, until nothing is left to do. */
async function finish(world: World, options: GcOptions): Promise<void> {
  for (let run = 0; run < 4; run++) {
    world.now += 8 * DAY;
    const report = await world.collect(options);
    expect(report).toMatchObject({ status: "completed", problemCount: 0 });
  }
}

const DEGREES: readonly (readonly [string, GcOptions])[] = [
  ["quiesced", { readOnly: true }],
  ["grace", { quarantine: false }],
  ["quarantine", {}],
  ["quarantine that is purged at once", { quarantineMs: 0 }],
];

describe.each(DEGREES)("%s", (_, options) => {
  test.each(["retag", "lists", "siblings", "signature-step-2"])("%s", async (file) => {
    const whole = await new World().load(file);
    const start = await whole.files();
    await whole.collect(options);
    await finish(whole, options);
    const end = await whole.files();
    const live = [...start.keys()].filter((path) => end.has(path));

    for (const when of ["before", "after"] as const) {
      for (let n = 1; ; n++) {
        const world = await new World().load(file);
        const { driver, changes } = dying(world.driver, n, when);
        const ctx = { clock: world.clock };
        await markAndSweep(ctx, driver, openRegistry(driver), { removeUntagged: true, ...options }).catch(() => undefined);
        const files = await world.files();
        for (const path of live) if (!path.includes("/_layers/")) expect(files.has(path)).toBe(true);
        await finish(world, options);
        expect([...(await world.files()).keys()].sort()).toEqual([...end.keys()].sort());
        if (changes() < n) {
          expect(n).toBeGreaterThan(5);
          break;
        }
      }
    }
  });

  test("a crash while the purge runs", async () => {
    const prepared = async () => {
      const world = await new World().load("lists");
      await world.collect(options);
      world.now += 8 * DAY;
      return world;
    };
    const whole = await prepared();
    await finish(whole, options);
    const end = [...(await whole.files()).keys()].sort();
    for (let n = 1; ; n++) {
      const world = await prepared();
      const { driver, changes } = dying(world.driver, n, "before");
      await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, ...options }).catch(() => undefined);
      await finish(world, options);
      expect([...(await world.files()).keys()].sort()).toEqual(end);
      if (changes() < n) break;
    }
  });
});

/** Everything that lies aside at the end belongs to nobody. */
test("nothing lies aside once everything is purged", async () => {
  const world = await new World().load("lists");
  await finish(world, {});
  expect([...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/_gc/") && path.includes("/blobs/"))).toEqual([]);
});
