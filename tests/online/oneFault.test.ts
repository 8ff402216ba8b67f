/** One fault each: a call that fails, or whose answer is lost, a file that is left over, a hook that throws. The rest goes on. */

import { Readable } from "node:stream";
import {
  createWriteBarrier,
  type GcOptions,
  type GcReport,
  heal,
  listRuns,
  markAndSweep,
  openRegistry,
  restore,
  type StorageDriver,
} from "oci-registry-gc";
import { type DriverCall, InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, image, layer, linkOf, type Put, push, revision, sha512 } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const UNTAGGED: GcOptions = { removeUntagged: true };
const DEGREES: readonly GcOptions[] = [{}, { quarantine: false }, { readOnly: true }, { quarantineMs: 0 }];

const collect = (world: World, driver: StorageDriver, options: GcOptions = {}): Promise<GcReport> =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { ...UNTAGGED, ...options });

/** A driver of which calls that match fail: before they are made, or when they are done. */
function failing(
  world: World,
  { when, times = 1, isDone = false }: { when: (call: DriverCall) => boolean; times?: number; isDone?: boolean },
) {
  let left = times;
  return new InterceptedDriver(world.driver, async (call, proceed) => {
    const fails = left > 0 && when(call);
    if (!fails) return proceed();
    left--;
    if (isDone) await proceed();
    throw new Error("503 slow down");
  });
}

const sum = ({ deleted, quarantined, restored, failures }: GcReport) =>
  deleted.blobs + quarantined.blobs + restored.blobs + failures.length;

const gcFiles = async (world: World, part: string) =>
  [...(await contentOf(world.driver)).keys()].filter((path) => path.startsWith(`${ROOT}/_gc/`) && path.includes(`/${part}/`));

const retag = () => new World().load("retag");

describe("journals", () => {
  test.each([0, 1, 2])("a record that can't be written, the %i. of a run, leaves no gap: later runs purge", async (number) => {
    const world = await retag();
    const before = await world.files();
    let writes = 0;
    const isIt = ({ method, paths }: DriverCall) => method === "putContent" && paths[0]!.includes("/journal/") && writes++ === number;
    const driver = failing(world, { when: isIt });
    const options = { quarantineMs: number === 2 ? 0 : 7 * DAY };
    await expect(collect(world, driver, options)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    if (number < 2) expect(await world.files()).toEqual(before);
    world.now += DAY;
    for (let run = 0; run < 3; run++) {
      expect((await world.collect()).problems).toEqual([]);
      world.now += 8 * DAY;
    }
    expect(await world.aside()).toEqual([]);
    expect(await world.files()).not.toEqual(before);
  });

  test.each([".DS_Store", ".0b8f3c1e.tmp", "000000.jsonl/x"])(
    "a stray beside a journal's objects, %s, stops no purge, and is counted once",
    async (name) => {
      const world = await retag();
      await world.put(`${ROOT}/_gc/an-old-run/journal/${name}`, "stray");
      expect(await world.collect()).toMatchObject({ problems: [], unrecognized: 1, quarantined: { blobs: 4 } });
      world.now += 8 * DAY;
      expect(await world.collect()).toMatchObject({ problems: [], unrecognized: 1, purged: { blobs: 4 } });
      expect(await gcFiles(world, "journal")).toContain(`${ROOT}/_gc/an-old-run/journal/${name}`);
    },
  );

  test.each([0, 1, 2, 3])(
    "taken away but for what comes after its first %i objects, a journal brings nothing back, and what is left goes",
    async (deletes) => {
      const world = new World();
      world.now -= 30 * DAY;
      const put: Put = (path, content) => world.put(path, content);
      const manifest = image(digestOf("layer"));
      await push(put, "x", manifest, ["layer"]);
      await push(put, "other", image(digestOf("base")), ["base"], "keep");
      world.now += 30 * DAY;
      await world.collect();
      world.now += 8 * DAY;
      await world.collect();
      expect((await world.files()).has(revision("x", digestOf(manifest)))).toBe(false);
      // The same image, in another repository.
      await push(put, "other", manifest, ["layer"], "again");
      world.now += 2 * DAY;
      let left = deletes;
      const dying = failing(world, { when: ({ method, paths }) => method === "delete" && paths[0]!.includes("/journal/") && left-- <= 0 });
      await collect(world, dying).catch(() => undefined);
      const rest = (await gcFiles(world, "journal")).length;
      expect(rest > 0).toBe(true);
      const after = await collect(world, world.driver);
      expect(after).toMatchObject({ status: "completed", problems: [] });
      const files = await world.files();
      expect(files.has(revision("x", digestOf(manifest)))).toBe(false);
      expect(files.has(layer("x", digestOf("layer")))).toBe(false);
      expect(await gcFiles(world, "journal")).toEqual([]);
    },
  );

  test("of a purge that broke off long ago, what a client deletes stays deleted", async () => {
    const world = await retag();
    const path = [...(await world.files()).keys()].find((each) => each.includes("/revisions/"))!;
    let doomed = "";
    await world.collect({
      dryRun: true,
      onItem: ({ kind, path: each }) => {
        if (kind === "manifest") doomed = each;
      },
    });
    const before = await world.files();
    expect(before.has(path)).toBe(true);
    await world.collect();
    world.now += 8 * DAY;
    const dying = failing(world, { when: ({ method, paths }) => method === "putContent" && paths[0]!.endsWith("/000003.jsonl"), times: 9 });
    await expect(collect(world, dying)).rejects.toBeDefined();
    expect((await world.files()).has(doomed)).toBe(false);
    // Pushed again, as far as the data: the link that the purge took is written anew, once.
    const digest = before.get(doomed)!;
    await world.put(blobPath(digest), before.get(blobPath(digest))!);
    world.now += 2 * DAY;
    await world.heal();
    expect((await world.files()).has(doomed)).toBe(true);
    await world.driver.delete(doomed);
    await world.heal();
    expect((await world.files()).has(doomed)).toBe(false);
  });

  test("one that is taken away between a listing and its reading is no error", async () => {
    const world = await retag();
    await world.collect();
    world.now += 8 * DAY;
    await world.collect();
    const [object = ""] = await gcFiles(world, "journal");
    let isTaken = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      if (method === "getContent" && paths[0] === object && !isTaken) {
        isTaken = true;
        for (const path of await gcFiles(world, "journal")) await world.driver.delete(path);
      }
      return proceed();
    });
    expect(await listRuns({ clock: world.clock }, driver, openRegistry(driver))).toEqual([]);
    expect(isTaken).toBe(true);
  });
});

describe("the lock", () => {
  test("a heartbeat that fails is tried again in time, and is due by the run's own clock", async () => {
    const world = await retag();
    let beats = 0;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      if (method === "putContent" && paths[0]!.endsWith("/gc-in-progress") && ++beats === 2) throw new Error("503");
      return proceed();
    });
    const keep = async () => {
      world.now += 12_000;
      return false;
    };
    for (let i = 0; i < 9; i++) {
      await push((path, content) => world.put(path, content), "more", image(digestOf(`layer ${i}`)), [`layer ${i}`]);
    }
    expect(await collect(world, driver, { keep })).toMatchObject({ status: "completed" });
    expect(beats).toBeGreaterThan(2);
  });

  test("is not written anew while it is given back, though a heartbeat is due", async () => {
    const world = await retag();
    const onDeleted = () => {
      world.now += 40_000;
    };
    expect(await world.collect({ readOnly: true, onDeleted })).toMatchObject({ status: "completed" });
    expect([...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/lockfiles/"))).toEqual([]);
  });

  test("one that somebody else takes while it is given back is his", async () => {
    const world = await retag();
    const lock = "/docker/registry/lockfiles/gc-in-progress";
    await world.put(lock, "{}");
    let isTaken = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      if (method !== "stat" || paths[0] !== lock || isTaken) return proceed();
      isTaken = true;
      await world.driver.deleteFiles([lock]);
      try {
        return await proceed();
      } finally {
        await world.driver.putContent(lock, Buffer.from("another run"));
      }
    });
    await expect(collect(world, driver)).rejects.toMatchObject({ code: "LOCKED" });
    expect((await contentOf(world.driver)).get(lock)).toBe("another run");
  });

  test("one that is given back between its reading and the look at its time is taken", async () => {
    const world = await retag();
    const lock = "/docker/registry/lockfiles/gc-in-progress";
    await world.put(lock, "{}");
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      if (method === "stat" && paths[0] === lock) await world.driver.deleteFiles([lock]);
      return proceed();
    });
    expect(await collect(world, driver)).toMatchObject({ status: "completed" });
  });
});

describe("a call that was done, and whose answer was lost", () => {
  test("a move counts as done, and is told", async () => {
    const world = await retag();
    const told: string[] = [];
    const driver = failing(world, { when: ({ method }) => method === "move", times: 2, isDone: true });
    const report = await collect(world, driver, {
      onDeleted: (items) => void told.push(...items.map(({ how, kind }) => `${how} ${kind}`)),
    });
    expect(report).toMatchObject({ status: "completed", eligible: { blobs: 4 }, quarantined: { blobs: 4 }, failures: [] });
    expect(told.filter((each) => each === "aside blob")).toHaveLength(4);
  });

  test("after an abort nothing is counted below zero", async () => {
    const world = await retag();
    const before = await world.files();
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, async ({ method }, proceed) => {
      const answer = await proceed();
      if (method === "move" && !controller.signal.aborted) {
        controller.abort(new Error("stop"));
        throw new Error("503");
      }
      return answer;
    });
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), UNTAGGED);
    const none = { manifests: 0, blobs: 0, bytes: 0 };
    await expect(run).rejects.toMatchObject({ message: "stop", report: { quarantined: none } });
    expect(await world.files()).toEqual(before);
  });

  test("what was put back counts as that: in a later run, and in restore", async () => {
    const world = await retag();
    let revisions: [string, string][] = [];
    await world.collect();
    revisions = [...(await world.files())].filter(([path]) => path.includes("/revisions/"));
    for (const [path, digest] of revisions)
      await world.put(`${path.slice(0, path.indexOf("/revisions/"))}/tags/t-${digest.slice(-6)}/current/link`, digest);
    world.now += 8 * DAY;
    const isBack = ({ method, paths }: DriverCall) => method === "move" && paths[0]!.includes("/_gc/");
    const report = await collect(world, failing(world, { when: isBack, times: 9, isDone: true }));
    expect(report).toMatchObject({ status: "completed", returned: { blobs: 4 }, purged: { blobs: 0 }, failures: [] });

    const other = await retag();
    await other.collect();
    const driver = failing(other, { when: isBack, times: 9, isDone: true });
    expect(await restore({ clock: other.clock }, driver, openRegistry(driver))).toMatchObject({ blobs: 4, failures: [] });
  });

  test.each([true, false])("the lock is the run's own, though its writing told nothing (threw: %s)", async (throws) => {
    const world = await retag();
    let isLost = false;
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      const answer = await proceed();
      if (method !== "putContent" || !paths[0]!.endsWith("/gc-in-progress") || isLost) return answer;
      isLost = true;
      if (throws) throw new Error("503");
      return false as never;
    });
    expect(await collect(world, driver)).toMatchObject({ status: "completed" });
    expect([...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/lockfiles/"))).toEqual([]);
  });

  test("a layer link that is gone counts as deleted, and comes back where it is needed", async () => {
    const world = await retag();
    const isLink = ({ method, paths }: DriverCall) => method === "delete" && paths[0]!.includes("/_layers/");
    const report = await collect(world, failing(world, { when: isLink, times: 9, isDone: true }));
    expect(report).toMatchObject({ status: "completed", deleted: { layerLinks: 3 }, failures: [] });
  });
});

describe("what can't be deleted", () => {
  test("where a run purges at once, it is counted once: as a failure", async () => {
    const world = await retag();
    const isCopy = ({ method, paths }: DriverCall) =>
      ["delete", "deleteFiles"].includes(method) && paths.some((each) => each.includes("/_gc/") && each.endsWith("/data"));
    const report = await collect(world, failing(world, { when: isCopy, times: 99 }), { quarantineMs: 0 });
    expect(report.eligible.blobs).toBe(4);
    expect(sum(report)).toBe(4);
    expect(report.failures).toHaveLength(4);
  });

  test.each([{ readOnly: true }, { quarantine: false }])(
    "a tag index entry keeps its revision, with its signatures: %j",
    async (options) => {
      const world = new World();
      world.now -= 30 * DAY;
      const put: Put = (path, content) => world.put(path, content);
      const manifest = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("one") }] });
      await push(put, "r", manifest, ["one"], "v");
      await put(blobPath(digestOf("signature")), "signature");
      const signature = linkOf(`${revision("r", digestOf(manifest)).replace(/\/link$/, "")}/signatures`, digestOf("signature"));
      await put(signature, digestOf("signature"));
      await push(put, "r", image(digestOf("two")), ["two"], "v");
      world.now += 30 * DAY;
      const isEntry = ({ method, paths }: DriverCall) =>
        ["delete", "deleteFiles"].includes(method) && paths.some((path) => path.includes("/index/"));
      const report = await collect(world, failing(world, { when: isEntry, times: 99 }), options);
      expect(report).toMatchObject({ status: "completed-with-failures", deleted: { manifests: 0 } });
      const files = await world.files();
      for (const path of [signature, blobPath(digestOf("signature")), blobPath(digestOf("one"))]) expect(files.has(path)).toBe(true);
    },
  );
});

describe("the write barrier", () => {
  test.each(DEGREES)("keeps data that was promised by another digest, under which a link serves it: %j", async (options) => {
    const world = new World();
    world.now -= 30 * DAY;
    const put: Put = (path, content) => world.put(path, content);
    await push(put, "r", image(digestOf("base")), ["base"], "keep");
    await put(blobPath(digestOf("layer")), "layer");
    await put(layer("r", digestOf("layer")), digestOf("layer"));
    await put(layer("r", sha512("layer")), digestOf("layer"));
    world.now += 30 * DAY;
    const barrier = createWriteBarrier({ now: () => world.now });
    await barrier.protect(sha512("layer"));
    const report = await world.collect({ barrier, ...options });
    expect(report).toMatchObject({ status: "completed", eligible: { blobs: 0 }, failures: [] });
    const files = await world.files();
    expect(files.has(blobPath(digestOf("layer")))).toBe(true);
    expect(files.has(layer("r", sha512("layer")))).toBe(true);
  });

  test("is asked in one order by all: what has names in common waits for each other in no circle", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    const put: Put = (path, content) => world.put(path, content);
    await push(put, "keep", image(digestOf("base")), ["base"], "keep");
    const names = [sha512("x"), sha512("y")];
    for (const [i, content] of ["a", "b", "c", "d", "e", "f"].entries()) {
      await put(blobPath(digestOf(content)), content);
      const order = i % 2 === 0 ? names : [...names].reverse();
      for (const [j, name] of order.entries()) await put(layer(`r${i}-${j}`, name), digestOf(content));
    }
    world.now += 30 * DAY;
    const slow = new InterceptedDriver(world.driver, async ({ method }, proceed) => {
      if (method === "move") await new Promise((resolve) => setTimeout(resolve, 5));
      return proceed();
    });
    const barrier = createWriteBarrier({ now: () => world.now });
    expect(await collect(world, slow, { barrier })).toMatchObject({ status: "completed", quarantined: { blobs: 6 } });
  }, 10_000);

  test("does not keep what an aborted purge deleted from being told", async () => {
    const world = await retag();
    await world.collect();
    world.now += 8 * DAY;
    const controller = new AbortController();
    const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      const answer = await proceed();
      if (["delete", "deleteFiles"].includes(method) && paths[0]!.endsWith("/data")) controller.abort(new Error("stop"));
      return answer;
    });
    const told: string[] = [];
    const onDeleted: GcOptions["onDeleted"] = (items) => void told.push(...items.map(({ kind }) => kind));
    const options = { ...UNTAGGED, onDeleted, barrier: createWriteBarrier({ now: () => world.now }) };
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, driver, openRegistry(driver), options);
    const { report } = (await run.catch((error: unknown) => error)) as { report: GcReport };
    // The first, and what was under way when it was stopped.
    expect(report.purged.blobs).toBeGreaterThan(0);
    expect(told.filter((kind) => kind === "blob")).toHaveLength(report.purged.blobs);
  });

  test.each(DEGREES)("is not held while somebody is told: %j", async (options) => {
    const world = await retag();
    const barrier = createWriteBarrier({ now: () => world.now });
    const told: string[] = [];
    const onDeleted: GcOptions["onDeleted"] = async (items) => {
      for (const { digest } of items) if (digest !== undefined) await barrier.protect(digest, { forMs: 0 });
      for (const { kind } of items) told.push(kind);
    };
    expect(await world.collect({ barrier, onDeleted, ...options })).toMatchObject({ status: "completed" });
    expect(told.filter((kind) => kind === "blob").length).toBeGreaterThanOrEqual(4);
  });
});

describe("what is thrown", () => {
  const ODD: readonly unknown[] = [
    Object.create(null),
    Object.defineProperty(new Error("x"), "message", {
      get: () => {
        throw new Error("the getter");
      },
    }),
    Object.defineProperty(new Error("x"), "code", {
      get: () => {
        throw new Error("the getter");
      },
    }),
    Object.assign(new Error("x"), { message: Symbol("x") }),
  ];

  test.each(ODD.map((odd, i) => [i, odd] as const))(
    "by a hook or a driver, something that can't be told is told all the same: %i",
    async (_, odd) => {
      const world = await retag();
      const onDeleted = () => {
        throw odd;
      };
      expect(await world.collect({ onDeleted, quarantineMs: 0 })).toMatchObject({ deleted: { blobs: 4 } });
      const driver = changed(world.driver, { list: () => Promise.reject(odd as Error) as never });
      await expect(collect(world, driver)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    },
  );

  test("by a span, it costs no report", async () => {
    const world = await retag();
    const broken = () => {
      throw new Error("the exporter");
    };
    const sound = { setAttribute() {}, setAttributes() {}, setStatus() {}, addEvent() {} };
    const startSpans = [() => ({ ...sound, end: broken }), () => ({ setAttribute: broken, addEvent: broken, end: broken }), broken];
    const providers = [...startSpans.map((startSpan) => ({ getTracer: () => ({ startSpan }) })), { getTracer: broken }];
    for (const tracerProvider of providers) {
      const ctx = { clock: world.clock, tracerProvider: tracerProvider as never };
      expect(await markAndSweep(ctx, world.driver, openRegistry(world.driver), UNTAGGED)).toMatchObject({ status: "completed" });
    }
  });

  test("an abort's reason that takes no report is what the run rejects with", async () => {
    const world = await retag();
    const reason = Object.defineProperty(new Error("stop"), "report", { value: 1 });
    const run = markAndSweep({ signal: AbortSignal.abort(reason) }, world.driver, openRegistry(world.driver), UNTAGGED);
    await expect(run).rejects.toBe(reason);
  });
});

describe("commands", () => {
  test("restore writes nothing into a storage that a metadata database owns", async () => {
    const world = await retag();
    await world.collect();
    await world.put("/docker/registry/lockfiles/database-in-use", "");
    const before = await contentOf(world.driver);
    await expect(restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).rejects.toMatchObject({
      code: "DATABASE_IN_USE",
    });
    expect(await contentOf(world.driver)).toEqual(before);
  });

  test("with a driver that can't move, nothing is said to be back that isn't", async () => {
    const world = await retag();
    const [tagged] = [...(await world.files())].filter(([path]) => path.includes("/revisions/"));
    await world.collect();
    const aside = await world.aside();
    const driver = changed(world.driver, { move: undefined } as never);
    const report = await restore({ clock: world.clock }, driver, openRegistry(driver));
    expect(report).toMatchObject({ blobs: 0 });
    expect(report.failures.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => "UNSUPPORTED"));
    expect(await world.aside()).toEqual(aside);
    // A tag that is put back needs what lies aside.
    const revisions = [...(await world.files())].filter(([path]) => path.includes("/revisions/"));
    for (const [path, digest] of revisions)
      await world.put(`${path.slice(0, path.indexOf("/revisions/"))}/tags/t-${digest.slice(-6)}/current/link`, digest);
    await expect(heal({ clock: world.clock }, driver, openRegistry(driver), UNTAGGED)).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect(tagged).toBeDefined();
    expect((await world.heal()).returned.blobs).toBe(4);
  });

  test.each(["heal", "collect", "purge"] as const)(
    "a repository of which nothing tells what it needs keeps nothing of others aside: %s",
    async (command) => {
      const world = await retag();
      await world.collect();
      const revisions = [...(await world.files())].filter(([path]) => path.includes("/revisions/"));
      for (const [path, digest] of revisions)
        await world.put(`${path.slice(0, path.indexOf("/revisions/"))}/tags/t-${digest.slice(-6)}/current/link`, digest);
      await world.put(revision("unknowable", digestOf("gone")), digestOf("gone"));
      await expect(world[command]()).rejects.toMatchObject({ code: "DAMAGED", report: { returned: { blobs: 4 } } });
      expect(await world.aside()).toEqual([]);
    },
  );

  test("listRuns rejects with an abort's reason, whatever that broke", async () => {
    const world = await retag();
    await world.collect();
    const controller = new AbortController();
    const reason = new Error("stop");
    const broken = async function* () {
      controller.abort(reason);
      yield Buffer.from("{");
      throw new Error("socket closed");
    };
    const driver = changed(world.driver, { getContent: undefined, reader: async () => Readable.from(broken()) } as never);
    await expect(listRuns({ signal: controller.signal }, driver, openRegistry(driver))).rejects.toBe(reason);
  });
});

test.each(["protect", "abort"] as const)("a purge that finds damage where it looks again deletes no data (%s)", async (onDamage) => {
  const world = new World();
  world.now -= 30 * DAY;
  const put: Put = (path, content) => world.put(path, content);
  await push(put, "keep", image(digestOf("base")), ["base"], "keep");
  const manifest = image(digestOf("one"));
  for (const content of ["one", "two", manifest]) await put(blobPath(digestOf(content)), content);
  await put(revision("x", digestOf(manifest)), digestOf(manifest));
  world.now += 30 * DAY;
  expect((await world.collect()).quarantined.blobs).toBe(3);
  world.now += 8 * DAY;
  const lost = image(digestOf("two"));
  const driver = new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
    if (method !== "delete" || paths[0] !== revision("x", digestOf(manifest))) return proceed();
    await put(revision("x", digestOf(lost)), digestOf(lost));
    throw new Error("503");
  });
  await expect(collect(world, driver, { onDamage })).rejects.toMatchObject({
    code: "DAMAGED",
    report: { purged: { blobs: 0 }, problems: [{ kind: "missing-manifest" }] },
  });
  expect([...(await contentOf(world.driver)).values()]).toContain("two");
});

test("where what is in place is rotten, what lies aside stays, and it is told", async () => {
  const world = await retag();
  const layers: string[] = [];
  const manifests: [string, string][] = [];
  const before = await world.files();
  await world.collect({
    onItem: ({ kind, path, digest }) => {
      if (kind === "layerLink") layers.push(digest!);
      if (kind === "manifest") manifests.push([path, digest!]);
    },
  });
  const [[path, digest] = ["", ""]] = manifests;
  await world.put(`${path.slice(0, path.indexOf("/revisions/"))}/tags/again/current/link`, digest);
  const rotten = blobPath(layers[0]!);
  await world.put(rotten, "");
  world.now += 8 * DAY;
  expect(await world.collect()).toMatchObject({ returned: { blobs: 3 }, problems: [{ kind: "digest-mismatch", path: rotten }] });
  expect(await world.aside()).toHaveLength(1);
  await world.driver.delete(rotten);
  expect(await world.collect()).toMatchObject({ returned: { blobs: 1 }, problems: [] });
  expect((await world.files()).get(rotten)).toBe(before.get(rotten));
});

test("a repository of a name that no path has is told of, since what only it needs is garbage", async () => {
  const world = await retag();
  const odd = { path: `${ROOT}/repositories/team (old)`, isDirectory: true };
  const driver = changed(world.driver, {
    async *list(path, options) {
      for await (const page of world.driver.list(path, options)) yield path === `${ROOT}/repositories` ? [...page, odd] : page;
    },
  });
  const report = await collect(world, driver);
  expect(report.remarks).toEqual([expect.stringMatching(/team \(old\)" has a name that no path of a registry has/)]);
});

test.each([Number.POSITIVE_INFINITY, -5, 1.5, "7"])("a size of %s is one that nobody knows", async (size) => {
  const world = await retag();
  const driver = changed(world.driver, {
    stat: async (path, options) => {
      const info = await world.driver.stat(path, options);
      return path.startsWith(`${ROOT}/blobs/`) ? { ...info, size: size as number } : info;
    },
  });
  const report = await collect(world, driver, { readOnly: true });
  expect(report).toMatchObject({ eligible: { blobs: 4, bytes: 0 }, deleted: { blobs: 4, bytes: 0 } });
});
