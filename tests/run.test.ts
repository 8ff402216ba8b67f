/** A run as its caller sees it: hooks, report, log, abort, faults. */

import {
  type DeletedItem,
  type GcContext,
  type GcOptions,
  type GcReport,
  markAndSweep,
  openRegistry,
  type PlannedItem,
  type Progress,
  type StorageDriver,
} from "oci-registry-gc";
import { afterEach, describe, expect, test, vi } from "vitest";
import { contentOf, DAY, flatStore, MONTH_AGO, memoryStore, type Store } from "./support/stores.js";
import { changed } from "./support/tree.js";
import { layOut, vector } from "./support/vectors.js";

const UNTAGGED: GcOptions = { readOnly: true, removeUntagged: true };

const collect = (driver: StorageDriver, options: GcOptions, ctx: GcContext = {}): Promise<GcReport> =>
  markAndSweep(ctx, driver, openRegistry(driver), options);
const retag = () => layOut(vector("retag"), memoryStore());

describe("report", () => {
  test("is plain JSON, the same shape for a dry run and a real one", async () => {
    const dry = await collect((await retag()).driver, { ...UNTAGGED, dryRun: true });
    const real = await collect((await retag()).driver, UNTAGGED);
    expect(JSON.parse(JSON.stringify(real))).toEqual(real);
    expect(Object.keys(dry)).toEqual(Object.keys(real));
    expect(real).toMatchObject({ schemaVersion: 1, status: "completed", dryRun: false, driver: "memory", safety: "quiesced" });
    expect(dry).toMatchObject({ dryRun: true, deleted: { blobs: 0, bytes: 0, manifests: 0 }, eligible: real.eligible });
    expect(real.deleted).toEqual(real.eligible);
    expect(Date.parse(real.finishedAt)).toBeGreaterThanOrEqual(Date.parse(real.startedAt));
    expect(real.runId).not.toBe(dry.runId);
  });

  test("says why, and from where", async () => {
    const report = await collect((await retag()).driver, UNTAGGED);
    const { manifests, blobs, bytes, layerLinks, tagIndexEntries } = report.eligible;
    expect(report.reasons).toEqual({
      "index-entry-of-removed-manifest": { count: tagIndexEntries, bytes: 0 },
      "layer-not-reached": { count: layerLinks, bytes: 0 },
      unreachable: { count: blobs, bytes },
      untagged: { count: manifests, bytes: 0 },
    });
    expect(report.repositories).toEqual([{ name: expect.any(String) as string, manifests, layerLinks, tagIndexEntries, bytes }]);
    expect(report.marked).toEqual({ repositories: 1, tags: 1, manifests: 1, blobs: 5 });
  });

  test("counts the driver's calls", async () => {
    const { driver } = await retag();
    const counts: Record<string, number> = {};
    const counting = new Proxy(driver, {
      get(target, member) {
        const value: unknown = Reflect.get(target, member);
        if (typeof value !== "function") return value;
        return (...parameters: unknown[]) => {
          counts[String(member)] = (counts[String(member)] ?? 0) + 1;
          return Reflect.apply(value, target, parameters) as unknown;
        };
      },
    });
    const report = await collect(counting, UNTAGGED);
    expect(report.storageCalls).toEqual(counts);
  });
});

describe("hooks", () => {
  test("onItem is told everything that is planned, with its reason, before anything is deleted", async () => {
    const { driver } = await retag();
    const before = await contentOf(driver);
    const items: PlannedItem[] = [];
    const onItem = async (item: PlannedItem) => {
      for (const path of items.length === 0 ? before.keys() : []) expect((await contentOf(driver)).has(path)).toBe(true);
      items.push(item);
    };
    const report = await collect(driver, { ...UNTAGGED, onItem });
    const left = await contentOf(driver);
    expect(items.map(({ path }) => path).sort()).toEqual([...before.keys()].filter((path) => !left.has(path)).sort());
    for (const kind of ["manifest", "blob", "layerLink", "tagIndexEntry"] as const) {
      expect(items.filter((item) => item.kind === kind)).toHaveLength(report.eligible[`${kind}s` as "blobs"] || 1);
    }
    expect(items.find(({ kind }) => kind === "manifest")).toMatchObject({
      reason: "untagged",
      digest: expect.stringMatching(/^sha256:/) as string,
    });
    expect(items.filter(({ kind }) => kind === "blob").reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)).toBe(report.eligible.bytes);
  });

  test("onItem's throw ends the run before any delete", async () => {
    const { driver } = await retag();
    const before = await contentOf(driver);
    const oops = new Error("oops");
    await expect(collect(driver, { ...UNTAGGED, onItem: () => Promise.reject(oops) })).rejects.toBe(oops);
    expect(oops).toMatchObject({ report: { status: "aborted" } });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("onDeleted is told what is gone, in batches, and awaited", async () => {
    const { driver } = await retag();
    const before = await contentOf(driver);
    const told: DeletedItem[] = [];
    const onDeleted = async (items: readonly DeletedItem[]) => {
      const there = await contentOf(driver);
      for (const { path } of items) expect(there.has(path)).toBe(false);
      told.push(...items);
    };
    await collect(driver, { ...UNTAGGED, onDeleted });
    const left = await contentOf(driver);
    expect(told.map(({ path }) => path).sort()).toEqual([...before.keys()].filter((path) => !left.has(path)).sort());
    expect(new Set(told.map(({ how }) => how))).toEqual(new Set(["deleted"]));
  });

  test("onDeleted and onItem: a dry run tells only what is planned", async () => {
    const onDeleted = vi.fn();
    const onItem = vi.fn();
    await collect((await retag()).driver, { ...UNTAGGED, dryRun: true, onDeleted, onItem });
    expect(onDeleted).not.toHaveBeenCalled();
    expect(onItem).toHaveBeenCalled();
  });

  test("onDeleted's throw is tried again, then reported, never fatal", async () => {
    let attempts = 0;
    const clock = { now: () => Date.now(), sleep: async () => undefined };
    const once = () => {
      if (++attempts === 1) throw new Error("cache is down");
    };
    expect(await collect((await retag()).driver, { ...UNTAGGED, onDeleted: once }, { clock })).toMatchObject({
      status: "completed",
      problemCount: 0,
    });
    const report = await collect(
      (await retag()).driver,
      { ...UNTAGGED, onDeleted: () => Promise.reject(new Error("cache is down")) },
      { clock },
    );
    expect(report.deleted.blobs).toBe(4);
    expect(report.problems[0]).toMatchObject({ kind: "hook-failed", message: expect.stringContaining("cache is down") as string });
  });

  test("keep is asked of what nothing else keeps, and keeps all that it reaches", async () => {
    const { driver } = await retag();
    const asked: unknown[] = [];
    const before = await contentOf(driver);
    const keep = async (manifest: unknown) => asked.push(manifest) > 0;
    const report = await collect(driver, { ...UNTAGGED, keep });
    expect(asked).toMatchObject([
      {
        repository: expect.any(String) as string,
        digest: expect.stringMatching(/^sha256:/) as string,
        annotations: { seed: expect.any(String) as string },
      },
    ]);
    expect(report.eligible).toMatchObject({ blobs: 0, manifests: 0, tagIndexEntries: 0 });
    expect(await contentOf(driver)).toEqual(before);
    expect((await collect((await retag()).driver, { ...UNTAGGED, keep: () => false })).deleted.manifests).toBe(1);
  });

  test("keep's throw ends the run before any delete", async () => {
    const { driver } = await retag();
    const before = await contentOf(driver);
    const oops = new Error("no policy");
    await expect(collect(driver, { ...UNTAGGED, keep: () => Promise.reject(oops) })).rejects.toBe(oops);
    expect(await contentOf(driver)).toEqual(before);
  });

  test("onProgress tells each phase to its end, and its throw is nothing", async () => {
    const told: Progress[] = [];
    await collect((await retag()).driver, {
      ...UNTAGGED,
      onProgress: (progress) => {
        told.push(progress);
        throw new Error("oops");
      },
    });
    for (const phase of ["inventory", "mark", "sweep"]) {
      const last = told.filter((progress) => progress.phase === phase).at(-1);
      expect(last?.done).toBe(last?.total);
    }
    expect(told.at(-1)).toMatchObject({ phase: "sweep", done: 9, total: 9 });
  });

  test("onProgress is throttled", async () => {
    const store = memoryStore();
    for (let i = 0; i < 300; i++) await store.put(`/docker/registry/v2/repositories/r${i}/_layers/x`, "");
    const told: Progress[] = [];
    await collect(
      store.driver,
      { ...UNTAGGED, onProgress: (progress) => told.push(progress) },
      { clock: { now: () => 0, sleep: async () => undefined } },
    );
    expect(told.length).toBeLessThan(10);
    expect(told).toContainEqual({ phase: "mark", done: 300, total: 300 });
  });
});

describe("log", () => {
  afterEach(() => vi.restoreAllMocks());

  const logged = async (options: GcOptions, store: Store) => {
    const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
    const at = (level: string) => (message: string, fields?: object) => void lines.push({ level, message, fields: { ...fields } });
    const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    await collect(store.driver, options, { logger }).catch(() => undefined);
    return lines;
  };

  test("stages, with stage, driver and dry_run in every line, and totals at the end; nothing per blob above debug", async () => {
    const lines = await logged(UNTAGGED, await retag());
    for (const { fields } of lines) expect(fields).toMatchObject({ stage: expect.any(String) as string, driver: "memory", dry_run: false });
    const info = lines.filter(({ level }) => level !== "debug").map(({ message }) => message);
    expect(info).toEqual([
      "starting inventory stage",
      "inventory stage complete",
      "starting mark stage",
      "mark stage complete",
      expect.stringMatching(/^5 blobs are kept, 4 are eligible for deletion \(\d+ bytes\)$/),
      "starting sweep stage",
      "sweep stage complete",
      expect.stringMatching(/^collection completed: 4 blobs deleted/),
    ]);
  });

  test("a first run on a fresh store deletes nothing, and is no riddle", async () => {
    const store = memoryStore();
    for (const [path, content] of Object.entries(vector("retag").files)) await store.put(path, content, Date.now() - 1000);
    const lines = await logged({ removeUntagged: true }, store);
    const told = lines.filter(({ message }) => message.includes("young"));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      level: "info",
      message: expect.stringMatching(/gracePeriodMs \(24 hours\): with runs after \d{4}-\d\d-\d\dT.*readOnly: true/) as string,
    });
  });

  test("nothing is written to stdout or stderr", async () => {
    const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const controller = new AbortController();
    await collect((await retag()).driver, { ...UNTAGGED, concurrency: 64 }, { signal: controller.signal });
    await collect((await layOut(vector("wrong-root"), memoryStore())).driver, UNTAGGED).catch(() => undefined);
    const wrote = [...out.mock.calls, ...err.mock.calls];
    vi.restoreAllMocks();
    expect(wrote).toEqual([]);
  });
});

describe("a namespace that wraps another's two listings", () => {
  test("is collected as the v2 layout, and its database's lock is heeded", async () => {
    const wrapped = (driver: StorageDriver) => {
      const inner = openRegistry(driver);
      return {
        repositories: (options?: Parameters<typeof inner.repositories>[0]) => inner.repositories(options),
        blobs: (options?: Parameters<typeof inner.blobs>[0]) => inner.blobs(options),
      };
    };
    const { driver } = await retag();
    const whole = await retag();
    expect((await markAndSweep({}, driver, wrapped(driver), UNTAGGED)).deleted).toEqual((await collect(whole.driver, UNTAGGED)).deleted);
    expect(await contentOf(driver)).toEqual(await contentOf(whole.driver));
    const owned = (await layOut(vector("metadata-database"), memoryStore())).driver;
    await expect(markAndSweep({}, owned, wrapped(owned), UNTAGGED)).rejects.toMatchObject({ code: "DATABASE_IN_USE" });
  });
});

describe("a dry run", () => {
  test.each([memoryStore, flatStore])("makes not one mutating call (%o)", async (makeStore) => {
    const mutating = () => {
      throw new Error("a mutating call");
    };
    for (const readOnly of [true, false]) {
      const { driver } = await layOut(vector("retag"), makeStore());
      const members = { delete: mutating, deleteFiles: mutating, pruneDirectories: mutating, putContent: mutating, move: mutating };
      const present = Object.fromEntries(Object.entries(members).filter(([member]) => member in driver));
      const report = await collect(changed(driver, present), {
        ...UNTAGGED,
        readOnly,
        dryRun: true,
        removeUploadsOlderThanMs: 1,
        ...(readOnly && { removeEmptyRepositories: true }),
      });
      expect(report.eligible.blobs).toBe(4);
    }
  });
});

describe("abort", () => {
  test("at every call: it rejects with the reason, and nothing live is missing", async () => {
    const full = await retag();
    await collect(full.driver, UNTAGGED);
    const live = [...(await contentOf(full.driver)).keys()];
    for (let n = 1; ; n++) {
      const { driver } = await retag();
      const controller = new AbortController();
      const reason = new Error("stop");
      let calls = 0;
      const counted = new Proxy(driver, {
        get(target, member) {
          const value: unknown = Reflect.get(target, member);
          if (typeof value !== "function") return value;
          return (...parameters: unknown[]) => {
            if (++calls === n) controller.abort(reason);
            return Reflect.apply(value, target, parameters) as unknown;
          };
        },
      });
      const outcome = await collect(counted, UNTAGGED, { signal: controller.signal }).catch((error: unknown) => error);
      const left = await contentOf(driver);
      for (const path of live) expect(left.has(path)).toBe(true);
      if (calls < n) {
        expect(outcome).toMatchObject({ status: "completed" });
        expect(n).toBeGreaterThan(20);
        return;
      }
      // The last removal may have been under way: then the run is done.
      if (outcome !== reason) expect(outcome).toMatchObject({ status: "completed" });
      else expect(reason).toMatchObject({ report: { status: "aborted" } });
    }
  });

  test("a signal that has fired already: no call at all", async () => {
    const { driver } = await retag();
    const stat = vi.fn();
    const reason = new Error("stop");
    await expect(collect(changed(driver, { stat, list: stat }), UNTAGGED, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(stat).not.toHaveBeenCalled();
  });

  test("a reason that is no object carries no report, and is thrown all the same", async () => {
    await expect(collect((await retag()).driver, UNTAGGED, { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
  });
});

describe("guards", () => {
  test("maxDeleteRatio applies from 100 blobs up, and says the numbers", async () => {
    const orphans = async (count: number) => {
      const store = await retag();
      for (let i = 0; i < count; i++) {
        const hex = i.toString(16).padStart(64, "0");
        await store.put(`/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, "x");
      }
      return store;
    };
    expect((await collect((await orphans(90)).driver, UNTAGGED)).deleted.blobs).toBe(94);
    const { driver } = await orphans(91);
    const before = await contentOf(driver);
    for (const dryRun of [true, false]) {
      const refused = collect(driver, { ...UNTAGGED, dryRun });
      await expect(refused).rejects.toMatchObject({ code: "DELETE_RATIO", report: { status: "refused", eligible: { blobs: 95 } } });
      await expect(refused).rejects.toThrow(/95 of 100 blobs.*maxDeleteRatio 0.5/);
    }
    expect(await contentOf(driver)).toEqual(before);
    expect((await collect(driver, { ...UNTAGGED, maxDeleteRatio: 0.95 })).deleted.blobs).toBe(95);
  });

  test("two runs in one process don't touch each other", async () => {
    const [a, b] = [await retag(), await layOut(vector("lists"), memoryStore())];
    const [first, second] = await Promise.all([collect(a.driver, UNTAGGED), collect(b.driver, UNTAGGED)]);
    expect(first.deleted.blobs).toBe(4);
    expect(second.deleted.blobs).toBe(14);
  });
});

describe("a delete that fails", () => {
  const failing = (driver: StorageDriver, match: (path: string) => boolean) =>
    changed(driver, {
      deleteFiles: async (paths) => {
        const stuck = paths.filter(match);
        await driver.deleteFiles?.(paths.filter((path) => !match(path)));
        return stuck.map((path) => ({ path, code: "EBUSY", message: `${path} is busy` }));
      },
    });

  test("is recorded, the rest goes on, and the sums add up", async () => {
    const { driver } = await retag();
    const report = await collect(
      failing(driver, (path) => path.endsWith("/data") && path.includes("/blobs/sha256/0")),
      UNTAGGED,
    );
    const failed = report.failures.length;
    expect(report.eligible.blobs).toBe(report.deleted.blobs + failed);
    expect(report.status).toBe(failed > 0 ? "completed-with-failures" : "completed");
    expect((await collect(driver, UNTAGGED)).deleted.blobs).toBe(failed);
  });

  test("of a revision link keeps everything that its manifest reaches", async () => {
    const { driver } = await layOut(vector("last-tag-gone"), memoryStore());
    const before = await contentOf(driver);
    const report = await collect(
      failing(driver, (path) => path.includes("/revisions/")),
      UNTAGGED,
    );
    expect(await contentOf(driver)).toEqual(before);
    expect(report).toMatchObject({ status: "completed-with-failures", deleted: { blobs: 0, layerLinks: 0, manifests: 0 } });
    expect(report.failures.filter(({ path }) => path.includes("/blobs/"))).toHaveLength(report.eligible.blobs);
    await collect(driver, UNTAGGED);
    expect((await contentOf(driver)).size).toBe(0);
  });

  test("of an index keeps the children that it names: parents go first", async () => {
    const { driver } = await layOut(vector("untagged-list-of-untagged-images"), memoryStore());
    const isIndex = (content: string) => content.includes('"manifests"');
    const indexes = [...(await contentOf(driver))].filter(([, content]) => isIndex(content)).map(([path]) => path.split("/").at(-2)!);
    const before = await contentOf(driver);
    await collect(
      failing(driver, (path) => path.includes("/revisions/") && indexes.some((hex) => path.includes(hex))),
      UNTAGGED,
    );
    expect(await contentOf(driver)).toEqual(before);
  });

  test("by a driver that rejects outright fails them all, and is not the end", async () => {
    const { driver } = await retag();
    const report = await collect(changed(driver, { deleteFiles: () => Promise.reject(new Error("EIO")) }), UNTAGGED);
    expect(report).toMatchObject({ status: "completed-with-failures", deleted: { blobs: 0, manifests: 0 } });
  });

  test("directories that can't be pruned are no failure", async () => {
    const { driver } = await retag();
    const report = await collect(changed(driver, { pruneDirectories: () => Promise.reject(new Error("EIO")) }), UNTAGGED);
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: 4 } });
  });
});

describe("young things, online", () => {
  test("nothing that is younger than the grace goes, and what is older does", async () => {
    const at = async (time: number, options: GcOptions = {}) => {
      const store = memoryStore();
      for (const [path, content] of Object.entries(vector("retag").files)) await store.put(path, content, time);
      return collect(store.driver, { removeUntagged: true, quarantine: false, ...options });
    };
    expect(await at(Date.now() - DAY + 60_000)).toMatchObject({ eligible: { blobs: 0, manifests: 0 }, safety: "grace" });
    expect(await at(Date.now() - DAY - 60_000)).toMatchObject({ deleted: { blobs: 4, manifests: 1, layerLinks: 3, tagIndexEntries: 1 } });
    expect(await at(Date.now() + DAY)).toMatchObject({ eligible: { blobs: 0 } });
    expect(await at(Date.now() - 60_000, { gracePeriodMs: 1000 })).toMatchObject({ deleted: { blobs: 4 } });
    expect(await at(Date.now() - 60_000, { readOnly: true })).toMatchObject({ deleted: { blobs: 4 }, safety: "quiesced" });
    expect(await at(Date.now() - 60_000, { readOnly: true, gracePeriodMs: DAY })).toMatchObject({ eligible: { blobs: 0 } });
    expect(await at(MONTH_AGO)).toMatchObject({ deleted: { blobs: 4 } });
  });
});
