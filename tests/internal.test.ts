/** The two wrappers around libraries, and what else stands at the rim. */

import { AsyncLocalStorage } from "node:async_hooks";
import { Readable } from "node:stream";
import type { StorageDriver } from "oci-registry-gc";
import { fromPino, isRegistryGcError, PathNotFoundError, RegistryGcError, VERSION } from "oci-registry-gc";
import pino from "pino";
import { describe, expect, test, vi } from "vitest";
import manifest from "../package.json" with { type: "json" };
import { systemClock } from "../src/clock.js";
import { Column } from "../src/internal/column.js";
import { statAll } from "../src/internal/manyAtOnce.js";
import { meteredDriver } from "../src/internal/meteredDriver.js";
import { readBounded } from "../src/internal/readBounded.js";
import { TaskQueue } from "../src/internal/taskQueue.js";
import { Turns, turn } from "../src/internal/turn.js";
import { safeLogger } from "../src/logger.js";

const pause = (ms = 1) => new Promise((resolve) => setTimeout(resolve, ms));

describe("TaskQueue", () => {
  test("runs so many at once, and takes items only when few wait", async () => {
    const queue = new TaskQueue(3);
    let running = 0;
    let most = 0;
    let taken = 0;
    let done = 0;
    let ahead = 0;
    function* items() {
      for (let i = 0; i < 200; i++) {
        taken++;
        ahead = Math.max(ahead, taken - done);
        yield i;
      }
    }
    await queue.forEach(items(), async () => {
      most = Math.max(most, ++running);
      await pause();
      running--;
      done++;
    });
    expect({ most, done }).toEqual({ most: 3, done: 200 });
    expect(ahead).toBeLessThanOrEqual(3 + 2 * 3 + 1);
  });

  test("the first error ends the taking, and is thrown when all that ran has settled", async () => {
    const queue = new TaskQueue(2);
    let running = 0;
    let begun = 0;
    const run = queue.forEach(
      Array.from({ length: 100 }, (_, i) => i),
      async (i) => {
        begun++;
        running++;
        await pause(5);
        running--;
        if (i === 1) throw new Error("broken");
      },
    );
    await expect(run).rejects.toThrow("broken");
    expect(running).toBe(0);
    expect(begun).toBeLessThan(10);
  });

  test("a signal ends it with its reason, after what runs", async () => {
    const controller = new AbortController();
    let running = 0;
    const run = new TaskQueue(2).forEach(
      Array.from({ length: 100 }, (_, i) => i),
      async (i) => {
        running++;
        if (i === 3) controller.abort(new Error("stop"));
        await pause(5);
        running--;
      },
      { signal: controller.signal },
    );
    await expect(run).rejects.toThrow("stop");
    expect(running).toBe(0);
  });

  test("an error of the source is thrown, after what runs", async () => {
    let running = 0;
    async function* source() {
      yield 1;
      throw new Error("listing failed");
    }
    const run = new TaskQueue(2).forEach(source(), async () => {
      running++;
      await pause(5);
      running--;
    });
    await expect(run).rejects.toThrow("listing failed");
    expect(running).toBe(0);
  });

  test("tasks run in their caller's context", async () => {
    const storage = new AsyncLocalStorage<string>();
    const queue = new TaskQueue(1);
    const seen = await Promise.all(
      ["a", "b", "c"].map((name) =>
        storage.run(name, () =>
          queue.run(async () => {
            await pause();
            return storage.getStore();
          }),
        ),
      ),
    );
    expect(seen).toEqual(["a", "b", "c"]);
  });
});

describe("readBounded", () => {
  const driverOf = (stream: () => Readable | ReadableStream<Uint8Array>): StorageDriver =>
    ({ name: "x", reader: async () => stream() }) as unknown as StorageDriver;
  const read = (stream: () => Readable | ReadableStream<Uint8Array>, maxBytes: number) => readBounded(driverOf(stream), "/x", { maxBytes });

  test.each([
    ["", 4, 0],
    ["abc", 4, 3],
    ["abcd", 4, 4],
    ["abcde", 4, 5],
    ["abcdefgh", 4, 5],
  ])("%j with a limit of %i gives %i bytes, from either kind of stream, which is destroyed", async (text, limit, length) => {
    const stream = Readable.from(text.split("").map((each) => Buffer.from(each)));
    expect(await read(() => stream, limit)).toHaveLength(length);
    expect(stream.destroyed).toBe(true);
    expect(await read(() => new Blob([text]).stream() as ReadableStream<Uint8Array>, limit)).toHaveLength(length);
  });

  test("an endless stream is left at the limit", async () => {
    const stream = new Readable({
      read() {
        this.push(Buffer.alloc(1000));
      },
    });
    expect((await read(() => stream, 10)).length).toBe(11);
    expect(stream.destroyed).toBe(true);
  });

  test("one that breaks, or closes early, or is closed already, rejects", async () => {
    const broken = new Readable({ read: () => undefined });
    setTimeout(() => broken.destroy(new Error("broken")), 1);
    await expect(read(() => broken, 10)).rejects.toThrow("broken");

    const closed = new Readable({ read: () => undefined });
    closed.push(Buffer.from("ab"));
    setTimeout(() => closed.destroy(), 1);
    await expect(read(() => closed, 10)).rejects.toThrow();

    const gone = new Readable({ read: () => undefined }).destroy();
    await expect(read(() => gone, 10)).rejects.toThrow();
  });
});

describe("meteredDriver", () => {
  const least = { name: "x", stat: () => Promise.reject(new Error("EIO")) } as unknown as StorageDriver;
  const meter = (signal?: AbortSignal) => ({ queue: new TaskQueue(2), signal, count: () => undefined });

  test("has exactly the optional members that its driver has, called on it", async () => {
    class Own {
      readonly name = "own";
      private readonly content = Buffer.from("x");
      async getContent() {
        return this.content;
      }
    }
    const driver = meteredDriver(new Own() as unknown as StorageDriver, meter());
    expect(await driver.getContent?.("/x")).toEqual(Buffer.from("x"));
    for (const member of ["walk", "deleteFiles", "pruneDirectories", "putContent", "move"] as const) expect(driver[member]).toBeUndefined();
  });

  test("an error of another kind becomes a DriverError that says where", async () => {
    await expect(meteredDriver(least, meter()).stat("/a")).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: "x: stat of /a failed: EIO",
      cause: expect.objectContaining({ message: "EIO" }) as unknown,
    });
  });

  test("a look-up that never comes back does not keep an aborted run", async () => {
    const controller = new AbortController();
    const hanging = { ...least, stat: () => new Promise<never>(() => undefined) };
    const look = meteredDriver(hanging, meter(controller.signal)).stat("/a");
    setTimeout(() => controller.abort(new Error("stop")), 1);
    await expect(look).rejects.toThrow("stop");
  });

  test("a listing that never tells its next page is waited for a minute by who must bring something to an end", async () => {
    vi.useFakeTimers();
    try {
      const patience = AbortSignal.abort(new Error("stop"));
      const hanging: StorageDriver = {
        ...least,
        async *list() {
          yield [{ path: "/a/b", isDirectory: false }];
          await new Promise<never>(() => undefined);
        },
      };
      const settling = meteredDriver(hanging, { queue: new TaskQueue(1), signal: undefined, patience, count: () => undefined });
      const paths: string[] = [];
      const read = async () => {
        for await (const page of settling.list("/a")) paths.push(...page.map(({ path }) => path));
      };
      const end = expect(read()).rejects.toThrow(/no answer within 60 seconds of the abort/);
      await vi.advanceTimersByTimeAsync(60_000);
      await end;
      expect(paths).toEqual(["/a/b"]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("a removal under way is waited for", async () => {
    const controller = new AbortController();
    const slow = { ...least, delete: () => pause(20).then(() => undefined) };
    const removal = meteredDriver(slow, meter(controller.signal)).delete("/a");
    setTimeout(() => controller.abort(new Error("stop")), 1);
    await expect(removal).resolves.toBeUndefined();
  });
});

describe("the rest", () => {
  test("columns hold what was set, wherever", () => {
    const column = Column.numbers();
    for (const at of [0, 8191, 8192, 4_000_000_000]) column.set(at, at);
    for (const at of [0, 8191, 8192, 4_000_000_000]) expect(column.get(at)).toBe(at);
    expect(column.get(5)).toBeNaN();
    expect(Column.bytes().get(3)).toBe(0);
  });

  test("a logger that throws breaks nothing, and every line has the common fields", () => {
    const lines: unknown[][] = [];
    const silent = () => undefined;
    const info = (...line: unknown[]) => lines.push(line);
    const error = () => {
      throw new Error("full disk");
    };
    const logger = safeLogger({ debug: silent, info, warn: silent, error }, () => ({ stage: "mark" }));
    logger.info("hello", { a: 1 });
    logger.error("oh");
    safeLogger(undefined, () => ({})).warn("silence");
    expect(lines).toEqual([["hello", { stage: "mark", a: 1 }]]);
  });

  test("fromPino keeps pino's fields", () => {
    const lines: string[] = [];
    const logger = fromPino(pino({ level: "debug" }, { write: (line: string) => lines.push(line) }));
    logger.warn("look", { path: "/a" });
    logger.debug("plain");
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ msg: "look", path: "/a", level: 40 }, { msg: "plain" }]);
  });

  test("errors are recognised across copies of the package, by brand and by code", () => {
    const foreign = Object.defineProperty(new Error("x"), Symbol.for("oci-registry-gc.error"), { value: true });
    foreign.name = "PathNotFoundError";
    expect(foreign).toBeInstanceOf(PathNotFoundError);
    expect(foreign).toBeInstanceOf(RegistryGcError);
    expect(isRegistryGcError(foreign)).toBe(true);
    expect(new Error("x")).not.toBeInstanceOf(RegistryGcError);
    expect(isRegistryGcError(null)).toBe(false);
  });

  test("the clock sleeps, and wakes up for a signal", async () => {
    await systemClock.sleep(1);
    const controller = new AbortController();
    const sleep = systemClock.sleep(10_000, controller.signal);
    controller.abort(new Error("stop"));
    await expect(sleep).rejects.toThrow("stop");
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow("stop");
  });

  test("the version is the package's", () => expect(VERSION).toBe(manifest.version));
});

describe("a turn of the event loop", () => {
  const turns = new Turns();
  const hold = (ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };

  test("is long once it has been held for a while, and a new one is not", async () => {
    await turn();
    expect(turns.isLong()).toBe(false);
    hold(5);
    expect(turns.isLong()).toBe(true);
    await turn();
    expect(turns.isLong()).toBe(false);
  });

  test("lets others in while many items are looked at", async () => {
    let isDone = false;
    let counted = 0;
    const count = () => {
      counted++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await turns.each(
      Array.from({ length: 20_000 }, (_, i) => i),
      (i) => {
        if (i % 1000 === 0) hold(3);
      },
    );
    isDone = true;
    expect(counted).toBeGreaterThan(5);
  });

  test("comes between many lists of a few items each", async () => {
    let counted = 0;
    const counting = setInterval(() => counted++, 0);
    for (let i = 0; i < 20; i++) await turns.each([i], () => hold(3));
    clearInterval(counting);
    expect(counted).toBeGreaterThan(5);
  });

  test("comes between the answers of a driver that is never waited for", async () => {
    let counted = 0;
    const counting = setInterval(() => counted++, 0);
    const stat = (path: string) => Promise.resolve({ path, isDirectory: false, size: 1 });
    const own = {
      name: "own",
      stat,
      statMany: (paths: readonly string[]) => Promise.all(paths.map(stat)),
      manyOf: { stat },
    } as unknown as StorageDriver;
    const driver = meteredDriver(own, { queue: new TaskQueue(1), signal: undefined, turns, count: () => undefined });
    for (let i = 0; i < 20; i++) {
      expect(await statAll(driver, ["/a", "/b"], {}, () => Promise.reject(new Error("asked singly")))).toHaveLength(2);
      hold(3);
    }
    clearInterval(counting);
    expect(counted).toBeGreaterThan(5);
  });

  test("comes where a test fakes the timers", async () => {
    await turn();
    vi.useFakeTimers({ toFake: ["setImmediate", "setTimeout"] });
    try {
      hold(5);
      expect(turns.isLong()).toBe(false);
      hold(5);
      expect(turns.isLong()).toBe(true);
      await turn();
      expect(turns.isLong()).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });
});
