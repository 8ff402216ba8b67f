/** The errors of a driver, told apart: what it says with a code of ours is believed, all else is a failed call. */

import { codeOf, DriverError, isRegistryGcError, messageOf } from "../errors.js";

export function toDriverError(name: string, method: string, path: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true && error === signal.reason) return error;
  const code = codeOf(error);
  if (isRegistryGcError(error) || code === "PATH_NOT_FOUND" || code === "DRIVER_ERROR" || code === "UNSUPPORTED") return error;
  return new DriverError(`${name}: ${method} of ${path} failed: ${messageOf(error)}`, { driverName: name, path, cause: error });
}
