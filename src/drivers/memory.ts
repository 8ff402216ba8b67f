import { Readable } from "node:stream";
import {
  type AbortOptions,
  basename,
  checkPath,
  dirname,
  type Failure,
  type FileInfo,
  isBelow,
  join,
  type StorageDriver,
} from "../driver.js";
import { DriverError, InvalidOffsetError, InvalidPathError, PathNotFoundError } from "../errors.js";

interface File {
  readonly bytes: Uint8Array;
  readonly modTime: Date;
}

/** A directory; a file that was removed leaves its directory there, as file systems do. */
type Directory = Map<string, File | Directory>;

const PAGE = 1000;

/**
 * A store in memory with real directories, for tests and demos. Everything is copied in and out.
 *
 * `now` gives files their times: milliseconds since 1970, `Date.now` by default.
 */
export class MemoryDriver implements StorageDriver {
  readonly name = "memory";
  private readonly root: Directory = new Map();
  private readonly now: () => number;

  constructor(options: { readonly now?: () => number } = {}) {
    this.now = options.now ?? (() => Date.now());
  }

  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    this.begin(path, options);
    return this.infoOf(path, this.find(path));
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    this.begin(path, options);
    const directory = this.find(path);
    if (!(directory instanceof Map)) throw this.failure(path, `cannot list ${path}: it is a file`);
    const children = [...directory];
    for (let start = 0; start < children.length; start += PAGE) {
      options?.signal?.throwIfAborted();
      yield children.slice(start, start + PAGE).map(([name, entry]) => this.infoOf(join(path, name), entry));
    }
  }

  async reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable> {
    this.begin(path, options);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    const bytes = this.file(path).bytes.slice(offset);
    return Readable.from(bytes.length === 0 ? [] : [Buffer.from(bytes)], { objectMode: false });
  }

  async getContent(path: string, options?: AbortOptions & { readonly maxBytes?: number }): Promise<Uint8Array> {
    this.begin(path, options);
    return this.file(path).bytes.slice(0, (options?.maxBytes ?? Number.POSITIVE_INFINITY) + 1);
  }

  async delete(path: string, options?: AbortOptions): Promise<void> {
    this.begin(path, options);
    if (path === "/") throw new InvalidPathError(path, this.name);
    this.find(path);
    this.remove(path);
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    options?.signal?.throwIfAborted();
    for (const path of paths) checkPath(path, this.name);
    const failures: Failure[] = [];
    for (const path of paths) {
      const entry = this.at(path);
      if (entry instanceof Map) failures.push({ path, code: "IS_DIRECTORY", message: `${path} is a directory; it was left` });
      else if (entry !== undefined) this.remove(path);
    }
    return failures;
  }

  async pruneDirectories(paths: readonly string[], options: AbortOptions & { readonly upTo: string }): Promise<void> {
    options.signal?.throwIfAborted();
    for (const path of [...paths, options.upTo]) checkPath(path, this.name);
    for (const path of paths) {
      for (let each = path; isBelow(each, options.upTo); each = dirname(each)) {
        const entry = this.at(each);
        if (entry instanceof Map && entry.size === 0) this.remove(each);
        else if (entry !== undefined) break;
      }
    }
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean> {
    this.begin(path, options);
    const existing = this.at(path);
    if (options?.ifAbsent === true && existing !== undefined) return false;
    if (existing instanceof Map) throw this.failure(path, `cannot write ${path}: it is a directory`);
    this.put(path, { bytes: Uint8Array.from(bytes), modTime: new Date(this.now()) });
    return true;
  }

  async move(source: string, destination: string, options?: AbortOptions): Promise<void> {
    this.begin(source, options);
    checkPath(destination, this.name);
    const file = this.file(source);
    if (this.at(destination) !== undefined) {
      throw this.failure(destination, `cannot move ${source} to ${destination}: something is there`);
    }
    this.put(destination, file);
    this.remove(source);
  }

  private begin(path: string, options: AbortOptions | undefined): void {
    options?.signal?.throwIfAborted();
    checkPath(path, this.name);
  }

  private at(path: string): File | Directory | undefined {
    let entry: File | Directory | undefined = this.root;
    for (const part of path.split("/").slice(1)) {
      if (part === "") break;
      entry = entry instanceof Map ? entry.get(part) : undefined;
    }
    return entry;
  }

  private find(path: string): File | Directory {
    const entry = this.at(path);
    if (entry === undefined) throw new PathNotFoundError(path, this.name);
    return entry;
  }

  private file(path: string): File {
    const entry = this.find(path);
    if (entry instanceof Map) throw this.failure(path, `cannot read ${path}: it is a directory`);
    return entry;
  }

  private infoOf(path: string, entry: File | Directory): FileInfo {
    if (entry instanceof Map) return { path, isDirectory: true };
    return { path, isDirectory: false, size: entry.bytes.length, modTime: entry.modTime };
  }

  private put(path: string, file: File): void {
    let directory = this.root;
    for (const part of dirname(path).split("/").slice(1)) {
      if (part === "") break;
      const next: File | Directory = directory.get(part) ?? new Map<string, File | Directory>();
      if (!(next instanceof Map)) throw this.failure(path, `cannot write ${path}: ${part} is a file`);
      directory.set(part, next);
      directory = next;
    }
    directory.set(basename(path), file);
  }

  private remove(path: string): void {
    const parent = this.at(dirname(path));
    if (parent instanceof Map) parent.delete(basename(path));
  }

  private failure(path: string, message: string): DriverError {
    return new DriverError(`${this.name}: ${message}`, { driverName: this.name, path });
  }
}
