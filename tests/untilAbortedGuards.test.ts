/** Waiting that an abort ends: in time, with the reason, and with no listener or timer left behind. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { untilAborted, within, withPatience } from "../src/internal/untilAborted.js";
import { counted } from "./support/signals.js";

const never = () => new Promise<never>(() => undefined);

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

describe("until an abort", () => {
  const reason = new Error("stop");

  test("that came before: the reason itself, at once, and the work is told of", async () => {
    const left: Promise<unknown>[] = [];
    const work = never();
    await expect(untilAborted(work, AbortSignal.abort(reason), (each) => left.push(each))).rejects.toBe(reason);
    expect(left).toEqual([work]);
  });

  test("that comes: the reason itself, and the work is told of once", async () => {
    const { controller, signal } = counted();
    const left: Promise<unknown>[] = [];
    const work = never();
    const waited = untilAborted(work, signal, (each) => left.push(each));
    controller.abort(reason);
    await expect(waited).rejects.toBe(reason);
    expect(left).toHaveLength(1);
    expect(left[0]).toBe(work);
  });

  test("work that is done by then is not left, and has no listener", async () => {
    const { controller, signal, listeners } = counted();
    const left: unknown[] = [];
    const leave = (work: unknown) => void left.push(work);
    expect(await untilAborted(Promise.resolve(1), signal, leave)).toBe(1);
    await expect(untilAborted(Promise.reject(new Error("EIO")), signal, leave)).rejects.toThrow("EIO");
    await Promise.resolve();
    expect(listeners.size).toBe(0);
    controller.abort(reason);
    expect(left).toEqual([]);
  });

  test("work that fails after it is nobody's unhandled rejection", async () => {
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<never>((_, reject) => (fail = reject));
    await expect(untilAborted(work, AbortSignal.abort(reason))).rejects.toBe(reason);
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", note);
    fail(new Error("late"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});

describe("with patience", () => {
  const outcomeOf = (work: Promise<unknown>) => {
    const told: string[] = [];
    work.then(
      (value) => told.push(String(value)),
      (error: unknown) => told.push(String(error)),
    );
    return told;
  };

  test.each([false, true])("work is waited for so long after the abort, and no longer; aborted before: %j", async (isBefore) => {
    const { controller, signal } = counted();
    if (isBefore) controller.abort();
    const told = outcomeOf(withPatience(never(), signal, 5000));
    if (!isBefore) {
      await vi.advanceTimersByTimeAsync(100_000);
      expect(told).toEqual([]);
      controller.abort();
    }
    await vi.advanceTimersByTimeAsync(4999);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toEqual(["Error: no answer within 5 seconds of the abort"]);
  });

  test.each([false, true])("work that comes leaves no listener and no timer; aborted before: %j", async (isBefore) => {
    const { controller, signal, listeners } = counted();
    if (isBefore) controller.abort();
    expect(await withPatience(Promise.resolve(1), signal)).toBe(1);
    await expect(withPatience(Promise.reject(new Error("EIO")), signal)).rejects.toThrow("EIO");
    expect(listeners.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    controller.abort();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("within a time", () => {
  test("work that comes leaves no timer, and one that doesn't gives nothing", async () => {
    expect(await within(Promise.resolve(1), 1000)).toBe(1);
    await expect(within(Promise.reject(new Error("EIO")), 1000)).rejects.toThrow("EIO");
    expect(vi.getTimerCount()).toBe(0);
    const late = within(never(), 1000);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await late).toBeUndefined();
  });
});
