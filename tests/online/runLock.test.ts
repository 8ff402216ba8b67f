/** The heartbeat of a run's lock on a store that leaves single calls unanswered. */

import { InterceptedDriver } from "oci-registry-gc/testing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RunLock } from "../../src/online/runLock.js";
import { memoryStore } from "../support/stores.js";

const PATH = "/docker/registry/lockfiles/gc-in-progress";
const SECOND = 1000;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** A lock that is taken, and calls about it that are answered when the test says so. */
async function taken() {
  let now = 1_700_000_000_000;
  const clock = { now: () => now, sleep: async (ms: number) => void (now += ms) };
  const { driver } = memoryStore();
  const held: (() => void)[] = [];
  let holding: string | undefined;
  const store = new InterceptedDriver(driver, async ({ method }, proceed) => {
    if (method === holding) await new Promise<void>((resolve) => held.push(resolve));
    return proceed();
  });
  const lock = await RunLock.take(store, PATH, "mine", clock, () => now);
  return {
    driver,
    lock,
    answer: () => {
      for (const resolve of held.splice(0)) resolve();
    },
    hold: (method: string | undefined) => void (holding = method),
    /** Goes on by so many seconds, in which heartbeats that are waited for may time out. */
    pass: async (seconds: number) => {
      now += seconds * SECOND;
      lock.touch();
      await vi.advanceTimersByTimeAsync(seconds * SECOND);
    },
  };
}

test.each(["getContent", "putContent"])(
  "one %s without an answer costs no run its lock: the next heartbeat comes without it",
  async (method) => {
    const { lock, hold, pass, answer } = await taken();
    hold(method);
    await pass(31);
    hold(undefined);
    await pass(5);
    await pass(29);
    await expect(lock.check()).resolves.toBeUndefined();
    await pass(20);
    await expect(lock.check()).resolves.toBeUndefined();
    answer();
    await lock.release();
  },
);

test("a heartbeat that is answered late counts from when it began", async () => {
  const { lock, hold, pass, answer } = await taken();
  hold("getContent");
  await pass(31);
  await pass(20);
  hold(undefined);
  answer();
  await vi.advanceTimersByTimeAsync(0);
  await pass(9);
  await expect(lock.check()).resolves.toBeUndefined();
  await lock.release();
});

test("none that is answered within a minute, and the lock is lost", async () => {
  const { driver, lock, hold, pass, answer } = await taken();
  hold("getContent");
  await pass(31);
  await pass(31);
  const checked = expect(lock.check()).rejects.toMatchObject({ code: "LOCKED" });
  await vi.advanceTimersByTimeAsync(20 * SECOND);
  hold(undefined);
  answer();
  await checked;
  await lock.release();
  expect(Buffer.from(await driver.getContent!(PATH)).toString()).toBe("mine");
});

test("who finds late that another holds it has lost it", async () => {
  const { driver, lock, hold, pass, answer } = await taken();
  hold("getContent");
  await pass(31);
  await driver.putContent!(PATH, Buffer.from("another's"));
  hold(undefined);
  answer();
  await vi.advanceTimersByTimeAsync(0);
  await expect(lock.check()).rejects.toMatchObject({ code: "LOCKED" });
  await lock.release();
  expect(Buffer.from(await driver.getContent!(PATH)).toString()).toBe("another's");
});

test("it is given back when no write of it is under way any more", async () => {
  const { driver, lock, hold, pass, answer } = await taken();
  hold("putContent");
  await pass(31);
  hold(undefined);
  await pass(5);
  let isReleased = false;
  const released = lock.release().then(() => void (isReleased = true));
  await vi.advanceTimersByTimeAsync(8 * SECOND);
  expect(isReleased).toBe(false);
  answer();
  await released;
  await expect(driver.stat(PATH)).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
});

test("who never answers holds up no end of a run, nor keeps its lock", async () => {
  const { driver, lock, hold, pass } = await taken();
  hold("getContent");
  await pass(31);
  hold(undefined);
  await pass(5);
  await pass(20);
  const released = lock.release();
  await pass(11);
  await released;
  await expect(driver.stat(PATH)).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
});
