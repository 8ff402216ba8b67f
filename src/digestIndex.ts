/**
 * Numbers for digests: the first digest that is added gets a number, and keeps it. The collector then works with numbers: a mark
 * is a byte in a column, a manifest's references are a few words, and a digest's 32 bytes are held once.
 */

import { ALGORITHMS, type Algorithm, HEX_LENGTH, isAlgorithm } from "./digest.js";
import { InvalidDigestError } from "./errors.js";
import { PackedTable } from "./packedTable.js";

/** Numbers of sha256 digests are small and dense; the two rare algorithms take turns in what is left of 32 bits. */
const RARE_BASE = 0xc0000000;

/** Digests of every algorithm, each with a number of its own below 2^32. */
export class DigestIndex {
  private readonly tables: Readonly<Record<Algorithm, PackedTable>> = {
    sha256: new PackedTable("sha256"),
    sha512: new PackedTable("sha512"),
    sha384: new PackedTable("sha384"),
  };

  get size(): number {
    return this.tables.sha256.size + this.tables.sha512.size + this.tables.sha384.size;
  }

  /**
   * The number of a digest, which gets one where it has none.
   *
   * @throws InvalidDigestError where the string is no digest.
   */
  add(digest: string): number {
    const number = typeof digest === "string" ? this.lookUp(digest, true) : -2;
    if (number === -2) throw new InvalidDigestError(digest);
    return number;
  }

  /** The number of a digest, or -1 where it was never added (or is no digest). */
  find(digest: string): number {
    return Math.max(-1, this.lookUp(digest, false));
  }

  /**
   * As `add`, for a binary digest of `length` bytes at `offset`: the length tells the algorithm.
   *
   * @throws RangeError where no algorithm makes so many, or they are not all there.
   */
  addBytes(bytes: DataView, offset: number, length: number): number {
    const number = this.lookUpBytes(bytes, offset, length, true);
    if (number === -2) throw new RangeError(`no digest of ${length} bytes at ${offset}`);
    return number;
  }

  /**
   * The numbers of some of the sha256 digests whose bytes stand one after the other.
   *
   * @throws RangeError where they are not all there, or one is cut.
   */
  addPacked(packed: Uint8Array, start: number, end: number): Uint32Array {
    return this.tables.sha256.numbersOf(packed.subarray(start * SHA256_BYTES, end * SHA256_BYTES), end - start);
  }

  /** The number of a digest of so many bytes, or -1 where it was never added (or is no digest). */
  findBytes(bytes: DataView, offset: number, length: number): number {
    return Math.max(-1, this.lookUpBytes(bytes, offset, length, false));
  }

  /** The digest that has this number. */
  digest(number: number): string {
    if (number < RARE_BASE) return `sha256:${this.tables.sha256.hex(number)}`;
    const rare = number - RARE_BASE;
    const algorithm = rare % 2 === 0 ? "sha512" : "sha384";
    return `${algorithm}:${this.tables[algorithm].hex(Math.floor(rare / 2))}`;
  }

  /** All numbers: algorithm by algorithm, each in the order of its first adding. */
  *numbers(): IterableIterator<number> {
    for (const algorithm of ALGORITHMS) {
      for (let local = 0; local < this.tables[algorithm].size; local++) yield numberOf(algorithm, local);
    }
  }

  private lookUp(digest: string, add: boolean): number {
    if (digest.charCodeAt(6) !== 58 /* : */) return -2;
    const algorithm = digest.startsWith("sha256") ? "sha256" : digest.slice(0, 6);
    if (!isAlgorithm(algorithm)) return -2;
    const local = this.tables[algorithm].number(digest, 7, add);
    return local < 0 ? local : numberOf(algorithm, local);
  }

  private lookUpBytes(bytes: DataView, offset: number, length: number, add: boolean): number {
    const algorithm = BY_LENGTH.get(length);
    if (algorithm === undefined || offset + length > bytes.byteLength) return -2;
    const local = this.tables[algorithm].numberOfBytes(bytes, offset, add);
    return local < 0 ? local : numberOf(algorithm, local);
  }
}

/** Of a digest of sha256. */
export const SHA256_BYTES = HEX_LENGTH.sha256 / 2;

/** Which algorithm's digests have so many bytes. */
const BY_LENGTH: ReadonlyMap<number, Algorithm> = new Map(ALGORITHMS.map((algorithm) => [HEX_LENGTH[algorithm] / 2, algorithm]));

function numberOf(algorithm: Algorithm, local: number): number {
  if (algorithm === "sha256") return local;
  return RARE_BASE + local * 2 + (algorithm === "sha512" ? 0 : 1);
}
