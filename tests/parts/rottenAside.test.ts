/**
 * What rotted lies aside, and is needed: it can't go back. Nothing stays for ever for its sake, or because a run once named it; and what a
 * client needs is still told, each time.
 */

import { listRuns, openRegistry, restore } from "oci-registry-gc";
import { expect, test } from "vitest";
import { shardOf } from "../../src/parts/sortedRun.js";
import { contentOf, DAY } from "../support/stores.js";
import { changed, layer, type Put, push } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";
import { collectParted, collectSingle, image } from "./attackers.js";

const HOW = { single: collectSingle, parts: collectParted } as const;
const SOUND = ["sound", ...Array.from({ length: 7 }, (_, i) => `sound ${i}`)];
const MANIFEST = image(...SOUND, "rotten");
const ROTTEN = digestOf("rotten");
const OPTIONS = { maxDeleteRatio: 1 };

/** An old untagged image of which a layer has rotted, aside; and one that a tag names. */
async function aside(collect: (typeof HOW)[keyof typeof HOW]) {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", MANIFEST, [...SOUND, "rotten"]);
  await put(blobPath(ROTTEN), "of other bytes");
  await push(put, "app", image("live"), ["live"], "latest");
  world.now += 60 * DAY;
  const before = await world.files();
  expect((await collect(world, OPTIONS)).quarantined.blobs).toBe(SOUND.length + 2);
  return { world, before };
}

const isDone = async (world: World) =>
  [...(await contentOf(world.driver))].some(([path, text]) => path.includes("/journal/") && text.includes('"purged"'));
const rottenAside = async (world: World) => (await world.aside()).filter((path) => path.includes(ROTTEN.slice(7)));
const bringBack = (world: World, what = {}) => restore({ clock: world.clock }, world.driver, openRegistry(world.driver), what);

test.each(Object.entries(HOW))("%s: an image that was restored without it is collected like any other", async (_, collect) => {
  const { world } = await aside(collect);
  expect(await bringBack(world)).toMatchObject({ blobs: SOUND.length + 1, failures: [{ code: "DAMAGED" }] });
  world.now += 8 * DAY;
  expect(await collect(world, OPTIONS)).toMatchObject({ eligible: { blobs: 0 }, problems: [{ kind: "digest-mismatch" }] });
  expect(await rottenAside(world)).toHaveLength(1);
  world.now += 8 * DAY;
  expect(await collect(world, OPTIONS)).toMatchObject({ quarantined: { blobs: SOUND.length + 1 }, purged: { blobs: 1 }, problems: [] });
  world.now += 8 * DAY;
  expect(await collect(world, OPTIONS)).toMatchObject({ purged: { blobs: SOUND.length + 1 }, problems: [] });
  expect([...(await world.files()).keys()].filter((path) => path.startsWith(`${ROOT}/blobs/`))).toHaveLength(2);
  expect(await world.aside()).toEqual([]);
  world.now += 30 * DAY;
  await collect(world, OPTIONS);
  expect(await listRuns({ clock: world.clock }, world.driver, openRegistry(world.driver))).toEqual([]);
});

test.each(Object.entries(HOW))("%s: while a tag needs it, it stays aside, and is told in each run", async (_, collect) => {
  const { world } = await aside(collect);
  await bringBack(world);
  await push((path, content) => world.put(path, content), "app", MANIFEST, SOUND, "again");
  for (let run = 0; run < 5; run++) {
    world.now += 20 * DAY;
    expect(await collect(world, OPTIONS)).toMatchObject({
      eligible: { blobs: 0 },
      purged: { blobs: 0 },
      problems: [{ kind: "digest-mismatch", digest: ROTTEN }],
    });
    expect(await rottenAside(world)).toHaveLength(1);
  }
  // Somebody has the bytes still, and pushes them: the copy is of no more use.
  await world.put(blobPath(ROTTEN), "rotten");
  world.now += 8 * DAY;
  expect(await collect(world, OPTIONS)).toMatchObject({ problems: [] });
  expect(await rottenAside(world)).toEqual([]);
  expect([...(await contentOf(world.driver)).keys()]).toContain(blobPath(ROTTEN));
});

test.each(Object.entries(HOW))("%s: a journal of which something is to be purged yet is not done", async (_, collect) => {
  const { world } = await aside(collect);
  await push((path, content) => world.put(path, content), "other", image("rotten"), [], "needs");
  // None of them in the part that knows of what is needed.
  const elsewhere = SOUND.map(digestOf).filter((digest) => shardOf(digest, 2) !== shardOf(ROTTEN, 2));
  expect(elsewhere).not.toEqual([]);
  const stuck = (path: string) => elsewhere.some((digest) => path.includes(digest.slice(7)));
  const driver = changed(world.driver, {
    deleteFiles: async (paths, options) => {
      const others = paths.filter((path) => !stuck(path));
      const failures = await world.driver.deleteFiles(others, options);
      return [...failures, ...paths.filter(stuck).map((path) => ({ path, code: "DENIED", message: "no" }))];
    },
  });
  world.now += 8 * DAY;
  const report = await collect(world, OPTIONS, { driver });
  expect(report).toMatchObject({
    purged: { blobs: SOUND.length + 1 - elsewhere.length },
    failures: elsewhere.map(() => ({ code: "DENIED" })),
  });
  expect(await isDone(world)).toBe(false);
  expect(await collect(world, OPTIONS)).toMatchObject({ purged: { blobs: elsewhere.length }, failures: [] });
  expect(await isDone(world)).toBe(true);
  expect(await rottenAside(world)).toHaveLength(1);
});

test.each(Object.entries(HOW))("%s: for a day a move of it may be half done, and its journal is not", async (_, collect) => {
  const { world } = await aside(collect);
  await bringBack(world);
  await push((path, content) => world.put(path, content), "other", image("rotten"), [], "needs");
  const purgeNow = { ...OPTIONS, quarantineMs: 0 };
  world.now += DAY / 2;
  await collect(world, purgeNow);
  expect(await isDone(world)).toBe(false);
  world.now += DAY;
  await collect(world, purgeNow);
  expect(await isDone(world)).toBe(true);
  expect(await rottenAside(world)).toHaveLength(1);
});

test("a run that took only layer links can be undone as long as its journal is there", async () => {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", image("live"), ["live"], "latest");
  const stale = layer("other", digestOf("live"));
  await put(stale, digestOf("live"));
  world.now += 60 * DAY;
  for (const byRun of [true, false]) {
    const { runId, deleted, quarantined } = await world.collect(OPTIONS);
    expect([deleted.layerLinks, quarantined.blobs]).toEqual([1, 0]);
    world.now += DAY;
    expect(await bringBack(world, byRun ? { runId } : {})).toMatchObject({ blobs: 0, links: 1, failures: [] });
    expect([...(await world.files()).keys()]).toContain(stale);
    world.now += 2 * DAY;
  }
});

test("a link that two runs took comes back once, where a store can't write on a condition, too", async () => {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", image("live"), ["live"], "latest");
  for (let run = 0; run < 2; run++) {
    await put(layer("other", digestOf("live")), digestOf("live"));
    world.now += 2 * DAY;
    expect((await world.collect(OPTIONS)).deleted.layerLinks).toBe(1);
  }
  const driver = changed(world.driver, {
    putContent: (path, bytes, options) => {
      if (options?.ifAbsent === true) return Promise.reject(Object.assign(new Error("no conditions"), { code: "UNSUPPORTED" }));
      return world.driver.putContent(path, bytes, options);
    },
  });
  expect(await restore({ clock: world.clock }, driver, openRegistry(driver))).toMatchObject({ links: 1, failures: [] });
});
