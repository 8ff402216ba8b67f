/** A queue of tasks: where one fails nothing else begins, nothing is left running, and its source is closed. */

import { describe, expect, test } from "vitest";
import { TaskQueue } from "../src/internal/taskQueue.js";

const pause = (ms = 1) => new Promise((resolve) => setTimeout(resolve, ms));

/** A source of either kind that tells how many were taken, and whether it was closed. */
function sources(count: number) {
  const told = { taken: 0, isClosed: false };
  function* plain() {
    try {
      for (; told.taken < count; ) yield told.taken++;
    } finally {
      told.isClosed = true;
    }
  }
  async function* waited() {
    yield* plain();
  }
  return { told, plain, waited };
}

describe.each(["plain", "waited"] as const)("a %s source", (kind) => {
  test("is closed by the first error, which is the one that is thrown; nothing begins after it", async () => {
    const { told, ...of } = sources(100);
    const begun: number[] = [];
    const late: number[] = [];
    let isBroken = false;
    const run = new TaskQueue(3).forEach(of[kind](), async (i) => {
      if (isBroken) late.push(i);
      begun.push(i);
      await pause(i === 4 ? 1 : 3);
      if (i < 4) return;
      isBroken = true;
      throw new Error(`the ${i}.`);
    });
    await expect(run).rejects.toThrow(/the \d\./);
    expect(late).toEqual([]);
    expect(told.isClosed).toBe(true);
    expect(told.taken).toBeLessThan(20);
    expect(begun.length).toBeLessThan(10);
  });

  test("of an aborted run gives nothing", async () => {
    const { told, ...of } = sources(100);
    const begun: number[] = [];
    const signal = AbortSignal.abort(new Error("stop"));
    const run = new TaskQueue(2).forEach(of[kind](), async (i) => void begun.push(i), { signal });
    await expect(run).rejects.toThrow("stop");
    expect(begun).toEqual([]);
    expect(told.taken).toBeLessThanOrEqual(4);
  });

  test("is taken from no faster than there is room", async () => {
    const { told, ...of } = sources(200);
    let done = 0;
    let ahead = 0;
    let running = 0;
    let most = 0;
    await new TaskQueue(2).forEach(of[kind](), async () => {
      most = Math.max(most, ++running);
      ahead = Math.max(ahead, told.taken - done);
      await pause(0);
      running--;
      done++;
    });
    expect(done).toBe(200);
    expect(most).toBe(2);
    expect(ahead).toBeLessThanOrEqual(8);
  });

  test("that is short is done, whatever its tasks", async () => {
    for (const count of [0, 1, 2, 3]) {
      const { told, ...of } = sources(count);
      const seen: number[] = [];
      await new TaskQueue(2).forEach(of[kind](), async (i) => {
        await pause();
        seen.push(i);
      });
      expect(seen).toHaveLength(count);
      expect(told.isClosed).toBe(true);
    }
  });

  test("that fails is that error, when what was begun has settled", async () => {
    let running = 0;
    function* plain() {
      yield 1;
      yield 2;
      throw new Error("the listing broke");
    }
    async function* waited() {
      yield* plain();
    }
    const run = new TaskQueue(4).forEach({ plain, waited }[kind](), async () => {
      running++;
      await pause(5);
      running--;
    });
    await expect(run).rejects.toThrow("the listing broke");
    expect(running).toBe(0);
  });
});

test("a source that was taken to its end is not closed again", async () => {
  let returns = 0;
  const values = [1, 2, 3].values();
  const source = {
    [Symbol.iterator]: () => ({
      next: () => values.next(),
      return: () => {
        returns++;
        return { done: true as const, value: undefined };
      },
    }),
  };
  await new TaskQueue(2).forEach(source, () => pause() as Promise<void>);
  expect(returns).toBe(0);
});

test("a source that has ended is not asked back to life while others still work", async () => {
  let asked = 0;
  const source = {
    [Symbol.iterator]: () => ({
      next: (): IteratorResult<number, undefined> => {
        asked++;
        return asked === 4 ? { done: true, value: undefined } : { done: false, value: asked };
      },
    }),
  };
  const seen: number[] = [];
  await new TaskQueue(2).forEach(source, async (i) => {
    await pause(i);
    seen.push(i);
  });
  expect(seen.toSorted()).toEqual([1, 2, 3]);
});

test("a queue is idle when nothing runs, and not before", async () => {
  const queue = new TaskQueue(2);
  await Promise.all([1, 2, 3].map(() => queue.run(() => pause())));
  let isIdle = false;
  const running = queue.run(() => pause(5)).then(() => expect(isIdle).toBe(false));
  await queue.idle();
  isIdle = true;
  await running;
});
