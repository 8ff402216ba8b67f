/** What runs come to, so that two can be compared. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import type { GcReport, StorageDriver } from "oci-registry-gc";
import type { PartedOptions } from "oci-registry-gc/parts";
import { contentOf, type Store } from "../support/stores.js";

export const options: fc.Arbitrary<PartedOptions> = fc.record({
  dryRun: fc.boolean(),
  readOnly: fc.boolean(),
  removeUntagged: fc.boolean(),
  referrers: fc.constantFrom("keep-with-subject", "ignore"),
  removeLayerLinks: fc.boolean(),
  removeEmptyRepositories: fc.boolean(),
  removeUploadsOlderThanMs: fc.constantFrom(0, 86_400_000),
  onDamage: fc.constantFrom("protect", "protect", "abort"),
  quarantine: fc.boolean(),
  quarantineMs: fc.constantFrom(0, 7 * 86_400_000),
  drainMs: fc.constant(0),
  maxDeleteRatio: fc.constant(1),
});

export interface Outcome {
  readonly code: string | undefined;
  readonly report: Readonly<Record<string, unknown>>;
  /** Paths with the run's own name taken out. */
  readonly left: readonly string[];
}

export async function outcomeOf(driver: StorageDriver, work: Promise<GcReport>): Promise<Outcome> {
  let report: GcReport;
  let code: string | undefined;
  try {
    report = await work;
  } catch (error) {
    ({ code } = error as { code?: string });
    const attached = (error as { report?: GcReport }).report;
    if (attached === undefined) throw error;
    report = attached;
  }
  const all = [...(await contentOf(driver)).keys()].map((path) => path.replaceAll(/_gc\/[0-9a-f-]{36}\//g, "_gc/RUN/"));
  // A journal may be told in more objects.
  const paths = [...new Set(all.map((path) => path.replace(/journal\/\d+/, "journal/N")))];
  const counts: Record<string, unknown> = { ...report };
  for (const own of ["runId", "startedAt", "finishedAt", "durationsMs", "storageCalls"]) Reflect.deleteProperty(counts, own);
  const inOrder = (items: readonly unknown[]) => items.map((item) => JSON.stringify(item)).sort();
  return { code, report: { ...counts, problems: inOrder(report.problems), failures: inOrder(report.failures) }, left: paths.sort() };
}

/** Some files are young, the same ones for the same seed. */
export async function fill(files: ReadonlyMap<string, string>, store: Store, young: number): Promise<StorageDriver> {
  for (const [path, content] of files) {
    const chance = createHash("sha256").update(`${young} ${path}`).digest().readUInt8(0) / 256;
    await store.put(path, content, chance * 100 < young ? Date.now() : undefined);
  }
  return store.driver;
}
