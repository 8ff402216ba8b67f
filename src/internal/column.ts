/** A growing array of numbers outside the JavaScript heap: in chunks, so that growing copies nothing and untouched ranges cost nothing. */

const CHUNK_BITS = 13;
const CHUNK = 1 << CHUNK_BITS;

interface NumberArray {
  readonly length: number;
  [index: number]: number;
}

/** Unset places read as `empty`. */
export class Column {
  private readonly chunks: (NumberArray | undefined)[] = [];

  private constructor(
    private readonly make: (length: number) => NumberArray,
    private readonly empty: number,
  ) {}

  /** Small sets of bits. */
  static bytes(): Column {
    return new Column((length) => new Uint8Array(length), 0);
  }

  /** Whole numbers below 2^32. */
  static uint32(): Column {
    return new Column((length) => new Uint32Array(length), 0);
  }

  /** Sizes and times; `NaN` where nothing was set. */
  static numbers(): Column {
    return new Column((length) => new Float64Array(length).fill(Number.NaN), Number.NaN);
  }

  get(index: number): number {
    return this.chunks[Math.floor(index / CHUNK)]?.[index & (CHUNK - 1)] ?? this.empty;
  }

  /** What was ever set lies in these: values, and the place of the first. Others in them are empty. */
  *slices(): IterableIterator<readonly [start: number, values: ArrayLike<number>]> {
    // Places may lie far apart: keys are those that there are.
    for (const at of Object.keys(this.chunks)) {
      const values = this.chunks[Number(at)];
      if (values !== undefined) yield [Number(at) * CHUNK, values];
    }
  }

  set(index: number, value: number): void {
    const at = Math.floor(index / CHUNK);
    const chunk = this.chunks[at] ?? this.make(CHUNK);
    this.chunks[at] = chunk;
    chunk[index & (CHUNK - 1)] = value;
  }
}
