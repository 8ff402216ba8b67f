/** A driver behind the meter: every call is counted, bounded and told apart; looks end with the run, and changes are waited for. */

import { type FileInfo, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Meter, meteredDriver } from "../src/internal/meteredDriver.js";
import { TaskQueue } from "../src/internal/taskQueue.js";

const never = () => new Promise<never>(() => undefined);
const info = (path: string): FileInfo => ({ path, isDirectory: false });
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** A driver with every member, each of which does as it is told; and what it was asked. */
function driverOf(members: Partial<StorageDriver> = {}) {
  const asked: string[] = [];
  const signals: unknown[] = [];
  const heard = <T>(method: string, options: { readonly signal?: AbortSignal | undefined } | undefined, answer: T): T => {
    asked.push(method);
    signals.push(options?.signal);
    return answer;
  };
  const driver: StorageDriver = {
    name: "x",
    stat: async (path, options) => heard("stat", options, info(path)),
    async *list(path, options) {
      heard("list", options, undefined);
      yield [info(`${path}/1`)];
      yield [info(`${path}/2`)];
    },
    async *walk(path, options) {
      heard("walk", options, undefined);
      yield [info(`${path}/1`)];
    },
    reader: async (_, options) => heard("reader", options, new Blob(["abc"]).stream() as never),
    getContent: async (_, options) => heard("getContent", options, Buffer.from("abc")),
    delete: async (_, options) => heard("delete", options, undefined),
    deleteFiles: async (_, options) => heard("deleteFiles", options, []),
    pruneDirectories: async (_, options) => heard("pruneDirectories", options, undefined),
    putContent: async (_, __, options) => heard("putContent", options, true),
    move: async (_, __, options) => heard("move", options, undefined),
    ...members,
  };
  return { driver, asked, signals };
}

function meterOf(more: Partial<Meter> = {}) {
  const counts: Record<string, number> = {};
  const left: Promise<unknown>[] = [];
  const meter: Meter = {
    queue: new TaskQueue(2),
    signal: undefined,
    onLeft: (work) => left.push(work),
    count: (method, calls = 1) => void (counts[method] = (counts[method] ?? 0) + calls),
    ...more,
  };
  return { meter, counts, left };
}

const drain = async (pages: AsyncIterable<readonly FileInfo[]>) => {
  const paths: string[] = [];
  for await (const page of pages) paths.push(...page.map(({ path }) => path));
  return paths;
};

/** What each member is asked by. */
const CALLS: Readonly<Record<string, (driver: StorageDriver) => Promise<unknown>>> = {
  stat: (driver) => driver.stat("/a"),
  list: (driver) => drain(driver.list("/a")),
  walk: (driver) => drain(driver.walk!("/a")),
  reader: (driver) => driver.reader("/a"),
  getContent: (driver) => driver.getContent!("/a"),
  delete: (driver) => driver.delete("/a"),
  deleteFiles: (driver) => driver.deleteFiles!(["/a"]),
  pruneDirectories: (driver) => driver.pruneDirectories!(["/a"], { upTo: "/" }),
  putContent: (driver) => driver.putContent!("/a", new Uint8Array()),
  move: (driver) => driver.move!("/a", "/b"),
};
const LOOKS = ["stat", "list", "walk", "reader", "getContent"];
const CHANGES = ["delete", "deleteFiles", "pruneDirectories", "putContent", "move"];

/** The member of a driver, doing something else. */
const doing = (method: string, work: () => Promise<unknown>): Partial<StorageDriver> => ({
  [method]:
    method === "list" || method === "walk"
      ? async function* () {
          await work();
          yield [];
        }
      : work,
});

describe.each(Object.entries(CALLS))("%s", (method, call) => {
  test("is asked once, counted once, and told the signal", async () => {
    const { driver, asked, signals } = driverOf();
    const { signal } = new AbortController();
    const { meter, counts } = meterOf({ signal });
    await call(meteredDriver(driver, meter));
    expect({ asked, counts, signals }).toEqual({ asked: [method], counts: { [method]: 1 }, signals: [signal] });
  });

  test("of an aborted run is not asked, and not counted", async () => {
    const { driver, asked } = driverOf();
    const reason = new Error("stop");
    const { meter, counts } = meterOf({ signal: AbortSignal.abort(reason) });
    await expect(call(meteredDriver(driver, meter))).rejects.toBe(reason);
    expect({ asked, counts }).toEqual({ asked: [], counts: {} });
  });

  test("that fails says where", async () => {
    const { driver } = driverOf(doing(method, () => Promise.reject(new Error("EIO"))));
    await expect(call(meteredDriver(driver, meterOf().meter))).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: expect.stringMatching(new RegExp(`^x: ${method} of /a? failed: EIO`)) as string,
    });
  });

  test("under way when the run is aborted is left if it is a look, and waited for if it changes something", async () => {
    let answer: (value: undefined) => void = () => undefined;
    const { driver } = driverOf(doing(method, () => new Promise((resolve) => (answer = resolve))));
    const controller = new AbortController();
    const reason = new Error("stop");
    const { meter, left } = meterOf({ signal: controller.signal });
    const outcome: string[] = [];
    const done = call(meteredDriver(driver, meter)).then(
      () => outcome.push("done"),
      (error: unknown) => outcome.push(error === reason ? "stopped" : String(error)),
    );
    await nextTurn();
    controller.abort(reason);
    await nextTurn();
    expect(outcome).toEqual(LOOKS.includes(method) ? ["stopped"] : []);
    expect(left).toHaveLength(LOOKS.includes(method) ? 1 : 0);
    answer(undefined);
    await done;
    if (CHANGES.includes(method)) expect(outcome).toEqual(["done"]);
  });

  test("has its place in the queue, and no more are asked at once", async () => {
    let running = 0;
    let most = 0;
    const { driver } = driverOf(
      doing(method, async () => {
        most = Math.max(most, ++running);
        await nextTurn();
        running--;
        throw new Error("EIO");
      }),
    );
    const metered = meteredDriver(driver, meterOf().meter);
    await Promise.allSettled(Array.from({ length: 10 }, () => call(metered)));
    expect(most).toBe(2);
  });

  describe("that must be brought to an end", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
    afterEach(() => void vi.useRealTimers());

    test("is waited for a minute after the abort, and no longer", async () => {
      const { driver } = driverOf(doing(method, never));
      const { meter } = meterOf({ patience: AbortSignal.abort() });
      const outcome: unknown[] = [];
      void call(meteredDriver(driver, meter)).catch((error: unknown) => outcome.push(error));
      await vi.advanceTimersByTimeAsync(59_999);
      expect(outcome).toEqual([]);
      await vi.advanceTimersByTimeAsync(1);
      expect(outcome).toMatchObject([{ code: "DRIVER_ERROR", message: expect.stringContaining("no answer within 60 seconds") as string }]);
    });
  });
});

describe("a listing", () => {
  const returning = (work: () => Promise<unknown>) => {
    const told = { returns: 0, pages: 0 };
    const pages = {
      next: async () => ({ done: told.pages >= 5, value: [info(`/a/${told.pages++}`)] }),
      return: () => {
        told.returns++;
        return work();
      },
    };
    const iterable = { [Symbol.asyncIterator]: () => pages } as unknown as AsyncIterable<readonly FileInfo[]>;
    return { told, driver: driverOf({ list: () => iterable }).driver };
  };

  test("that is left is closed, and not waited for; its failure is nobody's", async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", note);
    for (const work of [
      never,
      () => Promise.reject(new Error("late")),
      () => {
        throw new Error("at once");
      },
    ]) {
      const { told, driver } = returning(work);
      for await (const page of meteredDriver(driver, meterOf().meter).list("/a")) {
        expect(page).toHaveLength(1);
        break;
      }
      expect(told.returns).toBe(1);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  test("that came to its end is not closed again", async () => {
    const { told, driver } = returning(never);
    expect(await drain(meteredDriver(driver, meterOf().meter).list("/a"))).toHaveLength(5);
    expect(told.returns).toBe(0);
  });

  test("ends between two pages when the run is aborted", async () => {
    const { told, driver } = returning(async () => undefined);
    const controller = new AbortController();
    const read = async () => {
      for await (const page of meteredDriver(driver, meterOf({ signal: controller.signal }).meter).list("/a")) {
        expect(page).toHaveLength(1);
        controller.abort(new Error("stop"));
      }
    };
    await expect(read()).rejects.toThrow("stop");
    expect(told).toEqual({ returns: 1, pages: 1 });
  });

  test("of which a page is none is a failed call, and is closed", async () => {
    const { driver } = driverOf({
      async *list() {
        yield [{ path: "/a/1" } as FileInfo];
      },
    });
    await expect(drain(meteredDriver(driver, meterOf().meter).list("/a"))).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("holds no place while its reader works", async () => {
    const { driver } = driverOf();
    const metered = meteredDriver(driver, meterOf({ queue: new TaskQueue(1) }).meter);
    for await (const page of metered.list("/a")) {
      expect(page).toHaveLength(1);
      expect((await metered.stat("/b")).path).toBe("/b");
    }
  });
});

describe("answers that are none", () => {
  test.each<[string, unknown]>([
    ["stat", {}],
    ["stat", undefined],
    ["reader", undefined],
    ["reader", "abc"],
    ["getContent", "abc"],
    ["getContent", undefined],
  ])("are failed calls: %s gives %j", async (method, answer) => {
    const { driver } = driverOf({ [method]: async () => answer });
    await expect(CALLS[method]!(meteredDriver(driver, meterOf().meter))).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("and what is at a path is told of that path", async () => {
    const { driver } = driverOf({ stat: async () => info("/elsewhere") });
    expect((await meteredDriver(driver, meterOf().meter).stat("/a")).path).toBe("/a");
  });
});

describe("many questions", () => {
  const many = (answers: (paths: readonly string[]) => Promise<readonly unknown[]>) => {
    const { driver, asked } = driverOf();
    const told: string[][] = [];
    Object.assign(driver, {
      manyOf: { stat: driver.stat },
      statMany: (paths: readonly string[]) => {
        told.push([...paths]);
        return answers(paths);
      },
    });
    return { driver, asked, told };
  };
  const all = (driver: StorageDriver, count: number) => Promise.all(Array.from({ length: count }, (_, i) => driver.stat(`/${i}`)));

  test("go in calls of sixty-four, each answer to its own question; each counts", async () => {
    const { driver, asked, told } = many(async (paths) => paths.map(info));
    const { meter, counts } = meterOf();
    const found = await all(meteredDriver(driver, meter), 100);
    expect(found.map(({ path }) => path)).toEqual(Array.from({ length: 100 }, (_, i) => `/${i}`));
    expect(told.map(({ length }) => length)).toEqual([64, 36]);
    expect({ asked, counts }).toEqual({ asked: [], counts: { stat: 100 } });
  });

  test.each<[string, (path: string) => unknown]>([
    ["no answer", () => undefined],
    ["another's", () => info("/elsewhere")],
    ["none", () => ({})],
  ])("of which one is answered with %s are asked again for that one, and it counts once", async (_, answer) => {
    const { driver, asked } = many(async (paths) => paths.map((path) => (path === "/1" ? answer(path) : info(path))));
    const { meter, counts } = meterOf();
    expect((await all(meteredDriver(driver, meter), 3)).map(({ path }) => path)).toEqual(["/0", "/1", "/2"]);
    expect(asked).toEqual(["stat"]);
    expect(counts).toEqual({ stat: 3 });
  });

  test("that can't be asked together are asked one by one, and what these say counts", async () => {
    const { driver } = many(() => Promise.reject(new Error("EIO")));
    const single = async (path: string) => {
      if (path === "/1") throw new PathNotFoundError(path, "x");
      return info(path);
    };
    Object.assign(driver, { stat: single, manyOf: { stat: single } });
    const metered = meteredDriver(driver, meterOf().meter);
    const found = await Promise.allSettled([metered.stat("/0"), metered.stat("/1")]);
    expect(found).toMatchObject([{ value: { path: "/0" } }, { reason: { code: "PATH_NOT_FOUND" } }]);
  });

  test("of an aborted run are not asked; under way, they are left", async () => {
    const reason = new Error("stop");
    const before = many(async (paths) => paths.map(info));
    const aborted = meteredDriver(before.driver, meterOf({ signal: AbortSignal.abort(reason) }).meter);
    await expect(all(aborted, 3)).rejects.toBe(reason);
    expect(before.told).toEqual([]);

    const controller = new AbortController();
    const { driver } = many(never);
    const { meter, left } = meterOf({ signal: controller.signal });
    const looks = all(meteredDriver(driver, meter), 3);
    setTimeout(() => controller.abort(reason), 2);
    await expect(looks).rejects.toBe(reason);
    expect(left).toHaveLength(1);
  });

  test("that must be brought to an end go singly, as do those of a driver whose many are not its own", async () => {
    const patient = many(async (paths) => paths.map(info));
    const metered = meteredDriver(patient.driver, meterOf({ patience: new AbortController().signal }).meter);
    await all(metered, 3);
    expect({ told: patient.told, isMany: metered.statMany }).toEqual({ told: [], isMany: undefined });
    const foreign = many(async (paths) => paths.map(info));
    Object.assign(foreign.driver, { stat: async (path: string) => info(path) });
    await all(meteredDriver(foreign.driver, meterOf().meter), 3);
    expect(foreign.told).toEqual([]);
  });

  test("that a visit answers go singly where they must be brought to an end: nobody waits for a visit with patience", () => {
    const { driver } = driverOf();
    const { stat, list, getContent } = driver;
    const answers = async () => ({ answers: [], calls: { stat: 0, list: 0, getContent: 0 } });
    Object.assign(driver, { manyOf: { stat, list, getContent }, visitMany: answers });
    expect(meteredDriver(driver, meterOf().meter).visitMany).toBeDefined();
    expect(meteredDriver(driver, meterOf({ patience: new AbortController().signal }).meter).visitMany).toBeUndefined();
  });
});
