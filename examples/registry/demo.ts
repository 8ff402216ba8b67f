/** A registry, its clients, and a collector in the same process, all at once for a while. */

import { createWriteBarrier } from "oci-registry-gc";
import { Collector, type CollectorCounts } from "./collector.js";
import type { RegistryDriver } from "./registryStorage.js";
import { startRegistry } from "./server.js";
import { Workload } from "./workload.js";

export interface DemoOptions {
  readonly driver: RegistryDriver;
  readonly seconds: number;
  readonly clients: number;
  readonly port: number;
  readonly say?: (line: string) => void;
}

export interface DemoResult {
  readonly clients: Workload["counts"];
  readonly collector: CollectorCounts;
  /** Why runs ended early, where they did. */
  readonly brokenOff: readonly string[];
  /** Tags that were acknowledged and not deleted since. */
  readonly acknowledged: number;
  /** What of it could not be pulled, and why. */
  readonly missing: readonly string[];
  /** Errors of the registry itself. */
  readonly errors: readonly unknown[];
}

/** Times for a demonstration: on a real registry each is a thousand times as long. */
const PROMISE_MS = 600;
const COLLECTING = { removeUntagged: true, gracePeriodMs: 400, drainMs: 150, quarantineMs: 300, maxDeleteRatio: 1 };

export async function runDemo({ driver, seconds, clients, port, say = () => {} }: DemoOptions): Promise<DemoResult> {
  const barrier = createWriteBarrier();
  const errors: unknown[] = [];
  const registry = await startRegistry({ driver, barrier, promiseMs: PROMISE_MS, onError: (error) => errors.push(error) }, port);
  try {
    say(`The registry listens on ${registry.host}; ${clients} clients and the collector are at work for ${seconds} s ...`);
    const workload = new Workload(registry.host);
    const collector = new Collector(driver, { ...COLLECTING, barrier });
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    const failsTogether = async (work: Promise<void>) => {
      try {
        await work;
      } finally {
        stop.abort();
      }
    };
    await Promise.all([failsTogether(workload.run(clients, stop.signal)), failsTogether(collector.loop(stop.signal))]);
    clearTimeout(timer);

    say("The clients have stopped. One more run, then everything that was acknowledged is pulled ...");
    await collector.once();
    const { tags, missing } = await workload.pullAll();
    return { clients: workload.counts, collector: collector.counts, brokenOff: collector.brokenOff, acknowledged: tags, missing, errors };
  } finally {
    await registry.stop();
  }
}
