/** Calls in flight at once for one list of things; the run's own limits bound them further. */
const BATCH = 256;

/** The items, so many at a time. */
export function* slicesOf<T>(items: readonly T[], size: number): Iterable<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** Does something for each item, many at once, and keeps the order; waits for all that was begun before it fails. */
export async function mapAll<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const some of slicesOf(items, BATCH)) {
    const start = results.length;
    const begun = some.map((item, i) => work(item, start + i));
    try {
      results.push(...(await Promise.all(begun)));
    } catch (error) {
      await Promise.allSettled(begun);
      throw error;
    }
  }
  return results;
}
