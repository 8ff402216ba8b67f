/** What a run knows of each digest, a byte each: whether the blob is there, and why it is kept. What keeps a blob is never taken back. */

import { Column } from "./internal/column.js";
import { Turns, turn } from "./internal/turn.js";

/** The inventory has a blob of this digest. */
export const PRESENT = 1;
/** A kept manifest reaches it. */
export const LIVE = 2;
/** Damage in a repository keeps it. */
export const PROTECTED = 4;
/** It is young, or something young reaches it. */
export const YOUNG = 8;
/** The plan names the blob. */
export const DOOMED = 16;
/** The blob lies aside, in a quarantine. */
export const ASIDE = 32;
/** The inventory's listing named it, and there is nothing. */
export const ABSENT = 64;

const KEPT = LIVE | PROTECTED | YOUNG;

/** Why something is kept. */
export type KeepMark = typeof LIVE | typeof PROTECTED | typeof YOUNG;

/** Sets of marks that there can be. */
const SETS = 256;

export class Marks {
  private readonly flags = Column.bytes();

  constructor(private readonly turns = new Turns()) {}

  add(number: number, flag: number): void {
    this.flags.set(number, this.flags.get(number) | flag);
  }

  /** The same for many; returns how many had none of it. */
  addToAll(numbers: Uint32Array, flag: number): number {
    let added = 0;
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i] ?? 0;
      const flags = this.flags.get(number);
      if ((flags & flag) !== 0) continue;
      this.flags.set(number, flags | flag);
      added++;
    }
    return added;
  }

  remove(number: number, flag: number): void {
    this.flags.set(number, this.flags.get(number) & ~flag);
  }

  /** All that is known of a digest, as a set of bits. */
  of(number: number): number {
    return this.flags.get(number);
  }

  has(number: number, flag: number): boolean {
    return (this.flags.get(number) & flag) !== 0;
  }

  /** How many have each set of marks. */
  async countSets(): Promise<Uint32Array> {
    const counts = new Uint32Array(SETS);
    for (const [, flags] of this.flags.slices()) {
      if (this.turns.isLong()) await turn();
      countEach(flags, counts);
    }
    return counts;
  }

  /** Those whose marks are such. */
  async select(are: (flags: number) => boolean): Promise<number[]> {
    const wanted = Uint8Array.from({ length: SETS }, (_, flags) => Number(are(flags)));
    const selected: number[] = [];
    for (const [start, flags] of this.flags.slices()) {
      if (this.turns.isLong()) await turn();
      selectFrom(flags, start, wanted, selected);
    }
    return selected;
  }

  isKept(number: number): boolean {
    return this.has(number, KEPT);
  }

  isCandidate(number: number): boolean {
    return isCandidate(this.flags.get(number));
  }
}

/** A blob, in place or aside, that nothing keeps. */
export function isDying(flags: number): boolean {
  return (flags & (PRESENT | ASIDE)) !== 0 && (flags & KEPT) === 0;
}

/** A blob that is there and that nothing keeps. */
export function isCandidate(flags: number): boolean {
  return (flags & (PRESENT | KEPT)) === PRESENT;
}

// Loops of their own: within an asynchronous function each would be compiled with all around it.
function countEach(flags: ArrayLike<number>, counts: Uint32Array): void {
  for (let i = 0; i < flags.length; i++) {
    const set = flags[i] ?? 0;
    counts[set] = (counts[set] ?? 0) + 1;
  }
}

function selectFrom(flags: ArrayLike<number>, start: number, wanted: Uint8Array, selected: number[]): void {
  for (let i = 0; i < flags.length; i++) if (wanted[flags[i] ?? 0] === 1) selected.push(start + i);
}
