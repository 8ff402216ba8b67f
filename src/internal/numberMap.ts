/**
 * Maps and sets of whole numbers below 2^32 - 1, outside the JavaScript heap: a fifth of what JavaScript's own take. A run holds some
 * for each repository from which something is to go. They are told in no particular order, and not changed while they are told.
 */

const SMALLEST = 8;
const MAX_LOAD = 0.75;
/** Odd, with its bits well mixed: neighbours lie apart. */
const SPREAD = 0x9e3779b1;

/** Numbers to numbers. Where all values are the usual one, there are no values at all. */
export class NumberMap {
  size = 0;
  /** Each key + 1; 0 where free. */
  private slots = new Uint32Array(SMALLEST);
  private values: Float64Array | undefined;

  constructor(private readonly usual: number) {}

  has(key: number): boolean {
    return this.slots[this.slotOf(key)] !== 0;
  }

  get(key: number): number | undefined {
    const slot = this.slotOf(key);
    if (this.slots[slot] === 0) return undefined;
    return this.values === undefined ? this.usual : this.values[slot];
  }

  /** Whether the key is new. */
  set(key: number, value: number): boolean {
    let slot = this.slotOf(key);
    const isNew = this.slots[slot] === 0;
    if (isNew) {
      if (this.size >= this.slots.length * MAX_LOAD) {
        this.grow(this.slots.length * 2);
        slot = this.slotOf(key);
      }
      this.slots[slot] = key + 1;
      this.size++;
    }
    if (this.values === undefined && !Object.is(value, this.usual)) this.values = new Float64Array(this.slots.length).fill(this.usual);
    if (this.values !== undefined) this.values[slot] = value;
    return isNew;
  }

  /** Sets many keys: to the usual value where there are no others. */
  setAll(keys: Uint32Array, values?: Float64Array): void {
    let length = this.slots.length;
    while (this.size + keys.length > length * MAX_LOAD) length *= 2;
    if (length > this.slots.length) this.grow(length);
    for (let i = 0; i < keys.length; i++) this.set(keys[i] ?? 0, values?.[i] ?? this.usual);
  }

  delete(key: number): void {
    let free = this.slotOf(key);
    if (this.slots[free] === 0) return;
    const mask = this.slots.length - 1;
    // What stands behind it, and would have stood here, moves up: so that no look-up ends too early.
    for (let slot = (free + 1) & mask; this.slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.homeOf((this.slots[slot] ?? 0) - 1);
      if (((slot - home) & mask) < ((slot - free) & mask)) continue;
      this.copy(slot, free);
      free = slot;
    }
    this.slots[free] = 0;
    this.size--;
  }

  *keys(): IterableIterator<number> {
    for (const entry of this.slots) if (entry !== 0) yield entry - 1;
  }

  private copy(from: number, to: number): void {
    this.slots[to] = this.slots[from] ?? 0;
    if (this.values !== undefined) this.values[to] = this.values[from] ?? this.usual;
  }

  private homeOf(key: number): number {
    return (Math.imul(key, SPREAD) >>> 7) & (this.slots.length - 1);
  }

  /** Where the key is, or would be. */
  private slotOf(key: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    let slot = this.homeOf(key);
    for (let entry = slots[slot]; entry !== 0 && entry !== key + 1; entry = slots[slot]) slot = (slot + 1) & mask;
    return slot;
  }

  private grow(length: number): void {
    const { slots, values } = this;
    this.slots = new Uint32Array(length);
    this.values = values && new Float64Array(length).fill(this.usual);
    for (let slot = 0; slot < slots.length; slot++) {
      const entry = slots[slot] ?? 0;
      if (entry === 0) continue;
      const to = this.slotOf(entry - 1);
      this.slots[to] = entry;
      if (this.values !== undefined) this.values[to] = values?.[slot] ?? this.usual;
    }
  }
}

/** Numbers. */
export class NumberSet implements Iterable<number> {
  private readonly map = new NumberMap(0);

  get size(): number {
    return this.map.size;
  }

  has(number: number): boolean {
    return this.map.has(number);
  }

  /** Whether the number is new. */
  add(number: number): boolean {
    return this.map.set(number, 0);
  }

  [Symbol.iterator](): IterableIterator<number> {
    return this.map.keys();
  }
}
