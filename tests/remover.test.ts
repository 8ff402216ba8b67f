/** Removing by paths: exactly the paths that were named, counted as gone only where every one of an item's paths is. */

import type { Logger, StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { type Removal, Remover } from "../src/remover.js";

interface Call {
  readonly method: string;
  readonly paths: readonly string[];
  readonly upTo?: string;
  /** Whether it came with the caller's signal. */
  readonly isSignalled: boolean;
}

/** A driver that writes down what it is to change, and does nothing: it heeds no signal. */
function recorder(members: Partial<StorageDriver> = {}) {
  const calls: Call[] = [];
  const { signal } = new AbortController();
  const none = () => Promise.reject(new Error("only removals are expected"));
  const driver: StorageDriver = {
    name: "recorder",
    stat: none,
    reader: none,
    list: () => {
      throw new Error("only removals are expected");
    },
    delete: async (path, options) => {
      calls.push({ method: "delete", paths: [path], isSignalled: options?.signal === signal });
      await members.delete?.(path, options);
    },
    deleteFiles: async (paths, options) => {
      calls.push({ method: "deleteFiles", paths, isSignalled: options?.signal === signal });
      return (await members.deleteFiles?.(paths, options)) ?? [];
    },
    pruneDirectories: async (paths, options) => {
      calls.push({ method: "pruneDirectories", paths, upTo: options.upTo, isSignalled: options.signal === signal });
      await members.pruneDirectories?.(paths, options);
    },
  };
  return { calls, driver, signal };
}

/** The same without what drivers may leave out. */
function least({ name, stat, list, reader, delete: remove }: StorageDriver): StorageDriver {
  return { name, stat, list, reader, delete: remove };
}

function notes() {
  const lines: string[] = [];
  const at = (level: string) => (message: string, fields?: object) =>
    void lines.push(`${level}: ${message} ${Object.keys(fields ?? {}).join()}`);
  const logger: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { lines, logger };
}

const remover = (driver: StorageDriver, logger: Logger = notes().logger) => new Remover(driver, logger, 1);
const files = (...names: string[]): Removal => ({ footprint: { files: names } });
const failure = (path: string) => ({ path, code: "EBUSY", message: "busy" });
const paths = (count: number, name = "p") => Array.from({ length: count }, (_, i) => `/${name}${i}`);

describe("paths", () => {
  test("those that were named and no others, each once: files in bulk, trees one by one, then what they may have emptied", async () => {
    const { calls, driver, signal } = recorder();
    const items: Removal[] = [
      { footprint: { files: ["/a/b/one", "/a/c/two"], upTo: "/a" } },
      { footprint: { files: ["/a/b/one"], trees: ["/t/x/tree"], upTo: "/t" } },
      { footprint: { files: [], trees: ["/t/y/tree"], upTo: "/t" } },
    ];
    expect(await remover(driver).removeAll(items, { prune: true, signal })).toEqual({ removed: 3, failures: [] });
    expect(calls).toEqual([
      { method: "deleteFiles", paths: ["/a/b/one", "/a/c/two"], isSignalled: true },
      { method: "delete", paths: ["/t/x/tree"], isSignalled: true },
      { method: "delete", paths: ["/t/y/tree"], isSignalled: true },
      { method: "pruneDirectories", paths: ["/a/b", "/a/c"], upTo: "/a", isSignalled: true },
      { method: "pruneDirectories", paths: ["/a/b", "/t/x", "/t/y"], upTo: "/t", isSignalled: true },
    ]);
  });

  test("one by one where the driver has no bulk, with the signal, and with nothing to prune", async () => {
    const { calls, driver, signal } = recorder();
    const { lines, logger } = notes();
    const item = { footprint: { files: ["/a/x", "/a/y"], upTo: "/a" } };
    expect(await remover(least(driver), logger).removeAll([item], { prune: true, signal })).toEqual({ removed: 1, failures: [] });
    expect(calls).toEqual([
      { method: "delete", paths: ["/a/x"], isSignalled: true },
      { method: "delete", paths: ["/a/y"], isSignalled: true },
    ]);
    expect(lines).toEqual([]);
  });

  test("no directory is pruned without a limit, and none unless it is asked for", async () => {
    const { calls, driver } = recorder();
    await remover(driver).removeAll([files("/a/x")], { prune: true });
    await remover(driver).removeAll([{ footprint: { files: ["/a/x"], upTo: "/a" } }]);
    expect(calls.filter(({ method }) => method === "pruneDirectories")).toEqual([]);
  });

  test("nothing is pruned around what is still there", async () => {
    const { calls, driver } = recorder({ deleteFiles: async () => [failure("/a/x/1")] });
    const items = ["/a/x/1", "/a/y/2"].map((path) => ({ footprint: { files: [path], upTo: "/a" } }));
    await remover(driver).removeAll(items, { prune: true });
    expect(calls.at(-1)).toMatchObject({ method: "pruneDirectories", paths: ["/a/y"] });
  });

  test("what can't be pruned is no failure, and is said for those who look", async () => {
    const { driver } = recorder({ pruneDirectories: () => Promise.reject(new Error("EIO")) });
    const { lines, logger } = notes();
    const item = { footprint: { files: ["/a/x/1"], upTo: "/a" } };
    expect(await remover(driver, logger).removeAll([item], { prune: true })).toEqual({ removed: 1, failures: [] });
    expect(lines).toEqual(["debug: emptied directories below /a stay: EIO error"]);
  });
});

describe("an item is gone only where all of it is", () => {
  test.each(["/1", "/2"])("a file that is still there (%s)", async (stuck) => {
    const { driver } = recorder({ deleteFiles: async () => [failure(stuck)] });
    const told: unknown[] = [];
    const [first, second] = [files("/1", "/2"), files("/3")];
    const onBatch = async (...batch: unknown[]) => void told.push(batch);
    expect(await remover(driver).removeAll([first, second], { onBatch })).toEqual({ removed: 1, failures: [failure(stuck)] });
    expect(told).toEqual([[[second], [[first, failure(stuck)]]]]);
  });

  test("a tree that is still there, beside files that are gone", async () => {
    const { driver } = recorder({ delete: () => Promise.reject(Object.assign(new Error("busy"), { code: "EBUSY" })) });
    const item = { footprint: { files: ["/1"], trees: ["/t"] } };
    expect(await remover(driver).removeAll([item, files("/2")])).toEqual({ removed: 1, failures: [failure("/t")] });
  });

  test("a file that two items share", async () => {
    const { driver } = recorder({ deleteFiles: async () => [failure("/1")] });
    expect((await remover(driver).removeAll([files("/1"), files("/1", "/2"), files("/2")])).removed).toBe(1);
  });

  test("what is gone already is gone, and no other failure is", async () => {
    const { driver } = recorder({
      delete: (path) => Promise.reject(Object.assign(new Error(path), { code: path === "/1" ? "PATH_NOT_FOUND" : "EIO" })),
    });
    const result = await remover(least(driver)).removeAll([files("/1"), files("/2")]);
    expect(result).toEqual({ removed: 1, failures: [{ path: "/2", code: "EIO", message: "/2" }] });
  });

  test.each([{}, { code: 7, message: null }])("a driver that says no more than the path (%j)", async (said) => {
    const { driver } = recorder({ deleteFiles: async () => [{ path: "/1", ...said } as never] });
    const whole = { path: "/1", code: "DRIVER_ERROR", message: "deleteFiles says that /1 is still there, and not why" };
    expect(await remover(driver).removeAll([files("/1"), files("/2")])).toEqual({ removed: 1, failures: [whole] });
  });

  test("a bulk delete that rejects confirms nothing, and says so", async () => {
    const { driver } = recorder({ deleteFiles: () => Promise.reject(new Error("EIO")) });
    const { lines, logger } = notes();
    const result = await remover(driver, logger).removeAll([files("/1"), files("/2", "/3")]);
    expect(result.removed).toBe(0);
    expect(result.failures.map(({ path, code }) => [path, code])).toEqual([
      ["/1", "DRIVER_ERROR"],
      ["/2", "DRIVER_ERROR"],
    ]);
    expect(lines).toEqual(["warn: deleting 3 files failed: EIO error"]);
  });

  test("a bulk delete that answers with a path that it was not asked for confirms nothing", async () => {
    const { driver } = recorder({ deleteFiles: async () => [failure("1")] });
    const result = await remover(driver).removeAll([files("/1"), files("/2")]);
    expect(result).toMatchObject({ removed: 0, failures: [{ path: "/1" }, { path: "/2" }] });
    expect(result.failures[0]?.message).toContain('"1"');
  });
});

describe("batches", () => {
  test("are bounded by their paths, trees counted; nothing is asked where there is nothing", async () => {
    const sizes: number[] = [];
    let asked = 0;
    const options = {
      beforeBatch: async () => {
        asked++;
      },
      onBatch: async (gone: readonly unknown[]) => void sizes.push(gone.length),
    };
    const { driver } = recorder();
    const both = paths(1000).map((path) => ({ footprint: { files: [path], trees: [`${path}t`] } }));
    expect(await remover(driver).removeAll(both, options)).toEqual({ removed: 1000, failures: [] });
    expect(sizes).toEqual([500, 500]);
    await remover(driver).removeAll([], options);
    expect(asked).toBe(2);
  });

  test("an item of more paths than a batch goes in several calls, each path once", async () => {
    const { calls, driver } = recorder();
    expect((await remover(driver).removeAll([files(...paths(2500))])).removed).toBe(1);
    expect(calls.map((call) => call.paths.length)).toEqual([1000, 1000, 500]);
    expect(calls.flatMap((call) => call.paths)).toEqual(paths(2500));
  });

  test("where the question before a batch rejects, it and all after it stay", async () => {
    const { calls, driver } = recorder();
    let asked = 0;
    const beforeBatch = () => (++asked === 2 ? Promise.reject(new Error("lost the lock")) : Promise.resolve());
    const items = paths(4000).map((path) => files(path));
    await expect(remover(driver).removeAll(items, { beforeBatch })).rejects.toThrow("lost the lock");
    expect(calls.flatMap((call) => call.paths)).toEqual(paths(1000));
  });
});

describe("a signal", () => {
  test("that has fired: not one call, though the driver would heed no signal", async () => {
    const { calls, driver } = recorder();
    const signal = AbortSignal.abort(new Error("stop"));
    let asked = 0;
    const beforeBatch = async () => {
      asked++;
    };
    for (const each of [driver, least(driver)]) {
      await expect(remover(each).removeAll([files("/1")], { signal, beforeBatch })).rejects.toThrow("stop");
    }
    expect(calls).toEqual([]);
    expect(asked).toBe(0);
  });

  test("that fires in a batch: what is gone is told, what was cut off is no failure, and no other batch begins", async () => {
    const controller = new AbortController();
    const { calls, driver } = recorder({
      deleteFiles: async () => {
        controller.abort(new Error("stop"));
        return [failure("/p1")];
      },
    });
    const told: unknown[] = [];
    const run = remover(driver).removeAll(
      paths(1500).map((path) => files(path)),
      { signal: controller.signal, onBatch: async (gone, failed) => void told.push(gone.length, failed) },
    );
    await expect(run).rejects.toThrow("stop");
    expect(told).toEqual([999, []]);
    expect(calls).toHaveLength(1);
  });

  test("that fires between single deletes: what was not tried is neither gone nor failed", async () => {
    const controller = new AbortController();
    const { calls, driver } = recorder({
      delete: async (path) => {
        if (path === "/p1") controller.abort(new Error("stop"));
      },
    });
    const told: unknown[] = [];
    const items = paths(5).map((path) => files(path));
    const onBatch = async (...batch: unknown[]) => void told.push(batch);
    await expect(remover(least(driver)).removeAll(items, { signal: controller.signal, onBatch })).rejects.toThrow("stop");
    const tried = new Set(calls.flatMap((call) => call.paths));
    expect(tried.size).toBeLessThan(5);
    expect(told).toEqual([[items.filter(({ footprint }) => tried.has(footprint.files[0]!)), []]]);
  });
});
