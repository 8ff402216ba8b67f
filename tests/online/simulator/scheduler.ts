/**
 * A deterministic scheduler: everyone who touches the storage waits for a turn before each call, and one turn is given at a time, to
 * whom the schedule says. Time moves when someone sleeps, and a little with every change.
 */

interface Waiter {
  readonly actor: string;
  resume(): void;
}

interface Sleeper extends Waiter {
  /** Whether it may wake up. */
  isRested(): boolean;
}

export class Scheduler {
  now = Date.parse("2026-01-01T00:00:00Z");
  steps = 0;
  private waiting: Waiter[] = [];
  private sleepers: Sleeper[] = [];
  private running = 0;

  /** `pick(n)`: whose turn it is, of n. */
  constructor(private readonly pick: (choices: number) => number) {}

  /** Waits for a turn. */
  turn(actor: string): Promise<void> {
    return new Promise((resume) => {
      this.waiting.push({ actor, resume });
    });
  }

  /** Sleeps; wakes up in a turn of its own, when `isRested` allows it. */
  async sleep(actor: string, ms: number, isRested: () => boolean, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resume, reject) => {
      const sleeper: Sleeper = { actor, resume, isRested };
      this.sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.sleepers = this.sleepers.filter((each) => each !== sleeper);
        reject(signal.reason as Error);
      });
    });
    this.now += ms;
  }

  /** Runs actors to their end. */
  async run(actors: readonly (() => Promise<void>)[]): Promise<void> {
    const errors: unknown[] = [];
    for (const actor of actors) {
      this.running++;
      actor()
        .catch((error: unknown) => errors.push(error))
        .finally(() => this.running--);
    }
    let idle = 0;
    while (this.running > 0) {
      await settled();
      const choices = [...this.waiting, ...this.sleepers.filter((sleeper) => sleeper.isRested())];
      if (choices.length === 0) {
        if (++idle > 200)
          throw new Error(`nobody can go on: ${this.running} running, asleep: ${this.sleepers.map(({ actor }) => actor).join()}`);
        continue;
      }
      idle = 0;
      const chosen = choices[this.pick(choices.length) % choices.length]!;
      this.waiting = this.waiting.filter((each) => each !== chosen);
      this.sleepers = this.sleepers.filter((each) => each !== chosen);
      this.steps++;
      chosen.resume();
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** Resolves when everything that could go on by itself has done so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Numbers that look random and are not: the same seed gives the same schedule. */
export function seeded(seed: number): (choices: number) => number {
  let state = seed >>> 0 || 1;
  return (choices) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % choices;
  };
}
