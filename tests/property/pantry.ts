/** Stores that a snapshot is put into, with its times, and what tells the state of a store. */

import { utimesSync } from "node:fs";
import { join } from "node:path";
import { type GcContext, type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FlatDriver, type Snapshot, snapshotOf } from "oci-registry-gc/testing";
import { filesystemStore, leastStore } from "../support/stores.js";
import { NOW } from "./recipes.js";

/** How many random registries a property looks at: `RUNS` multiplies; the default keeps all of them below a minute. */
export const runs = (count: number): number => Math.max(1, Math.round(count * Number(process.env["RUNS"] ?? 1)));

/** The same registries every time; `SEED` shows others. */
export const seed = (number: number): number => number + 1000 * Number(process.env["SEED"] ?? 0);

export const STORES = ["memory", "flat", "least"] as const;
export type StoreName = (typeof STORES)[number] | "filesystem";

/** A store with a snapshot in it; its own times go on from `NOW`. */
export async function stocked(snapshot: Snapshot, name: StoreName = "memory"): Promise<StorageDriver> {
  if (name === "filesystem") return stockedFolder(snapshot);
  let time = NOW;
  const inner = name === "flat" ? new FlatDriver({ now: () => time, pageSize: 3 }) : new MemoryDriver({ now: () => time });
  for (const [path, { bytes, modTime }] of snapshot.files) {
    time = modTime?.getTime() ?? NOW;
    await inner.putContent(path, bytes);
  }
  for (const directory of name === "flat" ? [] : snapshot.directories) await makeDirectory(inner, directory);
  time = NOW;
  return name === "least" ? least(inner) : inner;
}

async function makeDirectory(driver: StorageDriver, path: string): Promise<void> {
  await driver.putContent?.(`${path}/.keep`, new Uint8Array());
  await driver.delete(`${path}/.keep`);
}

async function stockedFolder({ files, directories }: Snapshot): Promise<StorageDriver> {
  const { driver, folder, put } = filesystemStore();
  for (const directory of directories) await makeDirectory(driver, directory);
  for (const [path, { bytes, modTime }] of files) {
    await put(path, bytes);
    if (modTime !== undefined) utimesSync(join(folder, path), modTime, modTime);
  }
  return driver;
}

function least(driver: StorageDriver): StorageDriver {
  return {
    name: leastStore().driver.name,
    stat: (path, options) => driver.stat(path, options),
    list: (path, options) => driver.list(path, options),
    reader: (path, options) => driver.reader(path, options),
    delete: (path, options) => driver.delete(path, options),
  };
}

/** A clock that stands still. */
export const clock = { now: () => NOW, sleep: async () => undefined };

/** A run, and how it ended. */
export async function collect(
  driver: StorageDriver,
  options: GcOptions,
  ctx: GcContext = {},
): Promise<{ report?: GcReport; code?: string; error?: unknown }> {
  try {
    const report = await markAndSweep({ clock, ...ctx }, driver, openRegistry(driver), { maxDeleteRatio: 1, ...options });
    return { report };
  } catch (error) {
    if (error instanceof TypeError) throw error;
    const { code, report } = error as { code?: string; report?: GcReport };
    return { error, ...(code === undefined ? {} : { code }), ...(report === undefined ? {} : { report }) };
  }
}

/** The registry's files, without what the collector keeps beside them. */
export async function filesIn(driver: StorageDriver): Promise<Set<string>> {
  const { files } = await snapshotOf(driver);
  return new Set([...files.keys()].filter((path) => !path.includes("/lockfiles/") && !path.includes("/_gc/")));
}

/** What is in `expected` and not in `there`. */
export function missingFrom(there: ReadonlySet<string>, expected: Iterable<string>): string[] {
  return [...expected].filter((path) => !there.has(path));
}
