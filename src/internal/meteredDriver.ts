/** A driver as a run uses it: its calls counted, bounded, cancelled with the run, and its errors told apart. */

import type { FileInfo, StorageDriver } from "../driver.js";
import { toDriverError } from "./driverErrors.js";
import { Gathered } from "./gathered.js";
import { Pace } from "./pace.js";
import type { TaskQueue } from "./taskQueue.js";

/** Questions that go to a driver in one call, where it takes many. */
const GATHERED = 64;
/** Entries of listings in one turn of the event loop: a few milliseconds of what is done with each. */
const ENTRIES_A_TURN = 1000;

export interface Meter {
  /** Where calls wait for their turn. */
  readonly queue: TaskQueue;
  readonly signal: AbortSignal | undefined;
  /** Of calls that an abort does not stop: the signal after which they are waited for no longer than a minute each. */
  readonly patience?: AbortSignal;
  /** Counts a call of this method. Of questions that go in one call, each counts. */
  count(method: string): void;
  /** Questions in one call, where fewer are asked at once; default 64. */
  readonly gathered?: number | undefined;
}

/** Calls as they are made one by one. */
interface SingleCalls {
  readonly stat: (path: string) => Promise<FileInfo>;
  readonly list: (path: string) => AsyncIterable<readonly FileInfo[]>;
  readonly getContent: (path: string, maxBytes: number | undefined) => Promise<Uint8Array>;
}

type Many<A> = (paths: readonly string[]) => Promise<readonly (A | undefined)[]>;

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
  const single: SingleCalls = {
    stat: (path) => look("stat", path, () => driver.stat(path, { signal })),
    list: (path) => pages("list", path, () => driver.list(path, { signal })),
    getContent: (path, maxBytes) =>
      look("getContent", path, async () => {
        const options = maxBytes === undefined ? { signal } : { maxBytes, signal };
        return (await driver.getContent?.(path, options)) ?? new Uint8Array();
      }),
  };
  const metered: StorageDriver = {
    name: driver.name,
    ...gatheringMembers(driver, single, meter),
    reader: (path, options) => look("reader", path, () => driver.reader(path, { offset: options?.offset ?? 0, signal })),
    delete: (path) => call("delete", path, () => driver.delete(path, { signal })),
  };
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

/** The members whose questions are gathered, where the driver takes many at once. */
function gatheringMembers(driver: StorageDriver, single: SingleCalls, meter: Meter): Pick<StorageDriver, "stat" | "list" | "getContent"> {
  const { signal } = meter;
  const gathered = <A>(method: string, ask: Many<A>, one: (path: string) => Promise<A>): ((path: string) => Promise<A>) => {
    const many = (paths: readonly string[]) =>
      meter.queue.run(async () => {
        signal?.throwIfAborted();
        const answers = await untilAborted(ask(paths), signal);
        // What is not answered here is counted by the single call.
        for (const answer of answers) if (answer !== undefined) meter.count(method);
        return answers;
      });
    const questions = new Gathered<A>({ size: meter.gathered ?? GATHERED, many, single: one });
    return (path) => questions.ask(path);
  };

  const statMany = mayAskMany(driver, "stat", meter) ? driver.statMany?.bind(driver) : undefined;
  const listMany = mayAskMany(driver, "list", meter) ? driver.listMany?.bind(driver) : undefined;
  const stat = statMany === undefined ? single.stat : gathered("stat", (paths) => statMany(paths, { signal }), single.stat);
  const list =
    listMany === undefined
      ? single.list
      : listed(
          gathered<Pages>(
            "list",
            (paths) => listMany(paths, { signal }),
            async (path) => single.list(path),
          ),
        );
  if (driver.getContent === undefined) return { stat, list };

  const getContentMany = mayAskMany(driver, "getContent", meter) ? driver.getContentMany?.bind(driver) : undefined;
  const byLimit = new Map<number, (path: string) => Promise<Uint8Array>>();
  const getContent: NonNullable<StorageDriver["getContent"]> = (path, options) => {
    const maxBytes = options?.maxBytes;
    if (getContentMany === undefined || maxBytes === undefined) return single.getContent(path, maxBytes);
    let get = byLimit.get(maxBytes);
    if (get === undefined) {
      const ask: Many<Uint8Array> = (paths) => getContentMany(paths, { maxBytes, signal });
      get = gathered("getContent", ask, (each) => single.getContent(each, maxBytes));
      byLimit.set(maxBytes, get);
    }
    return get(path);
  };
  return { stat, list, getContent };
}

/**
 * Whether questions may be gathered. A wrapper or a subclass that has put a member of its own in the single one's place is asked by
 * that. What must be brought to an end is asked singly: a thread that hangs would hold up everything that it was asked.
 */
function mayAskMany(driver: StorageDriver, method: "stat" | "list" | "getContent", { patience }: Meter): boolean {
  const standsFor: unknown = driver.manyOf?.[method];
  return patience === undefined && standsFor !== undefined && standsFor === driver[method];
}

/** A listing, all told at once or page by page. */
type Pages = Iterable<readonly FileInfo[]> | AsyncIterable<readonly FileInfo[]>;

/** Pages that were all told at once are handed out by and by, so that neither a large directory nor many small ones hold anybody up. */
function listed(ask: (path: string) => Promise<Pages>): StorageDriver["list"] {
  const pace = new Pace(ENTRIES_A_TURN);
  return async function* (path) {
    const answer = await ask(path);
    if (Symbol.asyncIterator in answer) {
      yield* answer;
      return;
    }
    for (const page of answer) {
      await pace.room(page.length);
      yield page;
    }
  };
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
