/** Parts `sweep`, `aside` and `asideLinks`: a plan carried out, for a group of repositories or for a shard of the blobs. */

import type { AsideStore } from "../online/asideStore.js";
import type { Journal, JournalBlob, JournalLink } from "../online/journal.js";
import { moveBlobs, removeTakenLinks } from "../online/moveAside.js";
import type { Plan } from "../plan.js";
import type { RepositoryLook } from "../repositoryLook.js";
import { type SweepChapter, sweepChapter } from "../sweep.js";
import { PartDamagedError } from "./errors.js";
import { adoptState, asideStore, beginChanging, marksNow, type PartRun, writeNewMarks } from "./partRun.js";
import { type ActInput, groupOf, recallGroup, recallShard } from "./plan.js";
import { shardOf } from "./sortedRun.js";

export interface SweepInput extends ActInput {
  readonly chapter: SweepChapter;
  /** The join that the plan was made by; `join` may be a later one. */
  readonly planned: string;
  readonly shards: number;
  /** The chapter that left what could not be removed. */
  readonly stuck?: string;
}

/** Manifests of a repository that stay after all, since a link of theirs, or of what needs them, could not be removed. */
interface Stuck {
  readonly repository: string;
  readonly manifests: readonly string[];
}

/** One chapter of a sweep. Answers with how much is kept after all, since something that needs it could not be removed. */
export async function sweepPart(part: PartRun, input: SweepInput): Promise<{ marks: number }> {
  const { run } = part;
  const plan = input.chapter === "blobs" ? await plannedBlobs(part, input) : await recallGroup(part, input);
  if (input.stuck !== undefined) await keepStuck(part, plan, input.stuck);
  const before = marksNow(run);
  const doomed = plan.repositories.map(({ look }) => [...look.doomed.keys()]);
  await sweepChapter(run, plan, input.chapter);
  for (const [i, { look }] of plan.repositories.entries()) await writeStuck(part, look, doomed[i] ?? []);
  return { marks: await writeNewMarks(part, input.shards, before) };
}

/** A mark says that something is needed somewhere; which links a repository needs, only this does. */
async function writeStuck({ run, attempt }: PartRun, look: RepositoryLook, doomed: readonly number[]): Promise<void> {
  const manifests = doomed.filter((number) => !look.doomed.has(number)).map((number) => run.digests.digest(number));
  if (manifests.length === 0) return;
  const stuck: Stuck = { repository: look.repository.name, manifests };
  await attempt.addToList("stuck", stuck);
}

/** Keeps what an earlier chapter could not remove from these repositories, with all that it reaches. */
async function keepStuck({ run, store, part }: PartRun, plan: Plan, stage: string): Promise<void> {
  const output = (await store.outputs(stage))[part];
  const looks = new Map(plan.repositories.map(({ look }) => [look.repository.name, look]));
  for await (const item of store.items(output?.lists["stuck"] ?? [])) {
    const { repository, manifests } = item as Stuck;
    await looks.get(repository)?.keep(manifests.map((digest) => run.digests.add(digest)));
  }
}

/** What was planned, with what is kept of it by now. */
async function plannedBlobs(part: PartRun, { planned, join }: SweepInput): Promise<Plan> {
  const plan = await recallShard(part, planned);
  if (join !== planned) await adoptState(part, join, ({ digest }) => part.run.digests.find(digest) >= 0);
  return plan;
}

/** Moves the data of a shard's blobs aside, as the journal names them. */
export async function asidePart(part: PartRun, { shards }: { readonly shards: number }): Promise<void> {
  const { aside, journal } = await ownJournal(part, (item) => item.kind === "blob" && shardOf(item.digest, shards) === part.part);
  // From then on what lies aside is looked for.
  await beginChanging(part);
  await moveBlobs(part.run, aside, journal.blobs);
}

/** Removes the layer links of a group that the journal names as taken. */
export async function asideLinksPart(part: PartRun, { plans }: { readonly plans: string }): Promise<void> {
  const group = await groupOf(part, plans);
  const { journal } = await ownJournal(part, (item) => item.kind === "layerLink" && item.taken === true && group.has(item.repository));
  await removeTakenLinks(part.run, journal.links);
}

/** What this run is to put aside. What is taken must be found by its journal: one that can't be read is no ground to take anything. */
async function ownJournal(
  { run }: PartRun,
  holds: (item: JournalBlob | JournalLink) => boolean,
): Promise<{ readonly aside: AsideStore; readonly journal: Journal }> {
  const { runId } = run.ledger;
  const aside = asideStore(run);
  const journal = await aside.readJournal(runId, run.settlingDriver, { ...run.look, holds });
  if (journal.damage !== undefined) throw new PartDamagedError(`${aside.runDirectory(runId)}/journal`, journal.damage);
  run.aside = aside;
  return { aside, journal };
}
