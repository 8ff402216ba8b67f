/** Parts `putBack`, `putBackLinks`, `unlink` and `purge`: of what lies aside, what is needed goes back, and what nobody came to need goes. */

import { refuseDamage } from "../guards.js";
import { ASIDE } from "../marks.js";
import type { AsideStore } from "../online/asideStore.js";
import type { Journal } from "../online/journal.js";
import { leftOf, lookAgainAt, purgeData, unlinkDying } from "../online/purgeAside.js";
import { putBackBlobs, putBackLinks } from "../online/putBack.js";
import type { Run } from "../run.js";
import {
  adoptAnswers,
  adoptState,
  beginChanging,
  copiesOf,
  listed,
  marksNow,
  type PartRun,
  piecesOf,
  recallAside,
  recallGroupAside,
  recallLooks,
  writeNewMarks,
} from "./partRun.js";
import { shardOf } from "./sortedRun.js";

export interface PutBackInput {
  readonly shards: number;
  readonly aside: string;
  readonly join: string;
}

/** Brings back what is needed of a shard. */
export async function putBackPart(part: PartRun, input: PutBackInput): Promise<void> {
  await recallShardAside(part, input);
  const isAgain = await beginChanging(part);
  await putBackBlobs(part.run, isAgain);
}

/** Copies of a shard, with what a join says of each. */
async function recallShardAside(part: PartRun, { shards, aside, join }: PutBackInput): Promise<AsideStore | undefined> {
  const { run } = part;
  await recallAside(part, aside, { shard: part.part, holds: (item) => item.kind === "blob" && shardOf(item.digest, shards) === part.part });
  await adoptState(part, join, ({ flags }) => (flags & ASIDE) !== 0);
  return run.aside;
}

export interface GroupAsideInput {
  readonly aside: string;
  readonly looks: string;
}

/** Writes the layer links of a group anew that runs took and that what it keeps needs. */
export async function putBackLinksPart(part: PartRun, input: GroupAsideInput): Promise<void> {
  await recallGroupAside(part, input.aside, input.looks);
  await putBackLinks(part.run, await recallLooks(part, input.looks));
}

export interface UnlinkInput extends GroupAsideInput {
  readonly shards: number;
  readonly join: string;
  /** The runs of which what lies aside may go for good. */
  readonly runIds: readonly string[];
}

/**
 * Removes the links of a group to manifests that go for good. Repositories in which one is left are looked at once more: answers with how
 * much they keep.
 */
export async function unlinkPart(part: PartRun, input: UnlinkInput): Promise<{ marks: number }> {
  const { run } = part;
  await recallGroupAside(part, input.aside, input.looks);
  await adoptAnswers(part, input.join);
  const looks = new Map((await recallLooks(part, input.looks)).map((look) => [look.repository.name, look]));
  const dying = [...new Set([...looks.values()].flatMap((look) => [...look.doomed.keys()]))].filter(
    (number) => run.aside?.isAside(number) === true && !run.marks.isKept(number),
  );
  const left = new Map<string, Set<string>>();
  const before = marksNow(run);
  const isAgain = await beginChanging(part);
  for (const journal of journalsOf(run.aside, input.runIds)) {
    for (const [name, numbers] of await unlinkDying(run, { journal, dying: ofJournal(run, journal, dying), looks, isAgain })) {
      const digests = left.get(name) ?? new Set();
      left.set(name, digests);
      for (const number of numbers) digests.add(run.digests.digest(number));
    }
  }
  const marks = await writeNewMarks(part, input.shards, before);
  return { marks: marks + (left.size === 0 ? 0 : await lookAgain(part, input, left)) };
}

/** With a run of its own: what was remembered of manifests must not stand for what is there now. */
async function lookAgain(part: PartRun, input: UnlinkInput, left: ReadonlyMap<string, ReadonlySet<string>>): Promise<number> {
  const fresh: PartRun = { ...part, run: part.begin() };
  fresh.run.lock = part.run.lock;
  fresh.run.fence = part.run.fence;
  await recallGroupAside(fresh, input.aside, input.looks);
  await adoptAnswers(fresh, input.join);
  const before = marksNow(fresh.run);
  const repositories = [];
  for (const name of left.keys()) {
    const repository = await listed(fresh.run, piecesOf(fresh.run).repository(name));
    if (repository !== undefined) repositories.push(repository);
  }
  const numbers = new Map([...left].map(([name, digests]) => [name, [...digests].map((digest) => fresh.run.digests.add(digest))]));
  await putBackLinks(fresh.run, await lookAgainAt(fresh.run, numbers, repositories));
  part.run.ledger.takeIn(fresh.run.ledger.entries);
  await fresh.run.settle();
  refuseDamage(fresh.run);
  return writeNewMarks(fresh, input.shards, before);
}

export interface PurgeInput extends PutBackInput {
  /** A later listing: what is not in it has been put back. */
  readonly after: string;
  readonly runIds: readonly string[];
}

/** What is left of a shard, by the runs that put it aside: see {@link leftOf}. */
export interface PurgeLeft {
  readonly needed: readonly string[];
  readonly dying: readonly string[];
}

/** Deletes of a shard what goes for good. */
export async function purgePart(part: PartRun, input: PurgeInput): Promise<PurgeLeft> {
  const aside = await recallShardAside(part, input);
  const still = new Set<string>();
  for await (const [digest, runId] of copiesOf(part.store, input.after, part.part)) still.add(`${runId} ${digest}`);
  for (const [number, copies] of [...(aside?.copies ?? [])]) {
    for (const copy of copies) if (!still.has(`${copy.runId} ${part.run.digests.digest(number)}`)) aside?.removeCopy(number, copy);
  }
  if (aside === undefined) return { needed: [], dying: [] };
  const journals = journalsOf(aside, input.runIds);
  await purgeData(part.run, aside, journals);
  const runsOf = (left: "needed" | "dying") =>
    journals.filter((journal) => leftOf(part.run, aside, journal) === left).map(({ runId }) => runId);
  return { needed: runsOf("needed"), dying: runsOf("dying") };
}

function journalsOf(aside: AsideStore | undefined, runIds: readonly string[]): Journal[] {
  return runIds.map((runId) => aside?.journals.get(runId)).filter((journal) => journal !== undefined);
}

function ofJournal({ aside }: Run, { runId }: Journal, numbers: readonly number[]): number[] {
  return numbers.filter((number) => aside?.copies.get(number)?.some((copy) => copy.runId === runId) === true);
}
