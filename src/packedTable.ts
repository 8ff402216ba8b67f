/**
 * The digests of one algorithm, packed outside the JavaScript heap and numbered densely from 0. For a sha256 digest: its 32 bytes in a
 * chunk, and a slot of 4 bytes in a hash table that is between 40 and 80 per cent full, so at most 10 bytes. The table is an extendible
 * hash: a bucket that is full is split in two, its own memory re-used for one half, so that growing neither copies everything nor leaves
 * anything to the garbage collector.
 */

import { randomFillSync } from "node:crypto";
import { type Algorithm, HEX_LENGTH } from "./digest.js";

const BUCKET_SLOTS = 4096;
const MAX_LOAD = 0.8;
const MAX_DEPTH = 20;
const CHUNK_BITS = 13;
const CHUNK_DIGESTS = 1 << CHUNK_BITS;

/** Half-bytes of hex characters; 255 for anything else that can stand in a string. */
const NIBBLE = new Uint8Array(65_536).fill(255);
for (let value = 0; value < 16; value++) NIBBLE[value.toString(16).charCodeAt(0)] = value;

/** Some slots of a hash table: a digest's number + 1, 0 where free. All hashes in it share their first `depth` bits. */
interface Bucket {
  slots: Uint32Array;
  used: number;
  depth: number;
}

export class PackedTable {
  size = 0;
  private readonly words: number;
  private readonly hexLength: number;
  private readonly key: Uint32Array;
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private readonly chunks: Uint32Array[] = [];
  private readonly scratch = new Uint32Array(BUCKET_SLOTS);
  private readonly mix: Mix = randomMix();
  private depth = 0;
  /** Buckets by the first `depth` bits of a hash; a bucket of less depth stands in several places. */
  private directory: Bucket[] = [];

  constructor(algorithm: Algorithm) {
    this.hexLength = HEX_LENGTH[algorithm];
    this.words = this.hexLength / 8;
    this.key = new Uint32Array(this.words);
    this.bytes = Buffer.alloc(this.words * 4);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  /** The number of the digest whose hex begins at `offset`; -1 where it is unknown and not to be added; -2 where this is no hex. */
  number(digest: string, offset: number, add: boolean): number {
    return this.parse(digest, offset) ? this.numberOfKey(add) : -2;
  }

  /** The number of the digest whose bytes begin at `offset`; -1 where it is unknown and not to be added. */
  numberOfBytes(bytes: DataView, offset: number, add: boolean): number {
    for (let i = 0; i < this.words; i++) this.key[i] = bytes.getUint32(offset + i * 4);
    return this.numberOfKey(add);
  }

  /** The numbers of so many digests whose bytes stand one after the other; those that are new get one. */
  numbersOf(packed: Uint8Array, count: number): Uint32Array {
    // What was cut must not pass for less: a revision that nobody sees keeps nothing.
    if (!Number.isInteger(count) || packed.length !== count * this.words * 4) throw new RangeError("cut digests");
    const numbers = new Uint32Array(count);
    const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    for (let i = 0; i < count; i++) numbers[i] = this.numberOfBytes(view, i * this.words * 4, true);
    return numbers;
  }

  private numberOfKey(add: boolean): number {
    const hash = hashOf(this.mix, this.key, 0, this.words);
    const slots = this.directory[prefixOf(hash, this.depth)]?.slots;
    const number = slots === undefined ? -1 : this.find(slots, hash);
    return number < 0 && add ? this.insert(hash) : number;
  }

  hex(number: number): string {
    if (number >= this.size) throw new RangeError(`no digest has the number ${number}`);
    const chunk = this.chunkOf(number);
    const start = (number % CHUNK_DIGESTS) * this.words;
    // One conversion by the platform costs a third of one for each word.
    for (let i = 0; i < this.words; i++) this.view.setUint32(i * 4, chunk[start + i] ?? 0);
    return this.bytes.toString("hex");
  }

  private chunkOf(number: number): Uint32Array {
    const at = number >>> CHUNK_BITS;
    if (at === this.chunks.length) this.chunks.push(new Uint32Array(CHUNK_DIGESTS * this.words));
    return this.chunks[at] as Uint32Array;
  }

  /** Reads the hex into `key`. */
  private parse(digest: string, offset: number): boolean {
    if (digest.length !== offset + this.hexLength) return false;
    let position = offset;
    let all = 0;
    for (let i = 0; i < this.words; i++) {
      let word = 0;
      for (let j = 0; j < 8; j++) {
        const nibble = NIBBLE[digest.charCodeAt(position++)] ?? 255;
        // Looked at once, at the end: a branch for each of 64 characters takes longer than all the rest.
        all |= nibble;
        word = (word << 4) | nibble;
      }
      this.key[i] = word;
    }
    return all < 16;
  }

  /** The number of the key, or -1. */
  private find(slots: Uint32Array, hash: number): number {
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot] ?? 0;
      if (entry === 0 || this.isKey(entry - 1)) return entry - 1;
    }
  }

  private isKey(number: number): boolean {
    const chunk = this.chunkOf(number);
    const start = (number % CHUNK_DIGESTS) * this.words;
    for (let i = 0; i < this.words; i++) if (chunk[start + i] !== this.key[i]) return false;
    return true;
  }

  private insert(hash: number): number {
    const bucket = this.roomFor(hash);
    const number = this.size++;
    this.chunkOf(number).set(this.key, (number % CHUNK_DIGESTS) * this.words);
    place(bucket, hash, number + 1);
    return number;
  }

  /** The bucket of a hash, with a free slot in it. */
  private roomFor(hash: number): Bucket {
    if (this.directory.length === 0) this.directory = [{ slots: new Uint32Array(BUCKET_SLOTS), used: 0, depth: 0 }];
    for (;;) {
      const bucket = this.directory[prefixOf(hash, this.depth)] as Bucket;
      if (bucket.used < bucket.slots.length * MAX_LOAD) return bucket;
      if (bucket.depth === MAX_DEPTH) this.refill(bucket, new Uint32Array(bucket.slots.length * 2), bucket.slots);
      else this.split(bucket, hash);
    }
  }

  /** Parts a full bucket by the next bit of its hashes. */
  private split(bucket: Bucket, hash: number): void {
    if (bucket.depth === this.depth) {
      this.directory = this.directory.flatMap((each) => [each, each]);
      this.depth++;
    }
    this.scratch.set(bucket.slots);
    bucket.depth++;
    const sibling: Bucket = { slots: new Uint32Array(bucket.slots.length), used: 0, depth: bucket.depth };
    const run = 1 << (this.depth - bucket.depth);
    const first = (prefixOf(hash, bucket.depth - 1) * 2 + 1) * run;
    for (let i = first; i < first + run; i++) this.directory[i] = sibling;

    bucket.slots.fill(0);
    bucket.used = 0;
    for (const entry of this.scratch) {
      if (entry === 0) continue;
      const own = this.hashOfNumber(entry - 1);
      place(prefixOf(own, bucket.depth) % 2 === 1 ? sibling : bucket, own, entry);
    }
  }

  private refill(bucket: Bucket, slots: Uint32Array, entries: Uint32Array): void {
    bucket.slots = slots;
    bucket.used = 0;
    for (const entry of entries) if (entry !== 0) place(bucket, this.hashOfNumber(entry - 1), entry);
  }

  private hashOfNumber(number: number): number {
    return hashOf(this.mix, this.chunkOf(number), (number % CHUNK_DIGESTS) * this.words, this.words);
  }
}

/** What a table's hashes depend on: names that someone chose collide nowhere on purpose. */
interface Mix {
  readonly seed: number;
  /** Odd, so that no bit is lost. */
  readonly first: number;
  readonly second: number;
}

function randomMix(): Mix {
  const [seed = 0, first = 0, second = 0] = randomFillSync(new Uint32Array(3));
  return { seed, first: first | 1, second: second | 1 };
}

/** Mixes every word: names that someone chose may share any part of them. */
function hashOf({ seed, first, second }: Mix, words: Uint32Array, start: number, length: number): number {
  let hash = seed;
  for (let i = start; i < start + length; i++) {
    hash = Math.imul(hash ^ (words[i] ?? 0), first);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, second);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The first `depth` bits of a hash. */
function prefixOf(hash: number, depth: number): number {
  return depth === 0 ? 0 : hash >>> (32 - depth);
}

function place(bucket: Bucket, hash: number, entry: number): void {
  const mask = bucket.slots.length - 1;
  let slot = hash & mask;
  while (bucket.slots[slot] !== 0) slot = (slot + 1) & mask;
  bucket.slots[slot] = entry;
  bucket.used++;
}
