/** Gives the event loop a turn: what would take long goes on after all that waits by now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Items in one turn where each is a look into a column. */
const ITEMS_A_TURN = 20_000;

/** Those items that are to be kept, found without holding up the event loop however many there are. */
export async function filterInTurns<T>(items: Iterable<T>, keep: (item: T) => boolean): Promise<T[]> {
  const kept: T[] = [];
  let seen = 0;
  for (const item of items) {
    if (++seen % ITEMS_A_TURN === 0) await turn();
    if (keep(item)) kept.push(item);
  }
  return kept;
}
