/** A run in parts against a single run, on random registries: the same goes, and the same is counted. RUNS says how many. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import type { PartedOptions } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { layOutRecipe, recipe } from "../property/registries.js";
import { contentOf, flatStore, memoryStore, type Store } from "../support/stores.js";
import { collectInProcess } from "./inProcess.js";

const RUNS = Number(process.env["RUNS"] ?? 300);

const options: fc.Arbitrary<PartedOptions> = fc.record({
  dryRun: fc.boolean(),
  readOnly: fc.boolean(),
  removeUntagged: fc.boolean(),
  referrers: fc.constantFrom("keep-with-subject", "ignore"),
  removeLayerLinks: fc.boolean(),
  removeEmptyRepositories: fc.boolean(),
  removeUploadsOlderThanMs: fc.constantFrom(0, 86_400_000),
  onDamage: fc.constantFrom("protect", "protect", "abort"),
  quarantine: fc.boolean(),
  quarantineMs: fc.constantFrom(0, 7 * 86_400_000),
  drainMs: fc.constant(0),
  maxDeleteRatio: fc.constant(1),
});

interface Outcome {
  readonly code: string | undefined;
  readonly report: Readonly<Record<string, unknown>>;
  /** Paths with the run's own name taken out. */
  readonly left: readonly string[];
}

async function outcomeOf(driver: StorageDriver, work: Promise<GcReport>): Promise<Outcome> {
  let report: GcReport;
  let code: string | undefined;
  try {
    report = await work;
  } catch (error) {
    ({ code } = error as { code?: string });
    const attached = (error as { report?: GcReport }).report;
    if (attached === undefined) throw error;
    report = attached;
  }
  const all = [...(await contentOf(driver)).keys()].map((path) => path.replaceAll(/_gc\/[0-9a-f-]{36}\//g, "_gc/RUN/"));
  // A journal may be told in more objects.
  const paths = [...new Set(all.map((path) => path.replace(/journal\/\d+/, "journal/N")))];
  const counts: Record<string, unknown> = { ...report };
  for (const own of ["runId", "startedAt", "finishedAt", "durationsMs", "storageCalls"]) Reflect.deleteProperty(counts, own);
  const inOrder = (items: readonly unknown[]) => items.map((item) => JSON.stringify(item)).sort();
  return { code, report: { ...counts, problems: inOrder(report.problems), failures: inOrder(report.failures) }, left: paths.sort() };
}

/** Some files are young, the same ones for the same seed. */
async function fill(files: ReadonlyMap<string, string>, store: Store, young: number): Promise<StorageDriver> {
  for (const [path, content] of files) {
    const chance = createHash("sha256").update(`${young} ${path}`).digest().readUInt8(0) / 256;
    await store.put(path, content, chance * 100 < young ? Date.now() : undefined);
  }
  return store.driver;
}

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
