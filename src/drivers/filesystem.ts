import { randomUUID } from "node:crypto";
import { constants, type Dirent, promises as fs, type Stats } from "node:fs";
import { dirname as osDirname, join as osJoin, resolve, sep } from "node:path";
import type { Readable } from "node:stream";
import {
  type AbortOptions,
  checkPath,
  dirname,
  type Failure,
  type FileInfo,
  isBelow,
  join,
  type StorageDriver,
  type Visits,
} from "../driver.js";
import { DriverError, InvalidOffsetError, InvalidPathError, messageOf, PathNotFoundError } from "../errors.js";
import {
  inParallel,
  isOnDisk,
  leadsNowhere,
  openToRead,
  osCode,
  readUpTo,
  syncDirectory,
  syncFile,
  writeDurably,
} from "./filesystem/disk.js";
import { FileWorkers } from "./filesystem/fileWorkers.js";
import { listMany, rmdirMany, statMany, unlinkMany, visitMany } from "./filesystem/manyFiles.js";

export { fileReferenceCache } from "./filesystem/fileReferenceCache.js";

const PAGE = 1000;
/** Removals in one message to a thread: a few milliseconds. */
const REMOVED_AT_ONCE = 128;

/**
 * A directory tree of a local or mounted file system.
 *
 * Symbolic links are followed when reading and listing, as registries do; one that leads nowhere is an error, since the disk that
 * it leads to may not be mounted, and one that leads back to a directory that encloses it is listed as no directory. Removing a
 * link removes the link.
 */
export class FilesystemDriver implements StorageDriver {
  readonly name = "filesystem";
  readonly manyOf: Pick<StorageDriver, "stat" | "list" | "getContent"> = SINGLE;
  private readonly root: string;
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
    this.root = resolve(root);
    this.workers = new FileWorkers(this.root);
  }

  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    const file = this.begin(path, options);
    try {
      return infoOf(path, await fs.stat(file));
    } catch (error) {
      throw await this.failure("stat", path, error);
    }
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    const directory = this.begin(path, options);
    let entries: Dirent[];
    try {
      entries = await fs.readdir(directory, { withFileTypes: true });
    } catch (error) {
      throw await this.failure("list", path, error);
    }
    for (let start = 0; start < entries.length; start += PAGE) {
      options?.signal?.throwIfAborted();
      const page = entries.slice(start, start + PAGE);
      if (page.some((entry) => entry.isSymbolicLink())) yield await inParallel(page, (entry) => this.infoOfEntry(path, entry));
      else yield page.map((entry) => ({ path: join(path, entry.name), isDirectory: entry.isDirectory() }));
    }
  }

  async reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable> {
    const file = this.begin(path, options);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    try {
      const handle = await openToRead(file);
      return handle.createReadStream({ start: offset, ...(options?.signal && { signal: options.signal }) });
    } catch (error) {
      throw await this.failure("read", path, error);
    }
  }

  async getContent(path: string, options?: AbortOptions & { readonly maxBytes?: number }): Promise<Uint8Array> {
    const file = this.begin(path, options);
    try {
      return await readUpTo(file, (options?.maxBytes ?? Number.POSITIVE_INFINITY) + 1);
    } catch (error) {
      throw await this.failure("read", path, error);
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
      throw await this.failure("delete", path, error);
    }
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    options?.signal?.throwIfAborted();
    for (const path of paths) checkPath(path, this.name);
    const failures: Failure[] = [];
    for (let start = 0; start < paths.length; start += REMOVED_AT_ONCE) {
      const some = paths.slice(start, start + REMOVED_AT_ONCE);
      const left = options?.signal?.aborted === true ? some : await unlinkMany(this.workers, some);
      await inParallel(left, async (path) => {
        // What is gone by then is told: a rejection would hide it.
        const failure = options?.signal?.aborted === true ? aborted(path) : await this.unlink(path);
        if (failure !== undefined) failures.push(failure);
      });
    }
    return failures;
  }

  private async unlink(path: string): Promise<Failure | undefined> {
    try {
      await fs.unlink(this.onDisk(path));
      return undefined;
    } catch (error) {
      const failure = await this.failure("delete", path, error);
      if (failure instanceof PathNotFoundError) return undefined;
      return { path, code: "DRIVER_ERROR", message: failure.message };
    }
  }

  async pruneDirectories(paths: readonly string[], options: AbortOptions & { readonly upTo: string }): Promise<void> {
    options.signal?.throwIfAborted();
    for (const path of [...paths, options.upTo]) checkPath(path, this.name);
    // Level by level: a parent is tried once, when all that was to go from it has gone.
    for (let level = new Set(paths); level.size > 0; ) {
      const parents = new Set<string>();
      const below = [...level].filter((path) => isBelow(path, options.upTo));
      for (let start = 0; start < below.length; start += REMOVED_AT_ONCE) {
        options.signal?.throwIfAborted();
        const { gone, unsure } = await rmdirMany(this.workers, below.slice(start, start + REMOVED_AT_ONCE));
        for (const path of unsure) if (await this.isPruned(path)) gone.push(path);
        for (const path of gone) parents.add(dirname(path));
      }
      level = parents;
    }
  }

  /** Whether the directory is gone; one that holds anything stays. */
  private async isPruned(path: string): Promise<boolean> {
    try {
      await fs.rmdir(this.onDisk(path));
      return true;
    } catch (error) {
      const code = osCode(error);
      if (code === "ENOENT") return true;
      // ENOTDIR: a symbolic link to a directory, or a file; both stay.
      if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") return false;
      throw await this.failure("remove the directory", path, error);
    }
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean> {
    const file = this.begin(path, options);
    const directory = osDirname(file);
    const temporary = osJoin(directory, `.${randomUUID()}.tmp`);
    try {
      await fs.mkdir(directory, { recursive: true });
      await writeDurably(temporary, bytes);
      if (options?.ifAbsent === true) await fs.link(temporary, file);
      else await fs.rename(temporary, file);
      await syncDirectory(directory);
      return true;
    } catch (error) {
      if (options?.ifAbsent === true && osCode(error) === "EEXIST") return false;
      throw await this.failure("write", path, error);
    } finally {
      await fs.rm(temporary, { force: true });
    }
  }

  async move(source: string, destination: string, options?: AbortOptions): Promise<void> {
    const from = this.begin(source, options);
    checkPath(destination, this.name);
    const to = this.onDisk(destination);
    try {
      await fs.mkdir(osDirname(to), { recursive: true });
      await this.linkOrCopy(from, to);
      await syncDirectory(osDirname(to));
      await fs.unlink(from);
    } catch (error) {
      if (osCode(error) === "EEXIST")
        throw this.driverError(destination, `cannot move ${source} to ${destination}: something is there`, error);
      throw await this.failure("move", source, error);
    }
  }

  /** A second name, then the first is dropped: what lies at the destination is never overwritten, and at no moment there is none. */
  private async linkOrCopy(from: string, to: string): Promise<void> {
    if ((await fs.lstat(from)).isSymbolicLink()) {
      // Elsewhere a relative target would lead elsewhere.
      await fs.symlink(resolve(osDirname(from), await fs.readlink(from)), to);
      return;
    }
    try {
      await fs.link(from, to);
    } catch (error) {
      const code = osCode(error);
      if (code !== "EXDEV" && code !== "EPERM" && code !== "ENOTSUP" && code !== "EMLINK") throw error;
      const temporary = osJoin(osDirname(to), `.${randomUUID()}.tmp`);
      try {
        const { atime, mtime } = await fs.stat(from);
        await fs.copyFile(from, temporary, constants.COPYFILE_EXCL);
        await fs.utimes(temporary, atime, mtime);
        await syncFile(temporary);
        await fs.link(temporary, to);
      } finally {
        await fs.rm(temporary, { force: true });
      }
    }
  }

  private begin(path: string, options: AbortOptions | undefined): string {
    options?.signal?.throwIfAborted();
    checkPath(path, this.name);
    return this.onDisk(path);
  }

  private beginMany(paths: readonly string[], options: AbortOptions | undefined): void {
    options?.signal?.throwIfAborted();
    for (const path of paths) checkPath(path, this.name);
  }

  private onDisk(path: string): string {
    return path === "/" ? this.root : osJoin(this.root, path);
  }

  private async infoOfEntry(directory: string, entry: Dirent): Promise<FileInfo> {
    const path = join(directory, entry.name);
    if (!entry.isSymbolicLink()) return { path, isDirectory: entry.isDirectory() };
    let target: Stats;
    try {
      target = await fs.stat(this.onDisk(path));
    } catch (error) {
      throw this.driverError(path, `the symbolic link ${path} leads nowhere: is what it leads to mounted?`, error);
    }
    if (target.isDirectory() && (await this.leadsBack(path))) return { path, isDirectory: false };
    return { ...infoOf(path, target), isLink: true };
  }

  /** Whether a linked directory encloses, or is, a directory that its own path goes through. */
  private async leadsBack(path: string): Promise<boolean> {
    const target = await fs.realpath(this.onDisk(path));
    for (let each = dirname(path); ; each = dirname(each)) {
      const enclosing = await fs.realpath(this.onDisk(each));
      if (enclosing === target || enclosing.startsWith(target === sep ? sep : target + sep)) return true;
      if (each === "/") return false;
    }
  }

  /** Tells "not there" from "could not look": a symbolic link that leads nowhere is the latter, wherever it stands in the path. */
  private async failure(verb: string, path: string, error: unknown): Promise<Error> {
    const code = osCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") return this.driverError(path, `cannot ${verb} ${path}: ${messageOf(error)}`, error);
    if (code === "ENOTDIR" && (await isOnDisk(this.onDisk(path)))) {
      return this.driverError(path, `cannot ${verb} ${path}: it is no directory`, error);
    }
    const last = await this.lastOnDisk(path);
    if (last !== undefined && (await leadsNowhere(this.onDisk(last)))) {
      return this.driverError(path, `cannot ${verb} ${path}: the symbolic link ${last} leads nowhere: is what it leads to mounted?`, error);
    }
    return new PathNotFoundError(path, this.name, { cause: error });
  }

  /** The longest beginning of a path that is there, be it a link that leads nowhere. */
  private async lastOnDisk(path: string): Promise<string | undefined> {
    for (let each = path; ; each = dirname(each)) {
      if (await isOnDisk(this.onDisk(each))) return each;
      if (each === "/") return undefined;
    }
  }

  private driverError(path: string, message: string, cause: unknown): DriverError {
    return new DriverError(`${this.name}: ${message}`, { driverName: this.name, path, cause });
  }
}

/** As they are when this is loaded: whoever patches one of them later is asked by it. */
const SINGLE = pick(FilesystemDriver.prototype, ["stat", "list", "getContent"]);

function pick<T, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

function aborted(path: string): Failure {
  return { path, code: "ABORTED", message: `${path} was left: the removal was aborted` };
}

function infoOf(path: string, stats: Stats): FileInfo {
  if (stats.isDirectory()) return { path, isDirectory: true, modTime: stats.mtime };
  return { path, isDirectory: false, size: stats.size, modTime: stats.mtime };
}
