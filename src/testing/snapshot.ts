import type { FileInfo, StorageDriver } from "../driver.js";
import { isPathNotFound } from "../errors.js";

/** A file of a snapshot. */
export interface SnapshotFile {
  readonly bytes: Uint8Array;
  readonly modTime?: Date | undefined;
}

/** A whole storage, held in memory. */
export interface Snapshot {
  readonly files: ReadonlyMap<string, SnapshotFile>;
  /** Paths that are directories, empty ones too; stores without real directories name those that files imply. */
  readonly directories: ReadonlySet<string>;
}

/** Reads everything below a path; where nothing is, the snapshot is empty. Memory: all of it; it is made for tests. */
export async function snapshotOf(driver: StorageDriver, path = "/"): Promise<Snapshot> {
  const files = new Map<string, SnapshotFile>();
  const directories = new Set<string>();
  const open = [path];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    for await (const page of pagesOf(driver, directory, directory === path)) {
      for (const info of page) {
        if (info.isDirectory) {
          directories.add(info.path);
          open.push(info.path);
        } else {
          const modTime = info.modTime ?? (await driver.stat(info.path)).modTime;
          files.set(info.path, { bytes: await contentOf(driver, info.path), modTime });
        }
      }
    }
  }
  return { files, directories };
}

async function* pagesOf(driver: StorageDriver, directory: string, mayBeAbsent: boolean): AsyncIterable<readonly FileInfo[]> {
  try {
    yield* driver.list(directory);
  } catch (error) {
    if (!mayBeAbsent || !isPathNotFound(error)) throw error;
  }
}

async function contentOf(driver: StorageDriver, path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await driver.reader(path)) as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
