import { type GcOptions, markAndSweep, openRegistry, Vacuum } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { describe, expect, test } from "vitest";
import { toPlanned } from "../src/parts/runPlan.js";
import { checkOptions } from "../src/settings.js";
import { contentOf, memoryStore } from "./support/stores.js";
import { changed } from "./support/tree.js";
import { layOut, vector } from "./support/vectors.js";
import { World } from "./support/world.js";

const DAY = 86_400_000;

/** A driver that must not be called. */
function untouched(): MemoryDriver {
  return new Proxy(new MemoryDriver(), {
    get(target, member) {
      if (member === "name") return "untouched";
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== "function") return value;
      return () => {
        throw new Error(`${String(member)} was called`);
      };
    },
  });
}

const run = (options: unknown, ctx: unknown = {}) => {
  const driver = untouched();
  return markAndSweep(ctx as object, driver, openRegistry(driver), options as GcOptions);
};

describe("options", () => {
  test("defaults", () => {
    expect(checkOptions({})).toEqual({
      dryRun: false,
      removeUntagged: false,
      maxParallelManifestGets: 16,
      concurrency: 16,
      readOnly: false,
      gracePeriodMs: DAY,
      referrers: "keep-with-subject",
      onDamage: "protect",
      removeLayerLinks: true,
      removeEmptyRepositories: false,
      maxDeleteRatio: 0.5,
      allowEmptyMark: false,
      quarantine: true,
      quarantineMs: 7 * DAY,
      drainMs: 120_000,
    });
    expect(checkOptions({ readOnly: true }).gracePeriodMs).toBe(0);
    expect(checkOptions({ readOnly: true, gracePeriodMs: 5 }).gracePeriodMs).toBe(5);
    expect(checkOptions({ readOnly: undefined, concurrency: undefined })).toEqual(checkOptions({}));
  });

  test.each([
    [0, 1],
    [-3, 1],
    [1, 1],
    [2.9, 2],
  ])("maxParallelManifestGets: %i counts as %i", (value, counts) => {
    expect(checkOptions({ maxParallelManifestGets: value }).maxParallelManifestGets).toBe(counts);
  });

  test.each([
    ["dryRun", "yes"],
    ["dryRun", 1],
    ["dryRun", null],
    ["removeUntagged", "false"],
    ["readOnly", 0],
    ["maxParallelManifestGets", Number.NaN],
    ["maxParallelManifestGets", "16"],
    ["maxParallelManifestGets", Number.POSITIVE_INFINITY],
    ["concurrency", 0],
    ["concurrency", 1.5],
    ["concurrency", Number.NaN],
    ["gracePeriodMs", -1],
    ["gracePeriodMs", Number.NaN],
    ["gracePeriodMs", "1d"],
    ["referrers", "keep"],
    ["onDamage", "ignore"],
    ["onDamage", true],
    ["removeLayerLinks", "no"],
    ["removeUploadsOlderThanMs", -1],
    ["removeUploadsOlderThanMs", false],
    ["removeEmptyRepositories", "x"],
    ["maxDeleteRatio", 1.01],
    ["maxDeleteRatio", -0.1],
    ["maxDeleteRatio", Number.NaN],
    ["maxDeleteRatio", "50%"],
    ["allowEmptyMark", {}],
    ["keep", true],
    ["onDeleted", {}],
    ["onItem", 1],
    ["onProgress", "x"],
  ])("%s: %j is refused by name, before any call", async (name, value) => {
    const refused = run({ [name]: value });
    await expect(refused).rejects.toBeInstanceOf(TypeError);
    await expect(refused).rejects.toThrow(new RegExp(`^option ${name} is .*; expected .`));
  });

  test.each(["dryrun", "dry_run", "removeuntagged", "__proto__x", "toString"])(
    "there is no option %s: a slip of the pen must not delete",
    async (name) => {
      await expect(run({ [name]: true })).rejects.toThrow(`there is no option "${name}"`);
    },
  );

  test.each([
    ["inherited", Object.create({ dryRun: true }) as object],
    [
      "a getter of a class",
      new (class {
        get dryRun() {
          return true;
        }
      })(),
    ],
    ["hidden", Object.defineProperty({}, "dryRun", { value: true })],
  ])("an option that is %s is heeded", async (_, options) => {
    expect(checkOptions(options)).toMatchObject({ dryRun: true });
    expect(toPlanned(options)).toEqual({ dryRun: true });
    const { driver } = await layOut(vector("orphan"), memoryStore());
    const before = await contentOf(driver);
    expect(await markAndSweep({}, driver, openRegistry(driver), { __proto__: options, readOnly: true } as GcOptions)).toMatchObject({
      dryRun: true,
    });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("an inherited option that is wrong is refused, and so is an array", async () => {
    await expect(run(Object.create({ dryRun: "yes" }))).rejects.toThrow('option dryRun is "yes"; expected true or false');
    await expect(run([])).rejects.toThrow("options must be an object, got an array");
  });

  test.each<[string, unknown]>([
    ["a Map", new Map([["dryRun", true]])],
    ["a Set", new Set(["dryRun"])],
    ["a URLSearchParams", new URLSearchParams("dryRun=true")],
    ["a Promise", Promise.resolve({ dryRun: true })],
  ])("options that are %s are refused: a dryRun in it would pass unnoticed", async (kind, options) => {
    await expect(run(options)).rejects.toThrow(new TypeError(`options must be an object, got ${kind}`));
    const driver = new MemoryDriver();
    expect(() => openRegistry(driver, options as object)).toThrow(`the options of openRegistry are ${kind}; expected { root }`);
    expect(() => new Vacuum(driver, options as object)).toThrow(
      `the options of Vacuum are ${kind}; expected { root, concurrency, logger }`,
    );
  });

  test("options of a class of one's own are options", async () => {
    class Options {
      readonly root = "/other/v2";
    }
    expect(openRegistry(new MemoryDriver(), new Options()).online?.aside).toBe("/other/v2/_gc");
  });

  test("an option that openRegistry or a Vacuum has not is refused: another root would be worked on", () => {
    expect(() => openRegistry(new MemoryDriver(), { rot: "/other" } as object)).toThrow(
      new TypeError('the options of openRegistry have "rot"; expected { root }'),
    );
    expect(() => new Vacuum(new MemoryDriver(), { rot: "/other" } as object)).toThrow(
      new TypeError('the options of Vacuum have "rot"; expected { root, concurrency, logger }'),
    );
  });

  test.each([Number.POSITIVE_INFINITY, 1e308, 1e16])("a grace and a quarantine of %d milliseconds are for ever", async (ms) => {
    const world = await new World().load("retag");
    expect(await world.collect({ gracePeriodMs: ms })).toMatchObject({ status: "completed", eligible: { blobs: 0 }, kept: { young: 4 } });
    expect(await world.collect({ quarantineMs: ms })).toMatchObject({ status: "completed", quarantined: { blobs: 4 } });
    world.now += 10_000 * DAY;
    expect(await world.collect({ quarantineMs: ms })).toMatchObject({ status: "completed", purged: { blobs: 0 } });
    expect(await world.aside()).toHaveLength(4);
  });

  test.each([null, 7, "x"])("options: %j", async (options) => {
    await expect(run(options)).rejects.toThrow("options must be an object");
  });

  test.each([null, 7])("ctx: %j", async (ctx) => {
    await expect(run({}, ctx)).rejects.toThrow("ctx must be an object");
  });

  test.each<[string, unknown, string]>([
    ["signal", new AbortController(), "ctx.signal.aborted must be a boolean, got undefined"],
    ["logger", true, "ctx.logger must be an object, got true"],
    ["clock", Date, "ctx.clock must be an object, got a function"],
    ["clock", {}, "ctx.clock.now must be a function, got undefined"],
    ["clock", { now: () => 0 }, "ctx.clock.sleep must be a function, got undefined"],
    ["clock", { now: () => Number.NaN, sleep: async () => undefined }, "ctx.clock.now() must give milliseconds since 1970, got NaN"],
    ["clock", { now: () => new Date(), sleep: async () => undefined }, "ctx.clock.now() must give milliseconds since 1970, got an object"],
    ["tracerProvider", {}, "ctx.tracerProvider.getTracer must be a function, got undefined"],
    ["meterProvider", {}, "ctx.meterProvider.getMeter must be a function, got undefined"],
  ])("ctx.%s that is none is refused", async (name, value, message) => {
    await expect(run({}, { [name]: value })).rejects.toThrow(new TypeError(message));
  });

  test("a driver or a registry that was left out is refused, and so is what is no driver", async () => {
    const driver = untouched();
    await expect(markAndSweep({}, driver, undefined as never)).rejects.toThrow("registry must be an object, got undefined");
    expect(() => openRegistry(undefined as never)).toThrow(new TypeError("driver must be an object, got undefined"));
    expect(() => openRegistry({ root: "/" } as never)).toThrow(new TypeError("driver.name must be a string, got undefined"));
    expect(() => openRegistry(driver, null as never)).toThrow("the options of openRegistry are null; expected { root }");
    expect(() => openRegistry(driver, "/somewhere" as never)).toThrow('the options of openRegistry are "/somewhere"; expected { root }');
    expect(() => new FilesystemDriver(undefined as never)).toThrow("option root is undefined; expected the path of a directory");
  });

  test.each(["name", "stat", "list", "reader", "delete"])("a driver without %s is refused", async (member) => {
    const calls: string[] = [];
    const call = (name: string) => () => calls.push(name);
    const driver = {
      name: "x",
      stat: call("stat"),
      list: call("list"),
      reader: call("reader"),
      delete: call("delete"),
      [member]: undefined,
    };
    const registry = openRegistry(new MemoryDriver());
    const refused = markAndSweep({}, driver as never, registry);
    await expect(refused).rejects.toBeInstanceOf(TypeError);
    await expect(refused).rejects.toThrow(`driver.${member} must be a`);
    expect(calls).toEqual([]);
  });

  test.each(["walk", "move", "visitMany"])("a driver whose %s is no function is refused", async (member) => {
    const driver = untouched();
    for (const value of [5, null]) {
      const wrong = Object.assign(driver, { [member]: value });
      const message = `driver.${member} must be a function, got ${typeof value}`;
      await expect(markAndSweep({}, wrong, openRegistry(new MemoryDriver()))).rejects.toThrow(new TypeError(message));
    }
  });

  test("a registry over a driver whose walk is null is listed by directories", async () => {
    const { driver } = await layOut(vector("retag"), memoryStore());
    const registry = openRegistry(changed(driver, { walk: null as never }));
    const names: string[] = [];
    for await (const { name } of registry.repositories()) names.push(name);
    expect(names).not.toEqual([]);
  });

  test.each(["repositories", "blobs"])("a registry without %s is refused", async (member) => {
    const driver = untouched();
    const refused = markAndSweep({}, driver, { ...openRegistry(driver), [member]: undefined });
    await expect(refused).rejects.toThrow(`registry.${member} must be a function`);
  });

  test.each(["", "/", "docker", "/a/../b", "/a/", 7])("root %j is refused", (root) => {
    expect(() => openRegistry(new MemoryDriver(), { root: root as string })).toThrow(TypeError);
    expect(() => new Vacuum(new MemoryDriver(), { root: root as string })).toThrow(
      new TypeError(`option root is ${JSON.stringify(root)}; expected an absolute path below "/"`),
    );
  });

  test.each([null, "/other", 7])("a vacuum's options: %j", (options) => {
    expect(() => new Vacuum(new MemoryDriver(), options as never)).toThrow(
      /^the options of Vacuum are .*; expected \{ root, concurrency, logger \}$/,
    );
  });

  test("a vacuum's concurrency is checked", () => {
    for (const concurrency of [0, -1, 1.5, Number.NaN]) {
      expect(() => new Vacuum(new MemoryDriver(), { concurrency })).toThrow(
        new TypeError(`option concurrency is ${concurrency}; expected a whole number, 1 or more`),
      );
    }
  });
});
