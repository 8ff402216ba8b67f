/** Errors on their way from a worker to whoever waits: as plain JSON, and back. */

import { attachReport, codeOf, type ErrorCode, isObject, isRegistryGcError, messageOf, RegistryGcError } from "../errors.js";
import type { GcReport } from "../report.js";

export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
  /** Whether it is one of this package's. */
  readonly isOurs: boolean;
  /** What else it tells: `path`, `driverName` and their like. */
  readonly fields: Readonly<Record<string, string | number>>;
}

/** How a run ended. */
export interface Outcome {
  readonly report?: GcReport | undefined;
  readonly error?: PlainError | undefined;
}

export function toPlain(error: unknown): PlainError {
  const fields = Object.entries(isObject(error) ? error : {}).filter(
    ([name, value]) => !["name", "message", "code", "stack"].includes(name) && (typeof value === "string" || typeof value === "number"),
  ) as [string, string | number][];
  return {
    name: error instanceof Error ? error.name : "Error",
    message: messageOf(error),
    code: codeOf(error),
    isOurs: isRegistryGcError(error),
    fields: Object.fromEntries(fields),
  };
}

/** The same error, as far as callers tell errors apart: by `code`, name and message, and `instanceof` for this package's. */
export function toError({ name, message, code, isOurs, fields }: PlainError, report?: GcReport): Error {
  const error = isOurs
    ? new RegistryGcError(code as ErrorCode, message)
    : name === "TypeError"
      ? new TypeError(message)
      : new Error(message);
  error.name = name;
  Object.assign(error, fields, code === undefined ? {} : { code });
  if (report !== undefined) attachReport(error, report);
  return error;
}

/** What a storage does at one moment it may not do at the next. */
const PASSING: ReadonlySet<string> = new Set(["DRIVER_ERROR", "PATH_NOT_FOUND"]);

/** Whether a part that failed like this is worth another attempt; a refusal stays one. */
export function mayPass(error: unknown): boolean {
  return !isRegistryGcError(error) || PASSING.has(error.code);
}
