/** The signal of a run that is taken up again: when an abort is heard. */

import { getEventListeners } from "node:events";
import { Suspension } from "oci-registry-gc/parts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HeldSignal } from "../../src/parts/heldSignal.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const reason = new Error("stop");

test.each([true, false])("an abort is heard once the run has been told again, and then at once (aborted before: %s)", (isBefore) => {
  const control = new AbortController();
  if (isBefore) control.abort(reason);
  const held = new HeldSignal(control.signal);
  control.abort(reason);
  expect(held.signal.aborted).toBe(false);
  held.release();
  expect(held.signal.reason).toBe(reason);
});

test("after that it is heard at once", () => {
  const control = new AbortController();
  const held = new HeldSignal(control.signal);
  held.release();
  expect(held.signal.aborted).toBe(false);
  control.abort(reason);
  expect(held.signal.reason).toBe(reason);
});

test("whoever is to let go of the run hears it at once", () => {
  const letGo = new Suspension("the worker ends");
  expect(new HeldSignal(AbortSignal.abort(letGo)).signal.reason).toBe(letGo);
});

test("a storage that does not answer holds it for half a minute", () => {
  const held = new HeldSignal(AbortSignal.abort(reason));
  vi.advanceTimersByTime(29_999);
  expect(held.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(held.signal.reason).toBe(reason);
});

test("at its end nothing is left of it", () => {
  const control = new AbortController();
  const held = new HeldSignal(control.signal);
  control.abort(reason);
  held.end();
  expect(getEventListeners(control.signal, "abort")).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
