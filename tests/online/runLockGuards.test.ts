/** The guards of a run's lock: whose it is, how long it counts, and what is left of it where something fails. */

import { type StorageDriver, UnsupportedError } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RunLock } from "../../src/online/runLock.js";
import { changed } from "../support/tree.js";

const PATH = "/docker/registry/lockfiles/gc-in-progress";
const START = 1_700_000_000_000;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

const timers = vi.hoisted(() => new Set<unknown>());
vi.mock("node:timers", async (original) => {
  const real = await original<typeof import("node:timers")>();
  const setInterval = (work: () => void, ms: number) => {
    const timer = real.setInterval(work, ms);
    timers.add(timer);
    return timer;
  };
  const clearInterval = (timer: NodeJS.Timeout) => {
    timers.delete(timer);
    real.clearInterval(timer);
  };
  return { ...real, setInterval, clearInterval };
});

beforeEach(() => {
  timers.clear();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => void vi.useRealTimers());

class World {
  now = START;
  readonly driver = new MemoryDriver({ now: () => this.now });
  meanwhile: () => Promise<void> = async () => undefined;
  readonly clock = {
    now: () => this.now,
    sleep: async (ms: number) => {
      this.now += ms;
      vi.advanceTimersByTime(ms);
      await this.meanwhile();
    },
  };

  take(driver: StorageDriver = this.driver, text = "mine") {
    return RunLock.take(driver, PATH, text, this.clock, () => this.now);
  }

  share(driver: StorageDriver = this.driver, text = "mine") {
    return RunLock.share(driver, PATH, text, this.clock);
  }

  put(text: string) {
    return this.driver.putContent(PATH, Buffer.from(text));
  }

  /** What the lock holds, and when it was written: seconds since the start. */
  async lock() {
    const bytes = await this.driver.getContent(PATH).catch(() => undefined);
    return bytes && { text: Buffer.from(bytes).toString(), at: ((await this.driver.stat(PATH)).modTime!.getTime() - START) / SECOND };
  }

  /** A driver whose members are wrapped. */
  with(members: Partial<StorageDriver>): StorageDriver {
    const driver: StorageDriver = this.driver;
    return changed(driver, members);
  }
}

const LOCKED = { code: "LOCKED" };

describe("a lock that is taken", () => {
  test("counts from before the write that made it, not from the answer", async () => {
    const world = new World();
    const slow = world.with({
      putContent: async (path, bytes, options) => {
        const isWritten = await world.driver.putContent(path, bytes, options);
        world.now += MINUTE + 1;
        return isWritten;
      },
    });
    const lock = await world.take(slow);
    await expect(lock.check()).rejects.toMatchObject(LOCKED);
    void lock.letGo();
  });

  test.each(["is denied", "fails"])("is ours where the write %s that has made it", async (how) => {
    const world = new World();
    const driver = world.with({
      putContent: async (path, bytes, options) => {
        await world.driver.putContent(path, bytes, options);
        if (how === "fails") throw new Error("503");
        return false;
      },
    });
    const lock = await world.take(driver);
    await lock.check();
    await lock.release();
    expect(await world.lock()).toBeUndefined();
  });

  test.each([true, false])("in vain leaves no lock of ours, and says why; it can be removed: %j", async (canRemove) => {
    const world = new World();
    const driver = world.with({
      putContent: async (path, bytes, options) => {
        if (options?.ifAbsent === true) throw new UnsupportedError("last writer wins");
        await world.driver.putContent(path, bytes, options);
        throw new Error("the answer was lost");
      },
      delete: async (path) => {
        if (!canRemove) throw new Error("no right to remove");
        await world.driver.delete(path);
      },
    });
    await expect(world.take(driver)).rejects.toThrow("the answer was lost");
    expect((await world.lock()) === undefined).toBe(canRemove);
    expect(timers.size).toBe(0);
  });

  describe("where the last writer wins", () => {
    const lastWins = (world: World) =>
      world.with({
        putContent: async (path, bytes, options) => {
          if (options?.ifAbsent === true) throw new UnsupportedError("last writer wins");
          return world.driver.putContent(path, bytes);
        },
      });

    test.each(["another's", undefined])("is not ours where it is %j when that has settled", async (text) => {
      const world = new World();
      world.meanwhile = () => (text === undefined ? world.driver.delete(PATH) : world.put(text).then(() => undefined));
      await expect(world.take(lastWins(world))).rejects.toMatchObject(LOCKED);
      expect((await world.lock())?.text).toBe(text);
    });

    test("is ours where nobody else came", async () => {
      const world = new World();
      const lock = await world.take(lastWins(world));
      await lock.check();
      void lock.letGo();
    });
  });

  test("over from one who is dead is written over at once", async () => {
    const world = new World();
    await world.put("old");
    world.now += 5 * MINUTE + 1;
    const writes: boolean[] = [];
    const driver = world.with({
      putContent: async (path, bytes, options) => {
        writes.push(options?.ifAbsent === true);
        return world.driver.putContent(path, bytes, options);
      },
    });
    const lock = await world.take(driver);
    expect(writes).toEqual([true, false]);
    void lock.letGo();
  });

  test("over from a holder who comes back is not ours", async () => {
    const world = new World();
    await world.put("old");
    world.now += 5 * MINUTE + 1;
    world.meanwhile = () => world.put("old").then(() => undefined);
    await expect(world.take()).rejects.toMatchObject(LOCKED);
    expect((await world.lock())?.text).toBe("old");
  });

  test.each([0, 59, 300])("is another's for five minutes: after %i seconds", async (seconds) => {
    const world = new World();
    await world.put("other");
    world.now += seconds * SECOND;
    await expect(world.take()).rejects.toMatchObject(LOCKED);
    expect((await world.lock())?.text).toBe("other");
  });

  test.each([-1, -299])("and of a time yet to come by a little, %i seconds, is not waited for", async (seconds) => {
    const world = new World();
    await world.put("other");
    world.now += seconds * SECOND;
    await expect(world.take()).rejects.toMatchObject(LOCKED);
    expect(world.now).toBe(START + seconds * SECOND);
  });

  test("on a store that tells no times is another's for ever", async () => {
    const world = new World();
    await world.put("other");
    world.now += 60 * MINUTE;
    const timeless = world.with({ stat: async (path) => ({ path, isDirectory: false }) });
    await expect(world.take(timeless)).rejects.toMatchObject({ ...LOCKED, message: expect.stringContaining("tells no times") as string });
  });

  test("is written again where it was given back at that moment, and by nobody over another's", async () => {
    const world = new World();
    await world.put("other");
    let isFirst = true;
    const racing = world.with({
      stat: async (path, options) => {
        if (isFirst) {
          isFirst = false;
          await world.driver.delete(path);
        }
        return world.driver.stat(path, options);
      },
    });
    const writes: boolean[] = [];
    const told = changed(racing, {
      putContent: async (path, bytes, options) => {
        writes.push(options?.ifAbsent === true);
        return world.driver.putContent(path, bytes, options);
      },
    });
    const lock = await world.take(told);
    expect(writes).toEqual([true, true]);
    void lock.letGo();
  });
});

describe("a lock that is held", () => {
  test.each(["another's", undefined])("is lost at the next look where it is %j, however young", async (text) => {
    const world = new World();
    const lock = await world.take();
    if (text === undefined) await world.driver.delete(PATH);
    else await world.put(text);
    await expect(lock.check()).rejects.toMatchObject(LOCKED);
    await world.put("mine");
    await expect(lock.check()).rejects.toMatchObject(LOCKED);
    await lock.release();
    expect((await world.lock())?.text).toBe("mine");
  });

  test("is kept alive by the looks before batches", async () => {
    const world = new World();
    const lock = await world.take();
    for (let i = 0; i < 5; i++) {
      world.now += 31 * SECOND;
      await lock.check();
      expect((await world.lock())?.at).toBe((i + 1) * 31);
    }
    void lock.letGo();
  });

  test.each(["getContent", "putContent"] as const)(
    "is ours for a minute while %s fails, and no longer; who keeps it alive is told nothing",
    async (member) => {
      const world = new World();
      const lock = await world.take(
        world.with({
          [member]: async (path: string, ...rest: never[]) => {
            if (world.now > START) throw new Error("503");
            return (world.driver[member] as (path: string, ...rest: never[]) => Promise<never>)(path, ...rest);
          },
        }),
      );
      world.now += 31 * SECOND;
      await expect(lock.keepAlive()).resolves.toBeUndefined();
      await expect(lock.check()).resolves.toBeUndefined();
      world.now += 30 * SECOND;
      await expect(lock.check()).rejects.toMatchObject(LOCKED);
      void lock.letGo();
    },
  );

  test("by a clock that stands still is lost after a minute all the same", async () => {
    const world = new World();
    const lock = await world.take();
    vi.advanceTimersByTime(MINUTE + 1);
    await expect(lock.check()).rejects.toMatchObject(LOCKED);
    void lock.letGo();
  });

  test("is not written anew by who has slept past it", async () => {
    const world = new World();
    const lock = await world.take();
    world.now += MINUTE + 1;
    await expect(lock.check()).rejects.toMatchObject(LOCKED);
    expect((await world.lock())?.at).toBe(0);
    void lock.letGo();
  });

  test("asks for no heartbeat by the calls of one", async () => {
    const world = new World();
    const told = { reads: 0, most: 0, now: 0 };
    const lock: RunLock = await world.take(
      world.with({
        getContent: async (path, options) => {
          told.most = Math.max(told.most, ++told.now);
          told.reads++;
          if (told.reads < 20) lock.touch();
          told.now--;
          return world.driver.getContent(path, options);
        },
      }),
    );
    world.now += 31 * SECOND;
    lock.touch();
    await lock.keepAlive();
    expect(told).toEqual({ reads: 1, most: 1, now: 0 });
    void lock.letGo();
  });

  test("is kept alive by nobody who has let it go", async () => {
    const world = new World();
    const lock = await world.take();
    expect(timers.size).toBe(1);
    void lock.letGo();
    expect(timers.size).toBe(0);
    world.now += 31 * SECOND;
    lock.touch();
    await lock.keepAlive();
    expect(await world.lock()).toEqual({ text: "mine", at: 0 });
  });
});

describe("a lock that is shared", () => {
  test("is shown to be alive at once", async () => {
    const world = new World();
    await world.put("mine");
    world.now += 4 * MINUTE;
    const lock = await world.share();
    expect(await world.lock()).toEqual({ text: "mine", at: 240 });
    void lock.letGo();
  });

  test.each(["another's", undefined])("and is %j is none, and nobody keeps it alive", async (text) => {
    const world = new World();
    if (text !== undefined) await world.put(text);
    await expect(world.share()).rejects.toMatchObject(LOCKED);
    expect((await world.lock())?.text).toBe(text);
    expect(timers.size).toBe(0);
  });

  test("and can't be read is kept alive by nobody", async () => {
    const world = new World();
    await world.put("mine");
    const failing = world.with({ getContent: () => Promise.reject(new Error("503")) });
    await expect(world.share(failing)).rejects.toThrow("503");
    expect(timers.size).toBe(0);
  });

  test("is held by the run whose text it has", async () => {
    const world = new World();
    expect(await RunLock.isHeldBy(world.driver, PATH, "mine")).toBe(false);
    await world.put("mine");
    expect(await RunLock.isHeldBy(world.driver, PATH, "mine")).toBe(true);
    expect(await RunLock.isHeldBy(world.driver, PATH, "another's")).toBe(false);
  });
});

describe("a lock that is given back", () => {
  const failing = (world: World, times: number, ms = 0) => {
    const told = { calls: 0 };
    const driver = world.with({
      delete: async (path) => {
        if (++told.calls > times) return world.driver.delete(path);
        vi.advanceTimersByTime(ms);
        throw new Error(`503, the ${told.calls}.`);
      },
    });
    return { driver, told };
  };

  test.each([
    [1, 0],
    [2, 0],
  ])("is gone, though %i removals fail", async (times) => {
    const world = new World();
    const { driver } = failing(world, times);
    await (await world.take(driver)).release();
    expect(await world.lock()).toBeUndefined();
  });

  test.each([
    [0, 3],
    [6 * SECOND, 1],
  ])("in vain is told; of removals that take %i ms each there are %i", async (ms, calls) => {
    const world = new World();
    const { driver, told } = failing(world, 99, ms);
    const lock = await world.take(driver);
    await expect(lock.release()).rejects.toThrow(`503, the ${calls}.`);
    expect(told.calls).toBe(calls);
    expect(timers.size).toBe(0);
  });

  test("by who has slept past it is left where it is: another may be taking it over", async () => {
    const world = new World();
    const lock = await world.take();
    world.now += MINUTE + 1;
    await lock.release();
    expect((await world.lock())?.text).toBe("mine");
  });

  test("and is another's by then is left to him", async () => {
    const world = new World();
    const lock = await world.take();
    await world.put("another's");
    await lock.release();
    expect((await world.lock())?.text).toBe("another's");
  });
});
