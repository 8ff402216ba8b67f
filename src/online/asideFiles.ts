/** The files that lie aside: what each is, by its name, and what the notes among them say. */

import { isAlgorithm, isHexOf } from "../digest.js";
import { type FileInfo, isPath, type StorageDriver } from "../driver.js";
import { isPathNotFound } from "../errors.js";
import { readBounded } from "../internal/readBounded.js";
import type { LookOptions } from "../namespace.js";
import { children, walkBelow } from "../registry/listing.js";
import { isJournalObject } from "./journal.js";

/** What was restored counts as young for a while: noted here, since a moved file keeps its old time. */
export interface RestoredNote {
  readonly path: string;
  readonly digests: readonly string[];
  /** By the storage's clock; NaN where unknown. */
  readonly time: number;
}

const RUN = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;

/** What lies aside under another name would not be found again. */
export function isRunId(name: string): boolean {
  return RUN.test(name);
}

/** What a file of a run is. */
export type AsideFile =
  | { readonly kind: "copy"; readonly runId: string; readonly digest: string }
  | { readonly kind: "journal" | "parts" | "note" | "temporary"; readonly runId: string };

/** As the file system's driver names what it writes, before that has its place. */
const TEMPORARY = /^\.(data\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/** What a path below `directory` is; undefined where it is none of ours. */
export function asideFile(directory: string, path: string): AsideFile | undefined {
  const [runId = "", part, ...rest] = path.slice(directory.length + 1).split("/");
  if (!isPath(path) || !isRunId(runId)) return undefined;
  if (part === "parts") return { kind: "parts", runId };
  if (TEMPORARY.test(rest.at(-1) ?? part ?? "")) return { kind: "temporary", runId };
  if (part === "journal") return rest.length === 1 && isJournalObject(rest[0] ?? "") ? { kind: "journal", runId } : undefined;
  if (part === "restored.json") return { kind: "note", runId };
  const digest = part === "blobs" ? digestOfCopy(rest) : undefined;
  return digest === undefined ? undefined : { kind: "copy", runId, digest };
}

/** The digest of `<algorithm>/<hex>/data`. */
function digestOfCopy([algorithm = "", hex = "", file, ...more]: readonly string[]): string | undefined {
  const isCopy = isAlgorithm(algorithm) && isHexOf(algorithm, hex) && file === "data" && more.length === 0;
  return isCopy ? `${algorithm}:${hex}` : undefined;
}

/** Every file below a directory of ours, however the store lists; and the directories that are empty. */
export async function filesBelow(
  driver: StorageDriver,
  directory: string,
  options: LookOptions,
): Promise<{ readonly files: readonly FileInfo[]; readonly empty: readonly string[] }> {
  const files: FileInfo[] = [];
  if (driver.walk !== undefined) {
    for await (const page of walkBelow(driver, directory, options)) for (const info of page) files.push(info);
    return { files, empty: [] };
  }
  const empty: string[] = [];
  const open = [directory];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    let isEmpty = true;
    for await (const page of children(driver, path, options)) {
      for (const { info } of page) {
        isEmpty = false;
        if (info.isDirectory) open.push(info.path);
        else files.push(info);
      }
    }
    if (isEmpty && path !== directory) empty.push(path);
  }
  return { files, empty };
}

/** A note; undefined where it is none, or no longer there. */
export async function readNote(driver: StorageDriver, path: string, options: LookOptions): Promise<RestoredNote | undefined> {
  try {
    const bytes = await readBounded(driver, path, { signal: options.signal, maxBytes: 64 * 1024 * 1024 });
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    const { modTime } = await driver.stat(path, options);
    if (!Array.isArray(value)) return undefined;
    return { path, digests: value.filter((each) => typeof each === "string"), time: modTime?.getTime() ?? Number.NaN };
  } catch (error) {
    if (isPathNotFound(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
