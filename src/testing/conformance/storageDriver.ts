/** The promises of a storage driver, as a list of checks. */

import { type ConformanceCheck, checksWith } from "./check.js";
import { doorChecks } from "./door.js";
import { listingChecks } from "./listing.js";
import { readingChecks } from "./reading.js";
import { removingChecks } from "./removing.js";
import { writingChecks } from "./writing.js";

/** How drivers are checked. */
export interface StorageDriverConformanceOptions {
  /** Milliseconds after a change until the store's listings are sure to show it; default 0. For stores whose listings lag. */
  readonly listingLagMs?: number | undefined;
}

/**
 * What a `StorageDriver` promises, as checks that any test runner can loop over:
 *
 * ```ts
 * for (const check of storageDriverConformance()) {
 *   const lacks = check.needs.some((member) => !(member in driver));
 *   test.skipIf(lacks)(check.name, () => check.run({ driver }));
 * }
 * ```
 *
 * Each works below a directory of its own, which it takes away: it may be run against a bucket that holds other things. Checks may
 * run at the same time. The store must be writable, and its clock must go; together they write some thousands of small files.
 *
 * @returns Checks whose `run` rejects with a `ConformanceError` that says which promise was broken, and what came instead.
 */
export function storageDriverConformance(options: StorageDriverConformanceOptions = {}): readonly ConformanceCheck[] {
  const check = checksWith(options.listingLagMs ?? 0);
  return [...doorChecks(check), ...listingChecks(check), ...readingChecks(check), ...removingChecks(check), ...writingChecks(check)];
}
