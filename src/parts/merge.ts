/** Sorted runs merged as streams: memory is bounded by a block for each, however large they are. */

import { createHash, type Hash } from "node:crypto";
import { ALGORITHMS, type Algorithm, HEX_LENGTH } from "../digest.js";
import type { StorageDriver } from "../driver.js";
import { readRange } from "../internal/readBounded.js";
import { PartDamagedError } from "./errors.js";
import { type Entry, entryBytes, type RunFile, readEntry, type Section } from "./sortedRun.js";

/** About a megabyte, in whole entries. */
const ENTRIES_A_BLOCK = 20_000;

/** A file, and who wants to know what is told of its entries. */
export interface Source {
  readonly file: RunFile;
  readonly from: number;
}

/** All that is told of one digest. */
export interface Merged {
  readonly digest: string;
  /** All bits that any source tells. */
  readonly flags: number;
  /** What the last source that knows it says. */
  readonly size: number;
  readonly time: number;
  /** The sources that ask. */
  readonly askers: readonly number[];
}

/** Goes through one section, block by block. Its checksum has been compared once it is at its end. */
class Cursor {
  private block: Buffer = Buffer.alloc(0);
  private at = 0;
  private read = 0;
  private readonly width: number;
  private readonly hash: Hash = createHash("sha256");

  constructor(
    private readonly driver: StorageDriver,
    private readonly path: string,
    private readonly section: Section,
    readonly from: number,
  ) {
    this.width = entryBytes(section.algorithm);
  }

  /** Goes on to the next entry; whether there is one. A promise only where a block has to be read. */
  advance(): boolean | Promise<boolean> {
    this.at += this.width;
    return this.at < this.block.length ? true : this.fill();
  }

  /** Reads the next block. */
  async fill(): Promise<boolean> {
    const { section, width, path } = this;
    const left = section.count - this.read;
    if (left === 0) {
      if (this.hash.digest("hex") !== section.sha256) throw new PartDamagedError(path, "its checksum is another");
      return false;
    }
    const count = Math.min(left, ENTRIES_A_BLOCK);
    this.block = await readRange(this.driver, path, section.offset + this.read * width, count * width);
    if (this.block.length < count * width) throw new PartDamagedError(path, "it is cut short");
    this.hash.update(this.block);
    this.read += count;
    this.at = 0;
    return true;
  }

  compare(other: Cursor): number {
    const bytes = HEX_LENGTH[this.section.algorithm] / 2;
    return this.block.compare(other.block, other.at, other.at + bytes, this.at, this.at + bytes);
  }

  get entry(): Entry {
    return readEntry(this.section.algorithm, this.block, this.at);
  }
}

/** The cursor with the smallest entry comes first: a binary heap. */
class Heap {
  private readonly items: Cursor[] = [];

  get first(): Cursor | undefined {
    return this.items[0];
  }

  push(cursor: Cursor): void {
    this.items.push(cursor);
    for (let at = this.items.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.swapIfSmaller(at, parent)) return;
      at = parent;
    }
  }

  /** Takes the first away, or puts it where it belongs by now. */
  settleFirst(isAtEnd: boolean): void {
    const last = isAtEnd ? this.items.pop() : undefined;
    if (last !== undefined && this.items.length > 0) this.items[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      const smaller = right < this.items.length && this.isSmaller(right, left) ? right : left;
      if (left >= this.items.length || !this.swapIfSmaller(smaller, at)) return;
      at = smaller;
    }
  }

  private isSmaller(a: number, b: number): boolean {
    const [one, other] = [this.items[a], this.items[b]];
    return one !== undefined && other !== undefined && one.compare(other) < 0;
  }

  private swapIfSmaller(a: number, b: number): boolean {
    const [one, other] = [this.items[a], this.items[b]];
    if (one === undefined || other === undefined || one.compare(other) >= 0) return false;
    this.items[a] = other;
    this.items[b] = one;
    return true;
  }
}

/** Digests in one batch of what a merge gives. */
const BATCH = 2000;

/**
 * Everything that these files tell of the digests of one key, each digest once, in batches.
 *
 * @param asked - The bit by which an entry asks.
 * @throws PartDamagedError where a file is not what was written: nothing that was given before may be acted on then.
 */
export async function* mergeRuns(
  driver: StorageDriver,
  sources: readonly Source[],
  key: number,
  asked: number,
): AsyncIterable<readonly Merged[]> {
  for (const algorithm of ALGORITHMS) yield* mergeSections(await cursorsOf(driver, sources, key, algorithm), asked);
}

async function cursorsOf(driver: StorageDriver, sources: readonly Source[], key: number, algorithm: Algorithm): Promise<Cursor[]> {
  const cursors = sources.flatMap(({ file, from }) =>
    file.sections
      .filter((section) => section.key === key && section.algorithm === algorithm)
      .map((section) => new Cursor(driver, file.path, section, from)),
  );
  await Promise.all(cursors.map((cursor) => cursor.fill()));
  return cursors;
}

async function* mergeSections(cursors: readonly Cursor[], asked: number): AsyncIterable<readonly Merged[]> {
  const heap = new Heap();
  for (const cursor of cursors) heap.push(cursor);
  let batch: Merged[] = [];
  let sum: { digest: string; flags: number; size: number; time: number; askers: number[] } | undefined;
  for (let cursor = heap.first; cursor !== undefined; cursor = heap.first) {
    const { digest, flags, size, time } = cursor.entry;
    if (sum?.digest !== digest) {
      if (sum !== undefined) batch.push(sum);
      sum = { digest, flags: 0, size: Number.NaN, time: Number.NaN, askers: [] };
      if (batch.length === BATCH) {
        yield batch;
        batch = [];
      }
    }
    if ((flags & asked) !== 0) sum.askers.push(cursor.from);
    sum.flags |= flags & ~asked;
    if (!Number.isNaN(size)) sum.size = size;
    if (!Number.isNaN(time)) sum.time = time;
    const next = cursor.advance();
    heap.settleFirst(!(typeof next === "boolean" ? next : await next));
  }
  if (sum !== undefined) batch.push(sum);
  if (batch.length > 0) yield batch;
}
