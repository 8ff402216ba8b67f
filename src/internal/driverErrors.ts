/** The errors of a driver, told apart: what only a driver can know is believed, all else is a failed call. */

import { codeOf, DriverError, isRegistryGcError, messageOf, UnsupportedError } from "../errors.js";

/** What of this package's errors is a driver's to throw: of locks, marks and damage it knows nothing. */
const DRIVERS_OWN: ReadonlySet<string | undefined> = new Set([
  "DRIVER_ERROR",
  "UNSUPPORTED",
  "INVALID_PATH",
  "INVALID_OFFSET",
  "INVALID_DIGEST",
]);
/** Where nothing is, a walk is empty, and a write writes: one that says so instead has failed. */
const NEVER_ABSENT: ReadonlySet<string> = new Set(["walk", "putContent"]);
/** What drivers that tell absences in words of their own say. */
const ABSENCE = /\bno such\b|\bnot (be )?found\b|does not exist/i;

export function toDriverError(name: string, method: string, path: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true && error === signal.reason) return error;
  const code = codeOf(error);
  if (code === "PATH_NOT_FOUND" && !NEVER_ABSENT.has(method)) return error;
  if (isRegistryGcError(error) && DRIVERS_OWN.has(code)) return error;
  const told = messageOf(error);
  const message = `${name}: ${method} of ${path} failed: ${told}`;
  if (code === "UNSUPPORTED") return new UnsupportedError(message, { cause: error });
  const hint =
    code === "ENOENT" || ABSENCE.test(told)
      ? ". If that means that nothing is there, the driver must reject with the code PATH_NOT_FOUND"
      : "";
  return new DriverError(`${message}${hint}`, { driverName: name, path, cause: error });
}
