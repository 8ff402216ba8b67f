/** Calls in flight at once for one list of things; the run's own limits bound them further. */
const BATCH = 256;

/** The items, so many at a time. */
export function* slicesOf<T>(items: readonly T[], size: number): Iterable<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** Does something for each item, many at once, and keeps the order. */
export async function mapAll<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const some of slicesOf(items, BATCH)) {
    const start = results.length;
    results.push(...(await Promise.all(some.map((item, i) => work(item, start + i)))));
  }
  return results;
}
