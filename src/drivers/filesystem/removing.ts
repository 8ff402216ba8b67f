/** Removing many files and directories: by threads, and singly what they could not. Paths are checked by then. */

import { promises as fs } from "node:fs";
import { type AbortOptions, dirname, type Failure, isBelow } from "../../driver.js";
import { codeOf, PathNotFoundError } from "../../errors.js";
import { inParallel } from "./disk.js";
import type { FileWorkers } from "./fileWorkers.js";
import { rmdirMany, unlinkMany } from "./manyFiles.js";
import type { Root } from "./root.js";

/** Removals in one message to a thread: a few milliseconds. */
const AT_ONCE = 128;

/** Removes these files, and tells which are left, and why. */
export async function removeFiles(
  root: Root,
  workers: FileWorkers,
  paths: readonly string[],
  options: AbortOptions | undefined,
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  for (let start = 0; start < paths.length; start += AT_ONCE) {
    const some = paths.slice(start, start + AT_ONCE);
    const left = options?.signal?.aborted === true ? some : await unlinkMany(workers, some);
    await inParallel(left, async (path) => {
      // What is gone by then is told: a rejection would hide it.
      const failure = options?.signal?.aborted === true ? aborted(path) : await unlink(root, path);
      if (failure !== undefined) failures.push(failure);
    });
  }
  return failures;
}

async function unlink(root: Root, path: string): Promise<Failure | undefined> {
  try {
    await fs.unlink(root.onDisk(path));
    return undefined;
  } catch (error) {
    const failure = await root.failure("delete", path, error);
    if (failure instanceof PathNotFoundError) return undefined;
    return { path, code: "DRIVER_ERROR", message: failure.message };
  }
}

function aborted(path: string): Failure {
  return { path, code: "ABORTED", message: `${path} was left: the removal was aborted` };
}

/** Removes those of these directories that are empty, then their parents, below `upTo`. */
export async function removeEmptyDirectories(
  root: Root,
  workers: FileWorkers,
  paths: readonly string[],
  options: AbortOptions & { readonly upTo: string },
): Promise<void> {
  // Level by level: a parent is tried once, when all that was to go from it has gone.
  for (let level = new Set(paths); level.size > 0; ) {
    const parents = new Set<string>();
    const below = [...level].filter((path) => isBelow(path, options.upTo));
    for (let start = 0; start < below.length; start += AT_ONCE) {
      options.signal?.throwIfAborted();
      const { gone, unsure } = await rmdirMany(workers, below.slice(start, start + AT_ONCE));
      for (const path of unsure) if (await isPruned(root, path)) gone.push(path);
      for (const path of gone) parents.add(dirname(path));
    }
    level = parents;
  }
}

/** Whether the directory is gone; one that holds anything stays. */
async function isPruned(root: Root, path: string): Promise<boolean> {
  try {
    await fs.rmdir(root.onDisk(path));
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return true;
    // ENOTDIR: a symbolic link to a directory, or a file; both stay.
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") return false;
    throw await root.failure("remove the directory", path, error);
  }
}
