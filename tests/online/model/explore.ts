/** Breadth-first search over every interleaving: what breaks is found by its shortest schedule. */

export interface Space<S extends object, B extends string> {
  readonly start: S;
  readonly next: (state: S) => readonly { readonly label: string; readonly state: S }[];
  readonly breaches: (state: S) => readonly B[];
}

export interface Outcome<B extends string> {
  readonly states: number;
  /** States in which nothing is left to be done. */
  readonly ends: number;
  /** The shortest schedule to each kind of breach. */
  readonly schedules: ReadonlyMap<B, readonly string[]>;
}

interface Visit<S> {
  readonly state: S;
  readonly label: string;
  readonly from: Visit<S> | undefined;
}

/** Visits every state that can be reached. */
export function explore<S extends object, B extends string>({ start, next, breaches }: Space<S, B>): Outcome<B> {
  const queue: Visit<S>[] = [{ state: start, label: "", from: undefined }];
  const known = new Set([keyOf(start)]);
  const schedules = new Map<B, readonly string[]>();
  let ends = 0;
  // The queue grows while it is read; what was read stays, for the schedules.
  for (const visit of queue) {
    for (const breach of breaches(visit.state)) if (!schedules.has(breach)) schedules.set(breach, scheduleOf(visit));
    const steps = next(visit.state);
    if (steps.length === 0) ends++;
    for (const { label, state } of steps) {
      const key = keyOf(state);
      if (known.has(key)) continue;
      known.add(key);
      queue.push({ state, label, from: visit });
    }
  }
  return { states: known.size, ends, schedules };
}

/** States are flat records of words and lists of words, all with the same keys in the same order. */
function keyOf(state: object): string {
  return Object.values(state).join("|");
}

function scheduleOf<S>(visit: Visit<S>): string[] {
  const labels: string[] = [];
  for (let at = visit; at.from !== undefined; at = at.from) labels.push(at.label);
  return labels.reverse();
}
