/**
 * The contract of a storage driver: where a registry's bytes live.
 *
 * What a caller may assume, and an implementer must keep:
 *
 * - Paths are absolute and `/`-separated: `/`, or components of `A-Z a-z 0-9 . _ -` with a `/` before each. Others reject with
 *   `INVALID_PATH`.
 * - "Not there" is said with `PATH_NOT_FOUND`, and only then. Every other error means "could not look": the collector deletes
 *   nothing on its account.
 * - A mere prefix of a name is not there: where `/a/bc` is, `/a/b` is absent, and deleting `/a/b` leaves `/a/bc`.
 * - After a write, a move or a delete has resolved, `stat` and `reader` see it. Listings may lag on weak stores.
 * - Every method takes `{ signal }` last. One that is aborted already rejects with its reason before anything is done.
 * - Symbolic links of a file system are followed for reading and listing, as registries do. One that leads nowhere is a look-up
 *   that failed, never an absence. Removing one removes the link; no removal descends through one.
 */

import type { Readable } from "node:stream";
import { InvalidPathError } from "./errors.js";

/** The last argument of every method. */
export interface AbortOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What a driver knows of a path. */
export interface FileInfo {
  readonly path: string;
  readonly isDirectory: boolean;
  /** Bytes. In listings only where the listing has it for free. */
  readonly size?: number | undefined;
  /** When the content was last written, by the storage's clock. In listings only where the listing has it for free. */
  readonly modTime?: Date | undefined;
  /** The MD5 of the content, where the listing has it for free. */
  readonly md5?: Uint8Array | undefined;
  /** Whether it is a symbolic link, so that another path may lead to the same; of a file only `stat` need tell. */
  readonly isLink?: boolean | undefined;
}

/** A removal that did not come about. */
export interface Failure {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** What a visit looks at things with: at once, without promises, as the single methods would tell. Each throws where it can't. */
export interface VisitedFiles {
  /** What is at a path, if anything is; it throws where that is a symbolic link. Its time is in milliseconds since 1970. */
  stat(path: string): { isDirectory(): boolean; readonly size: number; readonly mtimeMs: number } | undefined;
  /** The direct children of a directory; a symbolic link is none here. */
  list(path: string): readonly { readonly name: string; isDirectory(): boolean }[];
  /** The first bytes of a file, `maxBytes` at most; good until the next reading. */
  read(path: string, maxBytes: number): Uint8Array;
  /** Like `read`, but it may stop at the first read that comes up short: only for content that is verified afterwards. */
  readOnce(path: string, maxBytes: number): Uint8Array;
}

/** What visits came to. */
export interface Visits {
  readonly answers: readonly (Uint8Array | undefined)[];
  /** How often each was called in all of them. */
  readonly calls: Readonly<Record<"stat" | "list" | "getContent", number>>;
}

/** Where a registry's bytes live. Five members are required; the rest are accelerators, used where they are found. */
export interface StorageDriver {
  /** Shown in reports, logs and spans. */
  readonly name: string;

  /** What is at this path. `PATH_NOT_FOUND` if nothing is. */
  stat(path: string, options?: AbortOptions): Promise<FileInfo>;

  /**
   * Pages of the **direct** children, in any order. `PATH_NOT_FOUND` if nothing is at the path or below it; an empty directory
   * is an empty listing.
   */
  list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]>;

  /** The content from `offset` (bytes, default 0) to its end. */
  reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable | ReadableStream<Uint8Array>>;

  /** Removes the path and all below it, nothing beside it. `PATH_NOT_FOUND` if nothing is there. */
  delete(path: string, options?: AbortOptions): Promise<void>;

  /**
   * A whole small object. Where it is larger than `maxBytes`, at least `maxBytes + 1` bytes of it, so that the caller can tell:
   * never a silent cut. Absent: the collector reads {@link StorageDriver.reader} up to the limit.
   */
  getContent?(path: string, options?: AbortOptions & { readonly maxBytes?: number }): Promise<Uint8Array>;

  /** Every **file** below the path, flat, in any order, with size and time. Nothing below is an empty listing. */
  walk?(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]>;

  /** Removes exactly these files, in bulk; an absent one counts as removed, a directory is left. Resolves with what is still there. */
  deleteFiles?(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]>;

  /**
   * For stores with real directories: removes each of these directories that is empty, then its parents while they are empty
   * and below `upTo`; never recursively, by an operation that fails where anything is inside.
   */
  pruneDirectories?(paths: readonly string[], options: AbortOptions & { readonly upTo: string }): Promise<void>;

  /** What was found out about the store by now and belongs in a report, in sentences: say, that it keeps what was deleted. */
  readonly remarks?: readonly string[] | undefined;

  /**
   * For stores where many small questions are asked faster together. For each path, in the order asked, what the single method would
   * give, or `undefined` where that is to be asked after all: these tell no absence and no failure.
   *
   * `manyOf` holds the single members that they stand for. Where a wrapper or a subclass has replaced one of these, the replacement is
   * called instead of the method for many.
   */
  readonly manyOf?: Pick<StorageDriver, "stat" | "list" | "getContent"> | undefined;
  statMany?(paths: readonly string[], options?: AbortOptions): Promise<readonly (FileInfo | undefined)[]>;
  listMany?(paths: readonly string[], options?: AbortOptions): Promise<readonly (Iterable<readonly FileInfo[]> | undefined)[]>;

  /**
   * For stores that can have a function look at many small things where they are, as in a thread: for each path, in the order asked,
   * what the function makes of it, or `undefined` where the single methods are to be asked after all: since one of its calls failed, it
   * made nothing or threw. It tells no absence and no failure. `manyOf` holds for it, too: all three are to be the driver's own.
   *
   * `visit` is the text of a JavaScript function that is given `node:crypto`, and returns the function of {@link VisitedFiles} and a
   * path. It uses no other module, asks for nothing but the path and what lies below it, and keeps nothing of what it is given.
   */
  visitMany?(paths: readonly string[], options: AbortOptions & { readonly visit: string }): Promise<Visits>;

  /**
   * Writes a whole object, atomically. With `ifAbsent` only where nothing is, and the answer is whether it did; a store that
   * can't tell rejects with `UNSUPPORTED`.
   */
  putContent?(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean>;

  /** Moves a file to a place where nothing is; its time may stay the old one. */
  move?(source: string, destination: string, options?: AbortOptions): Promise<void>;
}

const PATH = /^\/[A-Za-z0-9._/-]+$/;
const RELATIVE = /\/\.\.?(\/|$)/;

/** What can be one component of a path, but for "." and "..". */
export const NAME = /^[A-Za-z0-9._-]+$/;

/** Whether this can be one component of a path. */
export function isName(name: string): boolean {
  return NAME.test(name) && name !== "." && name !== "..";
}

/** Whether this is a path that a driver may be asked for. */
export function isPath(path: unknown): path is string {
  if (typeof path !== "string") return false;
  if (path === "/") return true;
  // One pattern for all of it takes three times as long, and every path is looked at.
  return PATH.test(path) && !path.includes("//") && !path.endsWith("/") && !(path.includes("/.") && RELATIVE.test(path));
}

/**
 * Checks a path at a driver's door.
 *
 * @throws {@link InvalidPathError}
 */
export function checkPath(path: string, driverName: string): void {
  if (!isPath(path)) throw new InvalidPathError(path, driverName);
}

/** `directory` + `/` + `name`, with no doubled slash at the root. */
export function join(directory: string, name: string): string {
  return directory === "/" ? `/${name}` : `${directory}/${name}`;
}

/** The directory that a path lies in; the root lies in itself. */
export function dirname(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? "/" : path.slice(0, slash);
}

/** The last component of a path. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether `path` lies below `directory`: at a path boundary, not merely with the same beginning. */
export function isBelow(path: string, directory: string): boolean {
  return directory === "/" ? path.length > 1 : path.startsWith(`${directory}/`);
}
