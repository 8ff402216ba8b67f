/** A store whose every call waits for its turn; it can die, or refuse changes. */

import type { AbortOptions, FileInfo, StorageDriver } from "oci-registry-gc";
import type { Scheduler } from "./scheduler.js";

export interface Gate {
  readonly scheduler: Scheduler;
  readonly actor: string;
  /** Told before each call, and waited for. */
  before?(method: string, path: string): Promise<void>;
}

/** What a run's own processes tell each other is no business of anybody else: nobody has to wait for a turn. */
export function isBetweenParts(path: string): boolean {
  return path.includes("/parts/");
}

export function gated(driver: StorageDriver, { scheduler, actor, before }: Gate): StorageDriver {
  const call = async <T>(method: string, path: string, options: AbortOptions | undefined, work: () => Promise<T>): Promise<T> => {
    options?.signal?.throwIfAborted();
    if (!isBetweenParts(path)) await scheduler.turn(actor);
    options?.signal?.throwIfAborted();
    await before?.(method, path);
    return work();
  };
  const change = <T>(method: string, path: string, options: AbortOptions | undefined, work: () => Promise<T>) =>
    call(method, path, options, () => {
      if (!isBetweenParts(path)) scheduler.now++;
      return work();
    });
  return {
    name: "simulated",
    stat: (path, options) => call("stat", path, options, () => driver.stat(path)),
    async *list(path, options): AsyncIterable<readonly FileInfo[]> {
      yield await call("list", path, options, async () => {
        const all: FileInfo[] = [];
        for await (const page of driver.list(path)) all.push(...page);
        return all;
      });
    },
    reader: (path, options) => call("reader", path, options, () => driver.reader(path, { offset: options?.offset ?? 0 })),
    getContent: (path, options) =>
      call("getContent", path, options, async () => driver.getContent!(path, { maxBytes: options?.maxBytes ?? 1e7 })),
    delete: (path, options) => change("delete", path, options, () => driver.delete(path)),
    putContent: (path, bytes, options) =>
      change("putContent", path, options, async () => driver.putContent!(path, bytes, { ifAbsent: options?.ifAbsent ?? false })),
    move: (source, destination, options) => change("move", source, options, async () => driver.move!(source, destination)),
  };
}
