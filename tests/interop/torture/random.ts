/** Choices that look random, and are the same every time: the schedule of the requests differs enough. */

import { createHash } from "node:crypto";

export class Random {
  private drawn = 0;

  constructor(private readonly seed: string) {}

  /** From 0 up to, but not including, 1. */
  next(): number {
    const hash = createHash("sha256")
      .update(`${this.seed} ${this.drawn++}`)
      .digest();
    return hash.readUInt32BE(0) / 2 ** 32;
  }

  of<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)]!;
  }
}
