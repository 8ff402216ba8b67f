/** What comes in from outside: promises and errors of anybody's making, members that are none, drivers that heed no abort. */

import { runInNewContext } from "node:vm";
import {
  DamagedRegistryError,
  DriverError,
  EmptyMarkError,
  type GcOptions,
  LockedError,
  markAndSweep,
  openRegistry,
  PathNotFoundError,
  RegistryGcError,
  type StorageDriver,
  UnsupportedError,
  Vacuum,
} from "oci-registry-gc";
import { cancelCollection, createWorker, startCollection } from "oci-registry-gc/bullmq";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { collectInParts, type PartedRun } from "oci-registry-gc/parts";
import { InterceptedDriver, storageDriverConformance } from "oci-registry-gc/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { memoryStore } from "./support/stores.js";
import { changed } from "./support/tree.js";
import { layOut, vector } from "./support/vectors.js";

const UNTAGGED: GcOptions = { readOnly: true, removeUntagged: true };
const retag = async () => (await layOut(vector("retag"), memoryStore())).driver;
const untouched = (calls: string[]): StorageDriver =>
  new InterceptedDriver(new MemoryDriver(), ({ method }, proceed) => {
    calls.push(method);
    return proceed();
  });

describe("promises that reject, and nobody waits for,", () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  beforeEach(() => void process.on("unhandledRejection", note));
  afterEach(() => {
    process.off("unhandledRejection", note);
    expect(unhandled.splice(0)).toEqual([]);
  });

  const REJECTING: Readonly<Record<string, () => unknown>> = {
    "our own": () => Promise.reject(new Error("no")),
    "of another realm": () => runInNewContext("Promise.reject(new Error('no'))") as unknown,
    "of a class of its own": () => {
      const rejected = Promise.reject(new Error("no"));
      // biome-ignore lint/suspicious/noThenProperty: it is what is tested
      return { then: (yes: () => void, no: (error: unknown) => void) => rejected.then(yes, no) };
    },
  };

  test.each(Object.entries(REJECTING))("%s, of a logger and of onProgress", async (_, reject) => {
    const log = () => reject() as undefined;
    const driver = await retag();
    const report = await markAndSweep({ logger: { debug: log, info: log, warn: log, error: log } }, driver, openRegistry(driver), {
      ...UNTAGGED,
      onProgress: log,
    });
    expect(report.deleted.blobs).toBe(4);
    await new Promise((resolve) => setTimeout(resolve, 20));
  });

  test("in the place of pages", async () => {
    const driver = await retag();
    const wrong = changed(driver, { list: (() => runInNewContext("Promise.reject(new Error('no'))") as unknown) as StorageDriver["list"] });
    await expect(markAndSweep({}, wrong, openRegistry(wrong), UNTAGGED)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

describe("errors", () => {
  class Missing extends PathNotFoundError {}
  class Mine extends RegistryGcError {
    constructor() {
      super("DRIVER_ERROR", "mine");
    }
  }

  test("of a class that extends one of ours are of both", () => {
    const missing = new Missing("/a", "mine");
    expect(missing).toBeInstanceOf(Missing);
    expect(missing).toBeInstanceOf(PathNotFoundError);
    expect(missing).toBeInstanceOf(RegistryGcError);
    expect(missing).not.toBeInstanceOf(DriverError);
    expect(new PathNotFoundError("/a", "mine")).not.toBeInstanceOf(Missing);
    expect(new Mine()).toBeInstanceOf(RegistryGcError);
    expect(Object.assign(new PathNotFoundError("/a", "mine"), { name: "Renamed" })).toBeInstanceOf(PathNotFoundError);
  });

  test.each(["has", "defineProperty", "getPrototypeOf", "get"])("that are proxies whose %s throws are rejected with", async (trap) => {
    const hostile = new Proxy(new Error("reason"), {
      [trap]: () => {
        throw new Error("a trap");
      },
    });
    const driver = await retag();
    const thrown = await markAndSweep({}, driver, openRegistry(driver), {
      ...UNTAGGED,
      keep: () => {
        // biome-ignore lint/style/useThrowOnlyError: it is what is tested
        throw hostile;
      },
    }).then(
      () => undefined,
      (error: unknown) => [error],
    );
    expect(thrown?.[0] === hostile).toBe(true);
    const aborted = await markAndSweep({ signal: AbortSignal.abort(hostile) }, driver, openRegistry(driver), UNTAGGED).then(
      () => undefined,
      (error: unknown) => [error],
    );
    expect(aborted?.[0] === hostile).toBe(true);
  });
});

describe("errors of a driver", () => {
  const coded = (code: string) => Object.assign(new Error("theirs"), { code });
  /** What a run rejects with whose driver throws this, by a call of this method. */
  async function thrownBy(method: string, error: unknown, options: GcOptions): Promise<unknown> {
    const driver = await retag();
    const failing = new InterceptedDriver(driver, (call, proceed) => {
      if (call.method === method) throw error;
      return proceed();
    });
    return markAndSweep({}, failing, openRegistry(failing), options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
  }

  test.each<[string, unknown]>([
    ["a plain error with the code of a DriverError", coded("DRIVER_ERROR")],
    ["damage", new DamagedRegistryError("not a driver's to say")],
    ["a lock", new LockedError("not a driver's to say")],
    ["an empty mark", new EmptyMarkError("not a driver's to say")],
  ])("%s is told as a failed call, with what was thrown as its cause", async (_, error) => {
    for (const method of ["list", "getContent", "stat"]) {
      const reason = await thrownBy(method, error, UNTAGGED);
      expect(reason).toBeInstanceOf(DriverError);
      expect(reason).toMatchObject({ code: "DRIVER_ERROR", cause: error, message: expect.stringContaining(`${method} of /`) as string });
    }
  });

  test("a DriverError is told as it is", async () => {
    const error = new DriverError("mine", { driverName: "mine", path: "/a" });
    expect(await thrownBy("list", error, UNTAGGED)).toBe(error);
  });

  test("one that says UNSUPPORTED is one of ours, with what was thrown as its cause", async () => {
    const error = coded("UNSUPPORTED");
    const reason = await thrownBy("list", error, UNTAGGED);
    expect(reason).toBeInstanceOf(UnsupportedError);
    expect(reason).toMatchObject({ code: "UNSUPPORTED", cause: error });
  });

  test("a write that says that nothing is there has failed", async () => {
    const error = new PathNotFoundError("/a", "mine");
    expect(await thrownBy("putContent", error, { removeUntagged: true })).toMatchObject({ code: "DRIVER_ERROR", cause: error });
  });
});

describe("what is not what it is called is refused before any call", () => {
  test.each([{ protect: 1, removing: 2 }, { protect: () => undefined }, { removing: () => undefined }])(
    "a barrier: %j",
    async (barrier) => {
      const calls: string[] = [];
      const driver = untouched(calls);
      await expect(markAndSweep({}, driver, openRegistry(driver), { barrier: barrier as never })).rejects.toThrow(
        new TypeError("option barrier is an object; expected what createWriteBarrier() gives"),
      );
      expect(calls).toEqual([]);
    },
  );

  test.each([undefined, null, "x"])("the driver of a Vacuum: %j", (driver) => {
    expect(() => new Vacuum(driver as never)).toThrow(TypeError);
  });

  const execute = async () => undefined;
  test.each<[string, object]>([
    ["option execute is undefined; expected a function", { execute: undefined }],
    ['option confirm is "soon"; expected a function', { confirm: "soon" }],
    ["option ended is 1; expected a function", { ended: 1 }],
    ['needs is "keep"; expected an array of keep, onDeleted, onItem, referenceCache', { needs: "keep" }],
    ['needs is ["kep"]; expected an array of keep, onDeleted, onItem, referenceCache', { needs: ["kep"] }],
    ["option runId is 5; expected 1 to 56 letters, digits and hyphens", { runId: 5 }],
  ])("a run in parts: %s", async (message, wrong) => {
    const calls: string[] = [];
    const driver = untouched(calls);
    const parted = { execute, ...wrong } as unknown as PartedRun;
    await expect(collectInParts({}, driver, openRegistry(driver), {}, parted)).rejects.toThrow(new TypeError(message));
    expect(calls).toEqual([]);
  });

  test("a queue's connection, and a worker's concurrency", async () => {
    const wrong = new TypeError("connection is undefined; expected Redis, as BullMQ takes it");
    const driver = new MemoryDriver();
    const worker = { driver, registry: openRegistry(driver) };
    await expect(startCollection({} as never, {})).rejects.toThrow(wrong);
    await expect(cancelCollection({ runId: "a" } as never)).rejects.toThrow(wrong);
    expect(() => createWorker(worker as never)).toThrow(wrong);
    await expect(startCollection({ connection: {}, needs: ["kep"] as never }, {})).rejects.toThrow(TypeError);
    for (const concurrency of [0, -1, 1.5, "x" as never])
      expect(() => createWorker({ ...worker, connection: {}, concurrency })).toThrow(/^option concurrency is .*; expected a whole number/);
  });
});

test("a driver's times may be of another realm's Date", async () => {
  const ForeignDate = runInNewContext("Date") as DateConstructor;
  const driver = new MemoryDriver();
  const foreign = changed(driver, {
    async stat(path, options) {
      const info = await driver.stat(path, options);
      return { ...info, modTime: info.modTime && new ForeignDate(info.modTime.getTime()) };
    },
  });
  const broken: string[] = [];
  const fitting = storageDriverConformance().filter(({ needs }) => needs.every((need) => need in driver));
  expect(fitting.length).toBeGreaterThan(20);
  for (const check of fitting) {
    await check.run({ driver: foreign }).catch((error: unknown) => broken.push(`${check.name}: ${String(error)}`));
  }
  expect(broken).toEqual([]);
});

test("deleteFiles that gives no array is told so", async () => {
  const driver = await retag();
  const wrong = changed(driver, { deleteFiles: (async () => undefined) as never });
  const report = await markAndSweep({}, wrong, openRegistry(wrong), UNTAGGED);
  expect(report).toMatchObject({ status: "completed-with-failures", deleted: { blobs: 0 } });
  expect(report.failures.map(({ message }) => message)).toContain("deleteFiles must give an array of failures");
});

test.each([3, 8, 15, 25])(
  "an abort at call %i waits for look-ups that heed it not: none is under way when the promise rejects",
  async (n) => {
    const driver = await retag();
    let [calls, open] = [0, 0];
    const controller = new AbortController();
    const slow = async <T>(work: () => Promise<T>): Promise<T> => {
      open++;
      if (++calls === n) controller.abort(new Error("enough"));
      try {
        await new Promise((resolve) => setTimeout(resolve, 60));
        return await work();
      } finally {
        open--;
      }
    };
    const deaf: StorageDriver = {
      name: "deaf",
      stat: (path) => slow(() => driver.stat(path)),
      async *list(path) {
        const pages = await slow(async () => {
          const all = [];
          for await (const page of driver.list(path)) all.push(page);
          return all;
        });
        yield* pages;
      },
      reader: (path) => slow(() => driver.reader(path)),
      delete: (path) => slow(() => driver.delete(path)),
    };
    const run = markAndSweep({ signal: controller.signal }, deaf, openRegistry(deaf), UNTAGGED);
    await expect(run).rejects.toThrow("enough");
    expect(open).toBe(0);
  },
);
