/** Streams of which nothing comes any more, and that never say so: a connection that died without a word. */

import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readPieces, readRange } from "../src/internal/readBounded.js";
import { memoryStore } from "./support/stores.js";
import { changed } from "./support/tree.js";

const MINUTE = 60_000;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** A driver whose streams give some pieces, each after a while, and then nothing for ever. */
function stalling(pieces: readonly string[], everyMs: number) {
  const stream = new Readable({ read: () => undefined });
  const driver = changed(memoryStore().driver, { reader: async () => stream });
  const left = [...pieces];
  const next = () => {
    const piece = left.shift();
    if (piece === undefined) return;
    stream.push(piece);
    setTimeout(next, everyMs);
  };
  setTimeout(next, everyMs);
  return { driver, stream };
}

const outcomeOf = async (work: Promise<unknown>) => {
  const outcome = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  await vi.advanceTimersByTimeAsync(10 * MINUTE);
  return outcome;
};

test("a range of which nothing comes for a minute is no answer, and its stream is destroyed", async () => {
  const { driver, stream } = stalling(["some"], 10);
  const stalled = {
    error: { code: "DRIVER_ERROR", message: expect.stringMatching(/\/some\/file.*nothing came for 60 seconds/) as string },
  };
  expect(await outcomeOf(readRange(driver, "/some/file", 0, 100))).toMatchObject(stalled);
  expect(stream.destroyed).toBe(true);
});

test("nor is a whole file", async () => {
  const { driver, stream } = stalling(["some", "more"], 10);
  const read = async () => {
    let text = "";
    for await (const piece of readPieces(driver, "/some/file")) text += String(piece);
    return text;
  };
  expect(await outcomeOf(read())).toMatchObject({ error: { code: "DRIVER_ERROR" } });
  expect(stream.destroyed).toBe(true);
});

test("one that is slow, and comes, is read", async () => {
  const { driver, stream } = stalling(["some", "thing"], MINUTE - 1000);
  expect(await outcomeOf(readRange(driver, "/some/file", 0, 7))).toEqual({ value: Buffer.from("somethi") });
  expect(stream.destroyed).toBe(true);
});
