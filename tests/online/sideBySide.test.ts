/** What comes back comes back side by side, sixteen at once: after a run that took a hundred thousand blobs nobody waits for one after the other. */

import { createWriteBarrier, markAndSweep, openRegistry, restore } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { image, push } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";

const OPTIONS = { removeUntagged: true, maxDeleteRatio: 1, concurrency: 16 };
const LAYERS = Array.from({ length: 150 }, (_, i) => `layer ${i}`);
const BLOBS = LAYERS.length + 1;
const LOCK = "/docker/registry/lockfiles/gc-in-progress";

/** An old image of many layers that nothing keeps. */
async function garbage(): Promise<World> {
  const world = new World();
  world.now -= 60 * DAY;
  await push((path, content) => world.put(path, content), "app", image(...LAYERS.map(digestOf)), LAYERS);
  await push((path, content) => world.put(path, content), "app", image(digestOf("live")), ["live"], "t");
  world.now += 60 * DAY;
  return world;
}

/** The driver, and how many moves, and writes of links, were under way at once; with how often the lock was read meanwhile. */
function watched(world: World, isCounted: () => boolean = () => true) {
  const most = { move: 0, putContent: 0 };
  const now = { move: 0, putContent: 0 };
  let lockReads = 0;
  const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
    if (method === "getContent" && paths[0] === LOCK && isCounted()) lockReads++;
    const isLink = method === "putContent" && paths[0]?.endsWith("/link") === true;
    if (!isCounted() || (method !== "move" && !isLink)) return proceed();
    most[method] = Math.max(most[method], ++now[method]);
    await new Promise((resolve) => setImmediate(resolve));
    try {
      return await proceed();
    } finally {
      now[method]--;
    }
  });
  return { driver, most, lockReads: () => lockReads };
}

test("by restore: data and links, and each of several copies once", async () => {
  const world = await garbage();
  const before = await world.files();
  expect((await world.collect(OPTIONS)).quarantined.blobs).toBe(BLOBS);
  // Somebody has pushed a layer again, and a second run took that, too.
  await world.put(blobPath(digestOf("layer 0")), "layer 0");
  world.now += 2 * DAY;
  expect((await world.collect(OPTIONS)).quarantined.blobs).toBe(1);
  expect(await world.aside()).toHaveLength(BLOBS + 1);

  const { driver, most } = watched(world);
  const report = await restore({ clock: world.clock }, driver, openRegistry(driver));
  expect(report).toMatchObject({ blobs: BLOBS, links: LAYERS.length, failures: [] });
  expect(most).toEqual({ move: 16, putContent: 16 });
  expect(await world.files()).toEqual(before);
});

test("by an abort, which asks for the lock once for a hundred of them", async () => {
  const world = await garbage();
  const before = await world.files();
  const control = new AbortController();
  const { driver, most, lockReads } = watched(world, () => control.signal.aborted);
  world.meanwhile = async () => control.abort(new Error("enough"));
  const run = markAndSweep({ clock: world.clock, signal: control.signal }, driver, openRegistry(driver), OPTIONS);
  await expect(run).rejects.toMatchObject({ message: "enough", report: { quarantined: { blobs: 0 }, returned: { blobs: 0 } } });
  expect(most).toEqual({ move: 16, putContent: 16 });
  expect(lockReads()).toBeLessThan(10);
  expect(await world.files()).toEqual(before);
  expect(await world.aside()).toEqual([]);
});

const DELETES: ReadonlySet<string> = new Set(["delete", "deleteFiles"]);

/** The driver, and how many removals of data were under way at once; with how often the lock was read in all. */
function deleting(world: World) {
  let [now, most, lockReads] = [0, 0, 0];
  const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
    if (method === "getContent" && paths[0] === LOCK) lockReads++;
    if (!DELETES.has(method) || paths[0]?.endsWith("/data") !== true) return proceed();
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    try {
      return await proceed();
    } finally {
      now--;
    }
  });
  return { driver, most: () => most, lockReads: () => lockReads };
}

test.each([
  { degree: "a purge", first: {}, then: {} },
  { degree: "a sweep at once", first: { dryRun: true }, then: { quarantine: false } },
])("$degree beside a write barrier, and what it protects stays", async ({ first, then }) => {
  const world = await garbage();
  await world.collect({ ...OPTIONS, ...first });
  world.now += 8 * DAY;
  const barrier = createWriteBarrier({ now: world.clock.now });
  const promised = digestOf("layer 7");
  const told: (string | undefined)[] = [];
  const options = {
    ...OPTIONS,
    ...then,
    barrier,
    onDeleted: (items: readonly { kind: string; digest?: string | undefined }[]) => {
      for (const { kind, digest } of items) if (kind === "blob") told.push(digest);
    },
  };
  const { driver, most, lockReads } = deleting(world);
  await barrier.protect(promised);
  const report = await markAndSweep({ clock: world.clock }, driver, openRegistry(driver), options);
  expect(report.failures).toEqual([]);
  expect(most()).toBe(16);
  expect(lockReads()).toBeLessThan(30);
  expect(told).toHaveLength(BLOBS - 1);
  expect(told).not.toContain(promised);
  expect([...(await world.files()).keys(), ...(await world.aside())].filter((path) => path.includes(promised.slice(7)))).not.toEqual([]);
});
