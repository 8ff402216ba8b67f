/** The collector against a naive oracle, on random registries. RUNS says how many. */

import fc from "fast-check";
import { type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { reachable as judge, type OracleOptions, type Snapshot } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, flatStore, leastStore, memoryStore, type Store } from "../support/stores.js";
import { layOutRecipe, recipe } from "./registries.js";

const RUNS = Number(process.env["RUNS"] ?? 400);
const options: fc.Arbitrary<OracleOptions> = fc.record({
  removeUntagged: fc.boolean(),
  referrers: fc.constantFrom("keep-with-subject", "ignore"),
  removeLayerLinks: fc.boolean(),
});
const makeStore = fc.constantFrom(memoryStore, flatStore, leastStore);

async function fill(files: ReadonlyMap<string, string>, store: Store): Promise<Store> {
  for (const [path, content] of files) await store.put(path, content);
  return store;
}

async function collect(driver: StorageDriver, more: GcOptions): Promise<GcReport & { code?: string }> {
  try {
    return await markAndSweep({}, driver, openRegistry(driver), { readOnly: true, maxDeleteRatio: 1, ...more });
  } catch (error) {
    const { code, report } = error as { code?: string; report?: GcReport };
    if (report === undefined || code === undefined) throw error;
    return { ...report, code };
  }
}

const asSnapshot = (files: ReadonlyMap<string, string>): Snapshot => ({
  files: new Map([...files].map(([path, content]) => [path, { bytes: Buffer.from(content) }])),
  directories: new Set(),
});
const reachable = (snapshot: Snapshot, chosen: OracleOptions) => {
  const verdict = judge(snapshot, chosen);
  return { ...verdict, isUnknowable: verdict.refusal === "DAMAGED" };
};
const left = async (driver: StorageDriver) => new Set((await contentOf(driver)).keys());

describe("on random registries", () => {
  test("a run removes exactly what the oracle says, a dry run foretells it, and a second run finds nothing", async () => {
    await fc.assert(
      fc.asyncProperty(recipe, options, makeStore, async (each, chosen, make) => {
        const files = layOutRecipe(each);
        const verdict = reachable(asSnapshot(files), chosen);
        const { driver } = await fill(files, make());

        const dry = await collect(driver, { ...chosen, dryRun: true });
        expect(await left(driver)).toEqual(new Set(files.keys()));

        const real = await collect(driver, chosen);
        if (isRefused(files, verdict.isUnknowable, real)) return;
        expect(await left(driver)).toEqual(new Set([...files.keys()].filter((path) => !verdict.removed.has(path))));
        expect(real.eligible).toEqual(dry.eligible);
        expect(real.deleted).toEqual(real.eligible);
        expect(await collect(driver, chosen)).toMatchObject({ eligible: { blobs: 0, manifests: 0, layerLinks: 0, tagIndexEntries: 0 } });
      }),
      { numRuns: RUNS, seed: 1 },
    );
  });

  test("onDamage: abort deletes nothing wherever there is damage", async () => {
    await fc.assert(
      fc.asyncProperty(recipe, options, async (each, chosen) => {
        const files = layOutRecipe(each);
        const { driver } = await fill(files, memoryStore());
        const protecting = await collect(driver, { ...chosen, dryRun: true });
        const aborting = await collect(driver, { ...chosen, onDamage: "abort" });
        if (protecting.problemCount === 0) return;
        expect(aborting).toMatchObject({ code: "DAMAGED", status: "refused", problemCount: protecting.problemCount });
        expect(await left(driver)).toEqual(new Set(files.keys()));
      }),
      { numRuns: RUNS / 2, seed: 2 },
    );
  });

  test("a driver that fails at any call: before the sweep nothing is deleted, and what is alive stays ever after", async () => {
    await fc.assert(
      fc.asyncProperty(recipe, options, fc.integer({ min: 1, max: 120 }), fc.boolean(), async (each, chosen, at, forever) => {
        const files = layOutRecipe(each);
        const verdict = reachable(asSnapshot(files), chosen);
        const { driver } = await fill(files, memoryStore());
        let calls = 0;
        let changes = 0;
        const failing = failingAt(
          driver,
          () => ++calls === at || (forever && calls > at),
          () => changes++,
        );
        const report = await collect(failing, chosen);
        const there = await left(driver);
        for (const path of files.keys()) if (!verdict.removed.has(path)) expect(there.has(path)).toBe(true);
        if (report.status === "aborted" && changes === 0) expect([...files.keys()].filter((path) => !there.has(path))).toEqual([]);

        // A run that died leaves its lock, which is taken over after five minutes.
        await driver.delete("/docker/registry/lockfiles").catch(() => undefined);
        await collect(driver, chosen);
        const after = await left(driver);
        expect(after).toEqual(
          new Set([...files.keys()].filter((path) => !verdict.removed.has(path) || isKeptByGuard(files, verdict.isUnknowable))),
        );
      }),
      { numRuns: RUNS, seed: 3 },
    );
  });
});

function isRefused(files: ReadonlyMap<string, string>, isUnknowable: boolean, report: GcReport & { code?: string }): boolean {
  if (isUnknowable) expect(report).toMatchObject({ code: "DAMAGED", status: "refused" });
  else if (isKeptByGuard(files, false)) expect(report).toMatchObject({ code: "EMPTY_MARK" });
  else expect(report.status).toBe("completed");
  return report.code !== undefined;
}

/** No repository at all. */
function isKeptByGuard(files: ReadonlyMap<string, string>, isUnknowable: boolean): boolean {
  return isUnknowable || ![...files.keys()].some((path) => /\/repositories\/[^_]+\/_(manifests|layers|uploads)\//.test(path));
}

function failingAt(driver: StorageDriver, fails: () => boolean, changed: () => void): StorageDriver {
  return new Proxy(driver, {
    get(target, member) {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== "function") return value;
      const isChange = ["delete", "deleteFiles", "putContent", "pruneDirectories", "move"].includes(String(member));
      return (...parameters: unknown[]): unknown => {
        if (fails()) {
          const error = new Error("EIO");
          return member === "list" ? { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) } : Promise.reject(error);
        }
        if (isChange && member !== "putContent" && !String(parameters[0]).includes("lockfiles")) changed();
        return Reflect.apply(value, target, parameters);
      };
    },
  });
}
