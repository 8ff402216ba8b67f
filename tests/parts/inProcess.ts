/** Parts made in this process, each with a run of its own: what an engine does, without one. */

import { randomUUID } from "node:crypto";
import type { GcContext, GcReport, StorageDriver } from "oci-registry-gc";
import { openRegistry } from "oci-registry-gc";
import { collectInParts, type PartedOptions, type PartJob, type PartWorker, runPart, type WorkerHooks } from "oci-registry-gc/parts";

export interface InProcess {
  readonly ctx?: GcContext;
  readonly hooks?: WorkerHooks;
  readonly shards?: number;
  readonly runId?: string;
  /** Makes one part. */
  readonly make?: (worker: PartWorker, job: PartJob) => Promise<void>;
}

export function collectInProcess(
  driver: StorageDriver,
  options: PartedOptions,
  { ctx = {}, hooks = {}, shards = 4, runId = randomUUID(), make = runPart }: InProcess = {},
): Promise<GcReport> {
  const worker: PartWorker = { driver, registry: openRegistry(driver), ctx, hooks };
  return collectInParts(ctx, driver, openRegistry(driver), options, {
    runId,
    shards,
    needs: Object.keys(hooks) as (keyof WorkerHooks)[],
    async execute(jobs) {
      // Backwards, and two at a time: no part may depend on another of its stage.
      const waiting = [...jobs];
      const lane = async () => {
        for (let job = waiting.pop(); job !== undefined; job = waiting.pop()) await make(worker, job);
      };
      await Promise.all([lane(), lane()]);
    },
  });
}
