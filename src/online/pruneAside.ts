/** Directories below `_gc` that were emptied: they are ours alone, and each later run would list them. */

import type { StorageDriver } from "../driver.js";

/** Removes those that are empty, by an operation that fails where anything is inside. That one stays is of no harm. */
export async function pruneAside(driver: StorageDriver, directories: Iterable<string>, upTo: string): Promise<void> {
  const paths = [...new Set(directories)];
  if (paths.length === 0) return;
  try {
    await driver.pruneDirectories?.(paths, { upTo });
  } catch {
    // The next one that is emptied takes it along.
  }
}
