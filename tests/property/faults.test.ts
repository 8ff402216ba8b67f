/** The collector on drivers that fail, lie and crash, and with callers who give up: at every single call. */

import fc from "fast-check";
import type { GcOptions, StorageDriver } from "oci-registry-gc";
import {
  type DriverCall,
  FaultyDriver,
  InterceptedDriver,
  isChange,
  type OracleOptions,
  reachable,
  type Snapshot,
  snapshotOf,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collect, filesIn, missingFrom, runs, STORES, type StoreName, seed, stocked } from "./pantry.js";
import { cook, HOUR, NOW, recipes, wholeRecipes } from "./recipes.js";

const OPTIONS: GcOptions & OracleOptions = { removeUntagged: true, removeUploadsOlderThanMs: 24 * HOUR };
const READ_ONLY: GcOptions = { ...OPTIONS, readOnly: true };
const stores = fc.constantFrom(...STORES);

/** The collector's lock is no part of the registry. */
const touchesRegistry = ({ method, paths }: DriverCall) => isChange(method) && !paths.every((path) => path.includes("/lockfiles/"));

interface Course {
  readonly calls: readonly DriverCall[];
  /** The number of the first call that changes the registry, from 1; one more than all calls where there is none. */
  readonly firstChange: number;
  readonly left: ReadonlySet<string>;
}

/** What an undisturbed run does. One call at a time: so the n-th call is the same each time. */
async function courseOf(snapshot: Snapshot, store: StoreName, options: GcOptions): Promise<Course> {
  const calls: DriverCall[] = [];
  const inner = await stocked(snapshot, store);
  const driver = new InterceptedDriver(inner, (call, proceed) => {
    calls.push(call);
    return proceed();
  });
  const { code } = await collect(driver, alone(options));
  const first = calls.findIndex(touchesRegistry);
  // Blobs without a repository are not collected without being told to; what follows a fault is told to.
  if (code === "EMPTY_MARK") await finish(inner);
  return { calls, firstChange: first === -1 ? calls.length + 1 : first + 1, left: await filesIn(inner) };
}

const alone = (options: GcOptions): GcOptions => ({ ...options, concurrency: 1, maxParallelManifestGets: 1 });

/** Every call of short runs; of longer ones, a spread of them that differs from registry to registry. */
function callsToTry(count: number, salt: number): number[] {
  const step = Math.max(1, Math.ceil(count / 60));
  return Array.from({ length: count }, (_, i) => i + 1).filter((n) => n % step === salt % step);
}

/** What must never be missing: everything that the rules keep. */
function liveFiles(snapshot: Snapshot, options: OracleOptions = OPTIONS): string[] {
  const { removed } = reachable(snapshot, { ...options, now: NOW, seesLayerLinks: false });
  return [...snapshot.files.keys()].filter((path) => !removed.has(path));
}

/** A clean run later on: a lock that was left is stale by then, and a flat store whose last link went has no repository any more. */
async function finish(driver: StorageDriver): Promise<void> {
  await driver.delete("/docker/registry/lockfiles").catch(() => undefined);
  await collect(driver, { ...READ_ONLY, allowEmptyMark: true });
}

describe("a call that fails", () => {
  test.each(["fail", "fail-late"] as const)(
    "%s: before the sweep nothing goes and the run rejects; in it, the rest goes on",
    async (does) => {
      await fc.assert(
        fc.asyncProperty(recipes, stores, fc.nat(1000), async (recipe, store, salt) => {
          const snapshot = await cook(recipe);
          const { calls, firstChange, left } = await courseOf(snapshot, store, READ_ONLY);
          const live = liveFiles(snapshot);
          for (const call of callsToTry(calls.length, salt)) {
            const driver = await stocked(snapshot, store);
            const faulty = new FaultyDriver(driver, [{ on: { call }, does, error: new Error("EIO") }]);
            const { error, report } = await collect(faulty, alone(READ_ONLY));
            const there = await filesIn(driver);
            const what = `call ${call} of ${calls.length}: ${calls[call - 1]!.method} ${calls[call - 1]!.paths.join(" ")}`;
            expect({ what, missing: missingFrom(there, live) }).toEqual({ what, missing: [] });
            const isLock = calls[call - 1]!.paths.every((path) => path.endsWith("/gc-in-progress"));
            if (call < firstChange && !isLock) {
              expect({ what, missing: missingFrom(there, snapshot.files.keys()) }).toEqual({ what, missing: [] });
              expect({ what, error }).toMatchObject({ what, error: { code: "DRIVER_ERROR" } });
            } else if (touchesRegistry(calls[call - 1]!)) {
              expect({ what, error, failures: report?.failureCount === 0 }).toEqual({
                what,
                error: undefined,
                failures: expect.any(Boolean) as boolean,
              });
            }
            await finish(driver);
            expect({ what, left: await filesIn(driver) }).toEqual({ what, left });
          }
        }),
        { numRuns: runs(12), seed: seed(31) },
      );
    },
  );

  test("keeps the code of an error that has one", async () => {
    const snapshot = await cook(fc.sample(wholeRecipes, { numRuns: 1, seed: 5 })[0]!);
    const error = Object.assign(new Error("slow down"), { code: "THROTTLED" });
    const faulty = new FaultyDriver(await stocked(snapshot), [{ on: { method: "getContent" }, does: "fail", error }]);
    const { code, error: thrown } = await collect(faulty, READ_ONLY);
    expect(["DRIVER_ERROR", "THROTTLED"]).toContain(code);
    expect(thrown === error || (thrown as Error).cause === error).toBe(true);
  });
});

test("a crash at any change, then a clean run: the same end", async () => {
  await fc.assert(
    fc.asyncProperty(recipes, stores, fc.constantFrom("fail" as const, "fail-late" as const), async (recipe, store, does) => {
      const snapshot = await cook(recipe);
      const { calls, left } = await courseOf(snapshot, store, READ_ONLY);
      const live = liveFiles(snapshot);
      for (const [i, each] of calls.entries()) {
        if (!isChange(each.method)) continue;
        const driver = await stocked(snapshot, store);
        const crashing = new FaultyDriver(driver, [
          { on: { call: i + 1 }, does, error: new Error("EIO") },
          { on: { call: i + 1, andAfter: true }, does: "fail", error: new Error("EIO") },
        ]);
        await collect(crashing, alone(READ_ONLY));
        expect(missingFrom(await filesIn(driver), live)).toEqual([]);
        expectNoLinkIntoNothing(snapshot, await snapshotOf(driver));
        await finish(driver);
        expect(await filesIn(driver)).toEqual(left);
      }
    }),
    { numRuns: runs(25), seed: seed(32) },
  );
});

/** A revision link without its manifest, or a tag index entry without its revision, that was not so before. */
function expectNoLinkIntoNothing(before: Snapshot, after: Snapshot): void {
  for (const path of after.files.keys()) {
    const match = /\/_manifests\/revisions\/(\w+)\/((\w\w)\w+)\/link$/.exec(path);
    if (match === null) continue;
    const blob = `/docker/registry/v2/blobs/${match[1]!}/${match[3]!}/${match[2]!}/data`;
    if (before.files.has(blob)) expect({ path, blob: after.files.has(blob) }).toEqual({ path, blob: true });
  }
}

describe("a caller who gives up", () => {
  test.each([
    ["with readOnly", READ_ONLY],
    ["online, with grace", { ...OPTIONS, quarantine: false }],
    ["online, with quarantine", { ...OPTIONS, drainMs: 1 }],
  ])("at any call, %s: rejects with the reason, and nothing that lives is missing", async (_, options) => {
    await fc.assert(
      fc.asyncProperty(recipes, fc.constantFrom("memory" as const, "flat" as const), fc.nat(1000), async (recipe, store, salt) => {
        const snapshot = await cook(recipe);
        const { calls, firstChange } = await courseOf(snapshot, store, options);
        const gracePeriodMs = options.readOnly === true ? 0 : 24 * HOUR;
        const live = liveFiles(snapshot, { ...OPTIONS, gracePeriodMs });
        for (const n of callsToTry(calls.length, salt)) {
          const driver = await stocked(snapshot, store);
          const controller = new AbortController();
          const reason = new Error("enough");
          let count = 0;
          const watched = new InterceptedDriver(driver, (_call, proceed) => {
            if (++count === n) controller.abort(reason);
            return proceed();
          });
          const { error } = await collect(watched, alone(options), { signal: controller.signal });
          const what = `aborted at call ${n} of ${calls.length}: ${calls[n - 1]!.method} ${calls[n - 1]!.paths.join(" ")}`;
          // A run that was done but for its last calls may as well be done.
          const isNearEnd = calls.slice(n).every((call) => !touchesRegistry(call));
          if (!isNearEnd) expect({ what, error }).toEqual({ what, error: reason });
          const there = await filesIn(driver);
          expect({ what, missing: missingFrom(there, live) }).toEqual({ what, missing: [] });
          if (n < firstChange) expect({ what, missing: missingFrom(there, snapshot.files.keys()) }).toEqual({ what, missing: [] });
          expect({ what, lock: (await snapshotOf(driver)).files.has("/docker/registry/lockfiles/gc-in-progress") }).toEqual({
            what,
            lock: false,
          });
        }
      }),
      { numRuns: runs(8), seed: seed(33) },
    );
  });

  test("gets the answer although a call hangs until it is aborted", async () => {
    const snapshot = await cook(fc.sample(wholeRecipes, { numRuns: 1, seed: 7 })[0]!);
    const { calls } = await courseOf(snapshot, "memory", READ_ONLY);
    // What gives the lock back is waited for: that has a test of its own.
    const isWaitedFor = (call: number) => calls[call - 1]!.paths.some((path) => path.includes("/gc-in-progress"));
    for (const call of callsToTry(calls.length, 0).filter((each) => !isWaitedFor(each))) {
      const driver = await stocked(snapshot);
      const controller = new AbortController();
      const hanging = new FaultyDriver(driver, [{ on: { call }, does: "hang" }]);
      // Given up once that call hangs: a run that was aborted before would hang where it gives the lock back.
      const watched = new InterceptedDriver(hanging, (_, proceed) => {
        if (hanging.calls === call - 1) setTimeout(() => controller.abort(new Error("too slow")));
        return proceed();
      });
      const { error } = await collect(watched, alone(READ_ONLY), { signal: controller.signal });
      expect(hanging.strikes).toBe(1);
      if (error !== undefined) expect(error).toMatchObject({ message: "too slow" });
      expect(missingFrom(await filesIn(driver), liveFiles(snapshot))).toEqual([]);
    }
  });
});
