/** The vectors as data, and how to lay them out. */

import { readdirSync, readFileSync } from "node:fs";
import type { GcOptions, SweepCounts } from "oci-registry-gc";
import type { Store } from "./stores.js";

export interface Vector {
  readonly name: string;
  readonly options: GcOptions;
  readonly files: Readonly<Record<string, string>>;
  readonly emptyDirectories: readonly string[];
  readonly expected: {
    readonly status: string;
    readonly code?: string;
    readonly removed: readonly string[];
    readonly eligible?: SweepCounts;
  };
}

const folder = new URL("../vectors/", import.meta.url);

export function allVectors(): Vector[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => vector(file.slice(0, -".json".length)));
}

export function vector(file: string): Vector {
  return JSON.parse(readFileSync(new URL(`${file}.json`, folder), "utf8")) as Vector;
}

/** Puts a vector's files and directories on a store. */
export async function layOut<S extends Store>({ files, emptyDirectories }: Vector, store: S): Promise<S> {
  for (const [path, content] of Object.entries(files)) await store.put(path, content);
  for (const path of emptyDirectories) await store.makeDirectory(path);
  return store;
}
