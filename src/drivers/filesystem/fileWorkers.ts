/**
 * Threads that look at many small files synchronously. Per file, `fs.promises.readFile` costs 48 µs, and open, read and close
 * themselves 5 µs: so a message asks for many paths at once, and the caller's event loop is never held.
 *
 * A thread is started when the first message needs one, and another where a message has waited long for the disk, or where several wait
 * and there is a processor for it. Threads keep the process alive only while an answer is awaited, and end when they have been idle for a
 * while. Where there can be none, or one breaks, messages are answered with `undefined`: nothing was looked at.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { WORKER_SOURCE } from "./workerSource.js";

/** What a task is answered with; the worker's source tells the details. */
interface Answers {
  readonly stat: Float64Array;
  readonly visit: Contents & { readonly calls: Uint32Array };
  readonly list: readonly (readonly ListedPage[] | null)[];
  readonly unlink: Uint8Array;
  readonly rmdir: Uint8Array;
}

/** What a task is told beside the paths. */
interface Details extends Record<keyof Answers, readonly unknown[]> {
  readonly stat: [];
  /** The text of a function, and the number of that text; it goes no further when `stop` is not 0 any more. */
  readonly visit: [number: number, text: string, stop: Int32Array];
  readonly list: [];
  readonly unlink: [];
  readonly rmdir: [];
}

/** Contents one after the other, and the length of each; -1 where there is none. */
export interface Contents {
  readonly bytes: Uint8Array;
  readonly lengths: Int32Array;
}

/** Names with a slash between them, and a digit for each: 0 a file, 1 a directory, 2 a symbolic link. */
export interface ListedPage {
  readonly names: string;
  readonly types: string;
}

const MAX_THREADS = 4;
/** A message that has been worked on for so long waits for the disk: warm, one takes a tenth of that. */
const SLOW_MS = 50;
const IDLE_MS = 1000;
const MANY_WAITING = 2;
const MOST_TEXTS = 16;
const PROCESSORS = availableParallelism();
/** Threads that processors are there for: one is the caller's. Two share theirs with it: dry runs took 7 to 12 per cent less so. */
const AT_WORK = Math.max(Math.min(2, PROCESSORS), PROCESSORS - 1);

export class FileWorkers {
  private readonly threads: Thread[] = [];
  /** Who does work of a kind where nobody is freer: what V8 optimizes in one thread it would again in each. 1 to 3 per cent of a dry run. */
  private readonly homes = new Map<string, Thread>();
  /** Threads know functions by numbers: to find one by its text, each would hash ten thousand characters for each message. */
  private readonly numbers = new Map<string, number>();
  private lastNumber = 0;
  private isBroken = false;

  constructor(private readonly root: string) {}

  /** The number of a function's text; no other text ever has it. */
  numberOf(text: string): number {
    let number = this.numbers.get(text);
    if (number === undefined) {
      number = ++this.lastNumber;
      if (this.numbers.size > MOST_TEXTS) this.numbers.clear();
      this.numbers.set(text, number);
    }
    return number;
  }

  /** Has a task done for each path below the root; `undefined` where no thread could. */
  ask<T extends keyof Answers>(task: T, paths: readonly string[], ...details: Details[T]): Promise<Answers[T] | undefined> {
    const thread = this.pick(task === "visit" ? `visit ${String(details[0])}` : task);
    if (thread === undefined) return Promise.resolve(undefined);
    return thread.ask({ task, paths: paths.join("\n"), details }) as Promise<Answers[T] | undefined>;
  }

  private pick(kind: string): Thread | undefined {
    if (this.isBroken) return undefined;
    let best = this.threads[0];
    for (const thread of this.threads) if (best === undefined || thread.waiting < best.waiting) best = thread;
    if (best === undefined || this.needsAnother(best)) return this.start() ?? best;
    const home = this.homes.get(kind) ?? best;
    this.homes.set(kind, home);
    // Never behind a disk that is slow, or while another has nothing to do.
    const isAsFree = home.waiting <= best.waiting + (best.waiting > 0 ? 1 : 0);
    return isAsFree && home.workedMs <= SLOW_MS ? home : best;
  }

  /** Whether there is a processor for what waits for the least busy of them, or all wait for the disk: one that starts doesn't. */
  private needsAnother(best: Thread): boolean {
    if (this.threads.length < AT_WORK && best.waiting >= MANY_WAITING) return true;
    return this.threads.length < MAX_THREADS && best.workedMs > SLOW_MS && this.threads.every((each) => each.isUp);
  }

  private start(): Thread | undefined {
    try {
      const thread = new Thread(this.root, (isBroken) => {
        this.isBroken ||= isBroken;
        const at = this.threads.indexOf(thread);
        if (at >= 0) this.threads.splice(at, 1);
        for (const [kind, home] of this.homes) if (home === thread) this.homes.delete(kind);
      });
      this.threads.push(thread);
      return thread;
    } catch {
      this.isBroken = true;
      return undefined;
    }
  }
}

interface Message {
  readonly task: string;
  readonly paths: string;
  readonly details: readonly unknown[];
}

interface Waiting {
  readonly since: number;
  readonly resolve: (value: unknown) => void;
}

/** One thread, and the messages that wait for it. */
class Thread {
  /** Whether it has answered anything yet: a start takes longer than a slow disk. */
  isUp = false;
  private readonly worker: Worker;
  private readonly open = new Map<number, Waiting>();
  private idle: NodeJS.Timeout | undefined;
  private next = 0;
  private settledAt = 0;

  constructor(
    root: string,
    private readonly onEnd: (isBroken: boolean) => void,
  ) {
    // Without the flags of this process: a loader of TypeScript is of no use there, and slow.
    this.worker = new Worker(WORKER_SOURCE, { eval: true, workerData: { root }, execArgv: [], name: "oci-registry-gc files" });
    this.worker.on("message", ({ id, value }: { id: number; value: unknown }) => this.settle(id, value));
    this.worker.on("error", () => this.end(true));
    this.worker.on("messageerror", () => this.end(true));
    this.worker.on("exit", () => this.end(this.open.size > 0));
  }

  get waiting(): number {
    return this.open.size;
  }

  /** How long it has worked on the oldest message: while earlier ones were, that one waited for its turn. */
  get workedMs(): number {
    for (const { since } of this.open.values()) return performance.now() - Math.max(since, this.settledAt);
    return 0;
  }

  ask(message: Message): Promise<unknown> {
    clearTimeout(this.idle);
    if (this.open.size === 0) this.worker.ref();
    const id = this.next++;
    return new Promise((resolve) => {
      this.open.set(id, { since: performance.now(), resolve });
      this.worker.postMessage({ id, ...message });
    });
  }

  private settle(id: number, value: unknown): void {
    this.isUp = true;
    this.settledAt = performance.now();
    this.open.get(id)?.resolve(value);
    this.open.delete(id);
    if (this.open.size > 0) return;
    this.worker.unref();
    this.idle = setTimeout(() => {
      this.end(false);
      void this.worker.terminate();
    }, IDLE_MS);
    // Where a test stands in for a browser it is a number.
    if (typeof this.idle === "object") this.idle.unref();
  }

  private end(isBroken: boolean): void {
    clearTimeout(this.idle);
    this.onEnd(isBroken);
    for (const { resolve } of this.open.values()) resolve(undefined);
    this.open.clear();
  }
}
