/** What a run knows of each digest, a byte each: whether the blob is there, and why it is kept. Marks only ever grow. */

import { Column } from "./internal/column.js";

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

export class Marks {
  private readonly flags = Column.bytes();

  add(number: number, flag: number): void {
    this.flags.set(number, this.flags.get(number) | flag);
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

  isKept(number: number): boolean {
    return this.has(number, KEPT);
  }

  isDying(number: number): boolean {
    return isDying(this.flags.get(number));
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
