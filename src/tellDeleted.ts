/** Tells the caller what has become unavailable, so that caches can forget it. */

import { messageOf } from "./errors.js";
import { withPatience } from "./internal/untilAborted.js";
import type { DeletedItem } from "./options.js";
import type { Run } from "./run.js";
import type { SweepItem } from "./sweepItems.js";

const HOOK_ATTEMPTS = 3;
const HOOK_PAUSE_MS = 200;

/** Tells one batch, after those before it. */
export async function tellDeleted(run: Run, items: readonly DeletedItem[]): Promise<void> {
  const { onDeleted } = run.settings;
  if (onDeleted === undefined || items.length === 0) return;
  run.telling = run.telling.then(() => tell(run, onDeleted, items));
  await run.telling;
}

export function toDeleted({ kind, path, repository, digest }: SweepItem["planned"]): DeletedItem {
  return { kind, path, repository, digest, how: "deleted" };
}

/** Tells the hook; a throw is tried again, then reported, never fatal. */
async function tell(run: Run, onDeleted: NonNullable<Run["settings"]["onDeleted"]>, items: readonly DeletedItem[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await withPatience((async () => onDeleted(items))(), run.signal);
      return;
    } catch (error) {
      if (attempt < HOOK_ATTEMPTS && !run.signal.aborted) {
        // Woken by an abort it tries once more, and ends.
        await run.clock.sleep(HOOK_PAUSE_MS * attempt, run.signal).catch(() => undefined);
        continue;
      }
      const message = `onDeleted threw for ${items.length} items, from ${items[0]?.path ?? ""} on: ${messageOf(error)}; caches may still name them`;
      run.ledger.addProblem({ kind: "hook-failed", path: items[0]?.path ?? "", message });
      run.log.error(message, { error });
      return;
    }
  }
}
