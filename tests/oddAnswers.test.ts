/** Answers and things on a store that are not what they should be: none of them may take what is alive, stop a run, or be counted twice. */

import {
  type Damage,
  type FileInfo,
  type GcOptions,
  type GcReport,
  markAndSweep,
  type Namespace,
  openRegistry,
  type Repository,
  type StorageDriver,
} from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FlatDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { Turns } from "../src/internal/turn.js";
import { RunCalls } from "../src/runCalls.js";
import { checkOptions } from "../src/settings.js";
import { contentOf, DAY, filesystemStore, flatStore, leastStore, MONTH_AGO, type Store } from "./support/stores.js";
import { changed, currentLink, image, linkOf, push, repo, revision } from "./support/tree.js";
import { blobPath, digestOf, ROOT } from "./support/world.js";

const UNTAGGED: GcOptions = { removeUntagged: true, readOnly: true };
const collect = (driver: StorageDriver, options: GcOptions = UNTAGGED): Promise<GcReport> =>
  markAndSweep({}, driver, openRegistry(driver), options);
/** A driver that walks over files in directories. */
function walkingStore(): Store {
  const store = leastStore();
  const walk = async function* (path: string): AsyncIterable<readonly FileInfo[]> {
    for (const file of (await contentOf(store.driver)).keys()) if (file.startsWith(`${path}/`)) yield [await store.driver.stat(file)];
  };
  return { ...store, driver: { ...store.driver, walk } };
}

const pathsOf = async ({ driver }: Store) => [...(await contentOf(driver)).keys()].filter((path) => !path.includes("/lockfiles/")).sort();

describe.each([
  ["least", leastStore],
  ["filesystem", filesystemStore],
  ["walking", walkingStore],
])("on %s", (_, makeStore) => {
  test.each(["_manifests", "_manifests/tags", "_manifests/revisions", "_manifests/revisions/sha256", "_layers", "_layers/sha256"])(
    "a file in the place of %s keeps what the repository links, and is counted once",
    async (place) => {
      const store = makeStore();
      await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
      await push(store.put, "other", image(digestOf("more")), ["more"], "latest");
      await store.put(blobPath(digestOf("garbage")), "garbage");
      await store.driver.delete(`${repo("app")}/${place}`);
      await store.put(`${repo("app")}/${place}`, "a file");
      const report = await collect(store.driver);
      expect(report).toMatchObject({ status: "completed", unrecognized: 1 });
      expect(report.problems).toContainEqual(expect.objectContaining({ kind: "misplaced-file", path: `${repo("app")}/${place}` }));
      expect(report.problems.filter(({ kind }) => kind === "misplaced-file")).toHaveLength(1);
      const left = await pathsOf(store);
      expect(left).not.toContain(blobPath(digestOf("garbage")));
      if (!place.startsWith("_layers")) expect(left).toContain(blobPath(digestOf("live")));
      expect(left).toContain(blobPath(digestOf("more")));
      await expect(collect(store.driver, { ...UNTAGGED, onDamage: "abort" })).rejects.toMatchObject({ code: "DAMAGED" });
    },
  );

  test("a stray file in the place of uploads, or of a tag, is no damage", async () => {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    await store.put(`${repo("app")}/_uploads`, "a file");
    await store.put(`${repo("app")}/_manifests/tags/file`, "a file");
    expect(await collect(store.driver, { ...UNTAGGED, removeUploadsOlderThanMs: 0 })).toMatchObject({ unrecognized: 2, problems: [] });
  });

  test("a stray file among uploads is no damage either", async () => {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    await store.put(`${repo("app")}/_uploads/notes`, "a file");
    expect(await collect(store.driver, UNTAGGED)).toMatchObject({ unrecognized: 1, problems: [] });
  });

  test("a directory in the place of a signature's link stays, with what is in it", async () => {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    const old = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("old") }] });
    const digest = await push(store.put, "app", old, ["old"]);
    const beside = revision("app", digest).slice(0, -"/link".length);
    const stray = `${linkOf(`${beside}/signatures`, digestOf("signature"))}/notes`;
    await store.put(stray, "mine");
    expect(await collect(store.driver)).toMatchObject({ status: "completed", failures: [], deleted: { manifests: 1, blobs: 2 } });
    expect(await pathsOf(store)).toContain(stray);
  });

  test("a file in the place of what lies aside stops no run that has no use for it", async () => {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    await store.put(blobPath(digestOf("garbage")), "garbage");
    await store.put(`${ROOT}/_gc`, "a file");
    expect(await collect(store.driver, { dryRun: true, gracePeriodMs: 0 })).toMatchObject({ eligible: { blobs: 1 } });
    expect(await collect(store.driver)).toMatchObject({ deleted: { blobs: 1 } });
  });

  test("a directory in the place of an index entry's link stays, with what is in it", async () => {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    const digest = await push(store.put, "app", image(digestOf("dead")), ["dead"]);
    const stray = `${linkOf(`${repo("app")}/_manifests/tags/latest/index`, digest)}/notes`;
    await store.put(stray, "mine");
    const report = await collect(store.driver);
    expect(report).toMatchObject({ status: "completed", failures: [], deleted: { manifests: 1, tagIndexEntries: 0, blobs: 2 } });
    expect(await pathsOf(store)).toContain(stray);
  });
});

describe("a file in the place of a directory, on a driver that walks,", () => {
  const PLACES = ["_manifests", "_manifests/tags", "_manifests/revisions", "_manifests/revisions/sha256", "_layers", "_layers/sha256"];

  test.each(PLACES)("is a marker where something lies below it, as object stores have it: %s", async (place) => {
    const store = flatStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    await push(store.put, "app", image(digestOf("dead")), ["dead"]);
    await store.put(`${repo("app")}/${place}`, "");
    expect(await collect(store.driver)).toMatchObject({ unrecognized: 1, problems: [], deleted: { manifests: 1, blobs: 2 } });
  });

  test("is none where its name ends in a slash, though nothing lies below it", async () => {
    const store = walkingStore();
    await push(store.put, "app", image(digestOf("dead")), ["dead"]);
    const marker = { path: `${repo("app")}/_manifests/tags/`, isDirectory: false, size: 0 };
    const walk = async function* (path: string): AsyncIterable<readonly FileInfo[]> {
      yield* store.driver.walk?.(path) ?? [];
      if (marker.path.startsWith(`${path}/`)) yield [marker];
    };
    expect(await collect({ ...store.driver, walk })).toMatchObject({ unrecognized: 1, problems: [], deleted: { manifests: 1, blobs: 2 } });
  });

  test("protects the repository where it is empty, and nothing lies below it", async () => {
    const store = flatStore();
    await push(store.put, "app", image(digestOf("perhaps")), ["perhaps"]);
    await store.put(`${repo("app")}/_manifests/tags`, "");
    expect(await collect(store.driver)).toMatchObject({ problems: [{ kind: "misplaced-file" }], deleted: { manifests: 0, blobs: 0 } });
  });

  test.each(["_manifests", "_layers"])("makes no repository by itself: %s", async (place) => {
    const store = walkingStore();
    await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
    await store.put(`${repo("beside")}/${place}`, "a file");
    expect(await collect(store.driver)).toMatchObject({ marked: { repositories: 1 }, unrecognized: 1, problems: [] });
  });

  test("is seen by a reading of the repository alone, too, since other damage may pass", async () => {
    const store = walkingStore();
    await push(store.put, "app", image(digestOf("perhaps")), ["perhaps"], "latest");
    await store.driver.delete(`${repo("app")}/_manifests`);
    await store.put(`${repo("app")}/_manifests`, "a file");
    await store.put(linkOf(`${repo("app")}/_layers`, `sha512:${"0".repeat(128)}`), "");
    const report = await collect(store.driver, { removeUntagged: true, quarantine: false });
    expect(report.problems.map(({ kind }) => kind).sort()).toEqual(["empty-link", "misplaced-file"]);
    expect(await pathsOf(store)).toContain(blobPath(digestOf("perhaps")));
  });

  test.each(["_manifests", "_manifests/tags", "_layers"])("is seen by the pieces of a run in parts, too: %s", async (place) => {
    const store = walkingStore();
    await push(store.put, "app", image(digestOf("perhaps")), ["perhaps"], "latest");
    await store.driver.delete(`${repo("app")}/${place}`);
    await store.put(`${repo("app")}/${place}`, "a file");
    const seen: Damage[] = [];
    const repository = await openRegistry(store.driver).pieces?.repository("app").again?.();
    for await (const page of repository?.revisions({ onDamage: (damage) => seen.push(damage) }) ?? []) expect(page).toBeDefined();
    expect(seen).toMatchObject([{ kind: "misplaced-file", path: `${repo("app")}/${place}` }]);
  });
});

test("a repository with nothing but the signatures of a manifest that is gone is not planned run after run", async () => {
  const store = leastStore();
  await push(store.put, "app", image(digestOf("live")), ["live"], "latest");
  await store.put(
    `${linkOf(`${repo("old")}/_manifests/revisions`, digestOf("gone")).slice(0, -"/link".length)}/signatures/sha256/${"0".repeat(64)}/link`,
    "x",
  );
  await store.put(blobPath(digestOf("garbage")), "garbage");
  const options = { ...UNTAGGED, removeEmptyRepositories: true };
  expect(await collect(store.driver, options)).toMatchObject({ eligible: { repositories: 0 }, deleted: { blobs: 1, repositories: 0 } });
});

describe("an upload's time", () => {
  const upload = `${repo("app")}/_uploads/11111111-2222-4333-8444-555555555555`;
  const uploads = async (startedAt: string, time: Date) => {
    const inner = new MemoryDriver({ now: () => Date.now() - 30 * DAY });
    await push((path, content) => inner.putContent(path, Buffer.from(content)), "app", image(digestOf("live")), ["live"], "latest");
    await inner.putContent(`${upload}/data`, Buffer.from("half"));
    await inner.putContent(`${upload}/startedat`, Buffer.from(startedAt));
    const told = (info: FileInfo) => (info.path === `${upload}/data` ? { ...info, size: 4, modTime: time } : info);
    const driver = changed(inner, {
      async *list(path, options) {
        for await (const page of inner.list(path, options)) yield page.map(told);
      },
      stat: async (path, options) => told(await inner.stat(path, options)),
    });
    return (await collect(driver, { ...UNTAGGED, removeUploadsOlderThanMs: DAY, dryRun: true })).eligible.uploads;
  };

  test("that is no date is unknown, and the upload stays", async () => {
    expect(await uploads("2020-02-01T10:00:00Z", new Date(Number.NaN))).toBe(0);
    expect(await uploads("2020-02-01T10:00:00Z", new Date(MONTH_AGO))).toBe(1);
  });

  test("that startedat tells as none is told by the files", async () => {
    expect(await uploads("2020-02-01T25:61:00Z", new Date(MONTH_AGO))).toBe(1);
    expect(await uploads("2020-02-01T25:61:00Z", new Date())).toBe(0);
  });
});

test.each([
  ["none", undefined],
  ["one that answers nothing", async () => []],
])("a namespace that looks at blobs one by one, and says so in manyOf: %s for many makes no garbage seem gone", async (_, lookAtBlobs) => {
  const { driver, put } = leastStore();
  await push(put, "app", image(digestOf("live")), ["live"], "latest");
  await put(blobPath(digestOf("garbage")), "garbage");
  const v2 = openRegistry(driver);
  const blobs: Namespace["blobs"] = (options) => v2.blobs(options);
  const lookAtBlob: NonNullable<Namespace["lookAtBlob"]> = async (digest, options) => v2.lookAtBlob?.(digest, options);
  const registry: Namespace = {
    ...{ repositories: (options) => v2.repositories(options), blobs, packedBlobs: blobs, lookAtBlob, manyOf: { blobs, lookAtBlob } },
    ...{ blobFootprint: (digest) => v2.blobFootprint?.(digest) ?? { files: [] }, ...(lookAtBlobs && { lookAtBlobs }) },
  };
  expect(await markAndSweep({}, driver, registry, UNTAGGED)).toMatchObject({ eligible: { blobs: 1 }, deleted: { blobs: 1 } });
});

test("a time of null is one that nobody knows", async () => {
  const inner = new FlatDriver({ now: () => MONTH_AGO });
  await push((path, content) => inner.putContent(path, Buffer.from(content)), "app", image(digestOf("live")), ["live"], "latest");
  await inner.putContent(blobPath(digestOf("garbage")), Buffer.from("garbage"));
  const nothing = (info: FileInfo) => ({ ...info, modTime: null, md5: null }) as unknown as FileInfo;
  const driver = changed(inner, {
    async *walk(path, options) {
      for await (const page of inner.walk(path, options)) yield page.map(nothing);
    },
    stat: async (path, options) => nothing(await inner.stat(path, options)),
  });
  expect(await collect(driver, { removeUntagged: true, dryRun: true })).toMatchObject({ eligible: { blobs: 0 }, kept: { young: 1 } });
  expect(await collect(driver)).toMatchObject({ status: "completed", deleted: { blobs: 1 } });
});

test("streams hold their place until they are read: no more are open at once than may be", async () => {
  const inner = new MemoryDriver({ now: () => MONTH_AGO });
  const put = (path: string, content: string) => inner.putContent(path, Buffer.from(content));
  const digest = await push(put, "app", image(digestOf("live")), ["live"]);
  for (let i = 0; i < 60; i++) await put(currentLink("app", `t${i}`), digest);
  let open = 0;
  let most = 0;
  const { name } = inner;
  const driver: StorageDriver = {
    name,
    stat: (path, options) => inner.stat(path, options),
    list: (path, options) => inner.list(path, options),
    delete: (path, options) => inner.delete(path, options),
    async reader(path, options) {
      const stream = await inner.reader(path, options);
      most = Math.max(most, ++open);
      stream.once("close", () => open--);
      return stream;
    },
  };
  const report = await collect(driver, { ...UNTAGGED, concurrency: 2, maxParallelManifestGets: 1 });
  expect(report).toMatchObject({ marked: { tags: 60, manifests: 1 }, problems: [] });
  expect(report.storageCalls["reader"]).toBeGreaterThanOrEqual(61);
  expect(report.storageCalls).not.toHaveProperty("getContent");
  // One that is let go is closed a moment later.
  expect(most).toBeLessThanOrEqual(2 * (2 + 1));
});

test("the lock's calls wait behind no others, however long these take", async () => {
  const inner = new MemoryDriver();
  const calls = new RunCalls(checkOptions({ concurrency: 1 }), new AbortController().signal, new Turns(), () => undefined);
  let finish: () => void = () => undefined;
  const slow = changed(inner, {
    move: () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  });
  const moves = [1, 2, 3].map(() => calls.through(slow).move?.("/a", "/b"));
  await calls.urgent(slow).putContent?.("/lock", Buffer.from("alive"));
  expect(Buffer.from(await inner.getContent("/lock")).toString()).toBe("alive");
  for (let i = 0; i < moves.length; i++) {
    finish();
    await moves[i];
    await new Promise((resolve) => setImmediate(resolve));
  }
  await calls.idle();
});

test.each([1, 2])("a release that fails %i times is tried again: the next run is not locked out", async (times) => {
  const inner = new MemoryDriver();
  await push((path, content) => inner.putContent(path, Buffer.from(content)), "app", image(digestOf("live")), ["live"], "latest");
  let left = times;
  const driver = changed(inner, {
    delete: async (path, options) => {
      if (path.endsWith("/gc-in-progress") && left-- > 0) throw new Error("503");
      return inner.delete(path, options);
    },
  });
  expect(await collect(driver)).toMatchObject({ status: "completed" });
  expect(await collect(driver)).toMatchObject({ status: "completed" });
});

test("a lock that was written, and could not be read back, is given back", async () => {
  const inner = new MemoryDriver();
  await push((path, content) => inner.putContent(path, Buffer.from(content)), "app", image(digestOf("live")), ["live"], "latest");
  let isWritten = false;
  let hasFailed = false;
  const driver = changed(inner, {
    async putContent(path, bytes, options) {
      if (options?.ifAbsent === true) throw Object.assign(new Error("no conditions"), { code: "UNSUPPORTED" });
      isWritten ||= path.endsWith("/gc-in-progress");
      return inner.putContent(path, bytes, options);
    },
    async getContent(path, options) {
      if (!path.endsWith("/gc-in-progress") || !isWritten || hasFailed) return inner.getContent(path, options);
      hasFailed = true;
      throw new Error("503");
    },
  });
  const ctx = { clock: { now: () => Date.now(), sleep: async () => undefined } };
  const run = () => markAndSweep(ctx, driver, openRegistry(driver), UNTAGGED);
  await expect(run()).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await run()).toMatchObject({ status: "completed" });
});

test("whoever waits is given a signal: a clock may need one", async () => {
  const inner = new MemoryDriver({ now: () => MONTH_AGO });
  await push((path, content) => inner.putContent(path, Buffer.from(content)), "app", image(digestOf("live")), ["live"], "latest");
  await inner.putContent(blobPath(digestOf("garbage")), Buffer.from("garbage"));
  const driver = changed(inner, {
    async putContent(path, bytes, options) {
      if (options?.ifAbsent === true) throw Object.assign(new Error("no conditions"), { code: "UNSUPPORTED" });
      return inner.putContent(path, bytes, options);
    },
  });
  const waits: boolean[] = [];
  const sleep = async (_: number, signal?: AbortSignal) => void waits.push(signal instanceof AbortSignal);
  let throws = 1;
  const onDeleted = () => {
    if (throws-- > 0) throw new Error("the cache is away");
  };
  const ctx = { clock: { now: () => MONTH_AGO, sleep } };
  const report = await markAndSweep(ctx, driver, openRegistry(driver), { ...UNTAGGED, onDeleted });
  expect(report).toMatchObject({ status: "completed", problems: [], deleted: { blobs: 1 } });
  // The lock that is confirmed, and the hook that is tried again.
  expect(waits).toEqual([true, true]);
});

test("heal() reads no manifest that an earlier run has read", async () => {
  const inner = new MemoryDriver({ now: () => MONTH_AGO });
  const put = (path: string, content: string) => inner.putContent(path, Buffer.from(content));
  for (let i = 0; i < 5; i++) await push(put, "app", image(digestOf(`l${i}`)), [`l${i}`], `t${i}`);
  const { heal, memoryReferenceCache } = await import("oci-registry-gc");
  const referenceCache = memoryReferenceCache();
  await collect(inner, { ...UNTAGGED, referenceCache });
  const read: string[] = [];
  const driver = changed(inner, {
    getContent: (path, options) => {
      if (path.startsWith(`${ROOT}/blobs/`)) read.push(path);
      return inner.getContent(path, options);
    },
  });
  const clock = { now: () => MONTH_AGO + 30 * DAY, sleep: async () => undefined };
  await heal({ clock: { ...clock, now: () => MONTH_AGO } }, driver, openRegistry(driver), { referenceCache });
  expect(read).toEqual([]);
  // What is gone is missed all the same.
  await inner.delete(blobPath(digestOf(image(digestOf("l0")))));
  expect(await heal({ clock: { ...clock, now: () => MONTH_AGO } }, driver, openRegistry(driver), { referenceCache })).toMatchObject({
    problems: [{ kind: "missing-manifest" }],
  });
});

describe("an abort ends a run whose namespace heeds none", () => {
  const never = () => new Promise<never>(() => undefined);
  const neverPages = () => ({ [Symbol.asyncIterator]: () => ({ next: never }) });
  const hanging: Readonly<Record<string, Partial<Repository>>> = {
    revisions: { revisions: neverPages },
    tags: { tags: neverPages },
    layerLinks: { layerLinks: neverPages },
    readManifest: { readManifest: never },
    tagIndexEntries: { tagIndexEntries: neverPages },
  };
  const whole: Readonly<Record<string, Partial<Namespace>>> = {
    guard: { guard: never },
    blobs: { blobs: neverPages },
    repositories: { repositories: neverPages },
  };

  test.each([...Object.keys(whole), ...Object.keys(hanging)])("%s", async (member) => {
    const store = filesystemStore();
    await push((path, content) => store.put(path, content), "app", image(digestOf("layer")), ["layer"]);
    const before = await contentOf(store.driver);
    const inner = openRegistry(store.driver);
    const registry: Namespace = {
      ...inner,
      async *repositories(options) {
        for await (const repository of inner.repositories(options)) yield changed(repository, hanging[member] ?? {});
      },
      ...whole[member],
    };
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("stop")), 100);
    const run = markAndSweep({ signal: controller.signal }, store.driver, registry, { removeUntagged: true });
    await expect(run).rejects.toMatchObject({ message: "stop", report: { status: "aborted", deleted: { blobs: 0 } } });
    expect(await contentOf(store.driver)).toEqual(before);
  });

  test("and what it put aside goes back", async () => {
    const store = filesystemStore();
    await push((path, content) => store.put(path, content), "app", image(digestOf("layer")), ["layer"]);
    const before = await contentOf(store.driver);
    const inner = openRegistry(store.driver);
    let looks = 0;
    const controller = new AbortController();
    const registry: Namespace = {
      ...inner,
      repositories: (options) => {
        if (++looks < 3) return inner.repositories(options);
        setTimeout(() => controller.abort(new Error("stop")), 100);
        return neverPages();
      },
    };
    const options = { removeUntagged: true, drainMs: 0 };
    const run = markAndSweep({ signal: controller.signal }, store.driver, registry, options);
    await expect(run).rejects.toMatchObject({ message: "stop", report: { status: "aborted", restored: { blobs: 2 } } });
    const after = [...(await contentOf(store.driver))].filter(([path]) => !path.startsWith(`${ROOT}/_gc/`));
    expect(new Map(after)).toEqual(before);
  });
});
