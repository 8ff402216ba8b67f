import { slicesOf } from "../internal/mapAll.js";
import type { Run } from "../run.js";

/** Changes between two looks at the lock. */
export const BATCH = 100;

/** Does something with the items, some at a time, and asks before each batch whether the run may still change anything. */
export async function inBatches<T>(run: Run, items: readonly T[], work: (some: readonly T[]) => Promise<void>): Promise<void> {
  for (const some of slicesOf(items, BATCH)) {
    await run.mayChange();
    await work(some);
  }
}
