import { Readable } from "node:stream";
import type { StorageDriver } from "../driver.js";
import { type DriverMethod, InterceptedDriver } from "./interceptedDriver.js";

/** A driver that counts: what a test of costs asks. */
export class CountingDriver extends InterceptedDriver {
  private readonly counts: Counts;

  constructor(inner: StorageDriver) {
    const counts = new Counts();
    super(inner, async ({ method, page }, proceed) => {
      if (page === 0) counts.calls[method] = (counts.calls[method] ?? 0) + 1;
      else counts.pages++;
      counts.inFlight++;
      counts.maxInFlight = Math.max(counts.maxInFlight, counts.inFlight);
      try {
        const result = await proceed();
        if (method === "getContent" && result instanceof Uint8Array) counts.bytesRead += result.length;
        return method === "reader" ? (counted(result as Source, counts) as typeof result) : result;
      } finally {
        counts.inFlight--;
      }
    });
    this.counts = counts;
  }

  /** Calls of a method, or of all; a listing is one call. */
  calls(method?: DriverMethod): number {
    if (method !== undefined) return this.counts.calls[method] ?? 0;
    return Object.values(this.counts.calls).reduce((sum, n) => sum + n, 0);
  }

  /** Pages of listings beyond the first of each, their ends included. */
  get furtherPages(): number {
    return this.counts.pages;
  }

  /** The most calls at the same time. */
  get maxInFlight(): number {
    return this.counts.maxInFlight;
  }

  /** Bytes of content that were really read. */
  get bytesRead(): number {
    return this.counts.bytesRead;
  }
}

type Source = Awaited<ReturnType<StorageDriver["reader"]>>;

class Counts {
  readonly calls: Partial<Record<DriverMethod, number>> = {};
  pages = 0;
  inFlight = 0;
  maxInFlight = 0;
  bytesRead = 0;
}

/** The same bytes, counted as they pass; destroying it destroys the source. */
function counted(source: Source, counts: Counts): Readable {
  async function* passing(): AsyncIterable<Uint8Array> {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      counts.bytesRead += chunk.length;
      yield chunk;
    }
  }
  const stream = Readable.from(passing(), { objectMode: false });
  // Of one that nobody has read from yet, the iteration has not begun.
  stream.once("close", () => {
    if ("destroy" in source) source.destroy();
    else if (!source.locked) source.cancel().catch(() => undefined);
  });
  return stream;
}
