import type { StorageDriver } from "../driver.js";

/** The methods of a driver that can be intercepted. */
export type DriverMethod = Exclude<keyof StorageDriver, "name" | "remarks" | "manyOf" | "statMany" | "listMany" | "visitMany">;

/** One call to a driver. Each page of a listing, and its end, is one too. */
export interface DriverCall {
  readonly method: DriverMethod;
  readonly paths: readonly string[];
  /** Of a listing: which page, from 0; 0 for all others. */
  readonly page: number;
  readonly signal: AbortSignal | undefined;
}

/** Stands between a caller and a driver: may act before `proceed()`, after it, or instead of it. */
export type Intercept = <T>(call: DriverCall, proceed: () => Promise<T>) => Promise<T>;

const CHANGES: ReadonlySet<DriverMethod> = new Set(["delete", "deleteFiles", "pruneDirectories", "putContent", "move"]);

/** Whether a method changes what is stored. */
export function isChange(method: DriverMethod): boolean {
  return CHANGES.has(method);
}

/**
 * A driver whose every call goes through a function. Of the optional members it has those that the inner one has, but none that makes many
 * calls in one (`statMany`, `listMany`, `visitMany`): each goes through the function by itself.
 */
export class InterceptedDriver implements StorageDriver {
  readonly name: string;
  declare readonly getContent?: NonNullable<StorageDriver["getContent"]>;
  declare readonly walk?: NonNullable<StorageDriver["walk"]>;
  declare readonly deleteFiles?: NonNullable<StorageDriver["deleteFiles"]>;
  declare readonly pruneDirectories?: NonNullable<StorageDriver["pruneDirectories"]>;
  declare readonly putContent?: NonNullable<StorageDriver["putContent"]>;
  declare readonly move?: NonNullable<StorageDriver["move"]>;
  readonly stat: StorageDriver["stat"];
  readonly list: StorageDriver["list"];
  readonly reader: StorageDriver["reader"];
  readonly delete: StorageDriver["delete"];

  constructor(
    private readonly inner: StorageDriver,
    intercept: Intercept,
  ) {
    const getContent = inner.getContent?.bind(inner);
    const walk = inner.walk?.bind(inner);
    const deleteFiles = inner.deleteFiles?.bind(inner);
    const pruneDirectories = inner.pruneDirectories?.bind(inner);
    const putContent = inner.putContent?.bind(inner);
    const move = inner.move?.bind(inner);
    const call = <T>(method: DriverMethod, paths: readonly string[], signal: AbortSignal | undefined, proceed: () => Promise<T>) =>
      intercept({ method, paths, page: 0, signal }, proceed);
    this.name = inner.name;
    this.stat = (path, options) => call("stat", [path], options?.signal, () => inner.stat(path, options));
    this.list = (path, options) => paged("list", path, options?.signal, () => inner.list(path, options), intercept);
    this.reader = (path, options) => call("reader", [path], options?.signal, () => inner.reader(path, options));
    this.delete = (path, options) => call("delete", [path], options?.signal, () => inner.delete(path, options));
    if (getContent !== undefined) {
      this.getContent = (path, options) => call("getContent", [path], options?.signal, () => getContent(path, options));
    }
    if (walk !== undefined) {
      this.walk = (path, options) => paged("walk", path, options?.signal, () => walk(path, options), intercept);
    }
    if (deleteFiles !== undefined) {
      this.deleteFiles = (paths, options) => call("deleteFiles", paths, options?.signal, () => deleteFiles(paths, options));
    }
    if (pruneDirectories !== undefined) {
      this.pruneDirectories = (paths, options) => call("pruneDirectories", paths, options.signal, () => pruneDirectories(paths, options));
    }
    if (putContent !== undefined) {
      this.putContent = (path, bytes, options) => call("putContent", [path], options?.signal, () => putContent(path, bytes, options));
    }
    if (move !== undefined) {
      this.move = (source, destination, options) =>
        call("move", [source, destination], options?.signal, () => move(source, destination, options));
    }
  }

  /** What the inner driver has to say by now. */
  get remarks(): readonly string[] | undefined {
    return this.inner.remarks;
  }
}

async function* paged<P>(
  method: DriverMethod,
  path: string,
  signal: AbortSignal | undefined,
  begin: () => AsyncIterable<P>,
  intercept: Intercept,
): AsyncIterable<P> {
  let pages: AsyncIterator<P> | undefined;
  try {
    for (let page = 0; ; page++) {
      const next = await intercept({ method, paths: [path], page, signal }, () => {
        pages ??= begin()[Symbol.asyncIterator]();
        return pages.next();
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await pages?.return?.();
  }
}
