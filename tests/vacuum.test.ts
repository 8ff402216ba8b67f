/** The deleting half alone: exactly what it is told, in bounded batches, and one failure never stops the rest. */

import { type StorageDriver, Vacuum } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, flatStore, leastStore, memoryStore, type Store } from "./support/stores.js";

const ROOT = "/docker/registry/v2";
const hex = (i: number) => i.toString(16).padStart(64, "0");
const digest = (i: number) => `sha256:${hex(i)}`;
const blob = (i: number, root = ROOT) => `${root}/blobs/sha256/${hex(i).slice(0, 2)}/${hex(i)}/data`;
const layer = (repository: string, i: number, root = ROOT) => `${root}/repositories/${repository}/_layers/sha256/${hex(i)}/link`;
const revision = (repository: string, i: number) => `${ROOT}/repositories/${repository}/_manifests/revisions/sha256/${hex(i)}/link`;
const tag = (repository: string, name: string) => `${ROOT}/repositories/${repository}/_manifests/tags/${name}`;
const entry = (repository: string, name: string, i: number) => `${tag(repository, name)}/index/sha256/${hex(i)}/link`;

async function fill(store: Store, paths: readonly string[]): Promise<Store> {
  for (const path of paths) await store.put(path, "x");
  return store;
}

const leastOf = (driver: StorageDriver): StorageDriver => ({
  name: "least",
  stat: (path) => driver.stat(path),
  list: (path) => driver.list(path),
  reader: (path) => driver.reader(path),
  delete: (path) => driver.delete(path),
});

const left = async ({ driver }: Store) => [...(await contentOf(driver)).keys()].sort();

describe.each([
  ["memory", memoryStore],
  ["flat", flatStore],
  ["least", leastStore],
])("on %s", (_, makeStore) => {
  test("removeManifests takes the index entries that exist, of all tags, and the revision link; never a current link", async () => {
    const stays = [
      `${tag("a", "t1")}/current/link`,
      entry("a", "t1", 2),
      revision("a", 2),
      revision("a/b", 1),
      entry("a/b", "t1", 1),
      blob(1),
    ];
    const goes = [entry("a", "t1", 1), entry("a", "t2", 1), revision("a", 1)];
    const store = await fill(makeStore(), [...stays, ...goes]);
    expect(await new Vacuum(store.driver).removeManifests([{ repository: "a", digest: digest(1) }])).toEqual({ removed: 1, failures: [] });
    expect(await left(store)).toEqual(stays.sort());
  });

  test("removeManifests takes only the tags that it is told", async () => {
    const stays = [entry("a", "t1", 1), `${tag("a", "t2")}/current/link`];
    const store = await fill(makeStore(), [...stays, entry("a", "t2", 1), revision("a", 1)]);
    const result = await new Vacuum(store.driver).removeManifests([{ repository: "a", digest: digest(1), tags: ["t2", "t3"] }]);
    expect(result).toEqual({ removed: 1, failures: [] });
    expect(await left(store)).toEqual(stays.sort());
  });

  test("removeManifests with no tags told takes none", async () => {
    const store = await fill(makeStore(), [entry("a", "t1", 1), revision("a", 1)]);
    await new Vacuum(store.driver).removeManifests([{ repository: "a", digest: digest(1), tags: [] }]);
    expect(await left(store)).toEqual([entry("a", "t1", 1)]);
  });

  test("removeLayerLinks takes links, and leaves their blobs", async () => {
    const store = await fill(makeStore(), [layer("a", 1), layer("a", 2), layer("a-b", 1), blob(1)]);
    expect((await new Vacuum(store.driver).removeLayerLinks([{ repository: "a", digest: digest(1) }])).removed).toBe(1);
    expect(await left(store)).toEqual([blob(1), layer("a", 2), layer("a-b", 1)].sort());
  });

  test("removeBlobs takes their data, and what lies beside it stays", async () => {
    const stray = blob(1).replace(/data$/, "data.tmp");
    const store = await fill(makeStore(), [blob(1), stray, blob(2), layer("a", 1)]);
    expect(await new Vacuum(store.driver).removeBlobs([digest(1), digest(3)])).toEqual({ removed: 2, failures: [] });
    expect(await left(store)).toEqual([stray, blob(2), layer("a", 1)].sort());
  });

  test("removeRepository takes its own parts, and never a repository nested in it or beside it", async () => {
    const stays = [
      layer("a/b", 1),
      layer("ab", 1),
      layer("a-b", 1),
      layer("a.b", 1),
      `${ROOT}/repositories/a/stray`,
      `${ROOT}/repositories/a/_other/x`,
    ];
    const goes = [layer("a", 1), revision("a", 1), entry("a", "t", 1), `${ROOT}/repositories/a/_uploads/u/data`];
    const store = await fill(makeStore(), [...stays, ...goes]);
    expect(await new Vacuum(store.driver).removeRepository("a")).toEqual({ removed: 1, failures: [] });
    expect(await left(store)).toEqual(stays.sort());
    expect(await new Vacuum(store.driver).removeRepository("a")).toEqual({ removed: 1, failures: [] });
  });

  test("takes thousands, from a list or a stream", async () => {
    const digests = Array.from({ length: 2500 }, (__, i) => digest(i));
    const store = await fill(
      makeStore(),
      digests.map((__, i) => blob(i)),
    );
    async function* stream() {
      yield* digests.slice(1200);
    }
    const vacuum = new Vacuum(store.driver);
    expect((await vacuum.removeBlobs(digests.slice(0, 1200))).removed).toBe(1200);
    expect((await vacuum.removeBlobs(stream())).removed).toBe(1300);
    expect(await left(store)).toEqual([]);
  });

  test("removeManifests takes hundreds, each once", async () => {
    const numbers = Array.from({ length: 300 }, (__, i) => i);
    const store = await fill(
      makeStore(),
      numbers.map((i) => revision("a", i)),
    );
    const items = numbers.map((i) => ({ repository: "a", digest: digest(i), tags: [] }));
    expect(await new Vacuum(store.driver).removeManifests(items)).toEqual({ removed: 300, failures: [] });
    expect(await left(store)).toEqual([]);
  });

  test("another root", async () => {
    const store = await fill(makeStore(), [blob(1), blob(1, "/other/v2"), layer("a", 1, "/other/v2")]);
    const vacuum = new Vacuum(store.driver, { root: "/other/v2" });
    await vacuum.removeBlobs([digest(1)]);
    await vacuum.removeLayerLinks([{ repository: "a", digest: digest(1) }]);
    expect(await left(store)).toEqual([blob(1)]);
  });
});

describe("what it is told is checked before the first call", () => {
  const untouched = new Proxy({} as StorageDriver, {
    get: (_, member) => {
      if (member === "name") return "untouched";
      throw new Error(`${String(member)} was called`);
    },
  });
  const vacuum = new Vacuum(untouched);
  const good = { repository: "a", digest: digest(1) };

  test.each(["", "x", "sha256:", digest(1).toUpperCase(), `${digest(1)}/..`, "sha256:../../../../x"])("digest %j", async (bad) => {
    const invalid = { code: "INVALID_DIGEST" };
    await expect(vacuum.removeBlobs([digest(1), bad])).rejects.toMatchObject(invalid);
    await expect(vacuum.removeLayerLinks([good, { repository: "a", digest: bad }])).rejects.toMatchObject(invalid);
    await expect(vacuum.removeManifests([good, { repository: "a", digest: bad }])).rejects.toMatchObject(invalid);
  });

  test.each(["", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/.", "_layers", "a/_manifests", "a b", "ä"])(
    "repository %j",
    async (repository) => {
      await expect(vacuum.removeRepository(repository)).rejects.toBeInstanceOf(TypeError);
      await expect(vacuum.removeRepository(repository)).rejects.toThrow(`not a repository's name: ${JSON.stringify(repository)}`);
      await expect(vacuum.removeLayerLinks([good, { repository, digest: digest(1) }])).rejects.toBeInstanceOf(TypeError);
      await expect(vacuum.removeManifests([good, { repository, digest: digest(1) }])).rejects.toBeInstanceOf(TypeError);
    },
  );

  test.each(["", "..", "a/b", "-a", ".a", "a".repeat(129), 5, null])("tag %j", async (bad) => {
    const refused = vacuum.removeManifests([{ ...good, tags: ["ok", bad as string] }]);
    await expect(refused).rejects.toBeInstanceOf(TypeError);
    await expect(refused).rejects.toThrow(`not a tag: ${JSON.stringify(bad)}`);
  });

  test.each([null, undefined, "sha256:x"])("an item that is none: %j", async (item) => {
    const message = /^an item is .*; expected \{ repository, digest \}$/;
    await expect(vacuum.removeManifests([item as never])).rejects.toThrow(message);
    await expect(vacuum.removeLayerLinks([item as never])).rejects.toThrow(message);
  });

  test.each([null, undefined, digest(1), { digest: digest(1) }])("what is no iterable: %j", async (items) => {
    await expect(vacuum.removeManifests(items as never)).rejects.toThrow(/^items are .*; expected an iterable of objects$/);
    await expect(vacuum.removeLayerLinks(items as never)).rejects.toThrow(/^items are .*; expected an iterable of objects$/);
    await expect(vacuum.removeBlobs(items as never)).rejects.toThrow(/^digests are .*; expected an iterable of digests$/);
  });

  test("all of a list, though it would go in many batches", async () => {
    const many = Array.from({ length: 2500 }, (_, i) => ({ repository: "a", digest: digest(i) }));
    const bad = [...many, { repository: "a", digest: "bad" }];
    const invalid = { code: "INVALID_DIGEST", digest: "bad" };
    await expect(vacuum.removeBlobs(bad.map((each) => each.digest))).rejects.toMatchObject(invalid);
    await expect(vacuum.removeLayerLinks(bad)).rejects.toMatchObject(invalid);
  });

  test.each([
    { repository: "a", digest: "bad" },
    { repository: "a b", digest: digest(1) },
    { repository: "a", digest: digest(1), tags: ["-"] },
  ])("the last of many manifests: not one of them goes (%j)", async (bad) => {
    const links = Array.from({ length: 300 }, (_, i) => revision("a", i));
    const store = await fill(memoryStore(), links);
    const items = [...links.map((_, i) => ({ repository: "a", digest: digest(i), tags: [] })), bad];
    await expect(new Vacuum(store.driver).removeManifests(items)).rejects.toThrow();
    expect(await left(store)).toEqual([...links].sort());
  });

  test("of a stream, each batch before its call", async () => {
    const store = await fill(memoryStore(), [blob(1)]);
    async function* stream() {
      yield digest(1);
      yield "bad";
    }
    await expect(new Vacuum(store.driver).removeBlobs(stream())).rejects.toMatchObject({ code: "INVALID_DIGEST" });
    expect(await left(store)).toEqual([blob(1)]);
  });
});

describe("failures", () => {
  const broken = (driver: StorageDriver, isBroken: (path: string) => boolean): StorageDriver =>
    new Proxy(leastOf(driver), {
      get(target, member) {
        if (member !== "delete") return Reflect.get(target, member) as unknown;
        return async (path: string) => {
          if (isBroken(path)) throw Object.assign(new Error("busy"), { code: "EBUSY" });
          await driver.delete(path);
        };
      },
    });

  test("one is recorded, with code and path, and the rest goes", async () => {
    const store = await fill(
      memoryStore(),
      [1, 2, 3].map((i) => blob(i)),
    );
    const vacuum = new Vacuum(broken(store.driver, (path) => path === blob(2)));
    const failure = { path: blob(2), code: "EBUSY", message: "busy" };
    expect(await vacuum.removeBlobs([1, 2, 3].map((i) => digest(i)))).toEqual({ removed: 2, failures: [failure] });
    expect(await left(store)).toEqual([blob(2)]);
  });

  test("an index entry that stays keeps its manifest from counting as removed, and the link goes all the same", async () => {
    const store = await fill(memoryStore(), [entry("a", "t", 1), revision("a", 1), revision("a", 2)]);
    const vacuum = new Vacuum(broken(store.driver, (path) => path.includes("/index/")));
    const result = await vacuum.removeManifests([1, 2].map((i) => ({ repository: "a", digest: digest(i) })));
    expect(result).toMatchObject({ removed: 1, failures: [{ path: entry("a", "t", 1) }] });
    expect(await left(store)).toEqual([entry("a", "t", 1)]);
  });

  test("a revision link that stays keeps its manifest from counting as removed", async () => {
    const store = await fill(memoryStore(), [entry("a", "t", 1), revision("a", 1), revision("a", 2)]);
    const vacuum = new Vacuum(broken(store.driver, (path) => path === revision("a", 1)));
    const result = await vacuum.removeManifests([1, 2].map((i) => ({ repository: "a", digest: digest(i) })));
    expect(result).toEqual({ removed: 1, failures: [{ path: revision("a", 1), code: "EBUSY", message: "busy" }] });
    expect(await left(store)).toEqual([revision("a", 1)]);
  });

  test("where the index entries could not be looked up, their manifest stays as it is, and the rest goes", async () => {
    const store = await fill(memoryStore(), [entry("a", "t", 1), revision("a", 1), entry("b", "t", 1), revision("b", 1)]);
    const driver: StorageDriver = {
      ...leastOf(store.driver),
      async *list(path) {
        if (path.includes("/a/")) throw Object.assign(new Error("slow down"), { code: "503" });
        yield* store.driver.list(path);
      },
    };
    const items = ["a", "b"].map((repository) => ({ repository, digest: digest(1) }));
    const failure = { path: revision("a", 1), code: "DRIVER_ERROR", message: expect.stringContaining("slow down") as string };
    expect(await new Vacuum(driver).removeManifests(items)).toEqual({ removed: 1, failures: [failure] });
    expect(await left(store)).toEqual([entry("a", "t", 1), revision("a", 1)].sort());
  });

  test("a signal while index entries are looked up: it rejects with the reason, and nothing goes", async () => {
    const store = await fill(memoryStore(), [entry("a", "t", 1), revision("a", 1)]);
    const controller = new AbortController();
    const driver: StorageDriver = {
      ...leastOf(store.driver),
      async *list(path) {
        controller.abort(new Error("stop"));
        if (controller.signal.aborted) throw new Error("cut off");
        yield* store.driver.list(path);
      },
    };
    const run = new Vacuum(driver).removeManifests([{ repository: "a", digest: digest(1) }], { signal: controller.signal });
    await expect(run).rejects.toThrow("stop");
    expect(await left(store)).toEqual([entry("a", "t", 1), revision("a", 1)].sort());
  });

  test("a signal between index entries and links: the links stay", async () => {
    const store = await fill(memoryStore(), [entry("a", "t", 1), revision("a", 1)]);
    const controller = new AbortController();
    const driver: StorageDriver = {
      ...leastOf(store.driver),
      delete: async (path) => {
        controller.abort(new Error("stop"));
        await store.driver.delete(path);
      },
    };
    const run = new Vacuum(driver).removeManifests([{ repository: "a", digest: digest(1) }], { signal: controller.signal });
    await expect(run).rejects.toThrow("stop");
    expect(await left(store)).toEqual([revision("a", 1)]);
  });

  test("a bulk delete that rejects fails its batch, by the code that it has", async () => {
    const store = await fill(memoryStore(), [blob(1)]);
    const driver = new Proxy(store.driver, {
      get: (target, member) =>
        member === "deleteFiles" ? () => Promise.reject(new Error("EIO")) : (Reflect.get(target, member) as unknown),
    });
    expect(await new Vacuum(driver).removeBlobs([digest(1)])).toEqual({
      removed: 0,
      failures: [{ path: blob(1), code: "DRIVER_ERROR", message: "EIO" }],
    });
  });

  test("a signal: no further removal starts, and it rejects with the reason", async () => {
    const store = await fill(
      memoryStore(),
      Array.from({ length: 50 }, (_, i) => blob(i)),
    );
    const controller = new AbortController();
    let deletes = 0;
    const driver = new Proxy(leastOf(store.driver), {
      get(target, member) {
        if (member !== "delete") return Reflect.get(target, member) as unknown;
        return async (path: string) => {
          if (++deletes === 5) controller.abort(new Error("stop"));
          await store.driver.delete(path);
        };
      },
    });
    const gone: unknown[] = [];
    const items = Array.from({ length: 50 }, (_, i) => ({ footprint: { files: [blob(i)] } }));
    const run = new Vacuum(driver, { concurrency: 2 }).removeAll(items, {
      signal: controller.signal,
      onBatch: async (batch, failed) => {
        gone.push(...batch);
        expect(failed).toEqual([]);
      },
    });
    await expect(run).rejects.toThrow("stop");
    expect(deletes).toBeLessThan(8);
    expect(gone).toHaveLength(50 - (await left(store)).length);
  });

  test("batches are bounded", async () => {
    const sizes: number[] = [];
    const driver = { ...leastOf(memoryStore().driver), deleteFiles: async (paths: readonly string[]) => (sizes.push(paths.length), []) };
    await new Vacuum(driver).removeBlobs(Array.from({ length: 2500 }, (_, i) => digest(i)));
    expect(sizes.sort((a, b) => a - b)).toEqual([500, 1000, 1000]);
    await new Vacuum(driver).removeBlobs([]);
    expect(sizes).toHaveLength(3);
  });
});

test("what it logs says which driver failed", async () => {
  const { driver } = memoryStore();
  const lines: unknown[] = [];
  const ignore = () => undefined;
  const logger = { debug: ignore, info: ignore, error: ignore, warn: (...line: unknown[]) => lines.push(line) };
  const failing = new Proxy(driver, {
    get: (target, member) => (member === "deleteFiles" ? () => Promise.reject(new Error("EIO")) : (Reflect.get(target, member) as unknown)),
  });
  await new Vacuum(failing, { logger, concurrency: 1 }).removeBlobs([digest(1)]);
  expect(lines).toEqual([["deleting 1 files failed: EIO", { driver: "memory", error: new Error("EIO") }]]);
});

describe("emptied directories", () => {
  const setUp = async () => {
    const store = await fill(memoryStore(), [blob(1), layer("a", 1), layer("a", 2)]);
    const items = [
      { footprint: { files: [blob(1)], upTo: `${ROOT}/blobs/sha256` } },
      { footprint: { files: [layer("a", 1)], upTo: `${ROOT}/repositories/a/_layers` } },
    ];
    return { store, items };
  };
  const isThere = async ({ driver }: Store, path: string) =>
    driver.stat(path).then(
      () => true,
      () => false,
    );

  test("stay unless it is said that nothing writes", async () => {
    const { store, items } = await setUp();
    await new Vacuum(store.driver).removeAll(items);
    expect(await isThere(store, blob(1).replace("/data", ""))).toBe(true);
  });

  test("go up to their limit, which stays", async () => {
    const { store, items } = await setUp();
    await new Vacuum(store.driver).removeAll(items, { prune: true });
    expect(await isThere(store, `${ROOT}/blobs/sha256/00`)).toBe(false);
    expect(await isThere(store, `${ROOT}/blobs/sha256`)).toBe(true);
    expect(await isThere(store, layer("a", 1).replace("/link", ""))).toBe(false);
    expect(await isThere(store, layer("a", 2))).toBe(true);
  });
});

describe("look-ups of index entries", () => {
  const filled = async () => {
    const paths: string[] = [];
    for (let i = 0; i < 20; i++) paths.push(revision("a", i), ...Array.from({ length: 30 }, (_, t) => entry("a", `t${t}`, i)));
    return fill(memoryStore(), paths);
  };
  const items = Array.from({ length: 20 }, (_, i) => ({ repository: "a", digest: digest(i) }));

  test("list each tag once for all, and no more at once than they may", async () => {
    const { driver } = await filled();
    let calls = 0;
    let most = 0;
    let open = 0;
    const counting = {
      ...leastOf(driver),
      async *list(path: string) {
        calls++;
        most = Math.max(most, ++open);
        await new Promise((resolve) => setImmediate(resolve));
        open--;
        yield* driver.list(path);
      },
    };
    expect(await new Vacuum(counting, { concurrency: 2 }).removeManifests(items)).toEqual({ removed: 20, failures: [] });
    expect(most).toBe(2);
    // The tags, and of each its index of this algorithm.
    expect(calls).toBe(1 + 30);
  });

  test("one item that is told twice, and can't be removed, is not removed", async () => {
    const { driver } = await filled();
    const refusing: StorageDriver = { ...leastOf(driver), delete: () => Promise.reject(new Error("read-only")) };
    const item = { repository: "a", digest: digest(1), tags: [] };
    expect(await new Vacuum(refusing).removeManifests([item, item])).toMatchObject({ removed: 0 });
  });
});
