import { Readable } from "node:stream";
import type { AbortOptions, FileInfo, StorageDriver } from "../driver.js";
import { checkPath, type Failure, isBelow, join } from "../driver.js";
import { DriverError, InvalidOffsetError, InvalidPathError, PathNotFoundError } from "../errors.js";

/** What a flat store holds under one key. */
export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modTime: Date;
}

/**
 * A flat store of objects in memory, as S3 and its like are: no directories, listings in bytewise order and in pages of 1,000,
 * and `walk`.
 */
export class FlatDriver implements StorageDriver {
  readonly name = "flat";
  readonly objects = new Map<string, StoredObject>();
  private readonly now: () => number;
  private readonly pageSize: number;

  constructor(options: { readonly now?: () => number; readonly pageSize?: number } = {}) {
    this.now = options.now ?? (() => Date.now());
    this.pageSize = options.pageSize ?? 1000;
  }

  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    this.begin(path, options);
    const object = this.objects.get(path);
    if (object !== undefined) return infoOf(path, object);
    if (this.keysBelow(path).length === 0) throw new PathNotFoundError(path, this.name);
    return { path, isDirectory: true };
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    this.begin(path, options);
    const keys = this.keysBelow(path);
    if (keys.length === 0 && path !== "/") {
      if (this.objects.has(path))
        throw new DriverError(`${this.name}: cannot list ${path}: it is an object`, { driverName: this.name, path });
      throw new PathNotFoundError(path, this.name);
    }
    const children = new Map<string, FileInfo>();
    for (const key of keys) {
      const rest = key.slice(path === "/" ? 1 : path.length + 1);
      const slash = rest.indexOf("/");
      const child = join(path, slash === -1 ? rest : rest.slice(0, slash));
      const object = this.objects.get(key);
      children.set(child, slash === -1 && object !== undefined ? infoOf(key, object) : { path: child, isDirectory: true });
    }
    yield* this.pages([...children.values()], options);
  }

  async *walk(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    this.begin(path, options);
    const files = this.keysBelow(path).map((key) => infoOf(key, this.get(key)));
    yield* this.pages(files, options);
  }

  async reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable> {
    this.begin(path, options);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    return Readable.from([Buffer.from(this.get(path).bytes.slice(offset))], { objectMode: false });
  }

  async delete(path: string, options?: AbortOptions): Promise<void> {
    this.begin(path, options);
    if (path === "/") throw new InvalidPathError(path, this.name);
    const keys = [...this.keysBelow(path), ...(this.objects.has(path) ? [path] : [])];
    if (keys.length === 0) throw new PathNotFoundError(path, this.name);
    for (const key of keys) this.objects.delete(key);
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    for (const path of paths) this.begin(path, options);
    for (const path of paths) this.objects.delete(path);
    return [];
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean> {
    this.begin(path, options);
    if (options?.ifAbsent === true && this.objects.has(path)) return false;
    this.objects.set(path, { bytes: Uint8Array.from(bytes), modTime: new Date(this.now()) });
    return true;
  }

  async move(source: string, destination: string, options?: AbortOptions): Promise<void> {
    this.begin(source, options);
    this.begin(destination, options);
    const object = this.get(source);
    if (this.objects.has(destination)) {
      throw new DriverError(`${this.name}: cannot move ${source} to ${destination}: something is there`, { driverName: this.name });
    }
    this.objects.set(destination, object);
    this.objects.delete(source);
  }

  private begin(path: string, options: AbortOptions | undefined): void {
    options?.signal?.throwIfAborted();
    checkPath(path, this.name);
  }

  private get(path: string): StoredObject {
    const object = this.objects.get(path);
    if (object === undefined) throw new PathNotFoundError(path, this.name);
    return object;
  }

  private keysBelow(path: string): string[] {
    return [...this.objects.keys()].filter((key) => isBelow(key, path)).sort();
  }

  private async *pages(all: readonly FileInfo[], options: AbortOptions | undefined): AsyncIterable<readonly FileInfo[]> {
    for (let start = 0; start < all.length; start += this.pageSize) {
      options?.signal?.throwIfAborted();
      yield all.slice(start, start + this.pageSize);
    }
  }
}

function infoOf(path: string, { bytes, modTime }: StoredObject): FileInfo {
  return { path, isDirectory: false, size: bytes.length, modTime };
}
