/** Whether a directory is a registry's root, and which one is where it is not. */

import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../shared/program.js";

const INSIDE = join("docker", "registry", "v2");

/** @throws UsageError that says what to give instead, where that can be told. */
export async function checkRegistryRoot(directory: string): Promise<void> {
  const info = await look(directory);
  if (!info.isDirectory()) throw new UsageError(`${directory} is a file; expected a registry's root directory`);
  if (await isRoot(directory)) return;

  const problem = `${directory} is no registry: it does not hold ${INSIDE}`;
  const outer = await rootAround(resolve(directory));
  if (outer !== undefined) throw new UsageError(`${problem}, but is part of one. Give the registry's root directory: ${outer}`);
  const inner = await rootBelow(directory);
  if (inner !== undefined) throw new UsageError(`${problem}. Did you mean ${inner}?`);
  throw new UsageError(`${problem}. Give the directory that the registry's configuration calls rootdirectory`);
}

async function look(directory: string): Promise<Stats> {
  try {
    return await stat(directory);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(code === "ENOENT" ? `${directory}: there is no such directory` : message);
  }
}

async function isRoot(directory: string): Promise<boolean> {
  try {
    return (await stat(join(directory, INSIDE))).isDirectory();
  } catch {
    return false;
  }
}

/** The root that a directory at or below its `docker` belongs to. */
async function rootAround(directory: string): Promise<string | undefined> {
  for (let inner = directory, outer = dirname(inner); outer !== inner; inner = outer, outer = dirname(inner)) {
    if (basename(inner) === "docker" && (await isRoot(outer))) return outer;
  }
  return undefined;
}

async function rootBelow(directory: string): Promise<string | undefined> {
  for (const name of await readdir(directory)) {
    const child = join(directory, name);
    if (await isRoot(child)) return child;
  }
  return undefined;
}
