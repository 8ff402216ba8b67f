/** Where the time comes from, and what waits: everything goes through it, so that tests can run days in a moment. */
export interface Clock {
  /** Milliseconds since 1970, as `Date.now()` gives them. */
  now(): number;
  /** Resolves after so many milliseconds; rejects with the signal's reason when that fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const DAY_MS = 86_400_000;

/** The last that a `Date` can be, in milliseconds since 1970. */
export const LAST_TIME = 8.64e15;

/** ISO 8601; of what comes later than any date the last one. */
export function isoTime(ms: number): string {
  return new Date(Math.min(ms, LAST_TIME)).toISOString();
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const stop = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve();
      }, ms);
      signal?.addEventListener("abort", stop, { once: true });
    }),
};
