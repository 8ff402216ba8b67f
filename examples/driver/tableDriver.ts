/** A driver of one's own: files are rows of a table, as a database or a key-value store keeps them. */
import { Readable } from "node:stream";
import type { AbortOptions, FileInfo, StorageDriver } from "oci-registry-gc";
import { InvalidOffsetError, InvalidPathError, PathNotFoundError } from "oci-registry-gc";

export type Row = { path: string; bytes: Uint8Array; writtenAt: Date };
export interface Table {
  get(path: string): Promise<Row | undefined>;
  /** The first thousand whose path starts with `prefix` and comes after `after`, in bytewise order. */
  select(prefix: string, after: string): Promise<readonly Row[]>;
  /** Removes the row of this path, and those whose path starts with `prefix`. */
  remove(path: string, prefix: string): Promise<void>;
}

const PATH = /^(\/|(\/(?!\.\.?(\/|$))[A-Za-z0-9._-]+)+)$/;
const below = (path: string) => (path === "/" ? "/" : `${path}/`);
const infoOf = ({ path, bytes, writtenAt }: Row) => ({ path, isDirectory: false, size: bytes.length, modTime: writtenAt });

export class TableDriver implements StorageDriver {
  readonly name = "table";
  constructor(private readonly table: Table) {}
  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    const row = await this.begin(path, options).get(path);
    if (row !== undefined) return infoOf(row);
    if ((await this.table.select(below(path), "")).length === 0) throw new PathNotFoundError(path, this.name);
    return { path, isDirectory: true };
  }
  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    if (!(await this.stat(path, options)).isDirectory) throw new Error(`${this.name}: cannot list ${path}: it is a file`);
    const seen = new Set<string>();
    for await (const page of this.walk(path, options)) {
      const children = page.map((info) => {
        const slash = info.path.indexOf("/", below(path).length);
        return slash === -1 ? info : { path: info.path.slice(0, slash), isDirectory: true };
      });
      yield children.filter((child) => !seen.has(child.path) && seen.add(child.path));
    }
  }
  async *walk(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    let rows: readonly Row[] = await this.begin(path, options).select(below(path), "");
    for (; rows.length > 0; rows = await this.begin(path, options).select(below(path), rows.at(-1)!.path)) yield rows.map(infoOf);
  }
  async reader(path: string, options?: AbortOptions & { offset?: number }): Promise<Readable> {
    const row = await this.begin(path, options).get(path);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    if (row === undefined) throw new PathNotFoundError(path, this.name);
    return Readable.from([row.bytes.subarray(offset)]);
  }
  async delete(path: string, options?: AbortOptions): Promise<void> {
    if (path === "/") throw new InvalidPathError(path, this.name);
    await this.stat(path, options);
    await this.table.remove(path, below(path));
  }
  private begin(path: string, { signal }: AbortOptions = {}): Table {
    signal?.throwIfAborted();
    if (!PATH.test(path)) throw new InvalidPathError(path, this.name);
    return this.table;
  }
}
