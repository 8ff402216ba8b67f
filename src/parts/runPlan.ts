/** What a run in parts is: fixed before its first part, and the same for all that make it. */

import type { GcOptions } from "../options.js";
import { checkOptions, givenOptions } from "../settings.js";

/** What a worker brings itself: functions are in no plan. */
export type WorkerHooks = Pick<GcOptions, "keep" | "onDeleted" | "onItem" | "referenceCache">;

/** The options that a plan holds. */
export type PlannedOptions = Omit<GcOptions, keyof WorkerHooks | "onProgress" | "barrier">;

export const DEFAULT_SHARDS = 64;

const HOOKS: readonly (keyof WorkerHooks)[] = ["keep", "onDeleted", "onItem", "referenceCache"];

const OF_WORKERS: readonly (keyof GcOptions)[] = [...HOOKS, "barrier"];

/** @throws TypeError where these are no hooks that a run can need. */
export function checkNeeds(needs: unknown): void {
  if (needs === undefined || (Array.isArray(needs) && needs.every((need) => HOOKS.some((hook) => hook === need)))) return;
  throw new TypeError(`needs is ${JSON.stringify(needs)}; expected an array of ${HOOKS.join(", ")}`);
}

/**
 * Options as a plan holds them. JSON knows no infinity: a span of time for ever is 285,000 years.
 *
 * @throws TypeError where one can be in no plan: left out of it without a word, a `keep` would keep nothing.
 */
export function toPlanned(options: GcOptions): PlannedOptions {
  const wrong = OF_WORKERS.find((name) => options[name] !== undefined);
  if (wrong !== undefined) {
    const instead = wrong === "barrier" ? "only markAndSweep takes it" : "give it to the workers, and name it in `needs`";
    throw new TypeError(`option ${wrong} can't be part of a plan that several processes carry out: ${instead}`);
  }
  const finite = (value: unknown) => (value === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : value);
  const planned = Object.entries(givenOptions(options)).filter(([name]) => name !== "onProgress");
  return Object.fromEntries(planned.map(([name, value]) => [name, finite(value)]));
}

/** What a run is asked for; what is left out is as the run was begun. */
export interface Asked {
  readonly options: PlannedOptions;
  readonly shards?: number | undefined;
  readonly needs?: readonly (keyof WorkerHooks)[] | undefined;
}

/**
 * Checks that a run that was begun is what is asked for: whoever asks for a dry run must not be given a real one.
 *
 * @throws TypeError that names what differs.
 */
export function refuseOthers(runId: string, begun: Asked, asked: Asked): void {
  const had = membersOf(begun);
  const wanted = membersOf({
    options: { ...begun.options, ...asked.options },
    shards: asked.shards ?? begun.shards,
    needs: asked.needs ?? begun.needs,
  });
  for (const [name, value] of Object.entries(wanted)) {
    if (JSON.stringify(value) === JSON.stringify(had[name])) continue;
    throw new TypeError(
      `run ${runId} was begun with ${name}: ${JSON.stringify(had[name])}, not ${JSON.stringify(value)}: a run that is continued keeps its options. Leave them out; or begin another run, without this runId`,
    );
  }
}

/** With what is left out as it is then. */
function membersOf({ options, shards = DEFAULT_SHARDS, needs = [] }: Asked): Readonly<Record<string, unknown>> {
  return { ...checkOptions(options), shards, needs: [...needs].sort() };
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
