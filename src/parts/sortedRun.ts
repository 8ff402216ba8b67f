/**
 * Sorted runs: digests with what is known of each, packed, in the order of their bytes. A file holds one section for each algorithm and
 * key (a shard of all digests, or a group of repositories), each with its count and checksum, so that who needs a section reads no other.
 */

import { createHash } from "node:crypto";
import { ALGORITHMS, type Algorithm, HEX_LENGTH, splitDigest } from "../digest.js";

/** What is known of a digest. */
export interface Entry {
  readonly digest: string;
  /** Bits of `marks.ts` and `flags.ts`. */
  readonly flags: number;
  /** Bytes; NaN where unknown. */
  readonly size: number;
  /** Milliseconds since 1970; NaN where unknown. */
  readonly time: number;
}

/** A part of a file. */
export interface Section {
  readonly algorithm: Algorithm;
  readonly key: number;
  readonly count: number;
  /** Bytes from the beginning of the file. */
  readonly offset: number;
  readonly sha256: string;
}

/** A sorted run, as it lies on the storage. */
export interface RunFile {
  readonly path: string;
  readonly bytes: number;
  readonly sections: readonly Section[];
}

/** Flags, size and time. */
const KNOWN_BYTES = 2 + 8 + 8;

/** Bytes of one entry. */
export function entryBytes(algorithm: Algorithm): number {
  return HEX_LENGTH[algorithm] / 2 + KNOWN_BYTES;
}

/** Which of so many shards a digest belongs to: by the first two bytes, so that a shard is a range. */
export function shardOf(digest: string, shards: number): number {
  const { hex } = splitDigest(digest);
  return Math.floor((Number.parseInt(hex.slice(0, 4), 16) * shards) / 0x10000);
}

export function readEntry(algorithm: Algorithm, block: Buffer, at: number): Entry {
  const end = at + HEX_LENGTH[algorithm] / 2;
  return {
    digest: `${algorithm}:${block.toString("hex", at, end)}`,
    flags: block.readUInt16LE(end),
    size: block.readDoubleLE(end + 2),
    time: block.readDoubleLE(end + 10),
  };
}

/** Entries of one algorithm, in the order of adding until they are sorted. */
class Pile {
  readonly keys: number[] = [];
  private bytes: Buffer;
  private readonly width: number;

  constructor(readonly algorithm: Algorithm) {
    this.width = entryBytes(algorithm);
    this.bytes = Buffer.alloc(this.width * 256);
  }

  add(key: number, { digest, flags, size, time }: Entry): void {
    const at = this.keys.length * this.width;
    if (at === this.bytes.length) this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
    const end = at + this.bytes.write(digest.slice(7), at, "hex");
    this.bytes.writeUInt16LE(flags, end);
    this.bytes.writeDoubleLE(size, end + 2);
    this.bytes.writeDoubleLE(time, end + 10);
    this.keys.push(key);
  }

  /** The entries of each key, sorted. */
  *sorted(): Iterable<{ key: number; count: number; content: Buffer }> {
    const { keys, width, bytes } = this;
    const head = keys.map((_, i) => bytes.readUIntBE(i * width, 6));
    const digestBytes = width - KNOWN_BYTES;
    const order = Array.from(keys, (_, i) => i).sort(
      (a, b) =>
        (keys[a] ?? 0) - (keys[b] ?? 0) ||
        (head[a] ?? 0) - (head[b] ?? 0) ||
        bytes.compare(bytes, b * width, b * width + digestBytes, a * width, a * width + digestBytes),
    );
    for (let start = 0; start < order.length; ) {
      const key = keys[order[start] ?? 0] ?? 0;
      let end = start;
      while (end < order.length && keys[order[end] ?? 0] === key) end++;
      const content = Buffer.alloc((end - start) * width);
      for (let i = start; i < end; i++) {
        const at = (order[i] ?? 0) * width;
        bytes.copy(content, (i - start) * width, at, at + width);
      }
      yield { key, count: end - start, content };
      start = end;
    }
  }
}

/** Entries of one file: 10 MB of sha256 digests, so that writers and readers hold little. */
const ENTRIES_A_FILE = 200_000;

/** Writes entries as sorted runs, a file whenever there are enough. */
export class SortedRunWriter {
  readonly files: RunFile[] = [];
  private piles = new Map<Algorithm, Pile>();
  private waiting = 0;
  count = 0;

  /** @param write - Writes a file, and answers with its path. */
  constructor(private readonly write: (content: Buffer) => Promise<string>) {}

  add(key: number, entry: Entry): void {
    const { algorithm } = splitDigest(entry.digest);
    const pile = this.piles.get(algorithm) ?? new Pile(algorithm);
    this.piles.set(algorithm, pile);
    pile.add(key, entry);
    this.waiting++;
    this.count++;
  }

  /** To be called between batches: writes what is enough for a file. */
  async flushFull(): Promise<void> {
    if (this.waiting >= ENTRIES_A_FILE) await this.flush();
  }

  /** Writes the rest, and answers with all files. */
  async finish(): Promise<readonly RunFile[]> {
    if (this.waiting > 0) await this.flush();
    return this.files;
  }

  private async flush(): Promise<void> {
    const sections: Section[] = [];
    const contents: Buffer[] = [];
    let offset = 0;
    for (const algorithm of ALGORITHMS) {
      for (const { key, count, content } of this.piles.get(algorithm)?.sorted() ?? []) {
        sections.push({ algorithm, key, count, offset, sha256: createHash("sha256").update(content).digest("hex") });
        contents.push(content);
        offset += content.length;
      }
    }
    this.piles = new Map();
    this.waiting = 0;
    const path = await this.write(Buffer.concat(contents));
    this.files.push({ path, bytes: offset, sections });
  }
}
