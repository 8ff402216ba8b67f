/** Attacks on the one rule: what is alive, promised or still linked stays. */

import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { createWriteBarrier, type GcOptions, markAndSweep, openRegistry, restore } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, filesystemStore, MONTH_AGO, memoryStore, STORES } from "../support/stores.js";
import { changed, IMAGE, image, layer, linkOf, type Put, push, repo, revision, sha512 } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";

/** A world with a tagged image in `r`, written a month ago. */
async function worldWith(fill: (world: World) => Promise<unknown>): Promise<World> {
  const world = new World();
  world.now -= 30 * DAY;
  await push((path, content) => world.put(path, content), "r", image(digestOf("base")), ["base"], "keep");
  await fill(world);
  world.now += 30 * DAY;
  return world;
}

describe("a push in flight while layer links are taken", () => {
  test("a layer that is named by sha512 comes back in the same run", async () => {
    const content = "layer";
    const manifest = image(sha512(content));
    const world = await worldWith(async (w) => {
      await push((p, c) => w.put(p, c), "r", manifest, [content]);
      await w.put(layer("r", sha512(content)), digestOf(content));
    });
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      // The PUT had looked at links and data before they were taken.
      await world.put(blobPath(digestOf(manifest)), manifest);
      await world.put(revision("r", digestOf(manifest)), digestOf(manifest));
      await world.put(`${repo("r")}/_manifests/tags/new/current/link`, digestOf(manifest));
    };
    await world.collect({ quarantineMs: 0 });
    const files = await world.files();
    expect(files.get(blobPath(digestOf(content)))).toBe(content);
    expect(files.has(layer("r", sha512(content)))).toBe(true);
  });

  test("a child that is served by a taken layer link is followed", async () => {
    const child = image(digestOf("deep"));
    const index = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: IMAGE, digest: digestOf(child) }] });
    const world = await worldWith(async (w) => {
      await push((p, c) => w.put(p, c), "r", index, [child, "deep"]);
    });
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(blobPath(digestOf(index)), index);
      await world.put(revision("r", digestOf(index)), digestOf(index));
      await world.put(`${repo("r")}/_manifests/tags/new/current/link`, digestOf(index));
    };
    await world.collect({ quarantineMs: 0 });
    const files = await world.files();
    expect(files.get(blobPath(digestOf(child)))).toBe(child);
    expect(files.get(blobPath(digestOf("deep")))).toBe("deep");
  });
});

describe("a child that only a layer link serves, and that does not hold what its digest says", () => {
  const child = image(digestOf("deep"), digestOf("deeper"));
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: IMAGE, digest: digestOf(child) }] });
  const LAYERS = ["deep", "deeper"].flatMap((content) => [blobPath(digestOf(content)), layer("r", digestOf(content))]);
  const MISMATCH = { kind: "digest-mismatch", path: layer("r", digestOf(child)), repository: "r", digest: digestOf(child) };
  const fill = async (put: Put, tag?: string) => {
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    await push(put, "r", index, [child, "deep", "deeper"], tag);
    await put(blobPath(digestOf("orphan")), "orphan");
  };
  const rotten = child.replace("layers", "LAYERS");

  test.each(Object.entries(STORES))("protects its repository, on %s", async (_, makeStore) => {
    const store = makeStore();
    await fill((path, content) => store.put(path, content), "index");
    await store.put(blobPath(digestOf(child)), rotten);
    const options: GcOptions = { readOnly: true, removeUntagged: true };
    const aborted = markAndSweep({}, store.driver, openRegistry(store.driver), { ...options, onDamage: "abort" });
    await expect(aborted).rejects.toMatchObject({ code: "DAMAGED", report: { problems: [MISMATCH] } });
    const report = await markAndSweep({}, store.driver, openRegistry(store.driver), options);
    expect(report).toMatchObject({ status: "completed", problems: [MISMATCH], deleted: { blobs: 1, layerLinks: 0 } });
    const files = await contentOf(store.driver);
    for (const path of LAYERS) expect(files.has(path), path).toBe(true);
  });

  // What a disk makes of a file in a crash, too: as a document it would have begun.
  test.each([
    ["{ alone", "{", 1],
    ["nothing", "", 1],
    ["zeros", "\0\0\0", 1],
    ["what no document begins with", "a layer", 3],
  ])("protects it where %s is left of it; mere bytes are a blob", async (_, left, deleted) => {
    const store = memoryStore();
    await fill((path, content) => store.put(path, content), "index");
    await store.put(blobPath(digestOf(child)), left);
    const report = await markAndSweep({}, store.driver, openRegistry(store.driver), { readOnly: true, removeUntagged: true });
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: deleted }, problemCount: deleted === 1 ? 1 : 0 });
  });

  test("nor does a reading that was short, once", async () => {
    const store = memoryStore();
    await fill((path, content) => store.put(path, content), "index");
    let cuts = 0;
    const driver = changed(store.driver, {
      getContent: async (path, options) => {
        const bytes = await store.driver.getContent!(path, options);
        return path === blobPath(digestOf(child)) && cuts++ === 0 ? bytes.subarray(0, 10) : bytes;
      },
    });
    await markAndSweep({}, driver, openRegistry(driver), { readOnly: true, removeUntagged: true });
    expect(cuts).toBe(1);
    const files = await contentOf(store.driver);
    for (const path of LAYERS) expect(files.has(path), path).toBe(true);
  });

  test("protects it, too, where nobody comes upon it before its index is found alive elsewhere", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    const put: Put = (path, content) => world.put(path, content);
    await fill(put);
    await push(put, "elsewhere", index, [], "index");
    await put(blobPath(digestOf(child)), rotten);
    world.now += 30 * DAY;
    // A dry run looks once.
    const dry = { dryRun: true };
    expect(await world.collect(dry)).toMatchObject({ problems: [MISMATCH], eligible: { blobs: 1, layerLinks: 0 }, kept: { protected: 2 } });
    await expect(world.collect({ ...dry, onDamage: "abort" })).rejects.toMatchObject({ code: "DAMAGED", report: { problems: [MISMATCH] } });
    await expect(world.collect({ onDamage: "abort" })).rejects.toMatchObject({ code: "DAMAGED", report: { problems: [MISMATCH] } });
    expect(await world.collect({ quarantineMs: 0 })).toMatchObject({ problems: [MISMATCH], deleted: { blobs: 1, layerLinks: 0 } });
    const files = await world.files();
    for (const path of LAYERS) expect(files.has(path), path).toBe(true);
  });
});

describe("purge", () => {
  test("a revision link that can't be removed keeps what its manifest reaches", async () => {
    const manifest = image(digestOf("old"));
    const world = await worldWith((w) => push((p, c) => w.put(p, c), "r", manifest, ["old"]));
    await world.collect();
    world.now += 8 * DAY;
    const link = revision("r", digestOf(manifest));
    const driver = changed(world.driver, {
      delete: async (path, options) => {
        if (path === link) throw new Error("EIO");
        return world.driver.delete(path, options);
      },
      deleteFiles: async (paths, options) => {
        const failed = paths.filter((path) => path === link).map((path) => ({ path, code: "EIO", message: "no" }));
        return [
          ...failed,
          ...(await world.driver.deleteFiles(
            paths.filter((path) => path !== link),
            options,
          )),
        ];
      },
    });
    const report = await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true });
    expect(report.status).toBe("completed-with-failures");
    const everything = [...(await contentOf(world.driver)).values()];
    expect(everything).toContain(manifest);
    expect(everything).toContain("old");
    // It can be pulled, which takes its layer link.
    expect([...(await world.files()).keys()]).toContain(layer("r", digestOf("old")));
    // And later runs finish the job, once that link is not young any more.
    for (let i = 0; i < 2; i++) {
      world.now += 8 * DAY;
      await world.collect();
    }
    const after = await contentOf(world.driver);
    expect(after.has(link)).toBe(false);
    expect([...after.values()]).not.toContain("old");
  });

  test("asks the barrier before it deletes data that lies aside", async () => {
    const manifest = image(digestOf("old"));
    const world = await worldWith((w) => push((p, c) => w.put(p, c), "r", manifest, ["old"]));
    await world.collect();
    world.now += 8 * DAY;
    const barrier = createWriteBarrier({ now: () => world.now });
    await barrier.protect(digestOf("old"));
    await world.purge({ barrier });
    expect([...(await contentOf(world.driver)).values()]).toContain("old");
  });

  test("onDeleted is told of tag index entries, too", async () => {
    const world = await new World().load("retag");
    const told: string[] = [];
    const report = await world.collect({ quarantineMs: 0, onDeleted: (items) => void told.push(...items.map(({ kind }) => kind)) });
    expect(report.deleted.tagIndexEntries).toBe(1);
    expect(told).toContain("tagIndexEntry");
  });

  test("the links of old signatures go with their revision", async () => {
    const manifest = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("one") }] });
    const signatureLink = linkOf(`${dirname(revision("r", digestOf(manifest)))}/signatures`, digestOf("signature"));
    const world = await worldWith(async (w) => {
      await push((p, c) => w.put(p, c), "r", manifest, ["one"]);
      await w.put(blobPath(digestOf("signature")), "signature");
      await w.put(signatureLink, digestOf("signature"));
    });
    await world.collect({ quarantineMs: 0 });
    const files = await world.files();
    expect(files.has(revision("r", digestOf(manifest)))).toBe(false);
    expect(files.has(blobPath(digestOf("signature")))).toBe(false);
    expect(files.has(signatureLink)).toBe(false);
  });
});

describe("restore", () => {
  test("a manifest comes back with the layers that it names by sha512", async () => {
    const manifest = image(sha512("layer"));
    const world = await worldWith(async (w) => {
      await push((p, c) => w.put(p, c), "r", manifest, ["layer"]);
      await w.put(layer("r", sha512("layer")), digestOf("layer"));
    });
    const before = await world.files();
    await world.collect();
    expect((await world.files()).size).toBeLessThan(before.size);
    const report = await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { digest: digestOf(manifest) });
    expect(report).toMatchObject({ missing: [], blobs: 2 });
    expect(await world.files()).toEqual(before);
  });
});

describe("symbolic links on a file system", () => {
  test("a blob whose data is a relative symbolic link survives going aside and back", async () => {
    const store = filesystemStore();
    const put: Put = (path, content) => store.put(path, content);
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    const manifest = image(digestOf("linked"));
    await push(put, "r", manifest, ["linked"]);
    const data = join(store.folder, blobPath(digestOf("linked")));
    const pool = join(store.folder, "pool");
    mkdirSync(pool);
    renameSync(data, join(pool, "linked"));
    symlinkSync("../../../../../../../pool/linked", data);
    expect(readFileSync(data, "utf8")).toBe("linked");
    let now = Date.now();
    let pushes = true;
    const clock = {
      now: () => now,
      sleep: async () => {
        if (!pushes) return;
        pushes = false;
        await store.put(`${repo("r")}/_manifests/tags/new/current/link`, digestOf(manifest), Date.now());
      },
    };
    now = Date.now();
    await markAndSweep({ clock }, store.driver, openRegistry(store.driver), { removeUntagged: true });
    expect(readFileSync(data, "utf8")).toBe("linked");
  });

  test("a layer directory that two repositories share keeps the links that either needs", async () => {
    const store = filesystemStore();
    const put: Put = (path, content) => store.put(path, content);
    await push(put, "a", image(digestOf("base")), ["base"], "keep");
    await push(put, "b", image(digestOf("other")), ["other"], "keep");
    rmSync(join(store.folder, repo("b"), "_layers"), { recursive: true });
    await put(layer("a", digestOf("other")), digestOf("other"));
    symlinkSync("../a/_layers", join(store.folder, repo("b"), "_layers"));
    await markAndSweep({}, store.driver, openRegistry(store.driver), { readOnly: true });
    expect([...(await contentOf(store.driver)).keys()].filter((path) => path.startsWith(`${repo("a")}/_layers`))).toHaveLength(2);
  });
});

describe("links that are symbolic links to another repository's, as tools make them that merge equal files", () => {
  test.each<GcOptions>([{ readOnly: true }, { gracePeriodMs: 0 }])("none of them is left to lead nowhere: %j", async (options) => {
    const store = filesystemStore();
    const put: Put = (path, content) => store.put(path, content);
    const manifest = image(digestOf("layer"));
    await push(put, "other", manifest, ["layer"]);
    await push(put, "live", manifest, ["layer"], "keep");
    for (const linkIn of [(name: string) => revision(name, digestOf(manifest)), (name: string) => layer(name, digestOf("layer"))]) {
      rmSync(join(store.folder, linkIn("live")));
      symlinkSync(join(store.folder, linkIn("other")), join(store.folder, linkIn("live")));
    }
    const before = await contentOf(store.driver);
    const report = await markAndSweep({}, store.driver, openRegistry(store.driver), { removeUntagged: true, drainMs: 0, ...options });
    expect(report).toMatchObject({ status: "completed", deleted: { manifests: 0, layerLinks: 0 } });
    for (const [path, content] of before) expect((await contentOf(store.driver)).get(path), path).toBe(content);
  });
});

describe("repositories that share their revisions through a symbolic link", () => {
  test("keep those that a tag of either names", async () => {
    const store = filesystemStore();
    const put: Put = (path, content) => store.put(path, content);
    const theirs = image(digestOf("theirs"));
    await push(put, "a", image(digestOf("base")), ["base"], "keep");
    await push(put, "b", theirs, ["theirs"], "keep");
    await put(revision("a", digestOf(theirs)), digestOf(theirs));
    const revisions = join(store.folder, repo("b"), "_manifests/revisions");
    rmSync(revisions, { recursive: true });
    symlinkSync("../../a/_manifests/revisions", revisions);
    await put(revision("a", digestOf(image(digestOf("dead")))), digestOf(image(digestOf("dead"))));
    await put(blobPath(digestOf(image(digestOf("dead")))), image(digestOf("dead")));
    await markAndSweep({}, store.driver, openRegistry(store.driver), { readOnly: true, removeUntagged: true });
    const files = await contentOf(store.driver);
    expect(files.has(revision("a", digestOf(theirs)))).toBe(true);
    expect(files.has(revision("a", digestOf(image(digestOf("dead")))))).toBe(false);
  });
});

describe("identity", () => {
  test("a referrer that names its kept subject by sha512 is kept", async () => {
    const store = memoryStore();
    const put: Put = (path, content) => store.put(path, content);
    const subject = image(digestOf("base"));
    await push(put, "r", subject, ["base"], "keep");
    await put(layer("r", sha512(subject)), digestOf(subject));
    const referrer = JSON.stringify({ schemaVersion: 2, subject: { digest: sha512(subject) }, layers: [{ digest: digestOf("sig") }] });
    await push(put, "r", referrer, ["sig"]);
    const options: GcOptions = { readOnly: true, removeUntagged: true };
    await markAndSweep({}, store.driver, openRegistry(store.driver), options);
    expect((await contentOf(store.driver)).has(blobPath(digestOf("sig")))).toBe(true);
  });

  test("the last of two spellings of schemaVersion tells whether there are signatures", async () => {
    const store = memoryStore();
    const put: Put = (path, content) => store.put(path, content);
    const manifest = `{"schemaVersion":2,"SchemaVersion":1,"fsLayers":[{"blobSum":"${digestOf("one")}"}]}`;
    await push(put, "r", manifest, ["one"], "old");
    await put(blobPath(digestOf("signature")), "signature");
    await put(linkOf(`${dirname(revision("r", digestOf(manifest)))}/signatures`, digestOf("signature")), digestOf("signature"));
    await markAndSweep({}, store.driver, openRegistry(store.driver), { readOnly: true });
    expect((await contentOf(store.driver)).has(blobPath(digestOf("signature")))).toBe(true);
  });

  test("a failed listing is no stray file, though an object lies at the same key", async () => {
    const store = memoryStore();
    const put: Put = (path, content) => store.put(path, content);
    const manifest = image(digestOf("base"));
    await push(put, "r", manifest, ["base"], "keep");
    const revisions = `${repo("r")}/_manifests/revisions/sha256`;
    const driver = changed(store.driver, {
      // A store of objects: the marker object "…/revisions/sha256" lies beside what begins with it. The listing fails.
      list: (path, options) => {
        if (path !== revisions) return store.driver.list(path, options);
        return (async function* () {
          if (path === revisions) throw new Error("503 slow down");
          yield [];
        })();
      },
      stat: async (path, options) =>
        path === revisions ? { path, isDirectory: false, size: 0, modTime: new Date(MONTH_AGO) } : store.driver.stat(path, options),
    });
    const tags = `${repo("r")}/_manifests/tags/keep`;
    await store.driver.delete(tags);
    await expect(markAndSweep({}, driver, openRegistry(driver), { readOnly: true })).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect((await contentOf(store.driver)).has(blobPath(digestOf("base")))).toBe(true);
  });
});
