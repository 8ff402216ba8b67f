/** Single files that an online run looks at, writes and takes away. Three answers to each look: there, not there, could not look. */

import type { StorageDriver } from "../driver.js";
import { codeOf, isPathNotFound, UnsupportedError } from "../errors.js";
import { readBounded } from "../internal/readBounded.js";

/** What work gives; `undefined` where there is nothing to be had. Whatever else a driver says is an error. */
export async function unlessAbsent<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isPathNotFound(error)) return undefined;
    throw error;
  }
}

/** Whether a file is there. */
export async function isThere(driver: Pick<StorageDriver, "stat">, path: string): Promise<boolean> {
  return (await unlessAbsent(() => driver.stat(path)))?.isDirectory === false;
}

/** The same by reading it: where listings lag, and a look is one, a read still tells what was just written. */
export async function isReadable(driver: StorageDriver, path: string): Promise<boolean> {
  return (await unlessAbsent(() => readBounded(driver, path, { maxBytes: 0 }))) !== undefined;
}

/** Whether nothing is at a path, as far as anybody can say. */
export async function isSurelyGone(driver: StorageDriver, path: string): Promise<boolean> {
  try {
    return !(await isThere(driver, path));
  } catch {
    return false;
  }
}

/** Whether a move is done, whatever its answer was. What can't be looked at is not known to be. */
export async function isWhollyAt(driver: StorageDriver, destination: string, source: string): Promise<boolean> {
  try {
    return (await isThere(driver, destination)) && !(await isThere(driver, source));
  } catch {
    return false;
  }
}

/** When a file was written: milliseconds since 1970, NaN where unknown; undefined where it is not there. */
export async function timeOf(driver: Pick<StorageDriver, "stat">, path: string): Promise<number | undefined> {
  const info = await unlessAbsent(() => driver.stat(path));
  return info && (info.modTime?.getTime() ?? Number.NaN);
}

/** Some stores tell a time in whole seconds to whoever looks at one file, and in milliseconds in a listing, or the other way round. */
export function isSameWriting(a: number, b: number): boolean {
  const toSeconds = (time: number) => Math.floor(time / 1000) * 1000;
  return a === b || a === toSeconds(b) || b === toSeconds(a);
}

/** Takes a file away; that it is gone already is as good. */
export async function removeFile(driver: Pick<StorageDriver, "delete">, path: string): Promise<void> {
  await unlessAbsent(() => driver.delete(path));
}

/**
 * Writes a whole file; with `ifAbsent` only where there is none. Whether it did.
 *
 * @throws UnsupportedError where the driver can't write: nothing may pass for written that is not.
 */
export async function writeFile(
  driver: StorageDriver,
  path: string,
  bytes: Uint8Array,
  options?: { readonly ifAbsent: true },
): Promise<boolean> {
  if (driver.putContent === undefined) throw new UnsupportedError(`${driver.name} has no putContent: ${path} can't be written`);
  const isWritten: unknown = await driver.putContent(path, bytes, options);
  return isWritten === true;
}

/** Writes a file where there is none; whether it did. */
export async function writeIfAbsent(driver: StorageDriver, path: string, content: string): Promise<boolean> {
  const bytes = Buffer.from(content);
  try {
    return await writeFile(driver, path, bytes, { ifAbsent: true });
  } catch (error) {
    if (codeOf(error) !== "UNSUPPORTED") throw error;
  }
  if (await isThere(driver, path)) return false;
  await writeFile(driver, path, bytes);
  return true;
}
