/** Calls in flight at once for one list of things; the run's own limits bound them further. */
const BATCH = 256;

/** Does something for each item, many at once, and keeps the order. */
export async function mapAll<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += BATCH) {
    results.push(...(await Promise.all(items.slice(start, start + BATCH).map((item, i) => work(item, start + i)))));
  }
  return results;
}
