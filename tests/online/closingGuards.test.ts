/** How purges that died, journals, notes and locks end: nothing is written anew that nobody needs, and nothing is forgotten too early. */

import { type GcOptions, markAndSweep, openRegistry, restore, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, image, push, revision, unable } from "../support/tree.js";
import { digestOf, ROOT, World } from "../support/world.js";

const MANIFEST = image(digestOf("layer one"));
const one = digestOf(MANIFEST);
const LOCK = "/docker/registry/lockfiles/gc-in-progress";
const ANOTHER = '{"runId":"another"}';

const collect = (world: World, driver: StorageDriver = world.driver, options: GcOptions = {}) =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, maxDeleteRatio: 1, ...options });
const files = async (world: World) => [...(await contentOf(world.driver)).keys()];
const textIn = async (world: World, path: string | undefined) => (await contentOf(world.driver)).get(path ?? "") ?? "";

async function garbage(): Promise<World> {
  const world = new World();
  const put = (path: string, content: string) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", MANIFEST, ["layer one"]);
  await push(put, "app", image(digestOf("live")), ["live"], "t");
  world.now += 60 * DAY;
  return world;
}

describe("a purge that died after it removed a revision link", () => {
  test("has none written anew to a manifest that is not back, and the next run finishes it", async () => {
    const world = await garbage();
    await collect(world);
    world.now += 8 * DAY;
    let isDead = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (isDead) throw new Error("dead");
      const answer = await proceed();
      isDead = method === "delete" && path === revision("app", one);
      return answer;
    });
    await expect(collect(world, driver)).rejects.toThrow();
    expect(isDead).toBe(true);
    world.now += 10 * 60_000;
    const written: string[] = [];
    const watching = new InterceptedDriver(world.driver, ({ method, paths: [path = ""] }, proceed) => {
      if (method === "putContent") written.push(path);
      return proceed();
    });
    expect(await collect(world, watching)).toMatchObject({ status: "completed", purged: { blobs: 2 }, problems: [] });
    expect(written).not.toContain(revision("app", one));
    expect(await files(world)).not.toContain(revision("app", one));
  });
});

describe("a journal that is closed", () => {
  test("stays as long as anything lies aside that it tells of: a sleeper moved it late", async () => {
    const world = await garbage();
    const { runId } = await collect(world);
    world.now += 8 * DAY;
    expect(await collect(world)).toMatchObject({ purged: { blobs: 2 } });
    const late = `${ROOT}/_gc/${runId}/blobs/sha256/${digestOf("layer one").slice(7)}/data`;
    await world.put(late, "layer one");
    world.now += 9 * DAY;
    expect(await collect(world, unable(world.driver, late))).toMatchObject({ status: "completed-with-failures" });
    for (let day = 0; day < 3; day++) {
      world.now += 9 * DAY;
      expect(await collect(world)).toMatchObject({ status: "completed", problems: [] });
    }
    expect((await files(world)).filter((path) => path.includes("/_gc/"))).toEqual([]);
  });
});

describe("a note of what was restored", () => {
  test("stays as long as a grace that is longer than a day goes by it", async () => {
    const world = await garbage();
    await collect(world);
    world.now += 2 * DAY;
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).toMatchObject({ blobs: 2 });
    for (let day = 0; day < 4; day++) {
      world.now += DAY;
      expect(await collect(world, world.driver, { gracePeriodMs: 5 * DAY })).toMatchObject({ eligible: { blobs: 0 } });
    }
    world.now += 2 * DAY;
    expect(await collect(world, world.driver, { gracePeriodMs: 5 * DAY })).toMatchObject({ eligible: { blobs: 2 } });
  });
});

describe("the lock", () => {
  test("is lost to whoever slept in the middle of a heartbeat, though he wrote it in the end", async () => {
    const world = await garbage();
    let writes = 0;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
      if (method === "putContent" && path === LOCK && ++writes === 2) {
        world.now += 10 * 60_000;
        await world.put(LOCK, ANOTHER);
      }
      return proceed();
    });
    // So that a heartbeat is due when the run asks whether the lock is its own, and not before.
    world.meanwhile = async () => {
      world.now++;
    };
    await expect(collect(world, driver)).rejects.toMatchObject({ code: "LOCKED" });
    expect(writes).toBe(2);
  });

  test("is another's, where a store can't write on a condition, who wrote it at the same moment: nothing was moved by then", async () => {
    const world = await garbage();
    const before = await world.files();
    const blind = changed(world.driver as StorageDriver, {
      putContent: async (path, bytes, options) => {
        if (options?.ifAbsent === true) throw Object.assign(new Error("no"), { code: "UNSUPPORTED" });
        return world.driver.putContent(path, bytes, options);
      },
    });
    world.meanwhile = () => world.put(LOCK, ANOTHER);
    await expect(collect(world, blind)).rejects.toMatchObject({ code: "LOCKED", report: { quarantined: { blobs: 0 } } });
    expect(await world.files()).toEqual(before);
    expect(await world.aside()).toEqual([]);
    expect(await textIn(world, LOCK)).toBe(ANOTHER);
  });
});

describe("what goes aside", () => {
  test("by a move that nobody can look at comes back all the same, where a push needs it in the drain", async () => {
    const world = await garbage();
    const before = await world.files();
    let state: "before" | "lost" | "over" = "before";
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path = "", to = ""] }, proceed) => {
      if (state === "lost" && method === "stat" && path.includes("/_gc/")) {
        state = "over";
        throw new Error("EIO");
      }
      const answer = await proceed();
      if (state !== "before" || method !== "move" || !to.includes(digestOf("layer one").slice(7))) return answer;
      state = "lost";
      throw new Error("the answer is lost");
    });
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(revision("app", one), one);
    };
    await collect(world, driver, { concurrency: 1 });
    expect(state).toBe("over");
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining([...before.keys()]));
  });

  test("and is linked anew, by a registry that remembers it, is back at once, though there is nothing else to do", async () => {
    const world = await new World().load("orphan");
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ quarantined: { blobs: 1 } });
    world.now += 60_000;
    await world.put(`${ROOT}/repositories/other/_layers/sha256/${digestOf("orphan").slice(7)}/link`, digestOf("orphan"));
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ returned: { blobs: 1 } });
  });
});

test.each(["purge", "a run"])("under abort, damage that only the look before it finds lets nothing be purged: %s", async (how) => {
  const world = await garbage();
  await collect(world);
  world.now += 8 * DAY;
  const lying = await world.aside();
  expect(lying).toHaveLength(2);
  const tag = `${ROOT}/repositories/app/_manifests/tags/t/current/link`;
  world.meanwhile = () => world.put(tag, "nonsense");
  const options = { maxDeleteRatio: 1, onDamage: "abort" } as const;
  await expect(how === "purge" ? world.purge(options) : world.collect(options)).rejects.toMatchObject({ code: "DAMAGED" });
  // What is needed may be back; nothing is gone.
  const after = await contentOf(world.driver);
  expect([...after.values()]).toEqual(expect.arrayContaining([MANIFEST, "layer one"]));
});
