/** Attacks on links: those that are stuck, that are shared, and that somebody takes or writes at a bad moment. */

import { dirname } from "node:path";
import { type DeletedItem, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, memoryStore } from "../support/stores.js";
import { changed, currentLink, IMAGE, image, layer, linkOf, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";

const SCHEMA_1 = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("one") }] });
const SIGNATURE_LINK = linkOf(`${dirname(revision("r", digestOf(SCHEMA_1)))}/signatures`, digestOf("signature"));

/** A world with a tagged image, and what `fill` adds to it, written a month ago. */
async function oldWorld(fill: (put: World["put"]) => Promise<unknown>): Promise<World> {
  const world = new World();
  const put = (path: string, content: string) => world.put(path, content);
  world.now -= 30 * DAY;
  await push(put, "r", image(digestOf("base")), ["base"], "keep");
  await fill(put);
  world.now += 30 * DAY;
  return world;
}

const oldSchema1 = () =>
  oldWorld(async (put) => {
    await push(put, "r", SCHEMA_1, ["one"]);
    await put(blobPath(digestOf("signature")), "signature");
    await put(SIGNATURE_LINK, digestOf("signature"));
  });

/** A driver that can't remove this path. */
function without(driver: StorageDriver, stuck: string): StorageDriver {
  return changed(driver, {
    delete: (path, options) => (path === stuck ? Promise.reject(new Error("EIO")) : driver.delete(path, options)),
    deleteFiles: async (paths, options) => {
      const rest = await driver.deleteFiles!(
        paths.filter((path) => path !== stuck),
        options,
      );
      return paths.includes(stuck) ? [...rest, { path: stuck, code: "EIO", message: "no" }] : rest;
    },
  });
}

describe("what is stuck", () => {
  test("a signature's link keeps its manifest in a sweep, and a later run finishes the job", async () => {
    const store = memoryStore();
    const put = (path: string, content: string) => store.put(path, content);
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    await push(put, "r", SCHEMA_1, ["one"]);
    await put(blobPath(digestOf("signature")), "signature");
    await put(SIGNATURE_LINK, digestOf("signature"));
    const options = { readOnly: true, removeUntagged: true };
    const broken = without(store.driver, SIGNATURE_LINK);
    const report = await markAndSweep({}, broken, openRegistry(broken), options);
    expect(report).toMatchObject({ status: "completed-with-failures", deleted: { manifests: 0, blobs: 0 } });
    const left = await contentOf(store.driver);
    for (const path of [revision("r", digestOf(SCHEMA_1)), blobPath(digestOf("signature")), blobPath(digestOf("one"))]) {
      expect(left.has(path), path).toBe(true);
    }
    await markAndSweep({}, store.driver, openRegistry(store.driver), options);
    expect((await contentOf(store.driver)).has(SIGNATURE_LINK)).toBe(false);
  });

  test("an index's revision link keeps its children's links in a purge, and all that they name", async () => {
    const child = image(digestOf("deep"));
    const index = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: IMAGE, digest: digestOf(child) }] });
    const world = await oldWorld(async (put) => {
      await push(put, "r", child, ["deep"]);
      await push(put, "r", index, []);
    });
    const before = await world.files();
    await world.collect();
    world.now += 8 * DAY;
    const broken = without(world.driver, revision("r", digestOf(index)));
    const report = await markAndSweep({ clock: world.clock }, broken, openRegistry(broken), { removeUntagged: true });
    expect(report).toMatchObject({ status: "completed-with-failures", purged: { manifests: 0, blobs: 0 } });
    const after = await world.files();
    expect(after.has(revision("r", digestOf(child)))).toBe(true);
    for (const content of [index, child, "deep"]) expect([...(await contentOf(world.driver)).values()]).toContain(content);
    expect([...before.keys()].filter((path) => path.includes("/revisions/") && !after.has(path))).toEqual([]);
  });
});

describe("at a bad moment", () => {
  test("a manifest that is pushed again while a purge removes its link keeps its signatures", async () => {
    const world = await oldSchema1();
    await world.collect();
    world.now += 8 * DAY;
    const link = revision("r", digestOf(SCHEMA_1));
    const driver = changed(world.driver, {
      delete: async (path, options) => {
        // Its PUT has written the data, and is about to write the link.
        if (path === link) await world.put(blobPath(digestOf(SCHEMA_1)), SCHEMA_1);
        await world.driver.delete(path, options);
      },
    });
    await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true });
    const files = await world.files();
    for (const path of [link, SIGNATURE_LINK, blobPath(digestOf("signature")), blobPath(digestOf("one"))]) {
      expect(files.has(path), path).toBe(true);
    }
  });

  const FAILS = () => new Error("timeout");
  const SENT_TWICE = () => Object.assign(new Error("not there"), { code: "PATH_NOT_FOUND" });
  test.each([
    ["a revision link", "fails", FAILS],
    ["a revision link", "was sent twice", SENT_TWICE],
    ["an index entry", "fails", FAILS],
    ["an index entry", "was sent twice", SENT_TWICE],
  ])("%s that a push wrote while a purge removes it is written anew, though the removal %s", async (what, _, error) => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "r", manifest, ["old"], "gone"));
    const entry = linkOf(`${repo("r")}/_manifests/tags/gone/index`, digestOf(manifest));
    await world.driver.delete(currentLink("r", "gone"));
    await world.put(currentLink("r", "gone"), digestOf(image(digestOf("base"))));
    world.now += 2 * DAY;
    await world.collect();
    world.now += 8 * DAY;
    const link = revision("r", digestOf(manifest));
    const bad = what === "an index entry" ? entry : link;
    const driver = changed(world.driver, {
      delete: async (path, options) => {
        if (path === bad) await push((p, content) => world.put(p, content), "r", manifest, ["old"], "new");
        await world.driver.delete(path, options);
        if (path === bad) throw error();
      },
    });
    await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true });
    const files = await world.files();
    for (const path of [link, entry, blobPath(digestOf(manifest)), blobPath(digestOf("old")), layer("r", digestOf("old"))]) {
      expect(files.has(path), path).toBe(true);
    }
    expect(await world.collect()).toMatchObject({ problems: [] });
  });

  test("an index entry whose removal fails is not told as removed, though its tag is gone and it is not written anew", async () => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "r", manifest, ["old"], "gone"));
    await world.driver.delete(currentLink("r", "gone"));
    await world.put(currentLink("r", "gone"), digestOf(image(digestOf("base"))));
    world.now += 2 * DAY;
    await world.collect();
    world.now += 8 * DAY;
    const entry = linkOf(`${repo("r")}/_manifests/tags/gone/index`, digestOf(manifest));
    const driver = changed(world.driver, {
      delete: async (path, options) => {
        if (path === entry) await world.driver.delete(currentLink("r", "gone"));
        if (path === entry) throw new Error("EIO");
        await world.driver.delete(path, options);
      },
    });
    const told: string[] = [];
    const onDeleted = (items: readonly DeletedItem[]) => void told.push(...items.map(({ path }) => path));
    const options = { removeUntagged: true, onDeleted };
    const report = await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), options);
    expect(report).toMatchObject({ failures: [{ path: entry }], purged: { tagIndexEntries: 0, manifests: 0, blobs: 0 } });
    expect(told).not.toContain(entry);
  });

  test("a link that a client removed is not written anew where a purge could not even look at it", async () => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "r", manifest, ["old"]));
    await world.collect();
    world.now += 8 * DAY;
    const link = revision("r", digestOf(manifest));
    let looks = 0;
    const stat: StorageDriver["stat"] = async (path, options) => {
      if (path !== link || !isPurging || looks++ > 0) return world.driver.stat(path, options);
      await world.driver.deleteFiles([link]);
      throw new Error("EIO");
    };
    let isPurging = false;
    const driver = changed(world.driver, {
      stat,
      putContent: async (path, bytes, options) => {
        isPurging ||= path.includes("/journal/") && Buffer.from(bytes).includes('"purging"');
        return world.driver.putContent(path, bytes, options);
      },
    });
    const report = await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true });
    expect(looks).toBeGreaterThan(0);
    expect(report).toMatchObject({ failures: [{ path: link }], purged: { manifests: 0 } });
    expect((await world.files()).has(link)).toBe(false);
  });

  test.each(["one by one", "together"])(
    "an abort waits for removals of layer links under way, and has all written anew: %s",
    async (how) => {
      const contents = ["one", "two", "three", "four"];
      const manifest = image(...contents.map(digestOf));
      const world = await oldWorld((put) => push(put, "r", manifest, contents));
      const before = await world.files();
      const controller = new AbortController();
      const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      let removals = 0;
      const slowly = async (paths: readonly string[]) => {
        if (!paths.some((path) => path.includes("/_layers/"))) return;
        if (removals++ === 0) setTimeout(() => controller.abort(new Error("stop")), 2);
        await later(200);
      };
      const many: StorageDriver["deleteFiles"] = async (paths) => {
        await slowly(paths);
        return world.driver.deleteFiles(paths);
      };
      const driver = changed(
        world.driver as StorageDriver,
        {
          delete: async (path) => {
            await slowly([path]);
            await world.driver.delete(path);
          },
          deleteFiles: how === "together" ? many : undefined,
        } as Partial<StorageDriver>,
      );
      const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), { removeUntagged: true });
      await expect(run).rejects.toThrow("stop");
      expect(removals).toBe(how === "together" ? 1 : 4);
      expect(await world.files()).toEqual(before);
    },
  );

  test("a manifest that is pushed again after its purge died gets its signatures back", async () => {
    const world = await oldSchema1();
    await world.collect();
    world.now += 8 * DAY;
    let isDead = false;
    const dying = new Proxy(world.driver, {
      get(target, member) {
        const value: unknown = Reflect.get(target, member);
        if (typeof value !== "function") return value;
        return async function (path: string, ...rest: unknown[]) {
          if (isDead) throw new Error("dead");
          isDead = member === "delete" && path === SIGNATURE_LINK;
          return (await Reflect.apply(value, target, [path, ...rest])) as unknown;
        };
      },
    });
    const list: StorageDriver["list"] = (path, options) => world.driver.list(path, options);
    const driver = changed(dying, { list });
    await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true }).catch(() => undefined);
    expect(isDead).toBe(true);
    expect((await world.files()).has(SIGNATURE_LINK)).toBe(false);
    await world.driver.delete("/docker/registry/lockfiles");
    await push((path, content) => world.put(path, content), "r", SCHEMA_1, ["one"], "again");
    await world.collect();
    const files = await world.files();
    expect(files.has(SIGNATURE_LINK)).toBe(true);
    expect(files.get(blobPath(digestOf("signature")))).toBe("signature");
  });

  test("a copy stays as long as what was pushed in its place does not hold what its digest says", async () => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "r", manifest, ["old"]));
    await world.collect();
    await push((path, content) => world.put(path, content), "r", manifest, [], "again");
    await world.put(blobPath(digestOf(manifest)), manifest.replace("layers", "rotten"));
    for (let run = 0; run < 2; run++) {
      world.now += 9 * DAY;
      await world.collect();
    }
    expect([...(await contentOf(world.driver)).values()]).toContain(manifest);
  });

  test("a listing that leaves out a repository purges nothing that may be needed there", async () => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "lost", manifest, ["old"]));
    await world.collect();
    world.now += 8 * DAY;
    // Somebody's registry believed that all is there, and has accepted it again.
    await world.put(revision("lost", digestOf(manifest)), digestOf(manifest));
    const lost = repo("lost");
    const driver = changed(world.driver, {
      list: async function* (path, options) {
        for await (const page of world.driver.list(path, options)) yield page.filter((info) => info.path !== lost);
      },
    });
    const report = await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true });
    expect(report.purged).toMatchObject({ manifests: 0, blobs: 0 });
    for (const content of [manifest, "old"]) expect([...(await contentOf(world.driver)).values()]).toContain(content);
    await world.collect();
    expect((await world.files()).get(blobPath(digestOf("old")))).toBe("old");
  });

  test("a layer link that a run took is written anew for as long as a purge would have waited, though its journal closed at once", async () => {
    const shared = image(digestOf("shared"));
    const world = await oldWorld(async (put) => {
      await push(put, "b", shared, ["shared"], "keep");
      await put(layer("a", digestOf("shared")), digestOf("shared"));
    });
    expect(await world.collect()).toMatchObject({ deleted: { layerLinks: 1 }, quarantined: { blobs: 0 } });
    world.now += 3 * DAY;
    await world.collect();
    // A registry with a descriptor cache still believes in the link, and accepts a manifest that needs it.
    world.now += DAY;
    await push((path, content) => world.put(path, content), "a", shared, [], "new");
    await world.collect();
    expect((await world.files()).has(layer("a", digestOf("shared")))).toBe(true);
  });

  test("a layer link that a sleeper takes after his journal was closed is written anew by the next run", async () => {
    const manifest = image(digestOf("old"));
    const world = await oldWorld((put) => push(put, "r", manifest, ["old"]));
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await push((path, content) => world.put(path, content), "r", manifest, [], "again");
    };
    const report = await world.collect({ quarantineMs: 0 });
    expect(report.restored.blobs).toBeGreaterThan(0);
    // The manifest was pushed anew: for a day its copy may be needed by a sleeper's victim, then it is of no use, and goes.
    expect(await world.aside()).toHaveLength(1);
    world.now += 2 * DAY;
    await world.collect({ quarantineMs: 0 });
    expect(await world.aside()).toEqual([]);
    await world.driver.delete(layer("r", digestOf("old")));
    await world.collect();
    expect((await world.files()).has(layer("r", digestOf("old")))).toBe(true);
  });
});
