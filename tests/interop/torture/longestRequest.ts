/** How long the slowest request of this process took: the collector relies on none taking longer than its drain. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";

const BEGUN = "undici:request:create";
const ANSWERED = "undici:request:headers";

/** Watches every `fetch` until it is stopped, which tells the milliseconds. */
export function watchRequests(): { stop(): number } {
  const begun = new WeakMap<object, number>();
  let longest = 0;
  const onBegun = (message: unknown) => {
    begun.set((message as { request: object }).request, performance.now());
  };
  const onAnswered = (message: unknown) => {
    const since = begun.get((message as { request: object }).request);
    if (since !== undefined) longest = Math.max(longest, performance.now() - since);
  };
  subscribe(BEGUN, onBegun);
  subscribe(ANSWERED, onAnswered);
  return {
    stop: () => {
      unsubscribe(BEGUN, onBegun);
      unsubscribe(ANSWERED, onAnswered);
      return Math.round(longest);
    },
  };
}
