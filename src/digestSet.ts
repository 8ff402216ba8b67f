import { isDigest } from "./digest.js";
import { DigestIndex } from "./digestIndex.js";

/**
 * A set of digests of any size: JavaScript's own `Set` ends at 16,777,216 members.
 *
 * Packed outside the JavaScript heap: at most 44 bytes a sha256 digest and 84 a sha512 one, from a million up; it grows in
 * small steps, without a second copy of everything. Exact: no false answer either way.
 *
 * @remarks `add` and `has` take constant time. Iteration goes algorithm by algorithm, each in the order of adding.
 */
export class DigestSet implements Iterable<string> {
  private readonly index = new DigestIndex();

  constructor(digests: Iterable<string> = []) {
    for (const digest of digests) this.add(digest);
  }

  /** The number of digests in the set. */
  get size(): number {
    return this.index.size;
  }

  /**
   * Adds a digest.
   *
   * @throws {@link InvalidDigestError} where the string is no digest.
   */
  add(digest: string): this {
    this.index.add(digest);
    return this;
  }

  /** Whether the digest was added; a string that is no digest never was. */
  has(digest: string): boolean {
    return isDigest(digest) && this.index.find(digest) >= 0;
  }

  *[Symbol.iterator](): IterableIterator<string> {
    for (const number of this.index.numbers()) yield this.index.digest(number);
  }
}
