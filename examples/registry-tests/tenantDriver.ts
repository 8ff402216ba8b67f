/** The storage of one tenant: a directory of a store that all tenants share. */

import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { type AbortOptions, type Failure, type FileInfo, InvalidPathError, type StorageDriver } from "oci-registry-gc";

/** What the shared store has to be able to do. */
export type SharedStore = StorageDriver & Required<Pick<StorageDriver, "deleteFiles" | "getContent" | "putContent">>;

export class TenantDriver implements StorageDriver {
  readonly name: string;
  private readonly root: string;

  constructor(
    private readonly store: SharedStore,
    tenant: string,
  ) {
    this.name = `tenant ${tenant}`;
    this.root = `/tenants/${tenant}`;
  }

  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    return this.mine(await this.store.stat(this.at(path), options));
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    for await (const page of this.store.list(this.at(path), options)) yield page.map((info) => this.mine(info));
  }

  async reader(path: string, options?: AbortOptions & { offset?: number }): Promise<Readable | ReadableStream<Uint8Array>> {
    return this.store.reader(this.at(path), options);
  }

  async getContent(path: string, options?: AbortOptions & { maxBytes?: number }): Promise<Uint8Array> {
    return this.store.getContent(this.at(path), options);
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { ifAbsent?: boolean }): Promise<boolean> {
    return this.store.putContent(this.at(path), bytes, options);
  }

  async delete(path: string, options?: AbortOptions): Promise<void> {
    if (path === "/") throw new InvalidPathError(path, this.name);
    return this.store.delete(this.at(path), options);
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    const all = paths.map((path) => this.at(path));
    return (await this.store.deleteFiles(all, options)).map((failure) => this.mine(failure));
  }

  /** Without the slash it would be another tenant's, whose name begins like this one's. */
  private at(path: string): string {
    if (!path.startsWith("/")) throw new InvalidPathError(path, this.name);
    return path === "/" ? this.root : `${this.root}${path}`;
  }

  private mine<T extends { readonly path: string }>(info: T): T {
    return { ...info, path: info.path.slice(this.root.length) || "/" };
  }
}
