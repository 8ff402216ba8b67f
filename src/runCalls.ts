/** How a run calls drivers: each call is counted, a few are made at a time, and none after an abort. */

import type { StorageDriver } from "./driver.js";
import { type Meter, meteredDriver } from "./internal/meteredDriver.js";
import { TaskQueue } from "./internal/taskQueue.js";
import type { Turns } from "./internal/turn.js";
import type { Settings } from "./settings.js";

/** A heartbeat, and a release or a look beside it. */
const LOCK_CALLS = 2;

export class RunCalls {
  private readonly calls: TaskQueue;
  /** Manifests have a limit of their own. */
  private readonly gets: TaskQueue;
  /** The lock's calls wait behind no others: large moves may take a minute each, and would cost it. */
  private readonly lockCalls = new TaskQueue(LOCK_CALLS);
  private readonly metered = new Map<StorageDriver, StorageDriver>();
  private readonly meteredGets = new Map<StorageDriver, StorageDriver>();
  /** Look-ups that an abort has left under way. */
  private readonly left: Promise<unknown>[] = [];

  constructor(
    { concurrency, maxParallelManifestGets }: Settings,
    private readonly signal: AbortSignal,
    private readonly turns: Turns,
    private readonly count: Meter["count"],
  ) {
    this.calls = new TaskQueue(concurrency);
    this.gets = new TaskQueue(maxParallelManifestGets);
  }

  /** A driver, as the run uses it. */
  through(driver: StorageDriver): StorageDriver {
    return this.meter(driver, this.metered, this.calls);
  }

  /** The same, for manifests. */
  throughGets(driver: StorageDriver): StorageDriver {
    return this.meter(driver, this.meteredGets, this.gets);
  }

  /** The same, but an abort does not stop it: for what must be brought to an end. */
  settling(driver: StorageDriver): StorageDriver {
    return meteredDriver(driver, { queue: this.calls, signal: undefined, patience: this.signal, count: this.count });
  }

  /** The same, and it waits behind nobody: for the lock. */
  urgent(driver: StorageDriver): StorageDriver {
    return meteredDriver(driver, { queue: this.lockCalls, signal: undefined, patience: this.signal, count: this.count });
  }

  /** Resolves when those look-ups have ended that an abort left under way; of a driver that heeds no abort that may be never. */
  async leftOver(): Promise<void> {
    await Promise.allSettled(this.left);
  }

  /** Resolves when no other call is under way any more. */
  async idle(): Promise<void> {
    await Promise.all([this.calls.idle(), this.gets.idle(), this.lockCalls.idle()]);
  }

  private meter(driver: StorageDriver, known: Map<StorageDriver, StorageDriver>, queue: TaskQueue): StorageDriver {
    const onLeft = (work: Promise<unknown>) => void this.left.push(work);
    const { signal, turns, count } = this;
    const metered = known.get(driver) ?? meteredDriver(driver, { queue, signal, turns, onLeft, count });
    known.set(driver, metered);
    return metered;
  }
}
