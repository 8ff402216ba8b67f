/** Waiting for what others do, while the run may be aborted. */

/** Who never answers must not keep an aborted run from ending for ever. */
export const PATIENCE_MS = 60_000;

/** Waits for some work, but no longer than so many milliseconds, or a minute, after an abort. */
export async function withPatience<T>(work: Promise<T>, aborted: AbortSignal, ms = PATIENCE_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let wait: (() => void) | undefined;
  const outlasted = new Promise<never>((_, reject) => {
    wait = () => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} seconds of the abort`)), ms);
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

/** What some work gives; `undefined` where that takes more than so many milliseconds: then nobody waits for it any more. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for some work until an abort: then it rejects with the reason, at once, and `onLeft` is told of the work that nobody awaits. */
export function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  onLeft: (work: Promise<unknown>) => void = () => undefined,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = () => {
      onLeft(work);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", stop, { once: true });
    // Begun by now: it may have aborted the run itself.
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
