import type { StorageDriver } from "../driver.js";
import { DriverError, PathNotFoundError } from "../errors.js";
import { type DriverCall, type DriverMethod, InterceptedDriver } from "./interceptedDriver.js";

/** Which calls a fault strikes: those that fulfil everything that is said here. */
export interface FaultAim {
  /** The n-th call of all, from 1. */
  readonly call?: number | undefined;
  readonly method?: DriverMethod | readonly DriverMethod[] | undefined;
  /** The n-th call of those that `method` and `path` let through, from 1. */
  readonly nth?: number | undefined;
  /** All later ones, too: a crash, a cable that was pulled. */
  readonly andAfter?: boolean | undefined;
  /** Calls with a path that this is true of. */
  readonly path?: ((path: string) => boolean) | undefined;
}

/**
 * What a fault does.
 *
 * - `fail`: nothing is done, and the call rejects.
 * - `fail-late`: it is done, and yet the call rejects: an answer that got lost.
 * - `hang`: nothing comes back until the signal is aborted.
 * - `delay`: it is done after `ms`.
 * - `absent`: a lie: nothing is there.
 * - `pretend`: a lie: it is done (a listing is empty, all was deleted), and it isn't.
 */
export type FaultKind = "fail" | "fail-late" | "hang" | "delay" | "absent" | "pretend";

/** A fault: where, what, and with which error. */
export interface Fault {
  readonly on: FaultAim;
  readonly does: FaultKind;
  /** What `fail` and `fail-late` reject with. Default: a `DriverError`. */
  readonly error?: unknown;
  /** Milliseconds of a `delay`. Default 1. */
  readonly ms?: number | undefined;
}

/** A driver that fails, hangs, delays or lies at chosen calls, and does its work otherwise. The first fault that fits strikes. */
export class FaultyDriver extends InterceptedDriver {
  private readonly tally: Tally;

  constructor(inner: StorageDriver, faults: readonly Fault[]) {
    const tally = new Tally(faults);
    super(inner, async (call, proceed) => {
      call.signal?.throwIfAborted();
      const fault = tally.strike(call);
      return fault === undefined ? proceed() : act(fault, call, inner.name, proceed);
    });
    this.tally = tally;
  }

  /** Calls until now, pages included. */
  get calls(): number {
    return this.tally.calls;
  }

  /** Faults that struck until now. */
  get strikes(): number {
    return this.tally.strikes;
  }
}

class Tally {
  calls = 0;
  strikes = 0;
  private readonly matches: number[];

  constructor(private readonly faults: readonly Fault[]) {
    this.matches = faults.map(() => 0);
  }

  strike(call: DriverCall): Fault | undefined {
    this.calls++;
    let found: Fault | undefined;
    for (const [i, fault] of this.faults.entries()) {
      if (!matches(fault.on, call)) continue;
      const nth = (this.matches[i] ?? 0) + 1;
      this.matches[i] = nth;
      if (reached(fault.on, fault.on.call, this.calls) && reached(fault.on, fault.on.nth, nth)) found ??= fault;
    }
    if (found !== undefined) this.strikes++;
    return found;
  }
}

function matches({ method, path }: FaultAim, call: DriverCall): boolean {
  const isMethod = method === undefined || (typeof method === "string" ? method === call.method : method.includes(call.method));
  return isMethod && (path === undefined || call.paths.some((each) => path(each)));
}

function reached({ andAfter }: FaultAim, wanted: number | undefined, actual: number): boolean {
  return wanted === undefined || actual === wanted || (andAfter === true && actual > wanted);
}

async function act<T>(fault: Fault, call: DriverCall, driverName: string, proceed: () => Promise<T>): Promise<T> {
  const path = call.paths[0] ?? "/";
  const error =
    "error" in fault ? fault.error : new DriverError(`${driverName}: ${call.method} ${path} fails on purpose`, { driverName, path });
  switch (fault.does) {
    case "fail":
      throw error;
    case "fail-late":
      await proceed().catch(() => undefined);
      throw error;
    case "hang":
      return untilAborted(call.signal);
    case "delay":
      await new Promise((resolve) => setTimeout(resolve, fault.ms ?? 1));
      return proceed();
    case "absent":
      throw new PathNotFoundError(path, driverName);
    case "pretend":
      return pretended(call.method) as T;
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** What a method answers when all went well and there was nothing. */
function pretended(method: DriverMethod): unknown {
  if (method === "list" || method === "walk") return { done: true, value: undefined };
  if (method === "deleteFiles") return [];
  if (method === "putContent") return true;
  return method === "getContent" ? new Uint8Array() : undefined;
}
