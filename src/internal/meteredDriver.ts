/** A driver as a run uses it: its calls counted, bounded, cancelled with the run, and its errors told apart. */

import type { FileInfo, StorageDriver } from "../driver.js";
import { toDriverError } from "./driverErrors.js";
import type { TaskQueue } from "./taskQueue.js";

export interface Meter {
  /** Where calls wait for their turn. */
  readonly queue: TaskQueue;
  readonly signal: AbortSignal | undefined;
  /** Of calls that an abort does not stop: the signal after which they are waited for no longer than a minute each. */
  readonly patience?: AbortSignal;
  /** Counts a call of this method. */
  count(method: string): void;
}

/** The driver behind the meter, with exactly the optional members that it has itself. */
export function meteredDriver(driver: StorageDriver, meter: Meter): StorageDriver {
  const call = <T>(method: string, path: string, work: () => Promise<T>): Promise<T> =>
    meter.queue.run(async () => {
      meter.signal?.throwIfAborted();
      meter.count(method);
      try {
        return await (meter.patience === undefined ? work() : withPatience(work(), meter.patience));
      } catch (error) {
        throw toDriverError(driver.name, method, path, error, meter.signal);
      }
    });
  /** A look-up that never comes back must not keep an aborted run from ending; a change is always waited for. */
  const look = <T>(method: string, path: string, work: () => Promise<T>): Promise<T> =>
    call(method, path, () => untilAborted(work(), meter.signal));

  async function* pages(
    method: "list" | "walk",
    path: string,
    open: () => AsyncIterable<readonly FileInfo[]>,
  ): AsyncIterable<readonly FileInfo[]> {
    const iterator = await look(method, path, async () => open()[Symbol.asyncIterator]());
    let done = false;
    try {
      for (;;) {
        const step = await meter.queue.run(async () => {
          meter.signal?.throwIfAborted();
          try {
            return await untilAborted(iterator.next(), meter.signal);
          } catch (error) {
            done = true;
            throw toDriverError(driver.name, method, path, error, meter.signal);
          }
        });
        done = step.done === true;
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      if (!done) iterator.return?.().then(undefined, () => undefined);
    }
  }

  const { signal } = meter;
  const metered: StorageDriver = {
    name: driver.name,
    stat: (path) => look("stat", path, () => driver.stat(path, { signal })),
    list: (path) => pages("list", path, () => driver.list(path, { signal })),
    reader: (path, options) => look("reader", path, () => driver.reader(path, { offset: options?.offset ?? 0, signal })),
    delete: (path) => call("delete", path, () => driver.delete(path, { signal })),
  };
  const getContent = driver.getContent?.bind(driver);
  if (getContent) metered.getContent = (path, options) => look("getContent", path, () => getContent(path, { ...options, signal }));
  const walk = driver.walk?.bind(driver);
  if (walk) metered.walk = (path) => pages("walk", path, () => walk(path, { signal }));
  const deleteFiles = driver.deleteFiles?.bind(driver);
  if (deleteFiles) metered.deleteFiles = (paths) => call("deleteFiles", paths[0] ?? "/", () => deleteFiles(paths, { signal }));
  const prune = driver.pruneDirectories?.bind(driver);
  if (prune) {
    metered.pruneDirectories = (paths, options) => call("pruneDirectories", options.upTo, () => prune(paths, { ...options, signal }));
  }
  const putContent = driver.putContent?.bind(driver);
  if (putContent) {
    metered.putContent = (path, bytes, options) => call("putContent", path, () => putContent(path, bytes, { ...options, signal }));
  }
  const move = driver.move?.bind(driver);
  if (move) metered.move = (source, destination) => call("move", source, () => move(source, destination, { signal }));
  return metered;
}

/** A storage that never answers must not keep an aborted run from ending for ever. */
const PATIENCE_MS = 60_000;

async function withPatience<T>(work: Promise<T>, aborted: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let wait: (() => void) | undefined;
  const outlasted = new Promise<never>((_, reject) => {
    wait = () => {
      timer = setTimeout(() => reject(new Error("no answer within a minute of the abort")), PATIENCE_MS);
    };
    if (aborted.aborted) wait();
    else aborted.addEventListener("abort", wait, { once: true });
  });
  try {
    return await Promise.race([work, outlasted]);
  } finally {
    clearTimeout(timer);
    if (wait !== undefined) aborted.removeEventListener("abort", wait);
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
