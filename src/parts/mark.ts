/** Parts `mark` and `settle`: what some repositories keep. Every look is a mark. */

import { readHanging } from "../hanging.js";
import { lookAtRepositories } from "../look.js";
import { keepLinksToLivingManifests } from "../plan.js";
import { recallTime } from "../rememberedLook.js";
import type { EarlierLook, RepositoryLook } from "../repositoryLook.js";
import { ASKED, LEASED, LEASED_IF_AWAY } from "./flags.js";
import {
  adoptAnswers,
  listed,
  marksNow,
  type PartRun,
  piecesOf,
  recallAside,
  recallGroupAside,
  recallLooks,
  rememberedLooks,
  writeNewMarks,
} from "./partRun.js";
import { rememberLook } from "./rememberLook.js";
import { shardOf } from "./sortedRun.js";

export interface MarkInput {
  readonly shards: number;
  /** The listing of what lies aside. */
  readonly aside: string | undefined;
  /** The looks that this one is measured by. */
  readonly earlier: string | undefined;
  readonly countsStrays: boolean;
}

export interface MarkResult {
  readonly repositories: number;
  readonly tags: number;
  readonly revisions: number;
  readonly doomed: number;
  readonly sharesDirectories: boolean;
  /** Repositories of the group that were gone when they were to be looked at. */
  readonly unseen: readonly string[];
  /** Why nothing may go at all. */
  readonly unknowable: string | undefined;
}

/** Looks at the repositories of a group. */
export async function markPart(part: PartRun, { shards, aside, earlier, countsStrays }: MarkInput): Promise<MarkResult> {
  const { run, store, stage } = part;
  const names = (await store.assignment(stage, part.part)) as readonly string[];
  const group = new Set(names);
  await recallAside(part, aside, { holds: (item) => item.kind !== "blob" && group.has(item.repository) });
  if (!countsStrays) run.looks = 1;
  const seen = earlier === undefined ? undefined : await earlierLooks(part, earlier);
  const pieces = piecesOf(run);
  const found = await lookAtRepositories(run, earlier === undefined ? "mark" : "look", {
    repositories: names,
    open: (name) => listed(run, pieces.repository(name)),
    seen,
  });
  for (const look of found.looks) await readHanging(run, look);
  const doomed = await writeLooks(part, found.looks);
  await writeLeases(part, found.looks, shards);
  await writeQuestions(part, found.looks, shards);
  await writeNewMarks(part, shards);
  const { repositories, tags, revisions } = found;
  const unseen = names.filter((name) => !found.names.has(name));
  return { repositories, tags, revisions, doomed, sharesDirectories: run.sharesDirectories, unseen, unknowable: run.unknowable?.message };
}

/** Only times are compared: nothing of an earlier look is believed to be so still. */
async function earlierLooks(part: PartRun, stage: string): Promise<Map<string, EarlierLook>> {
  const { digests } = part.run;
  const looks = new Map<string, EarlierLook>();
  for await (const { name, doomed, loose } of rememberedLooks(part, stage)) {
    looks.set(name, {
      doomed: new Map(doomed.map(({ digest, time }) => [digests.add(digest), recallTime(time)])),
      loose: new Map(loose.map(({ digest, time }) => [digests.add(digest), { time: recallTime(time) }])),
    });
  }
  return looks;
}

async function writeLooks({ run, attempt }: PartRun, looks: readonly RepositoryLook[]): Promise<number> {
  let doomed = 0;
  for (const look of looks) {
    doomed += look.doomed.size;
    await attempt.addToList("looks", rememberLook(run, look));
  }
  return doomed;
}

/** A push in flight may re-use a blob of any age: whether the layer link that it wrote is all that keeps it, the join sees. */
async function writeLeases({ run, attempt }: PartRun, looks: readonly RepositoryLook[], shards: number): Promise<void> {
  if (!run.looksAtTimes) return;
  const writer = attempt.run("marks");
  for (const look of looks) {
    for (const [layer, link] of look.loose) {
      const flags = look.loose.isLeaseByTime(link) ? LEASED : look.loose.isUnnamed(layer, link) ? LEASED_IF_AWAY : 0;
      if (flags === 0) continue;
      const digest = run.digests.digest(link.blob);
      writer.add(shardOf(digest, shards), { digest, flags, size: Number.NaN, time: Number.NaN });
    }
    await writer.flushFull();
  }
}

/** Asks about every digest on which it depends what goes from these repositories. */
async function writeQuestions({ run, attempt }: PartRun, looks: readonly RepositoryLook[], shards: number): Promise<void> {
  const asked = new Set(looks.flatMap((look) => [...look.doomed.keys(), ...[...look.loose.values()].map(({ blob }) => blob)]));
  const writer = attempt.run("questions");
  for (const number of asked) {
    const digest = run.digests.digest(number);
    writer.add(shardOf(digest, shards), { digest, flags: ASKED, size: Number.NaN, time: Number.NaN });
    await writer.flushFull();
  }
}

export interface SettleInput {
  readonly shards: number;
  readonly aside: string | undefined;
  readonly looks: string;
  readonly join: string;
  readonly sharesDirectories: boolean;
}

export interface SettleResult {
  /** Marks that are new: where there are any, everyone joins and settles once more. */
  readonly marks: number;
  readonly doomed: number;
}

/** Keeps the links of a group to manifests that live elsewhere, with all that these reach. */
export async function settlePart(part: PartRun, { shards, aside, looks, join, sharesDirectories }: SettleInput): Promise<SettleResult> {
  const { run } = part;
  await recallGroupAside(part, aside, looks);
  run.sharesDirectories = sharesDirectories;
  await adoptAnswers(part, join);
  const recalled = await recallLooks(part, looks);
  const before = marksNow(run);
  await keepLinksToLivingManifests(run, recalled);
  const doomed = await writeLooks(part, recalled);
  return { doomed, marks: await writeNewMarks(part, shards, before) };
}
