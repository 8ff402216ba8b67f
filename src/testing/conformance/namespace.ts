/** The promises of a namespace, as a list of checks. */

import { absenceChecks } from "./absences.js";
import { footprintChecks } from "./footprints.js";
import { lookChecks } from "./looking.js";
import type { NamespaceCheck } from "./namespaceCheck.js";

/**
 * What a `Namespace` promises, as checks that any test runner can loop over. They only look: the caller fills a registry, and
 * tells what it holds.
 *
 * ```ts
 * for (const check of namespaceConformance()) {
 *   const lacks = check.needs.some((member) => !(member in registry));
 *   test.skipIf(lacks)(check.name, () => check.run({ registry, holds }));
 * }
 * ```
 *
 * @returns Checks whose `run` rejects with a `ConformanceError` that says which promise was broken, and what came instead.
 */
export function namespaceConformance(): readonly NamespaceCheck[] {
  return [...lookChecks(), ...absenceChecks(), ...footprintChecks()];
}
