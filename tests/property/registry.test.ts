/** The collector against the oracle, on random registries that nothing writes to. */

import fc from "fast-check";
import type { GcReport, StorageDriver } from "oci-registry-gc";
import {
  digestOf,
  InterceptedDriver,
  type OracleOptions,
  ReadOnlyDriver,
  reachable,
  type Snapshot,
  snapshotOf,
  type Verdict,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collect, filesIn, runs, STORES, type StoreName, seed, stocked } from "./pantry.js";
import { cook, HOUR, NOW, type Recipe, recipes, wholeRecipes } from "./recipes.js";

const DAY = 24 * HOUR;
const options: fc.Arbitrary<OracleOptions> = fc.record({
  removeUntagged: fc.boolean(),
  referrers: fc.constantFrom("keep-with-subject", "ignore"),
  removeLayerLinks: fc.boolean(),
  removeUploadsOlderThanMs: fc.constantFrom(undefined, DAY),
});
const oracleOptions = (chosen: OracleOptions, store: StoreName) => ({ ...chosen, now: NOW, seesLayerLinks: store === "flat" });
const stores = fc.constantFrom(...STORES);

describe("a run with readOnly", () => {
  test("removes exactly what the oracle says, a dry run foretells it, and a second run finds nothing", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, options, stores, async (recipe, chosen, store) => {
        const { driver, snapshot } = await prepared(recipe, store);
        const verdict = reachable(snapshot, oracleOptions(chosen, store));

        const watched = new ReadOnlyDriver(driver);
        const dry = await collect(watched, { ...chosen, readOnly: true, dryRun: true });
        expect(watched.refused).toEqual([]);
        const real = await collect(driver, { ...chosen, readOnly: true });
        if (await isUnseen(recipe, store, driver, snapshot, verdict)) return;
        await expectVerdict(driver, snapshot, verdict, real);
        expect(dry.report?.eligible).toEqual(real.report?.eligible);
        expect(dry.report?.kept).toEqual(real.report?.kept);
        if (verdict.refusal !== undefined) return;
        expect(real.report?.deleted).toEqual(real.report?.eligible);

        const second = await collect(driver, { ...chosen, readOnly: true });
        expect(Object.values(second.report!.eligible).every((n) => n === 0) || second.code === "EMPTY_MARK").toBe(true);
      }),
      { numRuns: runs(700), seed: seed(11) },
    );
  });

  test("does so on a file system", async () => {
    await fc.assert(
      fc.asyncProperty(wholeRecipes, options, async (recipe, chosen) => {
        const { driver, snapshot } = await prepared(recipe, "filesystem");
        await expectVerdict(
          driver,
          snapshot,
          reachable(snapshot, oracleOptions(chosen, "filesystem")),
          await collect(driver, { ...chosen, readOnly: true }),
        );
      }),
      { numRuns: runs(25), seed: seed(12) },
    );
  });

  test("does so whatever the order of the listings", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, options, stores, fc.string(), async (recipe, chosen, store, salt) => {
        const { driver, snapshot } = await prepared(recipe, store);
        const verdict = reachable(snapshot, oracleOptions(chosen, store));
        const outcome = await collect(shuffled(driver, salt), { ...chosen, readOnly: true });
        if (!(await isUnseen(recipe, store, driver, snapshot, verdict))) await expectVerdict(driver, snapshot, verdict, outcome);
      }),
      { numRuns: runs(200), seed: seed(13) },
    );
  });

  test("with a grace removes exactly what the oracle says, too", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, options, stores, async (recipe, chosen, store) => {
        const { driver, snapshot } = await prepared(recipe, store);
        const verdict = reachable(snapshot, oracleOptions({ ...chosen, gracePeriodMs: DAY }, store));
        const outcome = await collect(driver, { ...chosen, readOnly: true, gracePeriodMs: DAY });
        if (!(await isUnseen(recipe, store, driver, snapshot, verdict))) await expectVerdict(driver, snapshot, verdict, outcome);
      }),
      { numRuns: runs(400), seed: seed(14) },
    );
  });

  test("with onDamage: abort deletes nothing wherever there is damage", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, options, stores, async (recipe, chosen, store) => {
        const { driver, snapshot } = await prepared(recipe, store);
        const protecting = await collect(driver, { ...chosen, readOnly: true, dryRun: true });
        const aborting = await collect(driver, { ...chosen, readOnly: true, onDamage: "abort" });
        if (protecting.report?.problemCount === 0) return;
        expect(aborting).toMatchObject({ code: "DAMAGED", report: { status: "refused", problemCount: protecting.report?.problemCount } });
        expect(await filesIn(driver)).toEqual(new Set(snapshot.files.keys()));
      }),
      { numRuns: runs(150), seed: seed(15) },
    );
  });
});

describe("a run online", () => {
  test("in the degree grace removes all blobs that are garbage, and nothing that is not", async () => {
    await fc.assert(
      fc.asyncProperty(recipes, options, stores, async (recipe, chosen, store) => {
        const { driver, snapshot } = await prepared(recipe, store);
        const verdict = reachable(snapshot, oracleOptions({ ...chosen, gracePeriodMs: DAY }, store));
        const { code, report } = await collect(driver, { ...chosen, quarantine: false, gracePeriodMs: DAY });
        if (await isUnseen(recipe, store, driver, snapshot, verdict)) return;
        expect(code).toBe(verdict.refusal);
        if (report?.status !== undefined) expect(report.status).not.toBe("aborted");
        const there = await filesIn(driver);
        const removed = [...snapshot.files.keys()].filter((path) => !there.has(path));
        // Links to living blobs stay in this degree, and so do manifests that live on elsewhere.
        expect(removed.filter((path) => !verdict.removed.has(path))).toEqual([]);
        // What it left, a run finds when nothing writes. Where the last file of a repository went, a flat store has no repository.
        const later = await collect(driver, { ...chosen, readOnly: true, gracePeriodMs: DAY });
        if (later.code !== "EMPTY_MARK") await expectVerdict(driver, snapshot, verdict, later, false);
      }),
      { numRuns: runs(300), seed: seed(21) },
    );
  });
});

/** A store with a random registry; the snapshot is what that store makes of it: a flat one has no empty directories. */
async function prepared(recipe: Recipe, store: StoreName): Promise<{ driver: StorageDriver; snapshot: Snapshot }> {
  const driver = await stocked(await cook(recipe), store);
  return { driver, snapshot: await snapshotOf(driver) };
}

/**
 * Where names are listed by directories, a layer link that is damaged is only seen where somebody looks at it; which ones, the rules
 * leave open. Nothing goes that would stay if none were seen.
 */
async function isUnseen(
  { damage }: Recipe,
  store: StoreName,
  driver: StorageDriver,
  { files }: Snapshot,
  verdict: Verdict,
): Promise<boolean> {
  if (store === "flat" || !damage.some(({ does }) => does === "layerLink")) return false;
  const there = await filesIn(driver);
  expect([...files.keys()].filter((path) => !there.has(path) && !verdict.removed.has(path))).toEqual([]);
  return true;
}

async function expectVerdict(
  driver: StorageDriver,
  { files }: Snapshot,
  verdict: Verdict,
  { report, code }: { report?: GcReport; code?: string },
  isFirst = true,
): Promise<void> {
  expect(code).toBe(verdict.refusal);
  expect(await filesIn(driver)).toEqual(new Set([...files.keys()].filter((path) => !verdict.removed.has(path))));
  if (verdict.refusal !== undefined || !isFirst) return;
  expect(report?.status).toBe("completed");
  if (verdict.damaged.size === 0) expect(report?.kept).toEqual(verdict.kept);
  const removed = [...verdict.removed];
  expect(report?.eligible).toMatchObject({
    blobs: removed.filter((path) => path.includes("/v2/blobs/")).length,
    manifests: removed.filter((path) => /\/revisions\/\w+\/\w+\/link$/.test(path)).length,
    layerLinks: removed.filter((path) => path.includes("/_layers/")).length,
    tagIndexEntries: removed.filter((path) => path.includes("/index/")).length,
    bytes: removed.filter((path) => path.includes("/v2/blobs/")).reduce((sum, path) => sum + files.get(path)!.bytes.length, 0),
  });
}

/** The same driver, each page of its listings in another order; the same salt, the same order. */
function shuffled(driver: StorageDriver, salt: string): StorageDriver {
  const orderOf = ({ path }: { path: string }) => digestOf(`${salt} ${path}`);
  return new InterceptedDriver(driver, async ({ method }, proceed) => {
    const result = await proceed();
    if (method !== "list" && method !== "walk") return result;
    const page = result as IteratorResult<readonly { path: string }[]>;
    if (page.done === true) return result;
    const value = [...page.value].sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
    return { done: false, value } as typeof result;
  });
}
