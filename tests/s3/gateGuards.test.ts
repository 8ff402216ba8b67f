/** The gate in front of a store: whoever is refused or aborted leaves no place behind, and waits for none. */

import { describe, expect, test } from "vitest";
import { Gate } from "../../src/drivers/s3/gate.js";
import { InstantClock } from "./s3Store.js";

const stopped = () => AbortSignal.abort(new Error("stop"));
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("whoever was aborted before", () => {
  test("takes no place, even where one is free", async () => {
    const gate = new Gate(1, 0, new InstantClock());
    await expect(gate.enter(stopped())).rejects.toThrow("stop");
    gate.leave(await gate.enter(undefined), "fine");
  });

  test("waits for none", async () => {
    const gate = new Gate(1, 0, new InstantClock());
    const held = await gate.enter(undefined);
    const outcome = gate.enter(stopped()).then(
      () => "entered",
      (error: unknown) => String(error),
    );
    expect(await Promise.race([outcome, nextTurn().then(() => "waits")])).toBe("Error: stop");
    gate.leave(held, "fine");
  });
});

test.each([false, true])("whoever is aborted while it waits for its time gives its place back; a long one: %j", async (isLong) => {
  const clock = new InstantClock();
  const controller = new AbortController();
  const sleep = clock.sleep;
  const gate = new Gate(2, 1000, {
    now: clock.now,
    sleep: async (ms, signal) => {
      if (signal === controller.signal) controller.abort(new Error("stop"));
      await sleep(ms, signal);
    },
  });
  gate.leave(await gate.enter(undefined), "fine");
  await expect(gate.enter(controller.signal, isLong)).rejects.toThrow("stop");
  const short = gate.enter(undefined);
  const long = gate.enter(undefined, true);
  const entered: string[] = [];
  void short.then(() => entered.push("short"));
  void long.then(() => entered.push("long"));
  await nextTurn();
  await nextTurn();
  await nextTurn();
  expect(entered.toSorted()).toEqual(["long", "short"]);
});

test("who waits for its time is told of an abort by the clock", async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const gate = new Gate(2, 1000, { now: () => 0, sleep: async (_, signal) => void signals.push(signal) });
  const { signal } = new AbortController();
  await gate.enter(signal);
  await gate.enter(signal);
  expect(signals).toEqual([signal]);
});

test("a short pause does not end a longer one", async () => {
  const clock = new InstantClock();
  const gate = new Gate(2, 0, clock);
  gate.pause(10_000);
  gate.pause(1000);
  await gate.enter(undefined);
  expect(clock.slept).toHaveLength(1);
  expect(clock.slept[0]).toBeGreaterThan(9000);
});

test("whoever was let in keeps no listener on its signal, and an abort that comes later takes no place from others", async () => {
  const gate = new Gate(1, 0, new InstantClock());
  const controller = new AbortController();
  let listeners = 0;
  const { signal } = controller;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listeners++;
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listeners--;
    remove(...given);
  };
  const first = await gate.enter(undefined);
  const second = gate.enter(signal);
  expect(listeners).toBe(1);
  gate.leave(first, "fine");
  const ticket = await second;
  expect(listeners).toBe(0);
  const third = gate.enter(undefined);
  controller.abort(new Error("late"));
  gate.leave(ticket, "fine");
  gate.leave(await third, "fine");
});

test("whoever stops waiting leaves the queue: the place goes to the next, and to no one twice", async () => {
  const gate = new Gate(1, 0, new InstantClock());
  const held = await gate.enter(undefined);
  const controller = new AbortController();
  const gone = gate.enter(controller.signal);
  controller.abort(new Error("stop"));
  await expect(gone).rejects.toThrow("stop");
  gate.leave(held, "fine");
  const next = gate.enter(undefined).then(() => "entered");
  expect(await Promise.race([next, nextTurn().then(() => "waits")])).toBe("entered");
});
