/** The inventory: every blob that is there, enumerated before the mark, so that a blob that appears later is never a candidate. */

import { PRESENT } from "./marks.js";
import type { Run } from "./run.js";

/** Enumerates the blobs, and returns how many there are. */
export async function takeInventory(run: Run): Promise<number> {
  let blobs = 0;
  const strays = () => {
    run.ledger.unrecognized++;
  };
  for await (const page of run.registry.blobs({ ...run.look, onUnrecognized: strays, onLinkedDirectory: undefined })) {
    run.signal.throwIfAborted();
    for (const { digest, size, modTime } of page) {
      const number = run.digests.add(digest);
      if (run.marks.has(number, PRESENT)) continue;
      run.marks.add(number, PRESENT);
      blobs++;
      if (size !== undefined) run.sizes.set(number, size);
      if (modTime !== undefined) run.times.set(number, modTime.getTime());
    }
    run.progress({ phase: "inventory", done: blobs });
  }
  run.progress({ phase: "inventory", done: blobs, total: blobs }, true);
  return blobs;
}
