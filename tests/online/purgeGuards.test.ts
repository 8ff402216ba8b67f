/** What a purge must not take though nobody needed it when it looked: what was promised, what nobody can look at, tags that are gone. */

import { createWriteBarrier, type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { currentLink, image, layer, linkOf, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";

const MANIFEST = image(digestOf("layer one"));
const one = digestOf(MANIFEST);
const INDEX_ENTRY = linkOf(`${repo("app")}/_manifests/tags/t/index`, one);

const collect = (world: World, driver: StorageDriver, options: GcOptions = {}): Promise<GcReport> =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, ...options });

const files = async (world: World) => [...(await contentOf(world.driver)).keys()];
const put = (world: World) => (path: string, content: string) => world.put(path, content);

const isPurging = async (world: World) =>
  [...(await contentOf(world.driver))].some(([path, text]) => path.includes("/journal/") && text.includes('"purging"'));

/** An image that was tagged once. */
async function withGarbage(): Promise<World> {
  const world = new World();
  world.now -= 40 * DAY;
  await push(put(world), "app", MANIFEST, ["layer one"], "t");
  await push(put(world), "app", image(digestOf("live")), ["live"], "t");
  world.now += 30 * DAY;
  return world;
}

/** The same, and it lies aside since eight days. */
async function aside(): Promise<World> {
  const world = await withGarbage();
  expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 2 } });
  world.now += 8 * DAY;
  return world;
}

describe("a purge", () => {
  test("leaves the link of a manifest that the registry has promised, and all that it needs comes back", async () => {
    const world = await aside();
    const barrier = createWriteBarrier({ now: () => world.now });
    await barrier.protect(one, { forMs: 30 * DAY });
    expect(await world.collect({ barrier })).toMatchObject({ purged: { manifests: 0, blobs: 0 } });
    expect(await files(world)).toEqual(expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]));
  });

  test("that can't look whether a manifest is back takes it for back", async () => {
    const world = await aside();
    let isRemoved = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method === "delete" && path === revision("app", one) && !isRemoved) {
        isRemoved = true;
        await push(put(world), "app", MANIFEST, ["layer one"]);
      }
      if (isRemoved && path === blobPath(one) && ["getContent", "reader"].includes(method)) throw new Error("EIO");
      return proceed();
    });
    await collect(world, driver).catch(() => undefined);
    expect(isRemoved).toBe(true);
    expect(await files(world)).toContain(revision("app", one));
  });

  test("at once that can't look whether a manifest is back says so, and its report adds up", async () => {
    const world = await withGarbage();
    let failures = 1;
    let isRemoved = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method === "delete" && path === revision("app", one)) isRemoved = true;
      if (isRemoved && path === blobPath(one) && ["getContent", "reader"].includes(method) && failures-- > 0) throw new Error("EIO");
      return proceed();
    });
    const warned: string[] = [];
    const logger = { debug: () => undefined, info: () => undefined, error: () => undefined, warn: (text: string) => warned.push(text) };
    const options = { removeUntagged: true, quarantineMs: 0, maxDeleteRatio: 1 };
    const report = await markAndSweep({ clock: world.clock, logger }, driver, openRegistry(driver), options);
    expect(report).toMatchObject({
      status: "completed",
      eligible: { blobs: 2 },
      deleted: { blobs: 0 },
      restored: { blobs: 2 },
      failures: [],
    });
    expect(warned).toContainEqual(expect.stringMatching(/could not be looked at: .*EIO; the manifest counts as back$/));
    expect(await files(world)).toEqual(expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]));
  });

  test("leaves a revision link that was written anew since it looked, though its data was not: a registry may have remembered it", async () => {
    const world = await aside();
    let isPushed = false;
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      const answer = await proceed();
      if (call.method !== "putContent" || isPushed || !(await isPurging(world))) return answer;
      isPushed = true;
      await world.put(revision("app", one), one);
      return answer;
    });
    await collect(world, driver);
    expect(isPushed).toBe(true);
    const needed = [revision("app", one), blobPath(one), blobPath(digestOf("layer one")), layer("app", digestOf("layer one"))];
    expect(await files(world)).toEqual(expect.arrayContaining(needed));
  });

  test("keeps a manifest whose revision link it could not look at", async () => {
    const world = await aside();
    let isHit = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method === "stat" && path === revision("app", one) && !isHit && (await isPurging(world))) {
        isHit = true;
        throw new Error("EIO");
      }
      return proceed();
    });
    expect(await collect(world, driver)).toMatchObject({ status: "completed-with-failures", purged: { manifests: 0, blobs: 0 } });
    expect(isHit).toBe(true);
    expect(await files(world)).toEqual(expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]));
  });

  test("that is aborted between a removal and the look after it writes the link of what is back all the same", async () => {
    const world = await aside();
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method !== "delete" || path !== revision("app", one)) return proceed();
      await push(put(world), "app", MANIFEST, ["layer one"]);
      const answer = await proceed();
      controller.abort(new Error("stop"));
      return answer;
    });
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), { removeUntagged: true });
    await expect(run).rejects.toThrow("stop");
    expect(await files(world)).toContain(revision("app", one));
  });

  test("takes nothing that any run put aside while another run's journal can't be read", async () => {
    const world = await aside();
    world.now -= 40 * DAY;
    await push(put(world), "app", image(digestOf("two")), ["two"]);
    world.now += 40 * DAY - 7 * DAY;
    expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 2 }, purged: { blobs: 0 } });
    const journals = (await files(world)).filter((path) => path.includes("/journal/000000"));
    expect(journals).toHaveLength(2);
    for (const path of journals)
      if ((await contentOf(world.driver)).get(path)?.includes(digestOf("two")) === true) await world.put(path, "{");
    world.now += 7 * DAY - 1000;
    expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ purged: { blobs: 0 }, problems: [{ kind: "damaged-journal" }] });
    expect(await world.collect({ maxDeleteRatio: 1, readOnly: true })).toMatchObject({ purged: { blobs: 0 } });
    const { remarks } = await world.purge({ maxDeleteRatio: 1 });
    expect(remarks).toContainEqual(expect.stringMatching(/still aside.*Nothing is purged while a journal can't be read/));
    expect((await world.aside()).length).toBeGreaterThan(0);
  });

  test("deletes no data once the run has lost its lock, though the links of it are gone", async () => {
    const world = await aside();
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      const answer = await proceed();
      const isUnlinked = method === "putContent" && path?.includes("/journal/") === true;
      const text = isUnlinked ? (await contentOf(world.driver)).get(path) : undefined;
      if (text?.includes('"unlinked"') === true) await world.put("/docker/registry/lockfiles/gc-in-progress", '{"runId":"another"}');
      return answer;
    });
    const lying = await world.aside();
    await expect(collect(world, driver)).rejects.toMatchObject({ code: "LOCKED" });
    expect(await world.aside()).toEqual(lying);
  });

  test("keeps the copy of what is needed while something else lies in its place, also where other things go", async () => {
    // Of one run are both: what is needed, and what goes.
    const both = new World();
    both.now -= 40 * DAY;
    for (const content of ["layer one", "layer two"]) await push(put(both), "app", image(digestOf(content)), [content]);
    await push(put(both), "app", image(digestOf("live")), ["live"], "t");
    both.now += 30 * DAY;
    expect(await both.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 4 } });
    await push(put(both), "app", MANIFEST, [], "again");
    await both.put(blobPath(digestOf("layer one")), "rotten");
    both.now += 9 * DAY;
    expect(await both.collect({ maxDeleteRatio: 1 })).toMatchObject({ purged: { manifests: 1 } });
    expect([...(await contentOf(both.driver)).values()]).toContain("layer one");
  });

  test("writes the index entry of no tag that was deleted meanwhile", async () => {
    const world = await aside();
    let isRemoved = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method === "delete" && path === revision("app", one) && !isRemoved) {
        isRemoved = true;
        await world.driver.delete(currentLink("app", "t").slice(0, -"/current/link".length)).catch(() => undefined);
        await push(put(world), "app", MANIFEST, ["layer one"]);
      }
      return proceed();
    });
    await collect(world, driver);
    expect(isRemoved).toBe(true);
    expect(await files(world)).toContain(revision("app", one));
    expect(await files(world)).not.toContain(INDEX_ENTRY);
    expect(await world.collect({ dryRun: true })).toMatchObject({ problems: [] });
  });
});
