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

  /** `pick(actors)`: whose turn it is, by place. */
  constructor(private readonly pick: (actors: readonly string[]) => number) {}

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
      const chosen = choices[this.pick(choices.map(({ actor }) => actor))]!;
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

/**
 * A schedule from a seed. Some give every turn to anyone; the others give all turns to the one of highest priority, and change a
 * priority now and then: so that someone is held up for long between two calls, which is where races hide.
 */
export function seeded(seed: number): (actors: readonly string[]) => number {
  const random = numbers(seed);
  const changes = [1, 1, 10, 40][random(4)]!;
  const priorities = new Map<string, number>();
  return (actors) => {
    if (changes === 1) return random(actors.length);
    for (const actor of actors) if (!priorities.has(actor)) priorities.set(actor, random(1000));
    const [best] = [...actors.keys()].sort((a, b) => priorities.get(actors[b]!)! - priorities.get(actors[a]!)!);
    if (random(changes) === 0) priorities.set(actors[best!]!, random(1000));
    return best!;
  };
}

/**
 * A schedule in two cuts: `first` has all turns, until it had so many; then the others have so many; then `first` again, to its end;
 * then the others. Tried for every number, no race that needs two cuts is missed.
 */
export function cutAt(first: string, turns: number, others: number): (actors: readonly string[]) => number {
  let own = 0;
  let theirs = 0;
  return (actors) => {
    const at = actors.indexOf(first);
    const other = actors.findIndex((actor) => actor !== first);
    const isTheirs = at === -1 || (own >= turns && theirs < others && other !== -1);
    if (isTheirs) theirs++;
    else own++;
    return isTheirs ? Math.max(0, other) : at;
  };
}

/** Numbers that look random and are not: the same seed gives the same ones. */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}
