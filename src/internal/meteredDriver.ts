/** A driver as a run uses it: its calls counted, bounded, cancelled with the run, and its errors told apart. */

import type { FileInfo, StorageDriver, Visits } from "../driver.js";
import { bytesIn, checkPage, fileInfoIn, fileInfosIn, pagesIn, streamIn } from "./driverAnswers.js";
import { toDriverError } from "./driverErrors.js";
import { Gathered } from "./gathered.js";
import { areOwn, mayVisit } from "./manyAtOnce.js";
import { Pace } from "./pace.js";
import { readHead } from "./readBounded.js";
import type { TaskQueue } from "./taskQueue.js";
import { type Turns, turn } from "./turn.js";
import { untilAborted, withPatience } from "./untilAborted.js";

/** Questions that go to a driver in one call, where it takes many. */
const GATHERED = 64;
/** Visits in one call, where they are asked for one by one: a repository each, so that a slow disk is asked by several threads. */
const VISITED_TOGETHER = 4;
const ANY_SIZE = Number.MAX_SAFE_INTEGER - 1;
const NO_VISITS: Visits = { answers: [], calls: { stat: 0, list: 0, getContent: 0 } };
/** Entries of listings in one turn of the event loop: a few milliseconds of what is done with each. */
const ENTRIES_A_TURN = 1000;

export interface Meter {
  /** Where calls wait for their turn. */
  readonly queue: Pick<TaskQueue, "run">;
  readonly signal: AbortSignal | undefined;
  /** Of calls that an abort does not stop: the signal after which they are waited for no longer than a minute each. */
  readonly patience?: AbortSignal;
  /** Of a run: what answers faster than it works does not hold up the event loop. */
  readonly turns?: Turns;
  /** Told of look-ups that an abort leaves under way. */
  readonly onLeft?: (work: Promise<unknown>) => void;
  /** Counts a call of this method, or several. Of questions that go in one call, each counts. */
  count(method: string, calls?: number): void;
}

/** Calls as they are made one by one. */
interface SingleCalls {
  readonly stat: (path: string) => Promise<FileInfo>;
  readonly list: (path: string) => AsyncIterable<readonly FileInfo[]>;
  readonly getContent: (path: string, maxBytes: number | undefined) => Promise<Uint8Array>;
}

type Many<A> = (paths: readonly string[]) => Promise<readonly (A | undefined)[]>;

/**
 * The driver behind the meter, with exactly the optional members that it has itself; and `getContent`, so that a stream holds its place
 * in the queue until it is read.
 */
export function meteredDriver(driver: StorageDriver, meter: Meter): StorageDriver {
  const patiently = <T>(work: Promise<T>): Promise<T> => (meter.patience === undefined ? work : withPatience(work, meter.patience));
  const call = <T>(method: string, path: string, work: () => Promise<T>): Promise<T> =>
    meter.queue.run(async () => {
      meter.signal?.throwIfAborted();
      meter.count(method);
      try {
        return await patiently(work());
      } catch (error) {
        throw toDriverError(driver.name, method, path, error, meter.signal);
      }
    });
  /** A look-up that never comes back must not keep an aborted run from ending; a change is always waited for. */
  const look = <T>(method: string, path: string, work: () => Promise<T>): Promise<T> =>
    call(method, path, () => untilAborted(work(), meter.signal, meter.onLeft));

  async function* pages(
    method: "list" | "walk",
    path: string,
    open: () => AsyncIterable<readonly FileInfo[]>,
  ): AsyncIterable<readonly FileInfo[]> {
    const iterator = await look(method, path, async () => pagesIn(method, open())[Symbol.asyncIterator]());
    let done = false;
    try {
      for (;;) {
        const step = await meter.queue.run(async () => {
          meter.signal?.throwIfAborted();
          try {
            const step = await untilAborted(patiently(iterator.next()), meter.signal, meter.onLeft);
            if (step.done !== true) checkPage(method, step.value);
            return step;
          } catch (error) {
            throw toDriverError(driver.name, method, path, error, meter.signal);
          }
        });
        done = step.done === true;
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      // Not waited for: a listing that hangs would hold up an aborted run.
      if (!done) (async () => iterator.return?.())().catch(() => undefined);
    }
  }

  const { signal } = meter;
  const reader: StorageDriver["reader"] = async (path, options) =>
    streamIn(await driver.reader(path, { offset: options?.offset ?? 0, signal }));
  const single: SingleCalls = {
    stat: (path) => look("stat", path, async () => fileInfoIn(path, await driver.stat(path, { signal }))),
    list: (path) => pages("list", path, () => driver.list(path, { signal })),
    getContent: (path, maxBytes = ANY_SIZE) =>
      driver.getContent === undefined
        ? look("reader", path, () => readHead({ name: driver.name, reader }, path, { maxBytes, signal }))
        : look("getContent", path, async () => bytesIn(await driver.getContent?.(path, { maxBytes, signal }))),
  };
  const metered: StorageDriver = {
    name: driver.name,
    ...gatheringMembers(driver, single, meter),
    reader: (path, options) => look("reader", path, () => reader(path, options)),
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

/** A driver's threads may answer faster than this one works: Node takes up to a thousand messages in one turn of the event loop. */
function askMany<A>({ queue, signal, turns, onLeft }: Meter, ask: () => Promise<A>): Promise<A> {
  return queue.run(async () => {
    signal?.throwIfAborted();
    const answers = await untilAborted(ask(), signal, onLeft);
    if (turns?.isLong() === true) await turn();
    return answers;
  });
}

/** How questions go together, where they do. */
interface Gathering {
  readonly takesMany: (method: "stat" | "list") => boolean;
  /** Asks for many in one call, each of which counts. */
  readonly counted: <A>(method: string, ask: Many<A>) => Many<A>;
  /** Asks for one, together with those that are asked for at the same moment. */
  readonly gathered: <A>(many: Many<A>, one: (path: string) => Promise<A>) => (path: string) => Promise<A>;
}

function gatheringOf(driver: StorageDriver, meter: Meter): Gathering {
  return {
    // What must be brought to an end is asked singly: a thread that hangs would hold up everything that it was asked.
    takesMany: (method) => meter.patience === undefined && areOwn(driver, [method]),
    counted: (method, ask) => async (paths) => {
      const answers = await askMany(meter, () => ask(paths));
      // What is not answered here is counted by the single call.
      for (const answer of answers) if (answer !== undefined) meter.count(method);
      return answers;
    },
    gathered: (many, one) => {
      const questions = new Gathered({ size: GATHERED, many, single: one });
      return (path) => questions.ask(path);
    },
  };
}

/** The members whose questions are gathered, where the driver takes many at once, and those that take them together. */
function gatheringMembers(
  driver: StorageDriver,
  single: SingleCalls,
  meter: Meter,
): Pick<StorageDriver, "stat" | "list" | "getContent" | "manyOf" | "statMany" | "visitMany"> {
  const gathering = gatheringOf(driver, meter);
  const { stat, statMany, list } = lookingMembers(driver, single, meter, gathering);
  const getContent: StorageDriver["getContent"] = (path, options) => single.getContent(path, options?.maxBytes);
  const manyOf = { stat, list, getContent };
  const visitMany = meter.patience === undefined && mayVisit(driver) ? visitingMember(driver, meter) : undefined;
  return { ...manyOf, ...(statMany && { statMany }), ...(visitMany && { visitMany }), manyOf };
}

/** Visits, of which single ones that are asked for at the same moment go together. */
function visitingMember(driver: StorageDriver, meter: Meter): StorageDriver["visitMany"] {
  const { signal } = meter;
  const ask = async (paths: readonly string[], visit: string): Promise<Visits> => {
    const visits = await askMany(meter, async () => (await driver.visitMany?.(paths, { visit, signal })) ?? NO_VISITS);
    for (const method of ["stat", "list", "getContent"] as const) meter.count(method, visits.calls[method]);
    return visits;
  };
  const byText = new Map<string, Gathered<Visits>>();
  const gather = (visit: string) => {
    const single = (path: string) => ask([path], visit);
    // Each of them is counted with the first.
    const many = async (paths: readonly string[]) =>
      (await ask(paths, visit)).answers.map((answer) => ({ ...NO_VISITS, answers: [answer] }));
    const gathered = byText.get(visit) ?? new Gathered<Visits>({ size: VISITED_TOGETHER, many, single });
    byText.set(visit, gathered);
    return gathered;
  };
  return (paths, { visit }) => (paths[0] !== undefined && paths.length === 1 ? gather(visit).ask(paths[0]) : ask(paths, visit));
}

function lookingMembers(
  driver: StorageDriver,
  single: SingleCalls,
  { signal }: Meter,
  { takesMany, counted, gathered }: Gathering,
): Pick<StorageDriver, "stat" | "list" | "statMany"> {
  const inner = {
    statMany: takesMany("stat") ? driver.statMany?.bind(driver) : undefined,
    listMany: takesMany("list") ? driver.listMany?.bind(driver) : undefined,
  };
  const { listMany } = inner;
  const list =
    listMany === undefined
      ? single.list
      : listed(
          gathered<Pages>(
            counted("list", (paths) => listMany(paths, { signal })),
            async (path) => single.list(path),
          ),
        );
  if (inner.statMany === undefined) return { stat: single.stat, list };
  const { statMany } = inner;
  const many = counted("stat", async (paths) => fileInfosIn(paths, await statMany(paths, { signal })));
  return { stat: gathered(many, single.stat), statMany: (paths) => many(paths), list };
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
