/** What a run in parts is: fixed before its first part, and the same for all that make it. */

import type { GcOptions } from "../options.js";
import { givenOptions } from "../settings.js";

/** What a worker brings itself: functions are in no plan. */
export type WorkerHooks = Pick<GcOptions, "keep" | "onDeleted" | "onItem" | "referenceCache">;

/** The options that a plan holds. */
export type PlannedOptions = Omit<GcOptions, keyof WorkerHooks | "onProgress" | "barrier">;

/** JSON knows no infinity: a span of time for ever is 285,000 years. */
export function toPlanned(options: PlannedOptions & Pick<GcOptions, "onProgress">): PlannedOptions {
  const finite = (value: unknown) => (value === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : value);
  const planned = Object.entries(givenOptions(options)).filter(([name]) => name !== "onProgress");
  return Object.fromEntries(planned.map(([name, value]) => [name, finite(value)]));
}

export interface RunPlan {
  readonly version: string;
  readonly runId: string;
  /** Milliseconds since 1970, by the clock of who began it. */
  readonly startedAt: number;
  /** How far the storage's clock is ahead of that one, in milliseconds. */
  readonly storageOffset: number;
  /** What the run's lock holds. */
  readonly lock: string;
  readonly options: PlannedOptions;
  /** Into how many shards digests are parted, each a part of every stage that goes through blobs. */
  readonly shards: number;
  /** Which decisions workers must be able to make. */
  readonly needs: readonly (keyof WorkerHooks)[];
}

/** A part to be made: what a queue holds of it. The rest lies on the storage, and is believed only from there. */
export interface PartJob {
  readonly runId: string;
  /** The version of the library that began the run. */
  readonly version: string;
  /** The plan's checksum. */
  readonly plan: string;
  readonly stage: string;
  readonly part: number;
}
