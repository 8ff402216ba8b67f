/** A walk in several places at once: every key once, and however it ends nothing of it is left running, listening or waiting. */

import { createHash } from "node:crypto";
import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { walkInParallel } from "../../src/drivers/s3/parallelWalk.js";
import type { Requests } from "../../src/drivers/s3/requests.js";
import { counted } from "../support/signals.js";

const PAGE = 10;
const PREFIX = "b/";
const KEYS = Array.from({ length: 3000 }, (_, i) => `${PREFIX}${createHash("sha256").update(`${i}`).digest("hex")}/data`).toSorted();

interface Asked {
  readonly nth: number;
  readonly from: string;
  /** Whether it goes on from a page, and does not begin a range. */
  readonly isToken: boolean;
  /** Whether it looks for directories, to part a range at. */
  readonly isByDirectory: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Requests to a store of these keys; `before`: what comes before an answer. */
function store(before: (asked: Asked) => Promise<unknown> = async () => undefined, keys: readonly string[] = KEYS) {
  const told = { asked: 0, running: 0, most: 0, signals: new Set<AbortSignal | undefined>() };
  const send = async (
    _: string,
    make: () => {
      readonly input: {
        readonly Prefix: string;
        readonly Delimiter?: string;
        readonly StartAfter?: string;
        readonly ContinuationToken?: string;
      };
    },
    { read, signal }: { read: (output: ListObjectsV2CommandOutput) => unknown; signal: AbortSignal | undefined },
  ) => {
    const { Prefix, Delimiter, StartAfter = "", ContinuationToken } = make().input;
    const from = ContinuationToken ?? StartAfter;
    told.signals.add(signal);
    told.most = Math.max(told.most, ++told.running);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      const instead = await before({
        nth: ++told.asked,
        from,
        isToken: ContinuationToken !== undefined,
        isByDirectory: Delimiter !== undefined,
        signal,
      });
      if (instead !== undefined) return read(instead as ListObjectsV2CommandOutput);
      signal?.throwIfAborted();
      if (Delimiter !== undefined) {
        const names = keys.filter((key) => key > from && key.startsWith(Prefix)).map((key) => key.slice(Prefix.length).split("/")[0]);
        return read({
          IsTruncated: false,
          CommonPrefixes: [...new Set(names)].map((name) => ({ Prefix: `${Prefix}${name}/` })),
          $metadata: {},
        });
      }
      const start = keys.findIndex((key) => key > from);
      const page = start === -1 ? [] : keys.slice(start, start + PAGE);
      const last = page.at(-1);
      const isTruncated = last !== undefined && last !== keys.at(-1);
      const contents = page.map((Key) => ({ Key, Size: 1, LastModified: new Date(0) }));
      return read({
        IsTruncated: isTruncated,
        KeyCount: page.length,
        Contents: contents,
        ...(isTruncated && { NextContinuationToken: last }),
        $metadata: {},
      });
    } finally {
      told.running--;
    }
  };
  return { requests: { bucket: "bucket", send } as unknown as Requests, told };
}

const untilAbort = (signal: AbortSignal | undefined) =>
  new Promise<void>((resolve) =>
    signal?.aborted === true ? resolve() : signal?.addEventListener("abort", () => resolve(), { once: true }),
  );

const query = (signal?: AbortSignal) => ({ prefix: PREFIX, path: "/b", signal });

async function walked(requests: Requests, atOnce: number, signal?: AbortSignal): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of walkInParallel(requests, query(signal), atOnce)) keys.push(...page.map(({ key }) => key));
  return keys;
}

describe("a walk that comes to its end", () => {
  test.each([1, 2, 4, 32])("has told every key once, with %i at once and no more", async (atOnce) => {
    const { requests, told } = store();
    const { signal, listeners } = counted();
    expect((await walked(requests, atOnce, signal)).toSorted()).toEqual(KEYS);
    expect(told.most).toBeLessThanOrEqual(atOnce);
    if (atOnce > 1) expect(told.most).toBeGreaterThan(1);
    expect(listeners.size).toBe(0);
    expect(told.running).toBe(0);
    for (const each of told.signals) expect(each?.aborted).toBe(true);
  });

  test("has told every key once, though some places answer late", async () => {
    const { requests } = store(async ({ nth }) => {
      await new Promise((resolve) => setTimeout(resolve, (nth * 7) % 5));
    });
    expect((await walked(requests, 8)).toSorted()).toEqual(KEYS);
  });

  test("has told those keys once that are where a place begins, which is where another ends", async () => {
    const keys = [...KEYS];
    const added = new Set<string>();
    const { requests } = store(async ({ from, isToken }) => {
      // The first ones: they lie far ahead of whoever is to tell them.
      if (isToken || from === "" || added.size === 3) return;
      added.add(from);
      keys.push(from);
      keys.sort();
    }, keys);
    expect((await walked(requests, 4)).toSorted()).toEqual(keys);
    expect(added.size).toBe(3);
  });

  test.each([0, 1, 5, 20, 60, 400])("has told every key once where a place goes on for %i pages while it is parted", async (pages) => {
    const keys = Array.from({ length: 3000 }, (_, i) => `${PREFIX}d${100 + Math.floor(i / 100)}/k${1000 + i}`);
    let partings = 0;
    const { requests, told } = store(async ({ isByDirectory }) => {
      if (!isByDirectory) return;
      partings++;
      const { asked } = told;
      for (let i = 0; told.asked < asked + pages && i < 2 * pages; i++) await new Promise((resolve) => setImmediate(resolve));
    }, keys);
    expect((await walked(requests, 4)).toSorted()).toEqual(keys);
    expect(partings).toBeGreaterThan(0);
    expect(told.asked).toBeLessThan(300 + 96);
  });

  test("of nothing has asked twice; of what the first answer forgot it tells all", async () => {
    const empty = store(undefined, []);
    expect(await walked(empty.requests, 4)).toEqual([]);
    expect(empty.told.asked).toBe(2);
    const forgetful = store(async ({ nth }) => (nth === 1 ? { IsTruncated: false, KeyCount: 0 } : undefined));
    expect((await walked(forgetful.requests, 4)).toSorted()).toEqual(KEYS);
  });

  test("warns of no leak, however many listen for its end", async () => {
    const warnings: unknown[] = [];
    const note = (warning: Error) => void warnings.push(warning.name);
    process.on("warning", note);
    const { requests } = store(async ({ signal }) => {
      signal?.addEventListener("abort", () => undefined);
    });
    await walked(requests, 16);
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });
});

describe("a walk that is aborted", () => {
  const reason = new Error("stop");

  test("before it begins asks nothing", async () => {
    const { requests, told } = store();
    await expect(walked(requests, 4, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(told.asked).toBe(0);
  });

  test.each([1, 30])("while requests %i and later are never answered ends with the reason, and so do they", async (from) => {
    const { controller, signal, listeners } = counted();
    const { requests, told } = store(async (asked) => {
      if (asked.nth < from) return;
      if (asked.nth === from) setTimeout(() => controller.abort(reason), 2);
      await untilAbort(asked.signal);
    });
    await expect(walked(requests, 4, signal)).rejects.toBe(reason);
    expect(told.running).toBe(0);
    expect(listeners.size).toBe(0);
  });

  test("between two pages tells no more of them", async () => {
    const { requests, told } = store();
    const controller = new AbortController();
    let pages = 0;
    const read = async () => {
      for await (const page of walkInParallel(requests, query(controller.signal), 4)) {
        expect(page.length).toBeGreaterThan(0);
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (++pages === 3) controller.abort(reason);
      }
    };
    await expect(read()).rejects.toBe(reason);
    expect(pages).toBe(3);
    expect(told.running).toBe(0);
  });
});

describe("a walk of which a request fails", () => {
  test.each([1, 5, 40])("the %i., is that error, tells the others, and waits for them", async (failing) => {
    let left = 0;
    const { requests, told } = store(async ({ nth, signal }) => {
      if (nth === failing) throw new Error("the first");
      if (nth < failing) return;
      await untilAbort(signal);
      await new Promise((resolve) => setTimeout(resolve, 2));
      left++;
      throw new Error("told to end");
    });
    const before = new AbortController();
    await expect(walked(requests, 4, before.signal)).rejects.toThrow("the first");
    expect(told.running).toBe(0);
    const { asked } = told;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(told.asked).toBe(asked);
    expect(left).toBeLessThanOrEqual(4);
  });
});

describe("a reader", () => {
  test("that leaves waits for what runs, and has it told to end", async () => {
    const { requests, told } = store(async ({ nth, signal }) => {
      if (nth <= 30) return;
      await untilAbort(signal);
      await new Promise((resolve) => setTimeout(resolve, 2));
    });
    const { signal, listeners } = counted();
    let keys = 0;
    for await (const page of walkInParallel(requests, query(signal), 4)) if ((keys += page.length) >= 200) break;
    expect(told.running).toBe(0);
    expect(listeners.size).toBe(0);
    const { asked } = told;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(told.asked).toBe(asked);
  });

  test("that is slow leaves those that ask waiting, and is given everything", async () => {
    const { requests, told } = store();
    let pages = 0;
    let furthest = 0;
    const keys: string[] = [];
    for await (const page of walkInParallel(requests, query(), 4)) {
      pages++;
      if (pages < 60) await new Promise((resolve) => setTimeout(resolve, 2));
      furthest = Math.max(furthest, told.asked - pages);
      keys.push(...page.map(({ key }) => key));
    }
    expect(keys.toSorted()).toEqual(KEYS);
    expect(furthest).toBeLessThan(40);
  });

  test("that leaves while others wait for room is not held up by them", async () => {
    const { requests, told } = store();
    for await (const page of walkInParallel(requests, query(), 4)) {
      expect(page.length).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      break;
    }
    expect(told.running).toBe(0);
  });
});
