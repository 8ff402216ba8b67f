/** Which thread is asked, and when another is started: with threads that do nothing until the test says so. */

import { EventEmitter } from "node:events";
import { beforeEach, expect, test, vi } from "vitest";
import type { FileWorkers as Workers } from "../src/drivers/filesystem/fileWorkers.js";

interface Posted {
  readonly id: number;
}

const threads: FakeThread[] = [];

class FakeThread extends EventEmitter {
  readonly posted: Posted[] = [];
  isTerminated = false;

  constructor() {
    super();
    threads.push(this);
  }

  postMessage(message: Posted): void {
    this.posted.push(message);
  }

  /** Answers the oldest message. */
  answer(): void {
    const message = this.posted.shift();
    this.emit("message", { id: message?.id, value: new Uint8Array() });
  }

  ref(): void {
    // Only a process has something to be kept alive.
  }

  unref(): void {
    // As above.
  }

  terminate(): Promise<number> {
    this.isTerminated = true;
    return Promise.resolve(0);
  }
}

vi.mock("node:worker_threads", () => ({ Worker: FakeThread }));
vi.mock("node:os", () => ({ availableParallelism: () => 2 }));
// Only now: the threads above must be there before it asks for them.
const { FileWorkers } = await import("../src/drivers/filesystem/fileWorkers.js");

beforeEach(() => {
  threads.length = 0;
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  return () => vi.useRealTimers();
});

const stop = new Int32Array(1);
const visit = (workers: Workers, number: number) => void workers.ask("visit", ["/a"], number, "", stop);
const waiting = () => threads.map(({ posted }) => posted.length);

function answerAll(): void {
  for (const thread of threads) while (thread.posted.length > 0) thread.answer();
}

/** Two threads that have nothing to do; visit 3 is at home in the first, visit 2 in the second. */
function twoThreads(): Workers {
  const workers = new FileWorkers("/");
  for (let i = 0; i < 3; i++) void workers.ask("list", ["/a"]);
  visit(workers, 1);
  expect(waiting()).toEqual([2, 2]);
  answerAll();
  visit(workers, 3);
  visit(workers, 2);
  expect(waiting()).toEqual([1, 1]);
  answerAll();
  return workers;
}

test("the second is started where two messages wait for the first, and no third while they work", () => {
  const workers = new FileWorkers("/");
  for (const expected of [[1], [2], [2, 1], [3, 1], [3, 2], [4, 2]]) {
    void workers.ask("list", ["/a"]);
    expect(waiting()).toEqual(expected);
  }
});

test("a kind of work goes on where it was done, also where a little more waits", () => {
  const workers = twoThreads();
  visit(workers, 2);
  expect(waiting()).toEqual([0, 1]);
  visit(workers, 3);
  visit(workers, 2);
  visit(workers, 2);
  expect(waiting()).toEqual([1, 3]);
  visit(workers, 2);
  expect(waiting()).toEqual([2, 3]);
});

test("nothing waits while a thread has nothing to do", () => {
  const workers = twoThreads();
  visit(workers, 2);
  visit(workers, 2);
  expect(waiting()).toEqual([1, 1]);
});

test("nothing is sent behind a slow disk, though its kind is at home there", () => {
  const workers = twoThreads();
  visit(workers, 2);
  vi.advanceTimersByTime(60);
  visit(workers, 3);
  visit(workers, 2);
  expect(waiting()).toEqual([2, 1]);
});

test("another is started where all wait for the disk", () => {
  const workers = twoThreads();
  visit(workers, 2);
  visit(workers, 3);
  vi.advanceTimersByTime(60);
  visit(workers, 2);
  expect(waiting()).toEqual([1, 1, 1]);
});

test("none is started beside one that has not answered yet: a start takes longer than a slow disk", () => {
  const workers = new FileWorkers("/");
  for (let i = 0; i < 3; i++) visit(workers, 1);
  vi.advanceTimersByTime(60);
  visit(workers, 1);
  expect(threads).toHaveLength(2);
});

test("what waited for its turn did not wait for the disk", () => {
  const workers = twoThreads();
  for (let i = 0; i < 6; i++) visit(workers, 2);
  expect(waiting()).toEqual([2, 4]);
  vi.advanceTimersByTime(40);
  for (const thread of threads) thread.answer();
  vi.advanceTimersByTime(40);
  visit(workers, 2);
  expect(threads).toHaveLength(2);
});

test("threads end when they have been idle, and whoever asks then has new ones", () => {
  const workers = twoThreads();
  vi.advanceTimersByTime(1100);
  expect(threads.map(({ isTerminated }) => isTerminated)).toEqual([true, true]);
  visit(workers, 2);
  expect(waiting()).toEqual([0, 0, 1]);
  // With that, two messages wait, and another is started.
  visit(workers, 2);
  visit(workers, 2);
  visit(workers, 2);
  expect(waiting()).toEqual([0, 0, 3, 1]);
});
