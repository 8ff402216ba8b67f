/** The inventory: every blob that is there, enumerated before the mark, so that a blob that appears later is never a candidate. */

import { SHA256_BYTES } from "./digestIndex.js";
import { sizeIn } from "./internal/driverAnswers.js";
import { turn } from "./internal/turn.js";
import { untilAborted } from "./internal/untilAborted.js";
import { PRESENT } from "./marks.js";
import type { BlobInfo, LookOptions } from "./namespace.js";
import type { Run } from "./run.js";

/** Enumerates the blobs, and returns how many there are. */
export async function takeInventory(run: Run): Promise<number> {
  run.knowsInventory = true;
  const take = ({ digest, size, modTime }: BlobInfo) => {
    const number = run.digests.add(digest);
    if (run.marks.has(number, PRESENT)) return false;
    run.marks.add(number, PRESENT);
    const bytes = sizeIn(size);
    if (bytes !== undefined) run.sizes.set(number, bytes);
    const time = modTime?.getTime();
    if (time !== undefined) run.times.set(number, time);
    return true;
  };
  const listing = listBlobs(
    run,
    (options) => run.registry.packedBlobs(options),
    (page) => (ArrayBuffer.isView(page) ? takePacked(run, page) : page.filter(take).length),
  );
  return untilAborted(listing, run.signal);
}

/** How many of these are new. A page is as large as its directory. */
async function takePacked(run: Run, page: Uint8Array): Promise<number> {
  let blobs = 0;
  await run.turns.slices(page.length / SHA256_BYTES, (start, end) => {
    blobs += run.marks.addToAll(run.digests.addPacked(page, start, end), PRESENT);
  });
  return blobs;
}

/** Lists blobs, all of them or a piece, and returns how many `take` took. */
export async function listBlobs<Page>(
  run: Run,
  list: (options: LookOptions) => AsyncIterable<Page>,
  take: (page: Page) => number | Promise<number>,
): Promise<number> {
  let blobs = 0;
  const strays = () => {
    run.ledger.unrecognized++;
  };
  for await (const page of list({ ...run.look, onUnrecognized: strays, onLinkedDirectory: undefined })) {
    run.signal.throwIfAborted();
    blobs += await take(page);
    run.progress({ phase: "inventory", done: blobs });
    if (run.turns.isLong()) await turn();
  }
  run.progress({ phase: "inventory", done: blobs, total: blobs }, true);
  return blobs;
}
