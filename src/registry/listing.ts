/**
 * Listings that can be trusted: what a driver names is checked to lie where it was asked for, and "not there" is believed only
 * where a listing of the parent agrees.
 */

import { dirname, type FileInfo, isBelow, isName, join, type StorageDriver } from "../driver.js";
import { DriverError, isPathNotFound } from "../errors.js";
import type { Damage, LookOptions } from "../namespace.js";

/** A direct child. */
export interface Entry {
  readonly name: string;
  readonly info: FileInfo;
}

/**
 * The direct children of a directory that a listing named; nothing where it is gone by now. Children that no path of ours can
 * name are reported as unrecognized.
 */
export async function* children(driver: StorageDriver, path: string, options: LookOptions): AsyncIterable<readonly Entry[]> {
  const before = path === "/" ? path : `${path}/`;
  for await (const page of presentPages(driver, path, options)) {
    const entries: Entry[] = [];
    for (const info of page) {
      const name = info.path.slice(before.length);
      const isPlain = isName(name);
      if ((!isPlain && (name === "" || name.includes("/"))) || !info.path.startsWith(before)) {
        throw failure(driver, path, `listing ${path} named ${info.path}, which is no direct child of it`);
      }
      if (info.isDirectory && info.isLink === true) options.onLinkedDirectory?.(info.path);
      if (isPlain) entries.push({ name, info });
      else options.onUnrecognized?.(info.path);
    }
    yield entries;
  }
}

/** Looks at once, each of which finds nothing where a listing of the parent names it: then it is no write under way. */
const ATTEMPTS = 3;

/** Whether to look again after so many looks: at once, and then where listings may lag behind. */
async function mayLookAgain(attempt: number, { awaitListing }: LookOptions): Promise<boolean> {
  return attempt < ATTEMPTS || (await awaitListing?.(attempt - ATTEMPTS)) === true;
}

/** The pages of a listing; none where the directory is gone, or is a plain file: a stray one never stops a run. */
async function* presentPages(driver: StorageDriver, path: string, options: LookOptions): AsyncIterable<readonly FileInfo[]> {
  for (let attempt = 1; ; attempt++) {
    let pages = 0;
    try {
      for await (const page of driver.list(path, options)) {
        pages++;
        yield page;
      }
      return;
    } catch (error) {
      if (!isPathNotFound(error)) {
        if (!(await isPlainFile(driver, path, options))) throw error;
        // The listing of its parent has told the stray; what the directory held is another matter.
        options.onDamage?.(misplacedFile(path));
        return;
      }
      if (await isGone(driver, path, options)) return;
      // Somebody may have made the directory between the two listings. What was told already can't be told again.
      if (pages > 0 || !(await mayLookAgain(attempt, options))) throw denied(driver, path, "listed", error);
    }
  }
}

function denied(driver: StorageDriver, path: string, what: "listed" | "found", cause: unknown): DriverError {
  return failure(driver, path, `${path} can't be ${what}, though a listing of ${dirname(path)} names it`, cause);
}

function failure(driver: StorageDriver, path: string, message: string, cause?: unknown): DriverError {
  return new DriverError(`${driver.name}: ${message}`, { driverName: driver.name, path, ...(cause !== undefined && { cause }) });
}

/** Whether a listing of the parent names this as a file, and not as a directory too: a failed listing is no stray file. */
async function isPlainFile(driver: StorageDriver, path: string, options: LookOptions): Promise<boolean> {
  if (path === "/") return false;
  const named: boolean[] = [];
  try {
    for await (const page of driver.list(dirname(path), options)) {
      for (const info of page) if (info.path === path) named.push(info.isDirectory);
    }
  } catch {
    // The caller throws what its own listing said: it comes first, and says more.
    return false;
  }
  return named.length > 0 && !named.includes(true);
}

/** Whether a path that could not be read is a directory; where that can't be told either, the first error says more. */
export async function isDirectory(driver: StorageDriver, path: string, options: LookOptions): Promise<boolean> {
  try {
    return (await driver.stat(path, options)).isDirectory;
  } catch {
    return false;
  }
}

/** All direct children at once: for directories that are never large. */
export async function allChildren(driver: StorageDriver, path: string, options: LookOptions): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const page of children(driver, path, options)) for (const entry of page) all.push(entry);
  return all;
}

/** Listings of whole directories that are begun before it is their turn. */
export class ListingsAhead {
  private readonly begun = new Map<string, Promise<Entry[]>>();
  private isOver = false;

  constructor(
    private readonly driver: StorageDriver,
    private readonly options: LookOptions,
  ) {}

  begin(path: string): Promise<Entry[]> {
    const known = this.begun.get(path);
    if (known !== undefined) return known;
    const listing = this.list(path);
    listing.catch(() => undefined); // It is thrown when it is taken.
    this.begun.set(path, listing);
    return listing;
  }

  take(path: string): Promise<Entry[]> {
    const listing = this.begin(path);
    this.begun.delete(path);
    return listing;
  }

  /** Has those that nobody took go no further, and waits until they don't. */
  async end(): Promise<void> {
    this.isOver = true;
    await Promise.allSettled(this.begun.values());
  }

  private async list(path: string): Promise<Entry[]> {
    const all: Entry[] = [];
    for await (const page of children(this.driver, path, this.options)) {
      if (this.isOver) break;
      for (const entry of page) all.push(entry);
    }
    return all;
  }
}

/** Whether a path that was not found is gone indeed: the listing of its parent must agree, or the parent be gone itself. */
export async function isGone(driver: StorageDriver, path: string, options: LookOptions): Promise<boolean> {
  if (path === "/") return true;
  const parent = dirname(path);
  try {
    for await (const page of driver.list(parent, options)) {
      if (page.some((info) => info.path === path)) return false;
    }
    return true;
  } catch (error) {
    if (isPathNotFound(error)) return isGone(driver, parent, options);
    if (await isPlainFile(driver, parent, options)) return true;
    throw error;
  }
}

/** What is at a path, `undefined` where nothing is: and then a listing has confirmed it. */
export async function lookAtPath(driver: StorageDriver, path: string, options: LookOptions): Promise<FileInfo | undefined> {
  const info = await unlessGone(driver, path, options, () => driver.stat(path, options));
  if (info?.isLink === true) options.onLinkedDirectory?.(path);
  return info;
}

/** What a look-up at this path gives; `undefined` where a listing confirms that nothing is there; tried again where it denies it. */
export async function unlessGone<T>(
  driver: StorageDriver,
  path: string,
  options: LookOptions,
  look: () => Promise<T>,
): Promise<T | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await look();
    } catch (error) {
      if (!isPathNotFound(error)) throw error;
      if (await isGone(driver, path, options)) return undefined;
      if (!(await mayLookAgain(attempt, options))) throw denied(driver, path, "found", error);
    }
  }
}

/** The child directories with these names, by name; others of these names, and all others, are unrecognized. */
export async function knownDirectories(
  driver: StorageDriver,
  path: string,
  isKnown: (name: string) => boolean,
  options: LookOptions,
): Promise<string[]> {
  const names: string[] = [];
  for (const { name, info } of await allChildren(driver, path, options)) {
    if (info.isDirectory && isKnown(name)) names.push(name);
    else options.onUnrecognized?.(join(path, name));
    if (!info.isDirectory && isKnown(name)) options.onDamage?.(misplacedFile(join(path, name)));
  }
  return names;
}

/** What is wrong where a file stands in the place of a directory that holds links. */
export function misplacedFile(path: string): Damage {
  const message = `${path} is a file, and should be a directory: what it held is not known`;
  return { kind: "misplaced-file", path, message };
}

/** Every file below a path, of a driver that can walk; each checked to lie there. */
export async function* walkBelow(driver: StorageDriver, path: string, options: LookOptions): AsyncIterable<readonly FileInfo[]> {
  for await (const page of driver.walk?.(path, options) ?? []) {
    for (const info of page) {
      if (!isBelow(info.path, path)) {
        throw failure(driver, path, `walking ${path} named ${info.path}, which does not lie below it`);
      }
    }
    yield page;
  }
}
