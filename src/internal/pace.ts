/**
 * Keeps the event loop turning: what was answered all at once is worked off in portions, one a turn, in the order of asking.
 */

import { inNextTurn } from "./turn.js";

interface Waiting {
  readonly weight: number;
  readonly resolve: () => void;
}

export class Pace {
  private used = 0;
  private isTurning = false;
  private readonly waiting: Waiting[] = [];

  /** @param portion - How much of anything is done in one turn; a heavier one has a turn of its own. */
  constructor(private readonly portion: number) {}

  /** Resolves when there is room in a turn for work of this weight. */
  async room(weight: number): Promise<void> {
    if (this.waiting.length === 0 && this.takes(weight)) return;
    await new Promise<void>((resolve) => {
      this.waiting.push({ weight, resolve });
    });
  }

  private takes(weight: number): boolean {
    if (this.used > 0 && this.used + weight > this.portion) return false;
    this.used += weight;
    if (!this.isTurning) inNextTurn(this.turn);
    this.isTurning = true;
    return true;
  }

  private readonly turn = (): void => {
    this.used = 0;
    this.isTurning = false;
    while (this.waiting[0] !== undefined && this.takes(this.waiting[0].weight)) this.waiting.shift()?.resolve();
  };
}
