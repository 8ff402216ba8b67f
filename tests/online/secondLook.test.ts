/** What one look did not see, or saw half written, is looked at again by the next: absences, links under way, what goes aside meanwhile. */

import { explain, type GcOptions, type GcReport, heal, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { type DriverCall, FlatDriver, InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, currentLink, image, layer, linkOf, type Put, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const collect = (world: World, driver: StorageDriver, options: GcOptions = {}): Promise<GcReport> =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, ...options });

const indexOf = (...digests: readonly string[]) => JSON.stringify({ schemaVersion: 2, manifests: digests.map((digest) => ({ digest })) });

/** A world whose beginning is a month old. */
async function oldWorld(fill: (put: Put, world: World) => Promise<unknown>): Promise<World> {
  const world = new World();
  world.now -= 30 * DAY;
  await fill((path, content) => world.put(path, content), world);
  world.now += 30 * DAY;
  return world;
}

const has = async (world: World, path: string) => (await contentOf(world.driver)).has(path);

/** Does something once, when a call matches: before it, or after. */
function once(inner: StorageDriver, when: (call: DriverCall) => boolean, what: () => Promise<unknown>, isAfter = false): StorageDriver {
  let isDone = false;
  return new InterceptedDriver(inner, async (call, proceed) => {
    const isIt = !isDone && when(call);
    if (isIt) isDone = true;
    if (isIt && !isAfter) await what();
    const answer = await proceed();
    if (isIt && isAfter) await what();
    return answer;
  });
}

const nthList = (path: string, wanted: number) => {
  let nth = 0;
  return ({ method, paths, page }: DriverCall) => method === "list" && page === 0 && paths[0] === path && ++nth === wanted;
};

describe("a manifest that was not there", () => {
  const child = image(digestOf("child's layer"));
  const withChild = () =>
    oldWorld(async (put) => {
      for (const content of ["child's layer", child]) await put(layer("app", digestOf(content)), digestOf(content));
      await put(blobPath(digestOf("child's layer")), "child's layer");
      await push(put, "app", indexOf(digestOf(child)), [], "latest");
    });
  const upload = (world: World) => async () => {
    await world.put(blobPath(digestOf(child)), child);
    await world.put(layer("app", digestOf(child)), digestOf(child));
  };

  test.each<GcOptions>([{ quarantineMs: 0 }, {}, { quarantine: false }])(
    "is read by the second look, and what it names stays: %j",
    async (options) => {
      const world = await withChild();
      const driver = once(world.driver, nthList(`${ROOT}/repositories`, 2), upload(world));
      expect(await collect(world, driver, options)).toMatchObject({ problems: [], eligible: { blobs: 0 } });
      expect(await has(world, blobPath(digestOf("child's layer")))).toBe(true);
    },
  );

  test("nor in a repository that was read once more, is read by the second look", async () => {
    const world = await withChild();
    const half = `${repo("app")}/_manifests/tags/half`;
    const digest = digestOf(indexOf(digestOf(child)));
    await world.put(linkOf(`${half}/index`, digest), digest);
    const isSeen = ({ method, paths }: DriverCall) => method === "list" && paths[0] === half;
    const writing = once(world.driver, isSeen, () => world.put(currentLink("app", "half"), digest), true);
    const driver = once(writing, nthList(`${ROOT}/repositories`, 2), upload(world));
    expect(await collect(world, driver, { quarantine: false })).toMatchObject({
      problems: [],
      eligible: { blobs: 0 },
      marked: { tags: 2 },
    });
    expect(await has(world, blobPath(digestOf("child's layer")))).toBe(true);
  });

  test.each<GcOptions>([{ quarantineMs: 0 }, {}])(
    "is read by the look after the drain, and what it names goes back: %j",
    async (options) => {
      const world = await withChild();
      world.meanwhile = upload(world);
      expect(await collect(world, world.driver, options)).toMatchObject({ problems: [], eligible: { blobs: 1 }, restored: { blobs: 1 } });
      expect(await has(world, blobPath(digestOf("child's layer")))).toBe(true);
    },
  );

  test.each(["protect", "abort"] as const)("and is pushed before it is looked at again is no damage: %s", async (onDamage) => {
    const late = image(digestOf("late"));
    const world = await oldWorld(async (put) => {
      await push(put, "app", image(digestOf("live")), ["live"], "latest");
      await put(currentLink("app", "late"), digestOf(late));
    });
    const path = blobPath(digestOf(late));
    let reads = 0;
    const healing = new InterceptedDriver(world.driver, async (call, proceed) => {
      if (call.method !== "getContent" || call.paths[0] !== path || ++reads !== 2) return proceed();
      const answer = proceed();
      await answer.catch(() => undefined);
      await push((at, content) => world.put(at, content), "app", late, ["late"], "late");
      return answer;
    });
    expect(await collect(world, healing, { onDamage, dryRun: true })).toMatchObject({ status: "completed", problems: [] });
    expect(reads).toBeGreaterThan(2);
  });

  test("is asked for once more: a driver that was wrong once takes nothing", async () => {
    const world = await oldWorld(async (put) => {
      await push(put, "app", indexOf(digestOf(child)), ["child's layer"], "latest");
      await put(blobPath(digestOf(child)), child);
      await put(layer("app", digestOf(child)), digestOf(child));
    });
    let isDenied = false;
    const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
      if (isDenied || call.method !== "getContent" || call.paths[0] !== blobPath(digestOf(child))) return proceed();
      isDenied = true;
      throw Object.assign(new Error("not found"), { code: "PATH_NOT_FOUND" });
    });
    expect(await collect(world, driver, { readOnly: true })).toMatchObject({ problems: [], eligible: { blobs: 0, layerLinks: 0 } });
    expect(isDenied).toBe(true);
  });
});

describe("a layer link that is being written", () => {
  const garbage = () =>
    oldWorld(async (put) => {
      await push(put, "app", image(digestOf("live")), ["live"], "latest");
      await put(layer("app", digestOf("new")), "");
      await put(blobPath(digestOf("garbage")), "garbage");
    });
  const path = layer("app", digestOf("new"));

  test.each(["protect", "abort"] as const)("is no damage where it is whole a moment later: %s", async (onDamage) => {
    for (const look of [1, 2]) {
      const world = await garbage();
      if (look === 2) await world.put(path, digestOf("new"));
      const isLookedAt = ({ method, paths }: DriverCall) => (method === "getContent" || method === "reader") && paths[0] === path;
      const finish = () => world.put(path, digestOf("new"));
      const begin = once(world.driver, nthList(`${ROOT}/repositories`, look), () => world.put(path, ""));
      let isRead = false;
      const driver = new InterceptedDriver(begin, async (call, proceed) => {
        const answer = await proceed();
        if (!isRead && isLookedAt(call)) {
          isRead = true;
          await finish();
        }
        return answer;
      });
      expect(await collect(world, driver, { onDamage }), `look ${look}`).toMatchObject({ problems: [], quarantined: { blobs: 1 } });
      expect(isRead).toBe(true);
    }
  });

  test("is damage where it is still so", async () => {
    const world = await garbage();
    const report = await collect(world, world.driver);
    expect(report.problems).toMatchObject([{ kind: "empty-link", path }]);
    await expect(collect(world, world.driver, { onDamage: "abort" })).rejects.toMatchObject({ code: "DAMAGED" });
  });

  test.each(["memory", "flat"])("as a tag, while a purge looks at its repository once more, is none either: %s", async (kind) => {
    const again = image(digestOf("again"));
    const world = new World();
    const store = kind === "flat" ? new FlatDriver({ now: () => world.now }) : world.driver;
    const put: Put = (at, content) => store.putContent(at, Buffer.from(content));
    world.now -= 30 * DAY;
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", again, ["again"]);
    world.now += 30 * DAY;
    expect(await collect(world, store)).toMatchObject({ quarantined: { blobs: 2 } });
    world.now += 8 * DAY;
    const tag = `${repo("app")}/_manifests/tags/new`;
    const isPurging = ({ method, paths }: DriverCall) => method === "putContent" && paths[0]!.includes("/journal/");
    let isBegun = false;
    const begun = once(store, isPurging, async () => {
      isBegun = true;
      // Pushed again, so that its link is left; and somebody begins to write a tag.
      await push(put, "app", again, ["again"]);
      await put(linkOf(`${tag}/index`, digestOf(again)), digestOf(again));
    });
    let isWhole = false;
    const driver = new InterceptedDriver(begun, async (call, proceed) => {
      const answer = await proceed();
      const isSeen = call.method === "walk" ? isBegun : call.method === "list" && call.paths[0] === tag;
      if (!isWhole && isSeen) {
        isWhole = true;
        await put(currentLink("app", "new"), digestOf(again));
      }
      return answer;
    });
    expect(await collect(world, driver, { onDamage: "abort" })).toMatchObject({ status: "completed", problems: [] });
    expect(isWhole).toBe(true);
  });
});

test("a tag whose image is pushed while a purge looks at its repository once more is no damage", async () => {
  const [again, late] = [image(digestOf("again")), image(digestOf("late"))];
  const world = await oldWorld(async (put) => {
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", again, ["again"]);
  });
  await collect(world, world.driver);
  world.now += 8 * DAY;
  const put: Put = (path, content) => world.put(path, content);
  const isPurging = ({ method, paths }: DriverCall) => method === "putContent" && paths[0]!.includes("/journal/");
  const begun = once(world.driver, isPurging, async () => {
    await push(put, "app", again, ["again"]);
    await put(currentLink("app", "late"), digestOf(late));
  });
  let reads = 0;
  const driver = new InterceptedDriver(begun, async (call, proceed) => {
    if (call.method !== "getContent" || call.paths[0] !== blobPath(digestOf(late)) || ++reads !== 2) return proceed();
    const answer = proceed();
    await answer.catch(() => undefined);
    await push(put, "app", late, ["late"], "late");
    return answer;
  });
  expect(await collect(world, driver, { onDamage: "abort" })).toMatchObject({ status: "completed", problems: [] });
  // Both readings of what was not there; once pushed it may be read by either.
  expect(reads).toBeGreaterThanOrEqual(2);
});

describe("what goes aside while somebody else looks", () => {
  const doomed = image(digestOf("doomed"));
  const moving = async (use: (driver: StorageDriver, world: World) => Promise<unknown>) => {
    const world = await oldWorld(async (put) => {
      await push(put, "app", image(digestOf("live")), ["live"], "latest");
      await push(put, "app", doomed, ["doomed"]);
    });
    // A run beside it puts its garbage aside, between what this one lists there and its reading of the manifest.
    const driver = once(world.driver, nthList(`${ROOT}/repositories`, 1), async () => {
      expect(await collect(world, world.driver)).toMatchObject({ quarantined: { blobs: 2 } });
    });
    await use(driver, world);
  };

  test.each(["protect", "abort"] as const)("is no damage to a dry run: %s", async (onDamage) => {
    await moving(async (driver, world) => {
      expect(await collect(world, driver, { dryRun: true, onDamage })).toMatchObject({ status: "completed", problems: [] });
    });
  });

  test("nor to explain()", async () => {
    await moving(async (driver, world) => {
      const { because } = await explain({ clock: world.clock }, driver, openRegistry(driver), digestOf(doomed), { removeUntagged: true });
      expect(JSON.stringify(because)).not.toContain("damage");
    });
  });
});

describe("a purge that was taken over while it slept", () => {
  const image0 = image(digestOf("layer"));
  const path = revision("app", digestOf(image0));
  /** The sleeper is about to remove the link; another run purges; the image is pushed again below a tagged index; then he wakes. */
  const takenOver = async (sleeper: { dies: boolean }) => {
    const world = await oldWorld(async (put) => {
      await push(put, "app", image(digestOf("live")), ["live"], "latest");
      await push(put, "app", image0, ["layer"]);
    });
    await collect(world, world.driver);
    world.now += 8 * DAY;
    let wake: () => void = () => undefined;
    let isGone = false;
    const awake = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const ended = new Promise<void>((resolve) => {
      const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
        if (isGone && sleeper.dies) return new Promise<never>(() => undefined);
        if (isGone && call.method === "stat" && call.paths[0] === blobPath(digestOf(image0))) throw new Error("503 slow down");
        if (call.method !== "delete" || call.paths[0] !== path) return proceed();
        asleep();
        await awake;
        const answer = await proceed();
        isGone = true;
        if (!sleeper.dies) return answer;
        resolve();
        return new Promise<never>(() => undefined);
      });
      void collect(world, driver).then(
        () => resolve(),
        () => resolve(),
      );
    });
    let asleep: () => void = () => undefined;
    await new Promise<void>((resolve) => {
      asleep = resolve;
    });
    world.now += 6 * 60_000;
    expect(await collect(world, world.driver)).toMatchObject({ purged: { blobs: 2 } });
    const put: Put = (at, content) => world.put(at, content);
    await push(put, "app", image0, ["layer"]);
    await push(put, "app", indexOf(digestOf(image0)), [], "index");
    wake();
    await ended;
    return world;
  };

  test.each(["heal", "run"])("and died after a late removal: %s writes the link anew", async (how) => {
    const world = await takenOver({ dies: true });
    expect(await has(world, path)).toBe(false);
    world.now += 7 * 60_000;
    if (how === "heal") await heal({ clock: world.clock }, world.driver, openRegistry(world.driver), { removeUntagged: true });
    else await collect(world, world.driver);
    expect(await has(world, path)).toBe(true);
  });

  test("and could not look after a late removal writes the link anew himself", async () => {
    const world = await takenOver({ dies: false });
    expect(await has(world, path)).toBe(true);
  });

  test("is watched for a day: what a client deletes later stays deleted", async () => {
    const world = await takenOver({ dies: true });
    world.now += 7 * 60_000;
    await collect(world, world.driver);
    world.now += DAY + 1;
    await world.driver.delete(path);
    await collect(world, world.driver);
    expect(await has(world, path)).toBe(false);
  });
});

test("layer links to what was purged are not written anew, though damage asks for all that a repository linked", async () => {
  const world = await oldWorld(async (put) => {
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", image(digestOf("dead")), ["dead"]);
  });
  await collect(world, world.driver);
  world.now += 8 * DAY;
  expect(await collect(world, world.driver)).toMatchObject({ purged: { blobs: 2 } });
  await world.put(currentLink("app", "broken"), "");
  await world.heal();
  expect(await has(world, layer("app", digestOf("dead")))).toBe(false);
  expect(await has(world, layer("app", digestOf("live")))).toBe(true);
});

describe("times in other digits", () => {
  test.each(["stat", "walk"] as const)("%s tells whole seconds: what is garbage is purged all the same", async (coarse) => {
    const inner = new FlatDriver({ now: () => world.now });
    const toSeconds = (time: Date | undefined) => time && new Date(Math.floor(time.getTime() / 1000) * 1000);
    const driver = changed(inner, {
      ...(coarse === "stat" && {
        async stat(path, options) {
          const info = await inner.stat(path, options);
          return { ...info, modTime: toSeconds(info.modTime) };
        },
      }),
      ...(coarse === "walk" && {
        async *walk(path, options) {
          for await (const page of inner.walk(path, options)) yield page.map((info) => ({ ...info, modTime: toSeconds(info.modTime) }));
        },
      }),
    });
    const world = new World();
    world.now += 123 - 30 * DAY;
    const put: Put = (path, content) => inner.putContent(path, Buffer.from(content));
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", image(digestOf("dead")), ["dead"]);
    world.now += 30 * DAY;
    expect(await collect(world, driver)).toMatchObject({ quarantined: { blobs: 2 }, deleted: { layerLinks: 1 } });
    world.now += 8 * DAY;
    expect(await collect(world, driver)).toMatchObject({ purged: { blobs: 2, manifests: 1 } });
  });
});

describe("directories below _gc", () => {
  const directories = async (driver: StorageDriver, path: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const page of driver.list(path)) {
      for (const info of page) if (info.isDirectory) found.push(info.path, ...(await directories(driver, info.path)));
    }
    return found;
  };

  test("go with what was in them: purged, put back, or restored", async () => {
    const world = await oldWorld(async (put) => {
      await push(put, "app", image(digestOf("live")), ["live"], "latest");
      for (const name of ["a", "b", "c"]) await push(put, "app", image(digestOf(name)), [name]);
    });
    expect(await collect(world, world.driver)).toMatchObject({ quarantined: { blobs: 6 } });
    // One comes back by itself, the rest is purged; and a day later the journal goes.
    await world.put(currentLink("app", "a"), digestOf(image(digestOf("a"))));
    expect(await world.heal()).toMatchObject({ returned: { blobs: 2 } });
    for (const days of [8, 9, 2]) {
      world.now += days * DAY;
      await collect(world, world.driver);
    }
    expect(await directories(world.driver, `${ROOT}/_gc`)).toEqual([]);
  });

  test("what a killed write has left there goes, and nothing else", async () => {
    const world = await oldWorld((put) => push(put, "app", image(digestOf("live")), ["live"], "latest"));
    const copy = `${ROOT}/_gc/some-run/blobs/sha256/${"0".repeat(64)}`;
    await world.put(`${copy}/.0b8f3c1e-1111-4222-8333-444455556666.tmp`, "half a layer");
    await world.put(`${copy}/.DS_Store`, "stray");
    expect(await collect(world, world.driver, { dryRun: true })).toMatchObject({ unrecognized: 1 });
    expect(await world.aside()).toHaveLength(2);
    expect(await collect(world, world.driver)).toMatchObject({ unrecognized: 1 });
    expect(await world.aside()).toEqual([`${copy}/.DS_Store`]);
  });
});
