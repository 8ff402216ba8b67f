import { type Dirent, promises as fs, type Stats } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { type AbortOptions, checkPath, dirname, type Failure, type FileInfo, join, type StorageDriver, type Visits } from "../driver.js";
import { InvalidOffsetError, InvalidPathError, isPathNotFound } from "../errors.js";
import { inParallel, leadsNowhere, openToRead, readUpTo } from "./filesystem/disk.js";
import { FileWorkers } from "./filesystem/fileWorkers.js";
import { listMany, statMany, visitMany } from "./filesystem/manyFiles.js";
import { moveFile, putFile } from "./filesystem/placing.js";
import { removeEmptyDirectories, removeFiles } from "./filesystem/removing.js";
import { Root } from "./filesystem/root.js";

export { fileReferenceCache } from "./filesystem/fileReferenceCache.js";

const PAGE = 1000;

/**
 * A directory tree of a local or mounted file system.
 *
 * Symbolic links are followed when reading and listing, as registries do; one that leads nowhere is an error, since the disk that
 * it leads to may not be mounted, and one that leads back to a directory that it is reached through is listed as no directory. Removing a
 * link removes the link.
 */
export class FilesystemDriver implements StorageDriver {
  readonly name = "filesystem";
  readonly manyOf: Pick<StorageDriver, "stat" | "list" | "getContent"> = SINGLE;
  private readonly root: Root;
  private readonly workers: FileWorkers;

  /**
   * @param options - `root`: the directory that paths are below.
   * @throws TypeError where `root` is no string.
   */
  constructor(options: { readonly root: string }) {
    const root: unknown = (options as { root?: unknown } | undefined)?.root;
    if (typeof root !== "string" || root === "") {
      throw new TypeError(`option root is ${JSON.stringify(root)}; expected the path of a directory`);
    }
    // Threads put paths behind it as they are, single calls join them: where it leads through ".." these must not differ.
    this.root = new Root(resolve(root), this.name);
    this.workers = new FileWorkers(this.root.directory);
  }

  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    const file = this.begin(path, options);
    try {
      const stats = await fs.lstat(file);
      return stats.isSymbolicLink() ? { ...infoOf(path, await fs.stat(file)), isLink: true } : infoOf(path, stats);
    } catch (error) {
      throw await this.root.failure("stat", path, error);
    }
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    const directory = this.begin(path, options);
    let entries: Dirent[];
    try {
      entries = await fs.readdir(directory, { withFileTypes: true });
    } catch (error) {
      throw await this.root.failure("list", path, error);
    }
    for (let start = 0; start < entries.length; start += PAGE) {
      options?.signal?.throwIfAborted();
      const page = entries.slice(start, start + PAGE);
      if (page.some((entry) => entry.isSymbolicLink()))
        yield (await inParallel(page, (entry) => this.infoOfEntry(path, entry))).filter((info) => info !== undefined);
      else yield page.map((entry) => ({ path: join(path, entry.name), isDirectory: entry.isDirectory() }));
    }
  }

  async reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable> {
    const file = this.begin(path, options);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    try {
      const handle = await openToRead(file);
      // Without a place to start from where it is the beginning: a pipe has none.
      return handle.createReadStream({ ...(offset > 0 && { start: offset }), ...(options?.signal && { signal: options.signal }) });
    } catch (error) {
      throw await this.root.failure("read", path, error);
    }
  }

  async getContent(path: string, options?: AbortOptions & { readonly maxBytes?: number }): Promise<Uint8Array> {
    const file = this.begin(path, options);
    try {
      return await readUpTo(file, (options?.maxBytes ?? Number.POSITIVE_INFINITY) + 1);
    } catch (error) {
      throw await this.root.failure("read", path, error);
    }
  }

  async statMany(paths: readonly string[], options?: AbortOptions): Promise<readonly (FileInfo | undefined)[]> {
    this.beginMany(paths, options);
    return statMany(this.workers, paths);
  }

  async visitMany(paths: readonly string[], options: AbortOptions & { readonly visit: string }): Promise<Visits> {
    this.beginMany(paths, options);
    return visitMany(this.workers, paths, options);
  }

  async listMany(paths: readonly string[], options?: AbortOptions): Promise<readonly (Iterable<readonly FileInfo[]> | undefined)[]> {
    this.beginMany(paths, options);
    return listMany(this.workers, paths);
  }

  async delete(path: string, options?: AbortOptions): Promise<void> {
    const file = this.begin(path, options);
    if (path === "/") throw new InvalidPathError(path, this.name);
    try {
      await fs.rm(file, { recursive: true });
    } catch (error) {
      throw await this.root.failure("delete", path, error);
    }
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    this.beginMany(paths, options);
    return removeFiles(this.root, this.workers, paths, options);
  }

  async pruneDirectories(paths: readonly string[], options: AbortOptions & { readonly upTo: string }): Promise<void> {
    this.beginMany([...paths, options.upTo], options);
    await removeEmptyDirectories(this.root, this.workers, paths, options);
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean> {
    return putFile(this.root, path, this.begin(path, options), { bytes, ifAbsent: options?.ifAbsent === true });
  }

  async move(source: string, destination: string, options?: AbortOptions): Promise<void> {
    this.begin(source, options);
    checkPath(destination, this.name);
    await moveFile(this.root, source, destination);
  }

  private begin(path: string, options: AbortOptions | undefined): string {
    options?.signal?.throwIfAborted();
    checkPath(path, this.name);
    return this.root.onDisk(path);
  }

  private beginMany(paths: readonly string[], options: AbortOptions | undefined): void {
    options?.signal?.throwIfAborted();
    for (const path of paths) checkPath(path, this.name);
  }

  /** `undefined` where it is gone by now. */
  private async infoOfEntry(directory: string, entry: Dirent): Promise<FileInfo | undefined> {
    const path = join(directory, entry.name);
    if (!entry.isSymbolicLink()) return { path, isDirectory: entry.isDirectory() };
    try {
      const target = await fs.stat(this.root.onDisk(path));
      if (target.isDirectory() && (await this.leadsBack(path))) return { path, isDirectory: false };
      return { ...infoOf(path, target), isLink: true };
    } catch (error) {
      if (await leadsNowhere(this.root.onDisk(path)))
        throw this.root.error(path, `the symbolic link ${path} leads nowhere: is what it leads to mounted?`, error);
      // Somebody has taken the link away, or put something else in its place, since the directory was read.
      return this.statIfThere(path);
    }
  }

  private async statIfThere(path: string): Promise<FileInfo | undefined> {
    try {
      return await this.stat(path);
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  /**
   * Whether a linked directory is one that its own path goes through. One that merely encloses such a one is entered: it may hold
   * repositories beside, and in it the way back is a link, or a directory that was gone through.
   */
  private async leadsBack(path: string): Promise<boolean> {
    const target = await fs.realpath(this.root.onDisk(path));
    for (let each = dirname(path); ; each = dirname(each)) {
      if ((await fs.realpath(this.root.onDisk(each))) === target) return true;
      if (each === "/") return false;
    }
  }
}

/** As they are when this is loaded: whoever patches one of them later is asked by it. */
const SINGLE = pick(FilesystemDriver.prototype, ["stat", "list", "getContent"]);

function pick<T, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

function infoOf(path: string, stats: Stats): FileInfo {
  if (stats.isDirectory()) return { path, isDirectory: true, modTime: stats.mtime };
  return { path, isDirectory: false, size: stats.size, modTime: stats.mtime };
}
