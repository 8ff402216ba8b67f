/** The kit that others test with: that a builder builds what it says, and that drivers that misbehave do so as told. */

import { once } from "node:events";
import type { Readable } from "node:stream";
import { markAndSweep, openRegistry, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import {
  CountingDriver,
  digestOf,
  FaultyDriver,
  FlatDriver,
  InterceptedDriver,
  ReadOnlyDriver,
  RecordingDriver,
  RegistryBuilder,
  RegistryDamager,
  reachable,
  snapshotOf,
  V2Paths,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";

const paths = new V2Paths();
const bytes = (text: string) => new TextEncoder().encode(text);

async function filesOf(driver: StorageDriver): Promise<string[]> {
  return [...(await snapshotOf(driver)).files.keys()].sort();
}

async function textOf(driver: StorageDriver, path: string): Promise<string | undefined> {
  return new RegistryBuilder(driver).content(path);
}

function makeRegistry(): RegistryBuilder {
  return new RegistryBuilder(new MemoryDriver({ now: () => 0 }));
}

async function storeWith(...files: string[]): Promise<MemoryDriver> {
  const driver = new MemoryDriver({ now: () => 0 });
  for (const file of files) await driver.putContent(file, bytes(file));
  return driver;
}

describe("RegistryBuilder", () => {
  test("writes what a push writes", async () => {
    const registry = makeRegistry();
    const image = await registry.image("library/foo", { layers: 1, tag: "latest" });
    const config = digestOf("{}");
    const layer = image.layers[0]!.digest;
    expect(await filesOf(registry.driver)).toEqual(
      [
        paths.blob(image.digest),
        paths.blob(layer),
        paths.blob(config),
        paths.revision("library/foo", image.digest),
        paths.indexEntry("library/foo", "latest", image.digest),
        paths.currentLink("library/foo", "latest"),
        paths.layerLink("library/foo", layer),
        paths.layerLink("library/foo", config),
      ].sort(),
    );
    expect(await registry.content(paths.currentLink("library/foo", "latest"))).toBe(image.digest);
    expect(digestOf(image.bytes)).toBe(image.digest);
  });

  test("writes the same bytes every time, on every driver", async () => {
    const build = async (driver: StorageDriver) => {
      const registry = new RegistryBuilder(driver);
      const images = [
        await registry.image("foo"),
        await registry.image("foo", { format: "docker" }),
        await registry.image("bar", { format: "schema1" }),
      ];
      await registry.index("foo", images, { format: "docker", types: "untyped", tag: "all" });
      await registry.cache("foo", { tag: "cache" });
      await registry.referrer("foo", images[0]!, { format: "artifact" });
      await registry.signature("bar", images[2]!);
      await registry.upload("foo", "id", { data: "x", startedAt: "2026-01-01T00:00:00Z", hashStates: 2 });
      return filesOf(driver);
    };
    const files = await build(new MemoryDriver());
    expect(await build(new FlatDriver())).toEqual(files);
    expect(files.length).toBeGreaterThan(30);
  });

  test("a retag leaves the index entry of what the tag named before", async () => {
    const registry = makeRegistry();
    const [first, second] = [await registry.image("foo", { tag: "t" }), await registry.image("foo", { tag: "t" })];
    const files = await filesOf(registry.driver);
    expect(files).toContain(paths.indexEntry("foo", "t", first.digest));
    expect(files).toContain(paths.indexEntry("foo", "t", second.digest));
    expect(await registry.content(paths.currentLink("foo", "t"))).toBe(second.digest);
  });

  test("deletes as the API does: the revision, and the tags that name it", async () => {
    const registry = makeRegistry();
    const gone = await registry.image("foo", { tag: "a" });
    await registry.tag("foo", "b", gone);
    await registry.image("foo", { tag: "c" });
    await registry.deleteManifest("foo", gone);
    const files = await filesOf(registry.driver);
    expect(files).not.toContain(paths.revision("foo", gone.digest));
    expect(files).toContain(paths.blob(gone.digest));
    expect(files.filter((path) => path.endsWith("/current/link"))).toEqual([paths.currentLink("foo", "c")]);
    await registry.deleteManifest("nowhere", gone);
  });

  test("a sha512 layer lies under sha256, with two links", async () => {
    const registry = makeRegistry();
    const layer = await registry.sha512Layer("foo", "x");
    expect(layer.digest).toMatch(/^sha512:/);
    const stored = digestOf(layer.bytes);
    expect(await filesOf(registry.driver)).toEqual(
      [paths.blob(stored), paths.layerLink("foo", stored), paths.layerLink("foo", layer.digest)].sort(),
    );
    expect(await registry.content(paths.layerLink("foo", layer.digest))).toBe(stored);
  });

  test("an image of a sha512 layer leaves both links as they are, in other repositories, too", async () => {
    const registry = makeRegistry();
    const layer = await registry.sha512Layer("foo", "x");
    for (const name of ["foo", "bar"]) {
      await registry.image(name, { layers: [layer], tag: "latest" });
      for (const digest of [layer.digest, digestOf(layer.bytes)])
        expect(await registry.content(paths.layerLink(name, digest))).toBe(digestOf(layer.bytes));
    }
    const options = { readOnly: true, removeUntagged: true };
    expect(await markAndSweep({}, registry.driver, openRegistry(registry.driver), options)).toMatchObject({ eligible: { blobs: 0 } });
  });

  test("says what it can't do", async () => {
    const { name, stat, list, reader, delete: remove } = new MemoryDriver();
    await expect(new RegistryBuilder({ name, stat, list, reader, delete: remove }).layer("x")).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
  });
});

test("RegistryDamager breaks what it is told", async () => {
  const registry = makeRegistry();
  const damager = new RegistryDamager(registry);
  const image = await registry.image("foo", { tag: "t", layers: 3 });
  await damager.revisionLink("foo", image, "empty");
  expect(await registry.content(paths.revision("foo", image.digest))).toBe("");
  await damager.layerLink("foo", image.layers[0]!, "malformed");
  expect(await registry.content(paths.layerLink("foo", image.layers[0]!.digest))).toBe(`${image.layers[0]!.digest}\n`);
  await damager.currentLink("foo", "t", "mismatched");
  expect(await registry.content(paths.currentLink("foo", "t"))).toMatch(/^sha256:(?!.*\n)/);
  await damager.loseBlob(image.layers[1]!);
  await damager.corruptBlob(image);
  await damager.loseCurrentLink("foo", "t");
  await damager.loseRevision("foo", image);
  const files = await filesOf(registry.driver);
  expect(files).not.toContain(paths.blob(image.layers[1]!.digest));
  expect(files).not.toContain(paths.currentLink("foo", "t"));
  expect(files).not.toContain(paths.revision("foo", image.digest));
  expect(await registry.content(paths.blob(image.digest))).toBe("rotten");
});

describe("drivers around a driver", () => {
  test.each<[string, (inner: StorageDriver) => StorageDriver]>([
    ["InterceptedDriver", (inner) => new InterceptedDriver(inner, (_, proceed) => proceed())],
    ["FaultyDriver", (inner) => new FaultyDriver(inner, [])],
    ["CountingDriver", (inner) => new CountingDriver(inner)],
    ["RecordingDriver", (inner) => new RecordingDriver(inner)],
    ["ReadOnlyDriver", (inner) => new ReadOnlyDriver(inner)],
  ])("%s has exactly the optional members of the inner one", (_, wrap) => {
    const optional = ["getContent", "walk", "deleteFiles", "pruneDirectories", "putContent", "move"] as const;
    for (const inner of [new MemoryDriver(), new FlatDriver()]) {
      const outer = wrap(inner);
      expect(outer.name).toBe(inner.name);
      for (const member of optional)
        expect([member, member in outer, typeof outer[member]]).toEqual([member, member in inner, typeof (inner as StorageDriver)[member]]);
    }
  });

  test("a run through all of them ends as without them", async () => {
    const build = async () => {
      const registry = makeRegistry();
      await registry.image("foo", { tag: "t" });
      await registry.image("foo");
      return registry.driver;
    };
    const collect = async (driver: StorageDriver) =>
      (await markAndSweep({}, driver, openRegistry(driver), { readOnly: true, removeUntagged: true })).deleted;
    const wrapped = new CountingDriver(new RecordingDriver(new FaultyDriver(await build(), [])));
    expect(await collect(wrapped)).toEqual(await collect(await build()));
  });
});

describe("FaultyDriver", () => {
  test("strikes the n-th call, of a method, at a path", async () => {
    const inner = await storeWith("/a", "/b");
    const faulty = new FaultyDriver(inner, [
      { on: { call: 2 }, does: "fail", error: new Error("second") },
      { on: { method: "stat", path: (path) => path === "/b", nth: 2 }, does: "absent" },
    ]);
    await faulty.stat("/a");
    await expect(faulty.stat("/a")).rejects.toThrow("second");
    await faulty.stat("/b");
    await expect(faulty.stat("/b")).rejects.toMatchObject({ code: "PATH_NOT_FOUND", path: "/b" });
    await faulty.stat("/b");
    expect([faulty.calls, faulty.strikes]).toEqual([5, 2]);
  });

  test("andAfter: nothing works any more", async () => {
    const faulty = new FaultyDriver(await storeWith("/a"), [{ on: { call: 2, andAfter: true }, does: "fail" }]);
    await faulty.stat("/a");
    for (let i = 0; i < 3; i++) await expect(faulty.stat("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("fail leaves all as it is; fail-late does it, and denies it", async () => {
    const inner = await storeWith("/a", "/b");
    const faulty = new FaultyDriver(inner, [
      { on: { method: "delete", path: (path) => path === "/a" }, does: "fail" },
      { on: { method: "delete", path: (path) => path === "/b" }, does: "fail-late" },
    ]);
    await expect(faulty.delete("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(faulty.delete("/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(await filesOf(inner)).toEqual(["/a"]);
  });

  test("pretend: a listing without anything, a deletion that isn't", async () => {
    const inner = await storeWith("/a/b");
    const faulty = new FaultyDriver(inner, [{ on: { method: ["list", "delete", "deleteFiles", "putContent"] }, does: "pretend" }]);
    const pages = [];
    for await (const page of faulty.list("/a")) pages.push(page);
    await faulty.delete("/a/b");
    expect([pages, await faulty.deleteFiles?.(["/a/b"]), await faulty.putContent?.("/c", bytes("c"))]).toEqual([[], [], true]);
    expect(await filesOf(inner)).toEqual(["/a/b"]);
  });

  test("fails between two pages of a listing", async () => {
    const inner = new FlatDriver({ pageSize: 1 });
    for (const path of ["/a/1", "/a/2"]) await inner.putContent(path, bytes(path));
    const faulty = new FaultyDriver(inner, [{ on: { method: "list", nth: 2 }, does: "fail" }]);
    const seen: string[] = [];
    const listing = (async () => {
      for await (const page of faulty.list("/a")) seen.push(...page.map(({ path }) => path));
    })();
    await expect(listing).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(seen).toEqual(["/a/1"]);
  });

  test("hangs until the signal is aborted, delays, and honours a signal that is aborted already", async () => {
    const inner = await storeWith("/a");
    const faulty = new FaultyDriver(inner, [
      { on: { call: 1 }, does: "hang" },
      { on: { call: 2 }, does: "delay", ms: 2 },
    ]);
    const controller = new AbortController();
    const hanging = faulty.stat("/a", { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(hanging).rejects.toThrow("enough");
    expect(await faulty.stat("/a")).toMatchObject({ path: "/a" });
    await expect(faulty.stat("/a", { signal: controller.signal })).rejects.toThrow("enough");
    expect(faulty.calls).toBe(2);
  });
});

test("CountingDriver counts calls, pages, bytes and what is in flight", async () => {
  const counting = new CountingDriver(await storeWith("/a/b", "/a/c"));
  await Promise.all([counting.stat("/a/b"), counting.stat("/a/c")]);
  for await (const page of counting.list("/a")) expect(page.length).toBe(2);
  expect(await textOf(counting, "/a/b")).toBe("/a/b");
  await counting.getContent?.("/a/c");
  expect([counting.calls("stat"), counting.calls("list"), counting.calls("delete"), counting.calls()]).toEqual([2, 1, 0, 5]);
  expect([counting.furtherPages, counting.bytesRead, counting.maxInFlight]).toEqual([1, 8, 2]);
});

test("RecordingDriver writes down what it was asked, in order", async () => {
  const recording = new RecordingDriver(await storeWith("/a", "/b"));
  await recording.stat("/a");
  await recording.move?.("/a", "/c");
  await recording.deleteFiles?.(["/b", "/c"]);
  expect(recording.log.map(({ method }) => method)).toEqual(["stat", "move", "deleteFiles"]);
  expect(recording.changes).toEqual([
    { method: "move", paths: ["/a", "/c"] },
    { method: "deleteFiles", paths: ["/b", "/c"] },
  ]);
});

test("ReadOnlyDriver refuses every change, and says which", async () => {
  const inner = await storeWith("/a");
  const readOnly = new ReadOnlyDriver(inner);
  const changes = [
    readOnly.delete("/a"),
    readOnly.deleteFiles?.(["/a"]),
    readOnly.pruneDirectories?.(["/a"], { upTo: "/" }),
    readOnly.putContent?.("/a", bytes("x")),
    readOnly.move?.("/a", "/b"),
  ];
  for (const change of changes) await expect(change).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(readOnly.refused.length).toBe(5);
  expect(await textOf(readOnly, "/a")).toBe("/a");
});

test("a counting driver's stream that nobody has read from destroys its source", async () => {
  const inner = await storeWith("/a");
  const sources: Readable[] = [];
  const counting = new CountingDriver(
    new InterceptedDriver(inner, async ({ method }, proceed) => {
      const answer = await proceed();
      if (method === "reader") sources.push(answer as Readable);
      return answer;
    }),
  );
  const stream = (await counting.reader("/a")) as Readable;
  stream.destroy();
  await once(stream, "close");
  expect(sources.map(({ destroyed }) => destroyed)).toEqual([true]);
  expect(counting.bytesRead).toBe(0);
});

test("a snapshot of what is not there is empty; a listing that fails further down is no absence", async () => {
  const empty = new InterceptedDriver(new MemoryDriver(), ({ method, paths: [path = ""] }, proceed) => {
    if (method === "list") throw new PathNotFoundError(path, "empty");
    return proceed();
  });
  expect((await snapshotOf(empty)).files.size).toBe(0);
  const inner = await storeWith("/a/b");
  const broken = new InterceptedDriver(inner, ({ method, paths: [path = ""] }, proceed) => {
    if (method === "list" && path === "/a") throw new PathNotFoundError(path, "broken");
    return proceed();
  });
  await expect(snapshotOf(broken)).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
});

describe("the oracle", () => {
  test("tells exactly which files go", async () => {
    const registry = makeRegistry();
    const kept = await registry.image("foo", { layers: 1, tag: "t" });
    const index = await registry.index("foo", [await registry.image("foo", { layers: 1 })], { tag: "old" });
    await registry.tag("foo", "old", kept);
    const orphan = await registry.layer("orphan");
    const { removed, refusal, damaged } = reachable(await snapshotOf(registry.driver), { removeUntagged: true });
    expect([refusal, damaged.size]).toEqual([undefined, 0]);
    expect(removed).toContain(paths.blob(orphan.digest));
    expect(removed).toContain(paths.indexEntry("foo", "old", index.digest));
    expect(removed).not.toContain(paths.blob(kept.digest));
    // Index and child: two revisions; the child's layer: blob and link; two manifests' blobs; one entry; the orphan.
    expect(removed.size).toBe(8);
    expect(reachable(await snapshotOf(registry.driver)).removed).toEqual(new Set([paths.blob(orphan.digest)]));
  });

  test.each(["keep-with-subject", "ignore"] as const)("knows a subject by its sha512 name, as a run does (%s)", async (referrers) => {
    const registry = makeRegistry();
    const image = await registry.image("foo", { tag: "t" });
    const digest = digestOf((await textOf(registry.driver, paths.blob(image.digest))) ?? "", "sha512");
    await registry.file(paths.layerLink("foo", digest), image.digest);
    const { digest: referrer } = await registry.referrer("foo", { ...image, digest });
    const options = { readOnly: true, removeUntagged: true, referrers };
    const { removed } = reachable(await snapshotOf(registry.driver), options);
    expect(removed.has(paths.revision("foo", referrer))).toBe(referrers === "ignore");
    const before = await filesOf(registry.driver);
    await markAndSweep({}, registry.driver, openRegistry(registry.driver), { ...options, maxDeleteRatio: 1 });
    const after = new Set(await filesOf(registry.driver));
    expect(new Set(before.filter((path) => !after.has(path)))).toEqual(removed);
  });

  test("keeps everything of a repository that is damaged, and says when nothing can be told", async () => {
    const registry = makeRegistry();
    const image = await registry.image("foo", { layers: 1 });
    await new RegistryDamager(registry).loseBlob(image);
    expect(reachable(await snapshotOf(registry.driver), { removeUntagged: true })).toMatchObject({
      refusal: undefined,
      damaged: new Set(["foo"]),
      removed: new Set(),
    });
    await registry.remove(`${paths.repository("foo")}/_layers`);
    expect(reachable(await snapshotOf(registry.driver)).refusal).toBe("DAMAGED");
    await registry.remove(paths.repository("foo"));
    expect(reachable(await snapshotOf(registry.driver)).refusal).toBe("EMPTY_MARK");
  });

  test("spares what is young, and old uploads only where it isn't told to remove them", async () => {
    let time = 0;
    const registry = new RegistryBuilder(new MemoryDriver({ now: () => time }));
    const old = await registry.image("foo", { layers: 1 });
    await registry.upload("foo", "id", { data: "x", startedAt: "1970-01-01T00:00:00Z" });
    time = 1000;
    const young = await registry.image("foo", { layers: 1 });
    const snapshot = await snapshotOf(registry.driver);
    const { removed } = reachable(snapshot, { removeUntagged: true, gracePeriodMs: 500, now: 1100 });
    expect(removed).toContain(paths.revision("foo", old.digest));
    expect([...removed].filter((path) => path.includes(young.digest.slice(7)) || path.includes("_uploads"))).toEqual([]);
    const uploads = [...reachable(snapshot, { now: 1100, removeUploadsOlderThanMs: 500 }).removed].filter((path) =>
      path.includes("_uploads"),
    );
    expect(uploads.length).toBe(2);
  });
});
