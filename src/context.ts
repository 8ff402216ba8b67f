/** What surrounds a run, and the check of what a caller hands over, before the first call. */

import type { MeterProvider, TracerProvider } from "@opentelemetry/api";
import { requireMembers, show } from "./arguments.js";
import { type Clock, LAST_TIME } from "./clock.js";
import type { StorageDriver } from "./driver.js";
import type { Logger } from "./logger.js";
import type { Namespace } from "./namespace.js";

/** What surrounds a run. Every field is optional. */
export interface GcContext {
  /**
   * After it fires no further removal starts, calls in flight settle, and the promise rejects with the signal's reason, the
   * partial report attached as `error.report` where the reason is an object.
   */
  readonly signal?: AbortSignal | undefined;
  /** Silent when absent. One that throws never breaks a run. */
  readonly logger?: Logger | undefined;
  /** OpenTelemetry providers; the global ones when absent. */
  readonly tracerProvider?: TracerProvider | undefined;
  readonly meterProvider?: MeterProvider | undefined;
  /** The real one when absent. */
  readonly clock?: Clock | undefined;
}

/**
 * Checks that a driver and a registry are what they must be, before the first call.
 *
 * @throws TypeError that names the member that is missing.
 */
export function checkParts(ctx: GcContext, driver: StorageDriver, registry: Namespace): void {
  requireMembers("ctx", ctx, {});
  const { signal, logger, clock, tracerProvider, meterProvider } = ctx;
  if (signal !== undefined) requireMembers("ctx.signal", signal, { aborted: "boolean", addEventListener: "function" });
  if (logger !== undefined && typeof logger !== "function") requireMembers("ctx.logger", logger, {});
  if (clock !== undefined) checkClock(clock);
  if (tracerProvider !== undefined) requireMembers("ctx.tracerProvider", tracerProvider, { getTracer: "function" });
  if (meterProvider !== undefined) requireMembers("ctx.meterProvider", meterProvider, { getMeter: "function" });
  checkDriver(driver);
  requireMembers("registry", registry, { repositories: "function", blobs: "function" });
}

/** By what is no time everything would be young, or nothing. */
function checkClock(clock: Clock): void {
  requireMembers("ctx.clock", clock, { now: "function", sleep: "function" });
  const now: unknown = clock.now();
  if (typeof now !== "number" || !(Math.abs(now) <= LAST_TIME))
    throw new TypeError(`ctx.clock.now() must give milliseconds since 1970, got ${show(now)}`);
}

/** What a driver may have beside: used where it is found, and so it must be what it is called. */
const ACCELERATORS = [
  ...(["getContent", "walk", "deleteFiles", "pruneDirectories", "putContent", "move"] as const),
  ...(["statMany", "listMany", "visitMany"] as const),
];

/** @throws TypeError that names the member that is missing. */
export function checkDriver(driver: StorageDriver): void {
  requireMembers("driver", driver, { name: "string", stat: "function", list: "function", reader: "function", delete: "function" });
}

/** @throws TypeError that names the accelerator that is none. */
export function checkAccelerators(driver: StorageDriver): void {
  for (const name of ACCELERATORS) if (driver[name] !== undefined) requireMembers("driver", driver, { [name]: "function" });
}
