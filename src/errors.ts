/**
 * What can go wrong, as classes and as stable codes. Callers compare `code`, never the class: two copies of the package may
 * live in one process, and a driver may be built against another one.
 */

/** The codes of {@link RegistryGcError}. They never change between majors; messages may. */
export type ErrorCode =
  | "PATH_NOT_FOUND"
  | "INVALID_PATH"
  | "INVALID_OFFSET"
  | "INVALID_DIGEST"
  | "DRIVER_ERROR"
  | "DATABASE_IN_USE"
  | "EMPTY_MARK"
  | "DELETE_RATIO"
  | "DAMAGED"
  | "LOCKED"
  | "CLOCK_SKEW"
  | "UNSUPPORTED"
  | "PART_DAMAGED"
  | "WORKER_REFUSED"
  | "QUEUE_FAILED";

const BRAND = Symbol.for("oci-registry-gc.error");

/** The base of every error that this package throws, options' `TypeError`s aside. */
export class RegistryGcError extends Error {
  readonly code: ErrorCode;

  /** Set by a run that ended early: what it knew by then, a `GcReport`. */
  declare report?: unknown;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** True for errors of any copy of this package, too, so that `instanceof` works between its ESM and its CommonJS build. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value) && (super[Symbol.hasInstance](value) || this === RegistryGcError || value.name === this.name);
  }
}

function isBranded(value: unknown): value is Error & { code: ErrorCode } {
  try {
    return isObject(value) && BRAND in value && value instanceof Error;
  } catch {
    // A proxy: what can't be asked is none of ours.
    return false;
  }
}

/** Whether a value is an error of this package, or of another copy of it. */
export function isRegistryGcError(value: unknown): value is RegistryGcError {
  return isBranded(value);
}

/** A driver: nothing at this path. The only way in which a driver may say so; every other error means "could not look". */
export class PathNotFoundError extends RegistryGcError {
  readonly path: string;
  readonly driverName: string;

  constructor(path: string, driverName: string, options?: { cause?: unknown }) {
    super("PATH_NOT_FOUND", `${driverName}: nothing at ${path}`, options);
    this.path = path;
    this.driverName = driverName;
  }
}

/** A path that is not absolute, or has an empty, relative or otherwise forbidden component. */
export class InvalidPathError extends RegistryGcError {
  readonly path: string;
  readonly driverName: string;

  constructor(path: string, driverName: string) {
    super(
      "INVALID_PATH",
      `${driverName}: invalid path ${JSON.stringify(path)}: a path is "/", or components of A-Z a-z 0-9 . _ - with "/" before each`,
    );
    this.path = path;
    this.driverName = driverName;
  }
}

/** A `reader` was asked to begin at an offset that is negative or no whole number. */
export class InvalidOffsetError extends RegistryGcError {
  readonly path: string;
  readonly offset: number;
  readonly driverName: string;

  constructor(path: string, offset: number, driverName: string) {
    super("INVALID_OFFSET", `${driverName}: cannot read ${path} from offset ${offset}: an offset is a whole number, 0 or more`);
    this.path = path;
    this.offset = offset;
    this.driverName = driverName;
  }
}

/** A string that is no digest: `<algorithm>:<hex>`, in lower case, of sha256, sha384 or sha512. */
export class InvalidDigestError extends RegistryGcError {
  readonly digest: string;

  constructor(digest: string) {
    super("INVALID_DIGEST", `not a digest: ${JSON.stringify(digest)}: expected sha256, sha384 or sha512, a colon, and lower-case hex`);
    this.digest = digest;
  }
}

/** Any other failure of a driver. It never means that something is absent. */
export class DriverError extends RegistryGcError {
  readonly driverName: string;
  readonly path: string | undefined;

  constructor(message: string, options: { driverName: string; path?: string; cause?: unknown } = { driverName: "driver" }) {
    super("DRIVER_ERROR", message, "cause" in options ? { cause: options.cause } : undefined);
    this.driverName = options.driverName;
    this.path = options.path;
  }
}

/** A metadata database owns this storage: what the file tree says is not what the registry serves. */
export class DatabaseInUseError extends RegistryGcError {
  constructor(path: string) {
    super(
      "DATABASE_IN_USE",
      `database managed filesystem, cannot continue: ${path} says that a metadata database owns this registry; use the registry's own online garbage collection`,
    );
  }
}

/** There are blobs, but not one repository was found: a wrong root, a disk that is not mounted, a listing that lied. */
export class EmptyMarkError extends RegistryGcError {
  constructor(message: string) {
    super("EMPTY_MARK", message);
  }
}

/** The plan would delete a larger share of the blobs than `maxDeleteRatio` allows. */
export class DeleteRatioError extends RegistryGcError {
  constructor(message: string) {
    super("DELETE_RATIO", message);
  }
}

/** Damage was found, and `onDamage: "abort"` was asked for; or nothing tells what a damaged manifest needs. */
export class DamagedRegistryError extends RegistryGcError {
  constructor(message: string) {
    super("DAMAGED", message);
  }
}

/** Another run holds the lock of this registry. */
export class LockedError extends RegistryGcError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("LOCKED", message, options);
  }
}

/** The storage's clock and ours differ too much to tell what is young. */
export class ClockSkewError extends RegistryGcError {
  constructor(message: string) {
    super("CLOCK_SKEW", message);
  }
}

/** A driver was asked for something that its store can't do. */
export class UnsupportedError extends RegistryGcError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("UNSUPPORTED", message, options);
  }
}

/** The `code` of an error of anyone's, where it has one. */
export function codeOf(error: unknown): string | undefined {
  try {
    const code: unknown = isObject(error) && "code" in error ? error.code : undefined;
    return typeof code === "string" ? code : undefined;
  } catch {
    // A getter or a proxy: what can't be asked has none.
    return undefined;
  }
}

/** Whether a driver said that nothing is there: by code, since a driver may be built against another copy of this package. */
export function isPathNotFound(error: unknown): boolean {
  return codeOf(error) === "PATH_NOT_FOUND";
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  try {
    const told: unknown = error instanceof Error ? error.message : error;
    return String(told);
  } catch {
    return "something that can't be told";
  }
}

/** Gives what a run rejects with the report of what it knew by then. One that takes no property is rejected with all the same. */
export function attachReport(error: unknown, report: object): void {
  if (!isObject(error)) return;
  try {
    Reflect.defineProperty(error, "report", { value: report, configurable: true, enumerable: false, writable: true });
  } catch {
    // A proxy.
  }
}

/** Whether a value can have properties, and is no function. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
