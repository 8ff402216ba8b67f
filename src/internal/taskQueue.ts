/** The only importer of p-queue: bounded concurrency with back-pressure, and nothing left running when it is done. */

import { AsyncResource } from "node:async_hooks";
import PQueue from "p-queue";

type Task<T> = (item: T) => Promise<void>;
/** Does some work unless something has failed before, and notes it where this fails. */
type Attempt = (work: () => Promise<void>) => Promise<void>;

export class TaskQueue {
  private readonly queue: PQueue;

  constructor(private readonly concurrency: number) {
    this.queue = new PQueue({ concurrency });
  }

  /**
   * Runs one task as soon as there is room for it. The caller bounds how many of its own wait.
   *
   * The queue runs tasks in the context of whoever freed the place; the resource brings the caller's back, so that spans get the
   * right parent.
   */
  run<T>(task: () => Promise<T>): Promise<T> {
    const context = new AsyncResource("oci-registry-gc.task");
    return this.queue.add(() => context.runInAsyncScope(task));
  }

  /**
   * Runs a task for each item, and takes the next item only when there is room for it, or few are waiting. The first error, or the
   * signal, ends the taking; what is running by then is waited for, and the error is thrown.
   */
  async forEach<T>(
    items: Iterable<T> | AsyncIterable<T>,
    task: (item: T) => Promise<void>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async (work: () => Promise<void>) => {
      if (errors.length > 0) return;
      try {
        options.signal?.throwIfAborted();
        await work();
      } catch (error) {
        errors.push(error);
      }
    };
    if (Symbol.iterator in items) await this.inLanes(items[Symbol.iterator](), task, attempt, errors);
    else await this.oneByOne(items, task, attempt, errors);
    if (errors.length > 0) throw errors[0];
  }

  /** So many workers that each take item after item: a manifest is read so often that a place in the queue for each would tell. */
  private async inLanes<T>(items: Iterator<T>, task: Task<T>, attempt: Attempt, errors: readonly unknown[]): Promise<void> {
    const lanes: Promise<void>[] = [];
    const taking = { isDone: false };
    const lane = async () => {
      while (!taking.isDone && errors.length === 0) {
        await attempt(async () => {
          const next = items.next();
          taking.isDone ||= next.done === true;
          if (next.done === true) return;
          if (lanes.length < this.concurrency) lanes.push(this.run(lane));
          await task(next.value);
        });
      }
    };
    lanes.push(this.run(lane));
    // Lanes start lanes: those that are here when one has ended are not all that there will be.
    for (let i = 0; i < lanes.length; i++) await lanes[i];
    if (!taking.isDone) items.return?.();
  }

  private async oneByOne<T>(items: AsyncIterable<T>, task: Task<T>, attempt: Attempt, errors: unknown[]): Promise<void> {
    const running = new Set<Promise<void>>();
    try {
      for await (const item of items) {
        await this.queue.onSizeLessThan(this.concurrency * 2);
        if (errors.length > 0) break;
        const started = this.run(() => attempt(() => task(item)));
        running.add(started);
        void started.finally(() => running.delete(started));
      }
    } catch (error) {
      errors.push(error);
    }
    await Promise.all(running);
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    await this.queue.onIdle();
  }
}
