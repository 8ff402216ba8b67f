import { isoTime } from "../clock.js";
import { inquire } from "../conduct.js";
import type { GcContext } from "../context.js";
import type { StorageDriver } from "../driver.js";
import type { Namespace } from "../namespace.js";
import { Run } from "../run.js";
import { checkOptions } from "../settings.js";
import type { AsideStore } from "./asideStore.js";
import type { Journal } from "./journal.js";
import { openAside } from "./session.js";

/** A run of which something lies aside. */
export interface QuarantinedRun {
  readonly runId: string;
  /** ISO 8601, by the storage's clock. */
  readonly startedAt: string;
  /** `interrupted`: it ended before it had looked again; the next run goes on with it. */
  readonly state: "interrupted" | "settled";
  readonly blobs: number;
  readonly bytes: number;
  /** Layer links that it took. */
  readonly links: number;
  /** From when on a run with the default `quarantineMs` purges it; ISO 8601. */
  readonly purgeableAt: string;
}

/**
 * What lies aside, by run, the newest first. Reads only, and takes no lock.
 *
 * @throws RegistryGcError as `markAndSweep` does.
 */
export async function listRuns(ctx: GcContext, driver: StorageDriver, registry: Namespace): Promise<readonly QuarantinedRun[]> {
  const run = Run.begin(ctx, driver, registry, { dryRun: true });
  return inquire(run, "list_runs", async () => {
    await openAside(run);
    const { aside } = run;
    if (aside === undefined) return [];
    const runs = [...aside.journals.values()].map((journal) => describe(aside, journal)).filter((each) => each !== undefined);
    return runs.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  });
}

function describe(aside: AsideStore, journal: Journal): QuarantinedRun | undefined {
  const { runId, begunAt = 0, settledAt } = journal;
  let blobs = 0;
  let bytes = 0;
  for (const copies of aside.copies.values()) {
    for (const copy of copies) {
      if (copy.runId !== runId) continue;
      blobs++;
      bytes += copy.size ?? 0;
    }
  }
  if (blobs === 0 && !journal.isInterrupted) return undefined;
  return {
    runId,
    startedAt: isoTime(begunAt),
    state: settledAt === undefined ? "interrupted" : "settled",
    blobs,
    bytes,
    links: journal.links.filter((link) => link.kind === "layerLink" && link.taken === true).length,
    purgeableAt: isoTime((settledAt ?? begunAt) + checkOptions({}).quarantineMs),
  };
}
