/** Attacks on single sentences of the contract. */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import {
  DigestSet,
  type GcContext,
  type GcOptions,
  type GcReport,
  listRuns,
  markAndSweep,
  type Namespace,
  openRegistry,
  type Repository,
  type StorageDriver,
  Vacuum,
} from "oci-registry-gc";
import { afterEach, describe, expect, test, vi } from "vitest";
import { contentOf, DAY, filesystemStore, flatStore, leastStore, memoryStore, type Store } from "../support/stores.js";
import { changed, image, layer, linkOf, type Put, push, repo, revision, sha512 } from "../support/tree.js";
import { layOut, vector } from "../support/vectors.js";
import { blobPath, digestOf, World } from "../support/world.js";

const collect = (driver: StorageDriver, options: GcOptions, ctx: GcContext = {}): Promise<GcReport> =>
  markAndSweep(ctx, driver, openRegistry(driver), options);

describe("hooks and logger", () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  afterEach(() => {
    process.off("unhandledRejection", note);
    unhandled.length = 0;
  });

  test("onDeleted's throw is never fatal, under onDamage abort neither", async () => {
    const world = await new World().load("retag");
    const report = await world.collect({ onDamage: "abort", onDeleted: () => Promise.reject(new Error("hook")) });
    expect(report).toMatchObject({ status: "completed", quarantined: { blobs: 4 } });
  });

  test("a logger and an onProgress that reject never break a process", async () => {
    const listeners = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", note);
    const fail = () => Promise.reject(new Error("log")) as never;
    const { driver } = await layOut(vector("retag"), memoryStore());
    await collect(driver, { readOnly: true, onProgress: fail }, { logger: { debug: fail, info: fail, warn: fail, error: fail } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.removeAllListeners("unhandledRejection");
    for (const listener of listeners) process.on("unhandledRejection", listener);
    expect(unhandled).toEqual([]);
  });
});

describe("hooks and caches that never answer", () => {
  const NEVER = new Promise<never>(() => undefined);
  const cache = (members: object) => ({ referenceCache: { get: () => undefined, set: () => undefined, ...members } });
  const WAITED: readonly (readonly [string, (reached: () => void) => GcOptions])[] = [
    ["keep", (reached) => ({ keep: () => (reached(), NEVER) })],
    ["onItem", (reached) => ({ onItem: () => (reached(), NEVER) })],
    ["referenceCache.get", (reached) => cache({ get: () => (reached(), NEVER) })],
    ["referenceCache.set", (reached) => cache({ set: () => (reached(), NEVER) })],
  ];

  test.each(WAITED.flatMap(([name, options]) => [true, false].map((readOnly) => [name, readOnly, options] as const)))(
    "%s (readOnly: %s) keeps no aborted run, and no lock",
    async (_, readOnly, options) => {
      const { driver } = await layOut(vector("retag"), memoryStore());
      const before = await contentOf(driver);
      const controller = new AbortController();
      const reached = () => void setTimeout(() => controller.abort(new Error("stop")), 5);
      const run = collect(driver, { readOnly, removeUntagged: true, drainMs: 0, ...options(reached) }, { signal: controller.signal });
      await expect(run).rejects.toThrow("stop");
      expect(await contentOf(driver)).toEqual(before);
    },
  );

  test("onDeleted is waited for no longer than a minute after an abort: what it is told of has gone", async () => {
    vi.useFakeTimers();
    try {
      const { driver } = await layOut(vector("retag"), memoryStore());
      const controller = new AbortController();
      const onDeleted = () => (controller.abort(new Error("stop")), NEVER);
      const run = collect(driver, { readOnly: true, removeUntagged: true, onDeleted }, { signal: controller.signal });
      const ended = expect(run).rejects.toMatchObject({ message: "stop", report: { problems: [{ kind: "hook-failed" }] } });
      await vi.advanceTimersByTimeAsync(61_000);
      await ended;
      expect([...(await contentOf(driver)).keys()].filter((path) => path.includes("/lockfiles/"))).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("what a driver or a registry must not say", () => {
  const LAST = { readOnly: true, removeUntagged: true } as const;
  const two = async (): Promise<Store> => {
    const store = leastStore();
    const put: Put = (path, content) => store.put(path, content);
    await push(put, "a", image(digestOf("one")), ["one"], "keep");
    await push(put, "b", image(digestOf("two")), ["two"], "keep");
    return store;
  };

  /** The v2 layout with other repositories. */
  const namespaceOf = (driver: StorageDriver, other: (repository: Repository) => Repository): Namespace => {
    const inner = openRegistry(driver);
    return {
      blobs: (options) => inner.blobs(options),
      async *repositories(options) {
        for await (const repository of inner.repositories(options)) yield other(repository);
      },
    };
  };

  test.each(["repositories/b", "_manifests/tags/keep"])(
    "%s that a listing does not say to be a directory is no file: nothing goes",
    async (end) => {
      const { driver } = await two();
      const before = await contentOf(driver);
      const vague = changed(driver, {
        list: async function* (path, options) {
          for await (const page of driver.list(path, options)) {
            yield page.map((info) => (info.path.endsWith(end) ? ({ path: info.path } as typeof info) : info));
          }
        },
      });
      await expect(collect(vague, LAST)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      expect(await contentOf(driver)).toEqual(before);
    },
  );

  test("a stat that tells another path is about the one that was asked for", async () => {
    const { driver, put } = await two();
    await put(blobPath(digestOf("wide")), "wide");
    await put(layer("a", sha512("wide")), digestOf("wide"));
    await push(put, "a", image(sha512("wide")), [], "wide");
    const before = await contentOf(driver);
    const lying = changed(driver, {
      stat: async (path, options) => ({ ...(await driver.stat(path, options)), path: layer("a", digestOf("one")) }),
    });
    expect(await collect(lying, LAST)).toMatchObject({ status: "completed", problems: [] });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a tag without a digest is damage", async () => {
    const { driver } = await two();
    const before = await contentOf(driver);
    const registry = namespaceOf(driver, (repository) =>
      changed<Repository>(repository, {
        async *tags() {
          yield [{ name: "keep", path: `/tags/${repository.name}` }];
        },
      }),
    );
    const report = await markAndSweep({}, driver, registry, LAST);
    const told = ({ kind, path, repository }: (typeof report.problems)[number]) => [kind, path, repository];
    expect(report.problems.map(told).sort()).toEqual(["a", "b"].map((name) => ["missing-current-link", `/tags/${name}`, name]));
    expect(await contentOf(driver)).toEqual(before);
  });

  test.each([undefined, null, "b"])("a repository that is %s is none that may be passed over", async (none) => {
    const { driver } = await two();
    const before = await contentOf(driver);
    const registry = namespaceOf(driver, (repository) => (repository.name === "b" ? (none as never) : repository));
    await expect(markAndSweep({}, driver, registry, LAST)).rejects.toThrow(`repositories() gave ${String(none)}`);
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a walk that takes nothing for an absence is a DriverError", async () => {
    const { driver } = await layOut(vector("retag"), flatStore());
    const absent = changed(driver, {
      // biome-ignore lint/correctness/useYield: it throws at once.
      walk: async function* () {
        throw Object.assign(new Error("gone"), { code: "PATH_NOT_FOUND" });
      },
    });
    await expect(collect(absent, LAST)).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: expect.stringContaining("walk of ") as string,
    });
  });

  test("a stream that somebody reads already is a DriverError", async () => {
    const { driver } = await two();
    const locked = changed(driver, {
      reader: async () => {
        const stream = new ReadableStream<Uint8Array>();
        stream.getReader();
        return stream;
      },
    });
    await expect(collect(locked, LAST)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("listRuns ends at an abort though a journal is never answered", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const controller = new AbortController();
    const hanging = changed(world.driver, {
      getContent: (path, options) => {
        if (!path.includes("/journal/")) return world.driver.getContent(path, options);
        setTimeout(() => controller.abort(new Error("stop")), 5);
        return new Promise<never>(() => undefined);
      },
    });
    await expect(listRuns({ clock: world.clock, signal: controller.signal }, hanging, openRegistry(hanging))).rejects.toThrow("stop");
  });

  test("tags that are no array, and a digest that is no string, are told as what they are", async () => {
    const { driver } = await two();
    const wrong = new Vacuum(driver).removeManifests([{ repository: "a", digest: digestOf("x"), tags: "v1" as never }]);
    await expect(wrong).rejects.toThrow(new TypeError('tags are "v1"; expected an array'));
    for (const none of [undefined, null, 5]) {
      expect(() => new DigestSet().add(none as never)).toThrow(expect.objectContaining({ code: "INVALID_DIGEST" }) as Error);
    }
  });
});

describe("online runs", () => {
  test("an upload is looked at again right before it is removed", async () => {
    const world = await new World().load("retag");
    const upload = `${repo("r")}/_uploads/u`;
    world.now -= 30 * DAY;
    await world.put(`${upload}/data`, "part");
    await world.put(`${upload}/startedat`, new Date(world.now).toISOString());
    world.now += 30 * DAY;
    let wrote = false;
    await world.collect({
      removeUploadsOlderThanMs: DAY,
      onDeleted: async () => {
        if (wrote) return;
        wrote = true;
        await world.put(`${upload}/data`, "part and more");
      },
    });
    expect(wrote).toBe(true);
    expect((await world.files()).get(`${upload}/data`)).toBe("part and more");
  });

  test("stale links to living blobs go, as online.md's step 4 says", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    const put: Put = (path, content) => world.put(path, content);
    await push(put, "a", image(digestOf("shared"), digestOf("own")), ["shared", "own"]);
    await push(put, "b", image(digestOf("shared")), ["shared"], "keep");
    world.now += 30 * DAY;
    const report = await world.collect();
    const files = await world.files();
    expect(files.has(layer("b", digestOf("shared")))).toBe(true);
    expect(files.has(layer("a", digestOf("own")))).toBe(false);
    expect(files.has(layer("a", digestOf("shared")))).toBe(false);
    expect(report.eligible.layerLinks).toBe(2);
  });

  test("only what is eligible is deleted: links to a blob that is missing, and that another repository needs", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    const put: Put = (path, content) => world.put(path, content);
    await push(put, "a", image(digestOf("base")), ["base"], "keep");
    await push(put, "b", image(digestOf("missing")), [], "keep");
    await put(layer("a", digestOf("missing")), digestOf("missing"));
    world.now += 30 * DAY;
    const report = await world.collect();
    expect(report.deleted.layerLinks).toBe(report.eligible.layerLinks);
    expect(report.repositories.reduce((sum, each) => sum + each.layerLinks, 0)).toBe(report.eligible.layerLinks);
  });

  test("links that are written anew are not reported as deleted", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      for (const [path, content] of before) if (path.includes("/revisions/")) await world.put(path, content);
    };
    const report = await world.collect();
    expect(await world.files()).toEqual(before);
    expect(report.deleted.layerLinks).toBe(0);
  });

  test("storageCalls counts each call once, where manifests lie aside, too", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const counts: Record<string, number> = {};
    const counting = new Proxy(world.driver, {
      get(target, member) {
        const value: unknown = Reflect.get(target, member);
        if (typeof value !== "function") return value;
        return (...parameters: unknown[]) => {
          counts[String(member)] = (counts[String(member)] ?? 0) + 1;
          return Reflect.apply(value, target, parameters) as unknown;
        };
      },
    });
    const report = await collect(counting, { removeUntagged: true }, { clock: world.clock });
    expect(report.storageCalls).toEqual(counts);
  });

  test("problemCount counts each damage once, beyond what is listed, too", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    await push((path, content) => world.put(path, content), "r", image(digestOf("base")), ["base"], "keep");
    for (let i = 0; i < 1100; i++) await world.put(revision("r", digestOf(`lost ${i}`)), digestOf(`lost ${i}`));
    await world.put(blobPath(digestOf("orphan")), "orphan");
    world.now += 30 * DAY;
    const report = await world.collect();
    expect(report.problemCount).toBe(1100);
  });

  test("a manifest that looks like none is taken out of quarantined again", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    await push((path, content) => world.put(path, content), "r", image(digestOf("base")), ["base"], "keep");
    await push((path, content) => world.put(path, content), "r", '{"x":1}', []);
    world.now += 30 * DAY;
    const report = await world.collect({ quarantineMs: 0 });
    expect(report.quarantined).toEqual({ manifests: 0, blobs: 0, bytes: 0 });
  });
});

describe("the lock", () => {
  test("a run whose lock was taken away stops before its next batch", async () => {
    const world = await new World().load("retag");
    let blobs = 0;
    let stolen = false;
    const run = world.collect({
      readOnly: true,
      onDeleted: async (items) => {
        blobs += items.filter(({ kind }) => kind === "blob").length;
        if (!stolen) await world.put("/docker/registry/lockfiles/gc-in-progress", '{"runId":"another"}');
        stolen = true;
      },
    });
    // It was not refused: it had begun, and broke off.
    await expect(run).rejects.toMatchObject({ code: "LOCKED", report: { status: "aborted" } });
    expect(blobs).toBe(0);
  });

  test("a lock that can't be read for a moment ends no run", async () => {
    const { driver } = await layOut(vector("retag"), memoryStore());
    const unreadable = changed(driver, {
      getContent: (path, options) =>
        path.endsWith("/gc-in-progress") ? Promise.reject(new Error("503")) : driver.getContent!(path, options),
    });
    const report = await collect(unreadable, { readOnly: true, removeUntagged: true });
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: 4 } });
  });

  test("a run that is aborted ends though the storage never answers, when it gives the lock back", async () => {
    vi.useFakeTimers();
    try {
      const { driver } = await layOut(vector("retag"), memoryStore());
      const controller = new AbortController();
      const hanging = changed(driver, {
        delete: (path, options) => (path.endsWith("/gc-in-progress") ? new Promise<never>(() => undefined) : driver.delete(path, options)),
      });
      const onItem = () => controller.abort(new Error("stop"));
      const run = collect(hanging, { readOnly: true, removeUntagged: true, onItem }, { signal: controller.signal });
      const ended = expect(run).rejects.toThrow("stop");
      await vi.advanceTimersByTimeAsync(61_000);
      await ended;
    } finally {
      vi.useRealTimers();
    }
  });

  test("an abort while the storage's clock is read leaves no probe behind", async () => {
    const { driver } = await layOut(vector("retag"), memoryStore());
    const controller = new AbortController();
    const stopping = changed(driver, {
      stat: async (path, options) => {
        const info = await driver.stat(path, options);
        if (path.includes("gc-in-progress.")) controller.abort(new Error("stop"));
        return info;
      },
    });
    await expect(collect(stopping, {}, { signal: controller.signal })).rejects.toThrow("stop");
    expect([...(await contentOf(driver)).keys()].filter((path) => path.includes("/lockfiles/"))).toEqual([]);
  });
});

describe("failing drivers", () => {
  test("a stream that breaks is a DriverError", async () => {
    const store = await layOut(vector("retag"), leastStore());
    const driver = changed(store.driver, {
      reader: async () =>
        new Readable({
          read() {
            this.destroy(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
          },
        }),
    });
    await expect(collect(driver, { readOnly: true })).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("Vacuum.removeManifests: a look-up that fails never stops the rest", async () => {
    const store = memoryStore();
    const put: Put = (path, content) => store.put(path, content);
    const one = await push(put, "a", image(digestOf("1")), ["1"], "x");
    const two = await push(put, "b", image(digestOf("2")), ["2"], "x");
    const driver = changed(store.driver, {
      list: (path, options) => {
        if (!path.startsWith(repo("a"))) return store.driver.list(path, options);
        return (async function* () {
          if (path !== "") throw new Error("503");
          yield [];
        })();
      },
    });
    const result = await new Vacuum(driver).removeManifests([
      { repository: "a", digest: one },
      { repository: "b", digest: two },
    ]);
    expect(result).toMatchObject({ removed: 1, failures: [expect.anything()] });
    const files = await contentOf(store.driver);
    expect(files.has(revision("b", two))).toBe(false);
    expect(files.has(revision("a", one))).toBe(true);
  });

  test("Vacuum removes in bounded batches, however many index entries a manifest has", async () => {
    const store = memoryStore();
    const digest = await push((path, content) => store.put(path, content), "a", image(digestOf("1")), ["1"]);
    for (let i = 0; i < 2500; i++) await store.put(linkOf(`${repo("a")}/_manifests/tags/t${i}/index`, digest), digest);
    let largest = 0;
    const driver = changed(store.driver, {
      deleteFiles: async (paths, options) => {
        largest = Math.max(largest, paths.length);
        return store.driver.deleteFiles!(paths, options);
      },
    });
    expect(await new Vacuum(driver).removeManifests([{ repository: "a", digest }])).toMatchObject({ removed: 1, failures: [] });
    expect(largest).toBeLessThanOrEqual(1000);
  });

  test("a subject whose link is stuck keeps its referrers", async () => {
    const store = memoryStore();
    const put: Put = (path, content) => store.put(path, content);
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    const subject = await push(put, "r", image(digestOf("old")), ["old"]);
    const signature = await push(
      put,
      "r",
      JSON.stringify({ schemaVersion: 2, subject: { digest: subject }, layers: [{ digest: digestOf("sig") }] }),
      ["sig"],
    );
    const stuck = revision("r", subject);
    const driver = changed(store.driver, {
      deleteFiles: async (paths, options) => [
        ...paths.filter((path) => path === stuck).map((path) => ({ path, code: "EIO", message: "no" })),
        ...(await store.driver.deleteFiles!(
          paths.filter((path) => path !== stuck),
          options,
        )),
      ],
    });
    const report = await collect(driver, { readOnly: true, removeUntagged: true });
    expect(report.status).toBe("completed-with-failures");
    const files = await contentOf(store.driver);
    expect(files.has(blobPath(digestOf("old")))).toBe(true);
    expect(files.has(blobPath(digestOf("sig")))).toBe(true);
    expect(files.has(revision("r", signature))).toBe(true);
  });
});

describe("strays and odd trees", () => {
  test("everything deleted, again: a run without a repository that removed every blob, then another", async () => {
    const store = leastStore();
    await store.put(blobPath(digestOf("orphan")), "orphan");
    await collect(store.driver, { readOnly: true, allowEmptyMark: true });
    await expect(collect(store.driver, { readOnly: true })).resolves.toMatchObject({ status: "completed" });
  });

  const kept = async (store: Store): Promise<{ store: Store; manifest: string }> => {
    const manifest = image(digestOf("base"));
    await push((path, content) => store.put(path, content), "r", manifest, ["base"], "keep");
    return { store, manifest };
  };

  test.each([
    ["a current link", () => `${repo("r")}/_manifests/tags/odd/current/link/x`],
    ["a sha512 layer link", () => `${layer("r", sha512("x"))}/x`],
    ["a manifest's data", () => `${blobPath(digestOf("gone manifest"))}/x`],
  ])("%s that is a directory is damage, not the end of the run", async (what, path) => {
    const { store } = await kept(memoryStore());
    await store.put(path(), "stray");
    if (what === "a manifest's data") await store.put(revision("r", digestOf("gone manifest")), digestOf("gone manifest"));
    const report = await collect(store.driver, { readOnly: true });
    expect(report.status).toBe("completed");
    expect(report.problemCount).toBeGreaterThan(0);
  });

  test("a sha512 layer link that names another sha512 digest is damage", async () => {
    const { store } = await kept(memoryStore());
    await store.put(layer("r", sha512("a")), sha512("b"));
    const report = await collect(store.driver, { readOnly: true });
    expect(report.problems).toMatchObject([{ kind: "mismatched-link" }]);
  });

  test.each([
    ["_uploads/.DS_Store", (m: string) => `${repo("r")}/_uploads/.DS_Store${m.slice(0, 0)}`],
    ["tags/keep/.DS_Store", () => `${repo("r")}/_manifests/tags/keep/.DS_Store`],
    ["link.<uuid>.tmp", (m: string) => `${revision("r", digestOf(m))}.1234.tmp`],
    ["data.<uuid>.tmp", (m: string) => `${blobPath(digestOf(m))}.1234.tmp`],
  ])("%s is counted as unrecognized where a walk sees it, and stays on every kind of store", async (_, path) => {
    for (const make of [flatStore, memoryStore]) {
      const { store, manifest } = await kept(make());
      await store.put(path(manifest), "");
      const { unrecognized, problemCount } = await collect(store.driver, { readOnly: true });
      // Directory by directory, nobody looks into one of which the name tells everything.
      const isSeen = store.driver.walk !== undefined || path(manifest).includes("_uploads");
      expect({ unrecognized, problemCount }, store.driver.name).toEqual({ unrecognized: isSeen ? 1 : 0, problemCount: 0 });
      expect((await contentOf(store.driver)).has(path(manifest))).toBe(true);
    }
  });

  test("files with names that no path of ours can have stay: their repository, and their upload", async () => {
    const store = filesystemStore();
    const put: Put = (path, content) => store.put(path, content);
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    await push(put, "gone", image(digestOf("old")), ["old"]);
    await put(`${repo("r")}/_uploads/u/startedat`, "2020-01-01T00:00:00Z");
    const strays = [`${dirname(layer("gone", digestOf("old")))}/a stray`, `${repo("r")}/_uploads/u/a stray`];
    for (const stray of strays) writeFileSync(join(store.folder, stray), "");
    const options = { readOnly: true, removeUntagged: true, removeEmptyRepositories: true, removeUploadsOlderThanMs: DAY };
    expect(await collect(store.driver, options)).toMatchObject({ deleted: { manifests: 1, repositories: 0, uploads: 0 } });
    for (const stray of strays) expect(existsSync(join(store.folder, stray)), stray).toBe(true);
    for (const stray of strays) rmSync(join(store.folder, stray));
    expect(await collect(store.driver, options)).toMatchObject({ deleted: { repositories: 1, uploads: 1 } });
  });

  test("an upload with a file of unknown time is not old", async () => {
    const { store } = await kept(memoryStore());
    const upload = `${repo("r")}/_uploads/u`;
    await store.put(`${upload}/data`, "part");
    await store.put(`${upload}/startedat`, "2020-01-01T00:00:00Z");
    const driver = changed(store.driver, {
      stat: async (path, options) => {
        return { ...(await store.driver.stat(path, options)), modTime: undefined };
      },
      list: async function* (path, options) {
        for await (const page of store.driver.list(path, options)) yield page.map((info) => ({ ...info, modTime: undefined }));
      },
    });
    await collect(driver, { readOnly: true, removeUploadsOlderThanMs: DAY });
    expect((await contentOf(store.driver)).has(`${upload}/data`)).toBe(true);
  });
});
