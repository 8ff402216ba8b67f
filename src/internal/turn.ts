/** Gives the event loop a turn: what would take long goes on after all that waits by now. */

// Held from the beginning: a test that fakes timers must not stop a run.
const { setImmediate } = globalThis;

/** The event loop is never held for much longer than this by one thing that takes long. */
const TURN_MS = 2;

/** Items between two looks at the clock, where each is a look into a column: a millisecond of code that was never run before. */
const ITEMS_A_LOOK = 256;

/** The turns of the event loop, as one run takes them: all that it does side by side shares them. */
export class Turns {
  private began: number | undefined;

  /** Whether the event loop has not gone round for long, as far as anyone has asked. */
  isLong(): boolean {
    const now = performance.now();
    if (this.began === undefined) {
      this.began = now;
      inNextTurn(this.begin);
    }
    return now - this.began > TURN_MS;
  }

  /** Looks at each item without holding up the event loop, however many there are. */
  async each<T>(items: Iterable<T>, look: (item: T) => void): Promise<void> {
    let seen = 0;
    for (const item of items) {
      // Before the first, too: there may be many of few items each.
      if (seen++ % ITEMS_A_LOOK === 0 && this.isLong()) await turn();
      look(item);
    }
  }

  /** The same for slices of what has so many items: for work that is done in a loop of its own. */
  async slices(items: number, work: (start: number, end: number) => void): Promise<void> {
    for (let start = 0; start < items; start += ITEMS_A_LOOK) {
      if (this.isLong()) await turn();
      work(start, Math.min(items, start + ITEMS_A_LOOK));
    }
  }

  /** Those items that are to be kept. */
  async filter<T>(items: Iterable<T>, keep: (item: T) => boolean): Promise<T[]> {
    const kept: T[] = [];
    await this.each(items, (item) => {
      if (keep(item)) kept.push(item);
    });
    return kept;
  }

  private readonly begin = (): void => {
    this.began = undefined;
  };
}

/** Resolves when the event loop has gone round. */
export function turn(): Promise<void> {
  return new Promise(inNextTurn);
}

/** Calls back when the event loop has gone round. */
export function inNextTurn(work: () => void): void {
  setImmediate(work);
}
