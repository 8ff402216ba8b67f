/** A run in parts against a single run, on random registries: the same goes, and the same is counted. RUNS says how many. */

import fc from "fast-check";
import { markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import type { PartedOptions } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { layOutRecipe, recipe } from "../property/registries.js";
import { flatStore, memoryStore } from "../support/stores.js";
import { collectInProcess } from "./inProcess.js";
import { fill, options, outcomeOf } from "./outcomes.js";

const RUNS = Number(process.env["RUNS"] ?? 120);

const single = (driver: StorageDriver, chosen: PartedOptions) => outcomeOf(driver, markAndSweep({}, driver, openRegistry(driver), chosen));
const parted = (driver: StorageDriver, chosen: PartedOptions, shards: number) =>
  outcomeOf(driver, collectInProcess(driver, chosen, { shards }));

describe("on random registries, a run in parts", () => {
  test.each([
    ["a store with directories", memoryStore],
    ["a flat store", flatStore],
  ])("removes and counts what a single run does, on %s", async (_, make) => {
    await fc.assert(
      fc.asyncProperty(recipe, options, fc.constantFrom(1, 4, 32), fc.constantFrom(0, 10, 50), async (each, chosen, shards, young) => {
        const files = layOutRecipe(each);
        const one = await fill(files, make(), young);
        const other = await fill(files, make(), young);
        expect(await parted(other, chosen, shards)).toEqual(await single(one, chosen));
      }),
      { numRuns: RUNS, seed: 11 },
    );
  });

  test("goes on with what single runs put aside, and they with what it did", async () => {
    await fc.assert(
      fc.asyncProperty(
        recipe,
        options,
        options,
        fc.boolean(),
        fc.constantFrom(0, 20),
        async (each, first, second, isFirstParted, young) => {
          const files = layOutRecipe(each);
          const one = await fill(files, memoryStore(), young);
          const other = await fill(files, memoryStore(), young);
          const before = { ...first, dryRun: false, readOnly: false, quarantine: true };
          await single(one, before);
          if (isFirstParted) await parted(other, before, 4);
          else await single(other, before);
          expect(await parted(other, second, 4)).toEqual(await single(one, second));
        },
      ),
      { numRuns: RUNS, seed: 12 },
    );
  });
});
