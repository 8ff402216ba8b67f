/** The inventory: every blob that is there, enumerated before the mark, so that a blob that appears later is never a candidate. */

import { isTurnLong, turn } from "./internal/turn.js";
import { PRESENT } from "./marks.js";
import type { BlobInfo, LookOptions } from "./namespace.js";
import type { Run } from "./run.js";

/** Enumerates the blobs, and returns how many there are. */
export async function takeInventory(run: Run): Promise<number> {
  return listBlobs(
    run,
    (options) => run.registry.blobs(options),
    ({ digest, size, modTime }) => {
      const number = run.digests.add(digest);
      if (run.marks.has(number, PRESENT)) return false;
      run.marks.add(number, PRESENT);
      if (size !== undefined) run.sizes.set(number, size);
      if (modTime !== undefined) run.times.set(number, modTime.getTime());
      return true;
    },
  );
}

/** Lists blobs, all of them or a piece, and returns how many `take` took. */
export async function listBlobs(
  run: Run,
  list: (options: LookOptions) => AsyncIterable<readonly BlobInfo[]>,
  take: (blob: BlobInfo) => boolean,
  betweenPages: () => Promise<void> = async () => {},
): Promise<number> {
  let blobs = 0;
  const strays = () => {
    run.ledger.unrecognized++;
  };
  for await (const page of list({ ...run.look, onUnrecognized: strays, onLinkedDirectory: undefined })) {
    run.signal.throwIfAborted();
    for (const blob of page) if (take(blob)) blobs++;
    run.progress({ phase: "inventory", done: blobs });
    await betweenPages();
    if (isTurnLong()) await turn();
  }
  run.progress({ phase: "inventory", done: blobs, total: blobs }, true);
  return blobs;
}
