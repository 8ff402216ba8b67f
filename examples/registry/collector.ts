/** Collects in a loop, and adds the reports up. */

import { setTimeout as sleep } from "node:timers/promises";
import { type GcOptions, type GcReport, isRegistryGcError, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";

const PAUSE_MS = 50;

export interface CollectorCounts {
  runs: number;
  /** Blobs. */
  aside: number;
  restored: number;
  returned: number;
  purged: number;
  failures: number;
}

/** A call that failed; and blobs of the very first push, before its repository is there. */
const PASSING: ReadonlySet<string> = new Set(["DRIVER_ERROR", "EMPTY_MARK"]);

export class Collector {
  readonly counts: CollectorCounts = { runs: 0, aside: 0, restored: 0, returned: 0, purged: 0, failures: 0 };
  /** Why runs ended early, where they did. */
  readonly brokenOff: string[] = [];

  constructor(
    private readonly driver: StorageDriver,
    private readonly options: GcOptions,
  ) {}

  /** A run that could not look at everything has deleted nothing; the next one tries again. */
  async loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.once();
      } catch (error) {
        if (!isRegistryGcError(error) || !PASSING.has(error.code)) throw error;
        this.brokenOff.push(error.message);
      }
      await sleep(PAUSE_MS);
    }
  }

  async once(): Promise<GcReport> {
    const report = await markAndSweep({}, this.driver, openRegistry(this.driver), this.options);
    const { quarantined, restored, returned, purged, failureCount } = report;
    this.counts.runs++;
    this.counts.aside += quarantined.blobs + restored.blobs;
    this.counts.restored += restored.blobs;
    this.counts.returned += returned.blobs;
    this.counts.purged += purged.blobs;
    this.counts.failures += failureCount;
    return report;
  }
}
