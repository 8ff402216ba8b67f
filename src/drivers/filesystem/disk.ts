/** Small tools around `node:fs`: bounded reading, and writing that lasts through a loss of power. */

import { constants, promises as fs } from "node:fs";
import { codeOf } from "../../errors.js";

/** Unlinks and symbolic links' look-ups in flight. */
const AT_ONCE = 16;

export async function isOnDisk(file: string): Promise<boolean> {
  try {
    await fs.lstat(file);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

export async function leadsNowhere(file: string): Promise<boolean> {
  try {
    // Whatever else was there a moment ago has gone since.
    if (!(await fs.lstat(file)).isSymbolicLink()) return false;
  } catch {
    return false;
  }
  try {
    await fs.stat(file);
    return false;
  } catch {
    return true;
  }
}

/** A pipe that nobody writes to must hold nobody up: it is read as empty. */
export function openToRead(file: string): Promise<fs.FileHandle> {
  return fs.open(file, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** At most so many bytes from the beginning of a file, however it grows meanwhile. */
export async function readUpTo(file: string, bytes: number): Promise<Uint8Array> {
  const handle = await openToRead(file);
  try {
    const { size } = await handle.stat();
    let buffer = Buffer.allocUnsafe(Math.min(size + 1, bytes));
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes) return buffer.subarray(0, length);
      if (length === buffer.length) buffer = Buffer.concat([buffer], Math.min(length * 2, bytes));
    }
  } finally {
    await handle.close();
  }
}

export async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await fs.open(file, "wx");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function syncFile(file: string): Promise<void> {
  const handle = await fs.open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a new name last through a loss of power, where directories can be synced. */
export async function syncDirectory(directory: string): Promise<void> {
  try {
    await syncFile(directory);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "EINVAL" && code !== "EISDIR" && code !== "EPERM" && code !== "ENOTSUP") throw error;
  }
}

/** Keeps the order; waits for all that was begun before it fails. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    const settled = await Promise.allSettled(items.slice(start, start + AT_ONCE).map(work));
    for (const each of settled) {
      if (each.status === "rejected") throw each.reason;
      results.push(each.value);
    }
  }
  return results;
}
