/** The errors of a driver, told apart: what it says with a code of ours is believed, all else is a failed call. */

import { codeOf, DriverError, isRegistryGcError, messageOf } from "../errors.js";

export function toDriverError(name: string, method: string, path: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true && error === signal.reason) return error;
  const code = codeOf(error);
  // Where nothing is, a walk is empty: one that says so instead has failed.
  const isWalk = method === "walk" && code === "PATH_NOT_FOUND";
  const isTold = isRegistryGcError(error) || code === "PATH_NOT_FOUND" || code === "DRIVER_ERROR" || code === "UNSUPPORTED";
  if (isTold && !isWalk) return error;
  const message = messageOf(error);
  const hint =
    code === "ENOENT" || ABSENCE.test(message)
      ? ". If that means that nothing is there, the driver must reject with the code PATH_NOT_FOUND"
      : "";
  return new DriverError(`${name}: ${method} of ${path} failed: ${message}${hint}`, { driverName: name, path, cause: error });
}

/** What drivers that tell absences in words of their own say. */
const ABSENCE = /\bno such\b|\bnot (be )?found\b|does not exist/i;
