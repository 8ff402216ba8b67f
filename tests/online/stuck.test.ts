/** What can't be done in one place stops nothing elsewhere: links that stay, places that can't be written, what is left below `_gc`. */

import {
  type GcOptions,
  type GcReport,
  heal,
  markAndSweep,
  openRegistry,
  purge,
  restore,
  type StorageDriver,
  type WriteBarrier,
} from "oci-registry-gc";
import { type DriverCall, InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { removeTakenLinks } from "../../src/online/moveAside.js";
import { Run } from "../../src/run.js";
import { contentOf, DAY } from "../support/stores.js";
import { image, layer, type Put, push, revision } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const GC = `${ROOT}/_gc`;
const PROBE = "/docker/registry/lockfiles/gc-in-progress.clock";

const collect = (world: World, driver: StorageDriver, options: GcOptions = {}): Promise<GcReport> =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, ...options });

/** Everything in it was written a month ago. */
async function oldWorld(fill: (put: Put) => Promise<unknown>): Promise<World> {
  const world = new World();
  await fill((path, content) => world.put(path, content));
  world.now += 30 * DAY;
  return world;
}

/** Calls that match fail, as long as `isOn` says so. */
function refusing(world: World, when: (call: DriverCall) => boolean): StorageDriver {
  return new InterceptedDriver(world.driver, (call, proceed) => {
    if (when(call)) throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
    return proceed();
  });
}

const files = async (world: World) => [...(await contentOf(world.driver)).keys()];
const below = async (world: World, directory: string) => (await files(world)).filter((path) => path.startsWith(directory));

/** Two untagged images, each with a layer of its own, that lie aside. */
async function twoAside(): Promise<{ world: World; one: string; two: string }> {
  const [one, two] = [image(digestOf("layer one")), image(digestOf("layer two"))];
  const world = await oldWorld(async (put) => {
    await push(put, "app", one, ["layer one"]);
    await push(put, "app", two, ["layer two"]);
    await push(put, "other", image(digestOf("live")), ["live"], "latest");
  });
  expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 4 } });
  return { world, one: digestOf(one), two: digestOf(two) };
}

describe("a purge", () => {
  test("goes on where a revision link can't be removed, and the directory can't be written", async () => {
    const { world, one, two } = await twoAside();
    world.now += 8 * DAY;
    const isStuck = ({ method, paths }: DriverCall) => ["delete", "putContent"].includes(method) && paths[0] === revision("app", one);
    const report = await collect(world, refusing(world, isStuck));
    expect(report).toMatchObject({ status: "completed-with-failures", failureCount: 1, purged: { manifests: 1, blobs: 2 } });
    expect(await files(world)).not.toContain(revision("app", two));
    // What the link that is left needs is kept, and back in its place.
    expect(await files(world)).toEqual(expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]));
    expect(await collect(world, world.driver)).toMatchObject({ status: "completed", problems: [] });
  });

  test("leaves what this very run put aside, however short a quarantine is wanted; without one it deletes it", async () => {
    const garbage = (put: Put) => push(put, "app", image(digestOf("x")), ["x"]);
    const [short, none] = [await oldWorld(garbage), await oldWorld(garbage)];
    const ticking = new InterceptedDriver(short.driver, (_, proceed) => {
      short.now++;
      return proceed();
    });
    expect(await collect(short, ticking, { quarantineMs: 1 })).toMatchObject({ quarantined: { blobs: 2 }, deleted: { blobs: 0 } });
    expect(await none.collect({ quarantineMs: 0 })).toMatchObject({ quarantined: { blobs: 0 }, deleted: { blobs: 2 } });
    short.now += 1000;
    expect(await short.collect({ quarantineMs: 1 })).toMatchObject({ purged: { blobs: 2 } });
  });

  test("sees that a manifest is back though what looks at it lags", async () => {
    const { world, one } = await twoAside();
    world.now += 8 * DAY;
    const pushed = { is: false, isSeen: false };
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      const [path] = call.paths;
      if (call.method === "delete" && path === revision("app", one) && !pushed.is) {
        pushed.is = true;
        await push((at, content) => world.put(at, content), "app", image(digestOf("layer one")), ["layer one"]);
      }
      if (call.method === "stat" && path === blobPath(one) && pushed.is && !pushed.isSeen) {
        pushed.isSeen = true;
        throw Object.assign(new Error("not listed yet"), { code: "PATH_NOT_FOUND" });
      }
      return proceed();
    });
    await collect(world, driver);
    expect(pushed.is).toBe(true);
    expect(await files(world)).toContain(revision("app", one));
    expect(await world.heal()).toMatchObject({ problems: [] });
  });
});

describe("putting back", () => {
  test("goes on where one place can't be written, and is told; what could be is back", async () => {
    const { world, one } = await twoAside();
    const isStuck = ({ method, paths }: DriverCall) => method === "move" && paths[1] === blobPath(one);
    // Without removeUntagged every revision is needed.
    const run = heal({ clock: world.clock }, refusing(world, isStuck), openRegistry(world.driver), { concurrency: 1 });
    await expect(run).rejects.toMatchObject({ code: "DRIVER_ERROR", report: { returned: { blobs: 3 } } });
    expect(await world.aside()).toHaveLength(1);
    expect(await files(world)).toEqual(expect.arrayContaining([layer("app", digestOf("layer one")), layer("app", digestOf("layer two"))]));
    expect(await world.heal({ removeUntagged: false })).toMatchObject({ returned: { blobs: 1 }, problems: [] });
  });

  test("takes what a lagging look missed for there, where the move says so", async () => {
    const { world, one } = await twoAside();
    await world.put(blobPath(one), image(digestOf("layer one")));
    const driver = new InterceptedDriver(world.driver, ({ method, paths: [path] }, proceed) => {
      if (method === "stat" && path === blobPath(one)) throw Object.assign(new Error("not yet"), { code: "PATH_NOT_FOUND" });
      return proceed();
    });
    const report = await heal({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: false });
    expect(report).toMatchObject({ status: "completed", returned: { blobs: 3 } });
  });

  test("ends with an abort, which is told of no place as what went wrong there", async () => {
    const { world } = await twoAside();
    const controller = new AbortController();
    const errors: string[] = [];
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: (message: string) => void errors.push(message) };
    const driver = new InterceptedDriver(world.driver, ({ method }, proceed) => {
      if (method !== "move") return proceed();
      controller.abort(new Error("stop"));
      throw new Error("cut off");
    });
    const run = heal({ clock: world.clock, signal: controller.signal, logger }, driver, openRegistry(driver), {});
    await expect(run).rejects.toThrow("stop");
    expect(errors.filter((message) => message.startsWith("could not put back"))).toEqual([]);
  });

  test("writes the other links where one can't be written", async () => {
    const { world } = await twoAside();
    const stuck = layer("app", digestOf("layer one"));
    const driver = refusing(world, ({ method, paths }) => method === "putContent" && paths[0] === stuck);
    await expect(heal({ clock: world.clock }, driver, openRegistry(driver))).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(await files(world)).toContain(layer("app", digestOf("layer two")));
    expect(await files(world)).not.toContain(stuck);
    await world.heal({ removeUntagged: false });
    expect(await files(world)).toContain(stuck);
  });

  test("tells of a journal that can't be read: links that it names don't come back", async () => {
    const { world } = await twoAside();
    const [object = ""] = await below(world, GC).then((paths) => paths.filter((path) => path.includes("/journal/")));
    await world.put(object, "{");
    const report = await restore({ clock: world.clock }, world.driver, openRegistry(world.driver));
    expect(report).toMatchObject({ blobs: 4, links: 0, failures: [{ path: object.split("/journal/")[0], code: "DAMAGED" }] });
  });
});

describe("a run that lost its lock", () => {
  test("puts nothing back any more: neither data nor links", async () => {
    const { world } = await twoAside();
    const lock = "/docker/registry/lockfiles/gc-in-progress";
    const changes: string[] = [];
    let isLost = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path = ""] }, proceed) => {
      if (isLost && ["move", "putContent"].includes(method)) changes.push(path);
      return proceed();
    });
    const logger = {
      debug: () => {},
      warn: () => {},
      error: () => {},
      info: (message: string) => {
        if (message !== "look stage complete") return;
        isLost = true;
        void world.put(lock, JSON.stringify({ runId: "another" }));
      },
    };
    await expect(heal({ clock: world.clock, logger }, driver, openRegistry(driver))).rejects.toMatchObject({ code: "LOCKED" });
    expect(isLost).toBe(true);
    expect(changes).toEqual([]);
  });
});

describe("an abort", () => {
  test("writes no layer link that a client removed before the run came to it, and counts none", async () => {
    const world = await oldWorld((put) => push(put, "app", image(digestOf("a"), digestOf("b")), ["a", "b"]));
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      const answer = await proceed();
      if (call.method === "move" && !controller.signal.aborted) {
        for (const content of ["a", "b"]) await world.driver.delete(layer("app", digestOf(content)));
        controller.abort(new Error("stop"));
      }
      return answer;
    });
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), { removeUntagged: true });
    await expect(run).rejects.toMatchObject({ message: "stop", report: { deleted: { layerLinks: 0 } } });
    expect(await below(world, `${ROOT}/repositories/app/_layers`)).toEqual([]);
    expect(await world.aside()).toEqual([]);
  });
});

describe("layer links that go together", () => {
  const made = () => oldWorld((put) => push(put, "app", image(digestOf("a"), digestOf("b")), ["a", "b"]));
  const isRemoval = ({ method, paths }: DriverCall) => method === "deleteFiles" && paths[0]?.includes("/_layers/") === true;

  test("are gone where the answer was lost", async () => {
    const world = await made();
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      const answer = await proceed();
      if (isRemoval(call)) throw new Error("lost");
      return answer;
    });
    expect(await collect(world, driver)).toMatchObject({ status: "completed", failures: [], deleted: { layerLinks: 2 } });
  });

  test("count only where they are known to be gone, also when they are written anew", async () => {
    const world = await made();
    let state: "before" | "lost" | "failing" = "before";
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      if (state === "lost" && call.method === "stat" && call.paths[0]?.includes("/_layers/") === true) throw new Error("could not look");
      if (state === "lost" && call.method === "list") state = "failing";
      if (state === "failing" && call.method === "list") throw new Error("the look fails");
      const answer = await proceed();
      if (!isRemoval(call)) return answer;
      state = "lost";
      throw new Error("lost");
    });
    await expect(collect(world, driver)).rejects.toMatchObject({ report: { deleted: { layerLinks: 0 }, failureCount: 2 } });
    expect(await files(world)).toEqual(expect.arrayContaining([layer("app", digestOf("a")), layer("app", digestOf("b"))]));
  });

  test("and an abort that cuts their removal short is told at once, and is no failure", async () => {
    const world = await made();
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, (call, proceed) => {
      if (!isRemoval(call)) return proceed();
      controller.abort(new Error("stop"));
      throw new Error("cut off");
    });
    const run = Run.begin({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), {});
    const links = ["a", "b"].map(digestOf).map((digest) => ({
      ...{ kind: "layerLink" as const, repository: "app", digest, target: digest, path: layer("app", digest) },
      ...{ time: world.now - 30 * DAY, taken: true },
    }));
    await expect(removeTakenLinks(run, links)).rejects.toThrow("stop");
    expect(run.ledger.hasFailures).toBe(false);
  });
});

describe("a barrier that fails", () => {
  test("for one layer link is told, and the rest goes on", async () => {
    const manifest = image(digestOf("a"), digestOf("b"));
    const world = await oldWorld((put) => push(put, "app", manifest, ["a", "b"]));
    const barrier: WriteBarrier = {
      protect: async () => undefined,
      removing: async (digest, removal) => {
        const isAside = [...(await contentOf(world.driver)).keys()].some(
          (path) => path.startsWith(GC) && path.includes(digest.slice(7)) && path.endsWith("/data"),
        );
        if (isAside && digest === digestOf("a")) throw new Error("no connection");
        await removal();
        return true;
      },
    };
    const report = await world.collect({ barrier });
    expect(report).toMatchObject({ status: "completed-with-failures", quarantined: { blobs: 3 }, deleted: { layerLinks: 1 } });
    expect(report.failures).toMatchObject([{ path: layer("app", digestOf("a")), message: "no connection" }]);
  });
});

describe("what is left below _gc", () => {
  test.each([
    ["a temporary", `${GC}/dead/blobs/sha256/.0f8fad5b-d9cb-469f-a165-70867728950e.tmp`],
    ["a temporary of a copy", `${GC}/dead/blobs/sha256/.data.0f8fad5b-d9cb-469f-a165-70867728950e.tmp`],
    ["parts", `${GC}/dead/parts/0`],
    ["the end of a journal", `${GC}/dead/journal/000001.jsonl`],
  ])("and can't be taken away, %s, fails no run, and goes with the next", async (_, path) => {
    const { world } = await twoAside();
    await world.put(path, '{"kind":"end","records":0}\n');
    world.now += 8 * DAY;
    const isStuck = ({ method, paths }: DriverCall) => method === "delete" && paths[0]?.startsWith(`${GC}/dead`) === true;
    const report = await collect(world, refusing(world, isStuck));
    expect(report).toMatchObject({ status: "completed-with-failures", purged: { blobs: 4 }, failureCount: 1 });
    expect(await below(world, `${GC}/dead`)).toEqual([path]);
    expect(await collect(world, world.driver)).toMatchObject({ status: "completed" });
    expect(await below(world, `${GC}/dead`)).toEqual([]);
  });

  test("and an abort while it is taken away aborts the run", async () => {
    const { world } = await twoAside();
    const path = `${GC}/dead/blobs/sha256/.0f8fad5b-d9cb-469f-a165-70867728950e.tmp`;
    await world.put(path, "");
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, ({ method, paths }, proceed) => {
      if (method !== "delete" || paths[0] !== path) return proceed();
      controller.abort(new Error("stop"));
      throw new Error("cut off");
    });
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), { removeUntagged: true });
    await expect(run).rejects.toMatchObject({ message: "stop", report: { failures: [] } });
  });

  test("directories that somebody emptied go, and those that hold something stay", async () => {
    const { world } = await twoAside();
    await world.put(`${GC}/dead/blobs/sha256/ab/data`, "");
    await world.driver.delete(`${GC}/dead/blobs/sha256/ab/data`);
    const exists = (path: string) =>
      world.driver.stat(path).then(
        () => true,
        () => false,
      );
    expect(await exists(`${GC}/dead`)).toBe(true);
    await collect(world, world.driver);
    expect(await exists(`${GC}/dead`)).toBe(false);
    expect(await world.aside()).toHaveLength(4);
  });

  test("a directory in the place of a journal's object stops no run", async () => {
    const { world } = await twoAside();
    const [object = ""] = (await below(world, GC)).filter((path) => path.includes("/journal/"));
    await world.put(object.replace("000000.jsonl", "000007.jsonl/file"), "foreign");
    world.now += 8 * DAY;
    expect(await collect(world, world.driver)).toMatchObject({ status: "completed", purged: { blobs: 4 } });
  });
});

describe("the clock's probe", () => {
  const look = (world: World, misses: number) => {
    let looks = 0;
    return new InterceptedDriver(world.driver, (call, proceed) => {
      if (call.method === "stat" && call.paths[0] === PROBE && looks++ < misses)
        throw Object.assign(new Error("not listed yet"), { code: "PATH_NOT_FOUND" });
      return proceed();
    });
  };

  test.each<GcOptions>([{}, { readOnly: true }])("is looked for again where listings lag: %j", async (options) => {
    const { world } = await twoAside();
    const now = world.now;
    expect(await collect(world, look(world, 3), options)).toMatchObject({ status: "completed" });
    expect(world.slept.slice(-3)).toEqual(expect.arrayContaining([4000]));
    expect(world.now - now).toBeGreaterThanOrEqual(7000);
    expect(await files(world)).not.toContain(PROBE);
  });

  test("is not waited for for ever, and what went wrong is said", async () => {
    const { world } = await twoAside();
    const before = await world.files();
    await expect(collect(world, look(world, 99))).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: expect.stringContaining("is not seen a minute later") as string,
    });
    expect(await world.files()).toEqual(before);
    expect(await files(world)).not.toContain(PROBE);
  });

  test("that is gone already is as good, and what a dead run left goes with the next", async () => {
    const { world } = await twoAside();
    await world.put(PROBE, "of a run that died");
    const twice = new InterceptedDriver(world.driver, async (call, proceed) => {
      if (call.method === "delete" && call.paths[0] === PROBE) await world.driver.delete(PROBE);
      return proceed();
    });
    expect(await collect(world, twice)).toMatchObject({ status: "completed" });
    expect(await files(world)).not.toContain(PROBE);
  });
});

describe("a readOnly run", () => {
  test.each(["a readOnly", "an online"])(
    "after an online one: %s run leaves what lies aside the links that it needs, or a journal of them",
    async (kind) => {
      const manifest = image(digestOf("shared"));
      const world = await oldWorld(async (put) => {
        await push(put, "x", manifest, ["shared"]);
        await push(put, "y", image(digestOf("shared"), digestOf("own")), ["shared", "own"], "latest");
      });
      await world.collect({ removeLayerLinks: false });
      world.now += 2 * DAY;
      const link = layer("x", digestOf("shared"));
      const report = await world.collect({ readOnly: kind === "a readOnly" });
      // What an online run takes, its journal tells.
      expect(report).toMatchObject({ eligible: { layerLinks: kind === "a readOnly" ? 0 : 1 } });
      await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { digest: digestOf(manifest) });
      expect(await files(world)).toEqual(expect.arrayContaining([revision("x", digestOf(manifest)), blobPath(digestOf(manifest)), link]));
    },
  );

  test.each([true, false])("foretells no repository as going that something aside belongs to: dry run %s", async (dryRun) => {
    const world = await oldWorld(async (put) => {
      await push(put, "x", image(digestOf("one")), ["one"]);
      await push(put, "y", image(digestOf("live")), ["live"], "latest");
    });
    await world.collect();
    await world.put(layer("x", digestOf("gone")), digestOf("gone"));
    world.now += 2 * DAY;
    const report = await world.collect({ readOnly: true, removeEmptyRepositories: true, dryRun });
    expect(report).toMatchObject({ eligible: { repositories: 0, layerLinks: 1 }, deleted: { repositories: 0 }, status: "completed" });
  });

  test("takes them once the manifest is gone for good", async () => {
    const world = await oldWorld(async (put) => {
      await push(put, "x", image(digestOf("shared")), ["shared"]);
      await push(put, "y", image(digestOf("shared"), digestOf("own")), ["shared", "own"], "latest");
    });
    await world.collect({ removeLayerLinks: false });
    world.now += 9 * DAY;
    await purge({ clock: world.clock }, world.driver, openRegistry(world.driver), { removeUntagged: true });
    expect(await world.collect({ readOnly: true })).toMatchObject({ deleted: { layerLinks: 1, blobs: 0 } });
    expect(await files(world)).not.toContain(layer("x", digestOf("shared")));
    expect(await files(world)).toContain(layer("y", digestOf("shared")));
  });
});
