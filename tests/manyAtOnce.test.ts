/** Questions that go to a driver together: they get the answers that each alone would get. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FileInfo, type LookOptions, markAndSweep, type Namespace, openRegistry, type StorageDriver } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { RegistryBuilder } from "oci-registry-gc/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { meteredDriver } from "../src/internal/meteredDriver.js";
import { Pace } from "../src/internal/pace.js";
import { TaskQueue } from "../src/internal/taskQueue.js";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "many-"));
  mkdirSync(join(root, "empty"));
  mkdirSync(join(root, "full/inner"), { recursive: true });
  mkdirSync(join(root, "linked"));
  mkdirSync(join(root, "large"));
  writeFileSync(join(root, "full/file"), "content");
  writeFileSync(join(root, "full/nothing"), "");
  writeFileSync(join(root, "full/long"), "x".repeat(200_000));
  utimesSync(join(root, "full/file"), 1_700_000_000.5, 1_700_000_000.123456);
  symlinkSync("../full/file", join(root, "linked/file"));
  symlinkSync("../full", join(root, "linked/directory"));
  symlinkSync("nowhere", join(root, "linked/broken"));
  for (let i = 0; i < 2500; i++) writeFileSync(join(root, `large/${i}`), "");
});
afterAll(() => rmSync(root, { recursive: true }));

const FILES = ["/full/file", "/full/nothing", "/full/long", "/linked/file", "/linked/directory/file"];
const DIRECTORIES = ["/empty", "/full", "/full/inner", "/large", "/linked/directory", "/"];
/** Of these other paths lead to the same: that is told singly. */
const LINKS = ["/linked/file", "/linked/directory"];
const NEITHER = ["/absent", "/full/file/below", "/linked/broken", "/linked/broken/below"];

describe("the file system's driver", () => {
  test("looks at many as at each", async () => {
    const driver = new FilesystemDriver({ root });
    const paths = [...FILES, ...DIRECTORIES].filter((path) => !LINKS.includes(path));
    expect(await driver.statMany(paths)).toEqual(await Promise.all(paths.map((path) => driver.stat(path))));
    for (const singly of [NEITHER, LINKS]) expect(await driver.statMany(singly)).toEqual(singly.map(() => undefined));
    const of = async (path: string) => ({ ...(await driver.stat(path)), path: "" });
    expect(await of("/linked/file")).toEqual({ ...(await of("/full/file")), isLink: true });
    expect(await of("/linked/directory")).toEqual({ ...(await of("/full")), isLink: true });
    expect(await driver.stat("/full/file")).not.toHaveProperty("isLink");
  });

  test.each([0, 1, 6, 7, 8, 256, 65_536, 199_999, 200_000, 4_194_304])("reads many as each, %d bytes and one at most", async (maxBytes) => {
    const driver = new FilesystemDriver({ root });
    const visit = `() => (files, path) => files.read(path, ${maxBytes + 1})`;
    const { answers } = await driver.visitMany(FILES, { visit });
    const each = await Promise.all(FILES.map((path) => driver.getContent(path, { maxBytes })));
    expect(answers.map((bytes) => bytes && Buffer.from(bytes).toString())).toEqual(each.map((bytes) => Buffer.from(bytes).toString()));
    expect((await driver.visitMany([...NEITHER, "/full"], { visit })).answers).toEqual([...NEITHER, 0].map(() => undefined));
  });

  test("has a function of any text work on each, and leaves the rest to the single call", async () => {
    const driver = new FilesystemDriver({ root });
    const visitAll = async (visit: string) => {
      const { answers, calls } = await driver.visitMany([...FILES, ...NEITHER, "/full"], { visit });
      return { calls, answers: answers.map((bytes) => bytes && Buffer.from(bytes).toString()) };
    };
    const none = NEITHER.map(() => undefined);
    for (const read of ["read", "readOnce"]) {
      const size = (maxBytes: number) => `() => (files, path) => Buffer.from(String(files.${read}(path, ${maxBytes}).length))`;
      expect((await visitAll(size(1000))).answers).toEqual(["7", "0", "1000", "7", "7", ...none, undefined]);
      expect((await visitAll(size(300_000))).answers).toEqual(["7", "0", "200000", "7", "7", ...none, undefined]);
    }
    const stat = "() => (files, path) => Buffer.from(`${files.stat(path).size} ${files.stat(path).isDirectory()}`)";
    const told = await visitAll(stat);
    expect(told.answers.slice(0, 5)).toEqual(["7 false", "0 false", "200000 false", undefined, "7 false"]);
    expect(told.answers.at(-1)).toMatch(/true$/);
    // What failed was called, too; of a symbolic link once.
    expect(told.calls).toEqual({ stat: 2 * FILES.length + NEITHER.length + 1, list: 0, getContent: 0 });
    const names = "() => (files, path) => Buffer.from(files.list(path).map((entry) => entry.name + entry.isDirectory()).sort().join())";
    const listed = await driver.visitMany(["/linked", "/full/file", "/gone"], { visit: names });
    expect(listed.answers.map((bytes) => bytes && Buffer.from(bytes).toString())).toEqual([
      expect.stringContaining("directoryfalse"),
      undefined,
      undefined,
    ]);
    expect(listed.calls).toEqual({ stat: 0, list: 3, getContent: 0 });
    const md5 = '({ hash }) => (files, path) => Buffer.from(hash("md5", files.read(path, 9), "hex"))';
    const hash = createHash("md5").update("content").digest("hex");
    expect((await visitAll(md5)).answers[0]).toBe(hash);
    // More than was read, by a multiple.
    expect((await visitAll("() => () => Buffer.alloc(100_000, 120)")).answers[0]).toBe("x".repeat(100_000));
    for (const broken of ["no function", "() => undefined", "() => () => undefined", "() => () => { throw new Error() }", "throw 1", ""]) {
      expect((await visitAll(broken)).answers).toEqual([...FILES, ...NEITHER, 0].map(() => undefined));
    }
    // So many large ones are not held at once: those behind them are left to single calls.
    const long = Array<string>(100).fill("/full/long");
    const read = await driver.visitMany(long, { visit: "() => (files, path) => (files.read(path, 200_001), Buffer.alloc(1))" });
    const made = await driver.visitMany(long, { visit: "() => () => Buffer.alloc(1_000_000)" });
    for (const [{ answers }, most] of [[read, 42] as const, [made, 9] as const]) {
      expect(answers.map((answer) => answer !== undefined)).toEqual(long.map((_, i) => i < most));
    }
    // More texts than it holds.
    for (let i = 0; i < 40; i++) expect((await visitAll(`() => () => Buffer.from("${i}")`)).answers[0]).toBe(String(i));
    // The thread has outlived that.
    expect(await driver.statMany(["/full"])).toEqual([await driver.stat("/full")]);
  });

  test("a visit ends between two calls when it is aborted", async () => {
    const driver = new FilesystemDriver({ root });
    const controller = new AbortController();
    const forEver = "() => (files, path) => { for (;;) files.stat(path); }";
    const visits = driver.visitMany(["/full", "/full"], { signal: controller.signal, visit: forEver });
    setTimeout(() => controller.abort(), 100);
    expect((await visits).answers).toEqual([undefined, undefined]);
    expect((await visits).calls.stat).toBeGreaterThan(1);
  });

  test("lists many as each, and leaves links to the single call", async () => {
    const driver = new FilesystemDriver({ root });
    const single = async (path: string) => {
      const all: FileInfo[] = [];
      for await (const page of driver.list(path)) all.push(...page);
      return all;
    };
    const many = (await driver.listMany(DIRECTORIES)).map((pages) => pages && [...pages]);
    expect(many.map((pages) => pages?.flat())).toEqual(await Promise.all(DIRECTORIES.map(single)));
    expect(many.map((pages) => pages?.length)).toEqual([0, 1, 0, 3, 1, 1]);
    expect(await driver.listMany([...NEITHER, "/linked", "/full/file"])).toEqual([...NEITHER, 0, 0].map(() => undefined));
  });

  test("heeds a signal, and refuses what is no path", async () => {
    const driver = new FilesystemDriver({ root });
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(driver.statMany(["/full"], { signal })).rejects.toThrow("stop");
    await expect(driver.listMany(["/full"], { signal })).rejects.toThrow("stop");
    await expect(driver.visitMany(["/full/file"], { signal, visit: "" })).rejects.toThrow("stop");
    await expect(driver.statMany(["/full", "/../etc"])).rejects.toMatchObject({ code: "INVALID_PATH" });
  });

  test("waits for answers that nothing else waits for, and keeps no process alive after them", () => {
    const source = JSON.stringify(fileURLToPath(new URL("../src/drivers/filesystem.ts", import.meta.url)));
    const script = `import { FilesystemDriver } from ${source};
      const began = Date.now();
      const driver = new FilesystemDriver({ root: ${JSON.stringify(root)} });
      for (let i = 0; i < 3; i++) console.log((await driver.statMany(["/full", "/full/file"])).map((info) => info.isDirectory));
      process.on("exit", () => console.log(Date.now() - began < 900 ? "at once" : "late"));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n").slice(0, 3)).toEqual(Array(3).fill("[ true, false ]"));
  });
});

describe("the metered driver", () => {
  const metered = (driver: StorageDriver, signal?: AbortSignal) => {
    const counts: Record<string, number> = {};
    const count = (method: string) => {
      counts[method] = (counts[method] ?? 0) + 1;
    };
    return { counts, driver: meteredDriver(driver, { queue: new TaskQueue(4), signal, count }) };
  };

  /** A driver that answers odd numbers together, and is asked singly for even ones. */
  async function halfDriver() {
    const inner = new MemoryDriver();
    for (let i = 0; i < 200; i++) await inner.putContent(`/d/${i}`, Buffer.from(String(i)));
    const calls: number[] = [];
    const isOdd = (path: string) => Number(path.slice(3)) % 2 === 1;
    const single: Pick<StorageDriver, "stat" | "list" | "getContent"> = {
      stat: (path, options) => inner.stat(path, options),
      list: (path, options) => inner.list(path, options),
      getContent: (path, options) => inner.getContent(path, options),
    };
    const driver: StorageDriver = {
      name: "half",
      ...single,
      manyOf: single,
      reader: (path, options) => inner.reader(path, options),
      delete: (path, options) => inner.delete(path, options),
      statMany: async (paths, options) => {
        calls.push(paths.length);
        return Promise.all(paths.map((path) => (isOdd(path) ? inner.stat(path, options) : Promise.resolve(undefined))));
      },
      listMany: async () => {
        throw new Error("not today");
      },
    };
    return { driver, calls };
  }

  test("gathers, asks singly for what was left, and counts each question once", async () => {
    const half = await halfDriver();
    const { driver, counts } = metered(half.driver);
    const paths = Array.from({ length: 200 }, (_, i) => `/d/${i}`);
    const infos = await Promise.all(paths.map((path) => driver.stat(path)));
    expect(infos.map((info) => info.path)).toEqual(paths);
    expect(half.calls).toEqual([64, 64, 64, 8]);
    const contents = await Promise.all(paths.map((path) => driver.getContent!(path, { maxBytes: 9 })));
    expect(contents.map((bytes) => Buffer.from(bytes).toString())).toEqual(paths.map((path) => path.slice(3)));
    expect(counts).toEqual({ stat: 200, getContent: 200 });
  });

  test("one question alone is asked singly; so is one that the many were refused for", async () => {
    const half = await halfDriver();
    const { driver, counts } = metered(half.driver);
    expect((await driver.stat("/d/1")).path).toBe("/d/1");
    expect(half.calls).toEqual([]);
    const listings = await Promise.all(
      ["/d", "/"].map(async (path) => {
        let entries = 0;
        for await (const page of driver.list(path)) entries += page.length;
        return entries;
      }),
    );
    expect(listings).toEqual([200, 1]);
    expect(counts).toEqual({ stat: 1, list: 2 });
  });

  test("what must be brought to an end after an abort is asked singly", async () => {
    const half = await halfDriver();
    const settling = meteredDriver(half.driver, {
      queue: new TaskQueue(4),
      signal: undefined,
      patience: new AbortController().signal,
      count: () => undefined,
    });
    await Promise.all([1, 3].map((i) => settling.stat(`/d/${i}`)));
    expect(half.calls).toEqual([]);
  });

  test("a wrapper's own member is asked, and not what would go past it", async () => {
    const half = await halfDriver();
    const asked: string[] = [];
    const stat: StorageDriver["stat"] = (path, options) => {
      asked.push(path);
      return half.driver.stat(path, options);
    };
    const { driver } = metered({ ...half.driver, stat });
    await Promise.all([1, 3].map((i) => driver.stat(`/d/${i}`)));
    expect(asked).toEqual(["/d/1", "/d/3"]);
    expect(half.calls).toEqual([]);
  });

  test("of a file system a subclass's own member is asked, and so is a proxy's", async () => {
    class Failing extends FilesystemDriver {
      override stat(): Promise<never> {
        return Promise.reject(new Error("EIO"));
      }
    }
    const proxy = new Proxy(new FilesystemDriver({ root }), {
      get: (target, member) => (member === "stat" ? () => Promise.reject(new Error("EIO")) : (Reflect.get(target, member) as unknown)),
    });
    for (const failing of [new Failing({ root }), proxy]) {
      const { driver } = metered(failing);
      const answers = await Promise.allSettled(["/full/file", "/full/nothing"].map((file) => driver.stat(file)));
      expect(answers.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    }
  });

  test.each<[string, () => unknown]>([
    ["Promise", async () => [[]]],
    ["Promise", () => Promise.reject(new Error("of its own"))],
    ["Array", () => [[]]],
    ["Undefined", () => undefined],
  ])("a listing that is none, but %s, is told as what it is, and ends no process", async (what, list) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", note);
    const { driver } = metered({ ...(await halfDriver()).driver, manyOf: undefined, list: list as never });
    await expect(driver.list("/d")[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: `half: list of /d failed: list must give an async iterable of pages; got ${what}`,
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  test.each<[string, (driver: StorageDriver) => Promise<unknown>, Partial<Record<keyof StorageDriver, unknown>>, string]>([
    ["stat", (driver) => driver.stat("/d"), { stat: async () => undefined }, "or reject with the code PATH_NOT_FOUND; got Undefined"],
    ["stat", (driver) => driver.stat("/d"), { stat: async () => null }, "got Null"],
    ["stat", (driver) => driver.stat("/d"), { stat: () => true }, "got Boolean"],
    ["getContent", async (driver) => driver.getContent?.("/d"), { getContent: async () => "text" }, "bytes, a Uint8Array; got String"],
    ["getContent", async (driver) => driver.getContent?.("/d"), { getContent: async () => undefined }, "got Undefined"],
    ["getContent", async (driver) => driver.getContent?.("/d"), { getContent: async () => new ArrayBuffer(3) }, "got ArrayBuffer"],
    ["getContent", async (driver) => driver.getContent?.("/d"), { getContent: async () => new Uint16Array(3) }, "got Uint16Array"],
    [
      "getContent",
      async (driver) => driver.getContent?.("/d"),
      { getContent: async () => new DataView(new ArrayBuffer(3)) },
      "got DataView",
    ],
    ["stat", (driver) => driver.stat("/d"), { stat: async () => ({ path: "/d" }) }, "got Object"],
    ["stat", (driver) => driver.stat("/d"), { stat: async () => ({ path: "/d", isDirectory: "no" }) }, "got Object"],
    [
      "stat",
      (driver) => driver.stat("/d"),
      { stat: async () => ({ path: "/d", isDirectory: false, modTime: "2026-01-01" }) },
      "got Object",
    ],
    ["stat", (driver) => driver.stat("/d"), { stat: async () => ({ path: "/d", isDirectory: false, modTime: 5 }) }, "got Object"],
    ["list", (driver) => firstPage(driver.list("/d")), { list: () => pages([{ path: "/d/a" }]) }, "got Object"],
    ["list", (driver) => firstPage(driver.list("/d")), { list: () => pages([{ path: "/d/a", isDirectory: 1 }]) }, "got Object"],
    [
      "list",
      (driver) => firstPage(driver.list("/d")),
      { list: () => pages([{ path: "/d/a", isDirectory: false, modTime: "x" }]) },
      "got Object",
    ],
    [
      "walk",
      (driver) => firstPage(driver.walk?.("/d")),
      { walk: () => pages([{ path: "/d/a", isDirectory: false, md5: "x" }]) },
      "got Object",
    ],
    ["reader", (driver) => driver.reader("/d"), { reader: async () => Buffer.from("x") }, "a stream; got Uint8Array"],
    ["reader", (driver) => driver.reader("/d"), { reader: async () => undefined }, "got Undefined"],
    [
      "list",
      (driver) => firstPage(driver.list("/d")),
      { list: () => pages({ path: "/d/a", isDirectory: false }) },
      "pages, each an array of { path, isDirectory, … }; got Object",
    ],
    ["list", (driver) => firstPage(driver.list("/d")), { list: () => pages(["a"]) }, "got String"],
    ["list", (driver) => firstPage(driver.list("/d")), { list: () => pages([{ name: "a" }]) }, "got Object"],
    ["walk", (driver) => firstPage(driver.walk?.("/d")), { walk: () => pages([null]) }, "got Null"],
    ["walk", (driver) => firstPage(driver.walk?.("/d")), { walk: () => pages("/d/a") }, "got String"],
  ])("%s: an answer that is none is told as what it is", async (method, ask, members, message) => {
    const { driver } = metered({ ...(await halfDriver()).driver, manyOf: undefined, ...members } as unknown as StorageDriver);
    const error = await ask(driver).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "DRIVER_ERROR", path: "/d" });
    expect((error as Error).message).toContain(`half: ${method} of /d failed: ${method} must give `);
    expect((error as Error).message).toContain(message);
  });

  test("what a driver need not tell may be null, and a walk need not say that it names files", async () => {
    const half = await halfDriver();
    const told = { path: "/elsewhere", isDirectory: false, size: 3, modTime: null, md5: null };
    const { driver } = metered({
      ...half.driver,
      manyOf: undefined,
      stat: async () => told,
      walk: () => pages([{ path: "/d/a" }]),
    } as never);
    // What it asks for is what it is told of.
    expect(await driver.stat("/d")).toMatchObject({ path: "/d", size: 3 });
    expect(await firstPage(driver.walk?.("/d"))).toMatchObject({ value: [{ path: "/d/a" }] });
  });

  test("of many answers those that are none, or about another path, are asked for singly", async () => {
    const single: string[] = [];
    const stat = async (path: string) => {
      single.push(path);
      return { path, isDirectory: false, size: 1 };
    };
    const statMany = async () => [
      { path: "/other", isDirectory: false, size: 9 },
      { path: "/b" },
      { path: "/c", isDirectory: false, size: 2 },
    ];
    const { driver } = metered({ ...(await halfDriver()).driver, stat, statMany, manyOf: { stat } } as never);
    const told = await Promise.all(["/a", "/b", "/c"].map((path) => driver.stat(path)));
    expect(told.map(({ path, size }) => [path, size])).toEqual([
      ["/a", 1],
      ["/b", 1],
      ["/c", 2],
    ]);
    expect(single).toEqual(["/a", "/b"]);
  });

  test("an absence in words of the driver's own is told with what it must say instead", async () => {
    const { driver } = metered({ ...(await halfDriver()).driver, manyOf: undefined, stat: () => Promise.reject(new Error("no such key")) });
    await expect(driver.stat("/d")).rejects.toThrow(
      "no such key. If that means that nothing is there, the driver must reject with the code PATH_NOT_FOUND",
    );
  });

  test.each<[string, unknown, boolean]>([
    ["page is none", "/d/a", false],
    ["run is aborted", [], true],
  ])("a listing whose %s is closed", async (_, page, isAborted) => {
    const controller = new AbortController();
    let isOpen = true;
    const list = async function* () {
      try {
        yield page;
        // The abort comes while the next page is waited for.
        setTimeout(() => controller.abort(new Error("stop")));
        await new Promise((resolve) => setTimeout(resolve, 20));
        yield page;
      } finally {
        isOpen = false;
      }
    };
    const { driver } = metered({ ...(await halfDriver()).driver, manyOf: undefined, list: list as never }, controller.signal);
    const read = async () => {
      for await (const each of driver.list("/d")) expect(each).toEqual(page);
    };
    await expect(read()).rejects.toMatchObject(isAborted ? { message: "stop" } : { code: "DRIVER_ERROR" });
    await vi.waitFor(() => expect(isOpen).toBe(false));
  });

  test("a call that aborts the run and never comes back is not waited for", async () => {
    const controller = new AbortController();
    const stat = () => {
      controller.abort(new Error("stop"));
      return new Promise<never>(() => undefined);
    };
    const { driver } = metered({ ...(await halfDriver()).driver, manyOf: undefined, stat }, controller.signal);
    await expect(driver.stat("/d")).rejects.toThrow("stop");
  });

  test("absence and failure are told by the single call", async () => {
    const { driver } = metered((await halfDriver()).driver);
    const answers = await Promise.allSettled(["/d/0", "/d/1000", "/d/1001"].map((path) => driver.stat(path)));
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(answers.slice(1).map((each) => (each as PromiseRejectedResult).reason as unknown)).toEqual([
      expect.objectContaining({ code: "PATH_NOT_FOUND" }),
      expect.objectContaining({ code: "PATH_NOT_FOUND" }),
    ]);
  });

  test("an abort ends what never comes back", async () => {
    const half = await halfDriver();
    const controller = new AbortController();
    const { driver } = metered({ ...half.driver, statMany: () => new Promise(() => undefined) }, controller.signal);
    const answers = Promise.allSettled(["/d/0", "/d/1"].map((path) => driver.stat(path)));
    setTimeout(() => controller.abort(new Error("stop")), 5);
    expect((await answers).map((each) => (each as PromiseRejectedResult).reason as unknown)).toEqual([
      new Error("stop"),
      new Error("stop"),
    ]);
  });
});

describe("a registry's members that take many", () => {
  test("are not asked where a wrapper has a single one of its own", async () => {
    const driver = new FilesystemDriver({ root });
    const builder = new RegistryBuilder(driver);
    const images = [await builder.image("app", { tag: "v1" }), await builder.image("app", { tag: "v2" })];
    const garbage = [await builder.blob("a"), await builder.blob("b")];
    const asked: string[] = [];
    const inner = openRegistry(driver);
    const wrapped: Namespace = {
      ...inner,
      lookAtBlob: async (digest, options) => {
        asked.push(digest);
        return inner.lookAtBlob?.(digest, options);
      },
      async *repositories(options) {
        for await (const repository of inner.repositories(options)) {
          yield new Proxy(repository, {
            get: (target, member) => {
              const value: unknown = Reflect.get(target, member);
              if (member !== "readManifest") return typeof value === "function" ? (value.bind(target) as unknown) : value;
              return (digest: string, look: LookOptions & { maxBytes: number }) => {
                asked.push(digest);
                return target.readManifest(digest, look);
              };
            },
          });
        }
      },
    };
    await markAndSweep({}, driver, wrapped, { dryRun: true, readOnly: true });
    expect(asked.sort()).toEqual([...images, ...garbage].map(({ digest }) => digest).sort());
  });
});

test("a pace gives each turn its portion, in the order of asking, and what is heavier a turn of its own", async () => {
  const pace = new Pace(10);
  const turns: number[][] = [[]];
  const count = () => {
    turns.push([]);
    if (turns.length < 8) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all([4, 5, 2, 8, 50, 1, 0].map(async (weight) => pace.room(weight).then(() => turns.at(-1)?.push(weight))));
  expect(turns.filter((each) => each.length > 0)).toEqual([[4, 5], [2, 8], [50], [1, 0]]);
});

async function* pages(...each: unknown[]): AsyncGenerator {
  yield* each;
}

async function firstPage(listing: AsyncIterable<unknown> | undefined): Promise<unknown> {
  return listing?.[Symbol.asyncIterator]().next();
}
