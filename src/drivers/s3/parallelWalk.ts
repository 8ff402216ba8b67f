/**
 * A flat listing of many pages, read in several places at once. It begins as any listing does. When it has proved long, what is
 * left is parted into ranges of keys that are listed side by side; who runs out of work parts the longest that is left. It knows
 * nothing of what lies there.
 */

import { setMaxListeners } from "node:events";
import { compareKeys, type ListedObject } from "./keys.js";
import { fetchPage, Progress, type Query } from "./pages.js";
import { isInside, partingOf, type Range, rangeOf } from "./ranges.js";
import type { Requests } from "./requests.js";

/** Pages before anything is parted: a short listing costs not one request more. */
const LONG = 10;
/** Pages since it was last parted that make a range worth parting. */
const WORTH = 2;
/** Requests more than a listing one after the other would need: to look for places, and for pages of which two ranges have a part. */
const ALLOWANCE = 96;

/** Pages in any order. Nothing is left running when it ends, however it ends. */
export async function* walkInParallel(requests: Requests, query: Query, atOnce: number): AsyncIterable<readonly ListedObject[]> {
  const walk = new ParallelWalk(requests, query, atOnce);
  try {
    yield* walk.pages();
  } finally {
    await walk.end();
  }
}

class ParallelWalk {
  private readonly controller = new AbortController();
  private readonly query: Query;
  private readonly waiting: Range[] = [rangeOf(undefined, undefined)];
  private readonly active = new Set<Range>();
  private readonly running = new Set<Promise<void>>();
  private readonly ready: (readonly ListedObject[])[] = [];
  private readonly failures: unknown[] = [];
  private wakeReader: () => void = nothing;
  private wakeWriters: (() => void)[] = [];
  private listed = 0;
  private extra = 0;
  private isParting = false;

  constructor(
    private readonly requests: Requests,
    private readonly asked: Query,
    private readonly atOnce: number,
  ) {
    this.query = { ...asked, signal: this.controller.signal };
    setMaxListeners(0, this.controller.signal);
    asked.signal?.addEventListener("abort", this.stop, { once: true });
  }

  private readonly stop = () => this.controller.abort(this.asked.signal?.reason);

  async *pages(): AsyncIterable<readonly ListedObject[]> {
    this.asked.signal?.throwIfAborted();
    this.start();
    for (;;) {
      this.asked.signal?.throwIfAborted();
      if (this.failures.length > 0) throw this.failures[0];
      const page = this.ready.shift();
      if (page !== undefined) {
        for (const wake of this.wakeWriters.splice(0)) wake();
        yield page;
      } else if (this.running.size === 0) return;
      else await new Promise<void>((resolve) => (this.wakeReader = resolve));
    }
  }

  async end(): Promise<void> {
    this.asked.signal?.removeEventListener("abort", this.stop);
    this.controller.abort(new Error("the walk has ended"));
    for (const wake of this.wakeWriters.splice(0)) wake();
    await Promise.all(this.running);
  }

  /** As many ranges as may be listed at once. */
  private start(): void {
    while (this.active.size < this.atOnce && this.failures.length === 0) {
      const range = this.waiting.shift();
      if (range === undefined) break;
      this.active.add(range);
      this.run(async () => {
        try {
          await this.list(range);
        } finally {
          this.active.delete(range);
        }
        this.start();
        this.part();
      });
    }
  }

  private run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        this.failures.push(error);
        this.controller.abort(error);
      })
      .finally(() => {
        this.running.delete(running);
        this.wakeReader();
      });
    this.running.add(running);
  }

  private async list(range: Range): Promise<void> {
    const query: Query = { ...this.query, startAfter: range.after };
    const progress = new Progress(query, this.requests.bucket);
    let token: string | undefined;
    do {
      let page = await fetchPage(this.requests, query, token);
      // Weak stores forget for a moment what they hold: that nothing is there is asked twice.
      if (this.listed === 0 && page.objects.length === 0 && !page.isTruncated) page = await fetchPage(this.requests, query, token);
      token = progress.check(page);
      range.cursor = page.objects.at(-1)?.key ?? range.cursor;
      range.pages++;
      this.listed++;
      const { end } = range;
      const isDone = end !== undefined && range.cursor !== undefined && compareKeys(range.cursor, end) >= 0;
      await this.hand(isDone ? page.objects.filter(({ key }) => compareKeys(key, end) <= 0) : page.objects);
      if (isDone) return;
      if (token !== undefined) this.part();
    } while (token !== undefined);
  }

  /** Gives a page to the reader; waits where it has enough to read. */
  private async hand(page: readonly ListedObject[]): Promise<void> {
    if (page.length === 0) return;
    this.ready.push(page);
    this.wakeReader();
    while (this.ready.length > this.atOnce && !this.controller.signal.aborted) {
      await new Promise<void>((resolve) => this.wakeWriters.push(resolve));
    }
  }

  /** Parts the longest range for those who have nothing to do. */
  private part(): void {
    const idle = this.atOnce - this.active.size - this.waiting.length;
    const wanted = Math.min(idle, ALLOWANCE - this.extra);
    if (wanted < 1 || this.isParting || this.listed < LONG) return;
    const longest = [...this.active].filter(({ isWhole }) => !isWhole).sort((a, b) => b.pages - a.pages)[0];
    if (longest === undefined || longest.pages < WORTH) return;
    this.isParting = true;
    this.run(async () => {
      try {
        await this.partRange(longest, wanted);
      } finally {
        this.isParting = false;
      }
      this.start();
    });
  }

  private async partRange(range: Range, wanted: number): Promise<void> {
    const { points, requests } = await partingOf(this.requests, this.query, range, wanted);
    this.extra += requests;
    // It has gone on meanwhile, and may have come to its end.
    const ahead = this.active.has(range) ? points.filter((point) => isInside(range, point)) : [];
    ahead.forEach((point, i) => this.waiting.push(rangeOf(point, ahead[i + 1] ?? range.end, range.depth)));
    this.extra += ahead.length;
    range.end = ahead[0] ?? range.end;
    range.pages = 0;
  }
}

function nothing(): void {}
