/** Parts `survey` and `inventory`: what there is. */

import { listBlobs } from "../inventory.js";
import { PRESENT } from "../marks.js";
import { type PartRun, piecesOf } from "./partRun.js";
import { shardOf } from "./sortedRun.js";

export interface SurveyResult {
  readonly repositories: number;
  readonly revisions: number;
  /** Whether links were seen by which repositories may share directories: only who goes through the names sees all of them. */
  readonly sharesDirectories: boolean;
}

/** Lists the repositories below some roots, and about how large each is. */
export async function surveyPart(
  { run, store, attempt, stage, part }: PartRun,
  { countsStrays }: { readonly countsStrays: boolean },
): Promise<SurveyResult> {
  const roots = (await store.assignment(stage, part)) as readonly string[];
  const counts = { repositories: 0, revisions: 0 };
  const look = {
    ...run.look,
    onUnrecognized: () => {
      if (countsStrays) run.ledger.unrecognized++;
    },
  };
  await run.repositories.forEach(
    roots,
    async (root) => {
      for await (const page of piecesOf(run).survey(root, look)) {
        for (const { name, revisions } of page) {
          counts.repositories++;
          counts.revisions += revisions;
          await attempt.addToList("repositories", [name, revisions]);
        }
      }
    },
    { signal: run.signal },
  );
  return { ...counts, sharesDirectories: run.sharesDirectories };
}

/** Enumerates the blobs of a range of prefixes. */
export async function inventoryPart(
  { run, attempt, part, parts }: PartRun,
  { shards }: { readonly shards: number },
): Promise<{ blobs: number }> {
  const from = Math.floor((part * 256) / parts);
  const to = Math.floor(((part + 1) * 256) / parts);
  const writer = attempt.run("state");
  const blobs = await listBlobs(
    run,
    (options) => piecesOf(run).blobsBetween(from, to, options),
    async (page) => {
      for (const { digest, size = Number.NaN, modTime } of page) {
        writer.add(shardOf(digest, shards), { digest, flags: PRESENT, size, time: modTime?.getTime() ?? Number.NaN });
      }
      await writer.flushFull();
      return page.length;
    },
  );
  return { blobs };
}
