/** The only importer of p-queue: bounded concurrency with back-pressure, and nothing left running when it is done. */

import { AsyncResource } from "node:async_hooks";
import PQueue from "p-queue";

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
   * Runs a task for each item, and takes the next item only when few are waiting. The first error, or the signal, ends the taking;
   * what is running by then is waited for, and the error is thrown.
   */
  async forEach<T>(
    items: Iterable<T> | AsyncIterable<T>,
    task: (item: T) => Promise<void>,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const running = new Set<Promise<void>>();
    const errors: unknown[] = [];
    const attempt = async (item: T) => {
      if (errors.length > 0) return;
      try {
        options.signal?.throwIfAborted();
        await task(item);
      } catch (error) {
        errors.push(error);
      }
    };
    try {
      for await (const item of items) {
        options.signal?.throwIfAborted();
        await this.queue.onSizeLessThan(this.concurrency * 2);
        if (errors.length > 0) break;
        const started = this.run(() => attempt(item));
        running.add(started);
        void started.finally(() => running.delete(started));
      }
    } catch (error) {
      errors.push(error);
    }
    await Promise.all(running);
    if (errors.length > 0) throw errors[0];
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    await this.queue.onIdle();
  }
}
