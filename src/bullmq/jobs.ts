/** What the queues hold: small, plain JSON. All else lies on the registry's storage, and is believed only from there. */

import type { Phase } from "../options.js";
import type { PartJob, PlannedOptions, WorkerHooks } from "../parts/index.js";
import type { Outcome, PlainError } from "./outcome.js";
import type { TraceCarrier } from "./trace.js";

export const DEFAULT_QUEUE = "registry-gc";

/** The queue of the parts of the runs in a queue. */
export function partsQueueOf(queue: string): string {
  return `${queue}-parts`;
}

/** What a run job holds: one whole collection. It is the parent of its parts. */
export interface RunData {
  /** The version of the library that started the run. */
  readonly version: string;
  readonly runId: string;
  /** Another one each time that the run is started or gone on with: jobs of an earlier time say nothing about this one. */
  readonly start: string;
  readonly options: PlannedOptions;
  readonly shards?: number | undefined;
  readonly needs?: readonly (keyof WorkerHooks)[] | undefined;
  readonly retry: Retry;
  readonly trace: TraceCarrier;
  /** How the run ended; written before it forgets what its parts left. */
  readonly outcome?: Outcome | undefined;
}

/** How often a part is tried, and how long after the first failure it is tried again; that time doubles. */
export interface Retry {
  readonly attempts: number;
  readonly backoffMs: number;
}

/** What the job of a part holds. */
export interface PartData {
  readonly start: string;
  readonly part: PartJob;
  /** The run's job. */
  readonly run: string;
  readonly trace: TraceCarrier;
  /** Why the part can't be made. */
  readonly error?: PlainError | undefined;
}

/** How far a run is: a run job's progress. */
export interface RunProgress {
  readonly phase: Phase;
  readonly stage: string;
  readonly total: number;
}

/** Deterministic, so that a part is never in the queue twice. */
export function runJobId(runId: string): string {
  return `run-${runId}`;
}

export function partJobId({ runId, stage, part }: PartJob): string {
  return `${runId}/${stage}/${part}`;
}
