/** Many small files at once, by threads: `undefined` for each that has to be looked at singly. Paths are checked by then. */

import { type AbortOptions, type FileInfo, join, type Visits } from "../../driver.js";
import type { Contents, FileWorkers, ListedPage } from "./fileWorkers.js";

export async function statMany(workers: FileWorkers, paths: readonly string[]): Promise<(FileInfo | undefined)[]> {
  const facts = await workers.ask("stat", paths);
  return paths.map((path, i) => {
    const kind = facts?.[i * 3] ?? 0;
    if (facts === undefined || kind === 0) return undefined;
    const modTime = new Date(facts[i * 3 + 2] ?? Number.NaN);
    return kind === 2 ? { path, isDirectory: true, modTime } : { path, isDirectory: false, size: facts[i * 3 + 1], modTime };
  });
}

/** What a function makes of each path; an abort ends it between two calls. */
export async function visitMany(
  workers: FileWorkers,
  paths: readonly string[],
  { visit, signal }: AbortOptions & { readonly visit: string },
): Promise<Visits> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const onAbort = () => Atomics.store(stop, 0, 1);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const visits = await workers.ask("visit", paths, workers.numberOf(visit), visit, stop);
    const [stat = 0, list = 0, getContent = 0] = visits?.calls ?? [];
    return { answers: contentsOf(paths, visits), calls: { stat, list, getContent } };
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function contentsOf(paths: readonly string[], contents: Contents | undefined): (Uint8Array | undefined)[] {
  let end = 0;
  return paths.map((_, i) => {
    const length = contents?.lengths[i] ?? -1;
    if (length < 0) return undefined;
    end += length;
    return contents?.bytes.subarray(end - length, end);
  });
}

export async function listMany(workers: FileWorkers, paths: readonly string[]): Promise<(Iterable<readonly FileInfo[]> | undefined)[]> {
  const listings = await workers.ask("list", paths);
  return paths.map((path, i) => {
    const pages = listings?.[i];
    // Where a symbolic link leads is a question of its own.
    if (pages === undefined || pages === null || pages.some(({ types }) => types.includes("2"))) return undefined;
    return pagesOf(path, pages);
  });
}

/** Removes files, and returns those that may be there still. */
export async function unlinkMany(workers: FileWorkers, paths: readonly string[]): Promise<string[]> {
  const done = await workers.ask("unlink", paths);
  return paths.filter((_, i) => done?.[i] !== 1);
}

/** Removes directories that are empty: which are gone, and of which that is not sure. */
export async function rmdirMany(workers: FileWorkers, paths: readonly string[]): Promise<{ gone: string[]; unsure: string[] }> {
  const done = await workers.ask("rmdir", paths);
  const gone = paths.filter((_, i) => done?.[i] === 1);
  return { gone, unsure: paths.filter((_, i) => (done?.[i] ?? 0) === 0) };
}

function* pagesOf(directory: string, pages: readonly ListedPage[]): Iterable<readonly FileInfo[]> {
  for (const { names, types } of pages) {
    yield names.split("/").map((name, i) => ({ path: join(directory, name), isDirectory: types[i] === "1" }));
  }
}
