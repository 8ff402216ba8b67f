/** Gives the event loop a turn: what would take long goes on after all that waits by now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Items in one turn where each is a look into a column. */
const ITEMS_A_TURN = 20_000;

/** Looks at each item without holding up the event loop, however many there are. */
export async function eachInTurns<T>(items: Iterable<T>, look: (item: T) => void): Promise<void> {
  let seen = 0;
  for (const item of items) {
    if (++seen % ITEMS_A_TURN === 0) await turn();
    look(item);
  }
}

/** Those items that are to be kept. */
export async function filterInTurns<T>(items: Iterable<T>, keep: (item: T) => boolean): Promise<T[]> {
  const kept: T[] = [];
  await eachInTurns(items, (item) => {
    if (keep(item)) kept.push(item);
  });
  return kept;
}
