/** Parts `sweep`, `aside` and `asideLinks`: a plan carried out, for a group of repositories or for a shard of the blobs. */

import { AsideStore } from "../online/asideStore.js";
import type { JournalBlob, JournalLink } from "../online/journal.js";
import { moveBlobs, removeTakenLinks } from "../online/moveAside.js";
import type { Plan } from "../plan.js";
import { type SweepChapter, sweepChapter } from "../sweep.js";
import { adoptState, marksNow, type PartRun, writeNewMarks } from "./partRun.js";
import { type ActInput, groupOf, recallGroup, recallShard } from "./plan.js";
import { shardOf } from "./sortedRun.js";

export interface SweepInput extends ActInput {
  readonly chapter: SweepChapter;
  /** The join that the plan was made by; `join` may be a later one. */
  readonly planned: string;
  readonly shards: number;
}

/** One chapter of a sweep. Answers with how much is kept after all, since something that needs it could not be removed. */
export async function sweepPart(part: PartRun, input: SweepInput): Promise<{ marks: number }> {
  const { run } = part;
  const plan = input.chapter === "blobs" ? await plannedBlobs(part, input) : await recallGroup(part, input);
  const before = marksNow(run);
  await sweepChapter(run, plan, input.chapter);
  return { marks: await writeNewMarks(part, input.shards, before) };
}

/** What was planned, with what is kept of it by now. */
async function plannedBlobs(part: PartRun, { planned, join }: SweepInput): Promise<Plan> {
  const plan = await recallShard(part, planned);
  if (join !== planned) await adoptState(part, join, ({ digest }) => part.run.digests.find(digest) >= 0);
  return plan;
}

/** Moves the data of a shard's blobs aside, as the journal names them. */
export async function asidePart(part: PartRun, { shards }: { readonly shards: number }): Promise<void> {
  const { run } = part;
  const aside = ownAside(part);
  const isOurs = (item: JournalBlob | JournalLink) => item.kind === "blob" && shardOf(item.digest, shards) === part.part;
  const { blobs } = await aside.readJournal(run.ledger.runId, run.settlingDriver, { ...run.look, holds: isOurs });
  await moveBlobs(run, aside, blobs);
}

/** Removes the layer links of a group that the journal names as taken. */
export async function asideLinksPart(part: PartRun, { plans }: { readonly plans: string }): Promise<void> {
  const { run } = part;
  const group = await groupOf(part, plans);
  const isOurs = (item: JournalBlob | JournalLink) => item.kind === "layerLink" && item.taken === true && group.has(item.repository);
  const { links } = await ownAside(part).readJournal(run.ledger.runId, run.settlingDriver, { ...run.look, holds: isOurs });
  await removeTakenLinks(run, links);
}

function ownAside({ run }: PartRun): AsideStore {
  const aside = new AsideStore(run.driver, run.registry.online?.aside ?? "", run.digests);
  run.aside = aside;
  return aside;
}
