/** What every part is made with: a run of its own that knows the whole run's plan, and what earlier stages left. */

import { LockedError, UnsupportedError } from "../errors.js";
import { ASIDE, DOOMED, PRESENT } from "../marks.js";
import type { Repository } from "../namespace.js";
import { AsideStore } from "../online/asideStore.js";
import { timeOf } from "../online/files.js";
import type { JournalBlob, JournalLink } from "../online/journal.js";
import { RunLock, STALE_MS } from "../online/runLock.js";
import type { RememberedLook } from "../rememberedLook.js";
import { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import { type Merged, mergeRuns, type Source } from "./merge.js";
import type { PartAttempt, PartOutput } from "./partAttempt.js";
import type { PartStore } from "./partStore.js";
import type { RunPlan } from "./runPlan.js";
import { shardOf } from "./sortedRun.js";

/** What the listing of what lies aside says, beside its copies. */
export interface AsideResult {
  /** The runs of which a journal is to be read. */
  readonly journals: readonly string[];
  readonly notes: readonly { readonly path: string; readonly digests: readonly string[]; readonly time: number | null }[];
  /** Runs of which copies are there. */
  readonly busy: readonly string[];
  /** Runs that were made in parts, and left them. */
  readonly others: readonly string[];
  /** Files and directories that somebody who was killed left. */
  readonly temporaries: readonly string[];
  readonly emptied: readonly string[];
  readonly unrecognized: number;
}

/** A copy, in a list for each shard. */
export type ListedCopy = readonly [digest: string, runId: string, size: number | null];

export interface PartRun {
  readonly run: Run;
  readonly store: PartStore;
  readonly attempt: PartAttempt;
  readonly stage: string;
  readonly part: number;
  readonly parts: number;
  /** Another run of the same identity, which knows nothing yet. */
  readonly begin: () => Run;
}

/**
 * Holds the run's lock together with whoever else works for it. What changes something must not be gone on with after a pause: what its
 * looks saw is too old by then.
 *
 * @throws LockedError
 */
export async function shareLock(run: Run, { lock }: RunPlan): Promise<RunLock> {
  const path = run.registry.online?.lock ?? "";
  // First: once it is shown to be alive again, others believe it.
  const time = await timeOf(run.lockDriver, path);
  if (time !== undefined && !run.settings.dryRun) refuseDead(path, run.storageNow() - time);
  return RunLock.share(run.lockDriver, path, lock, run.clock);
}

/** Where the storage gives no time, nobody can say that a lock is not dead. */
function refuseDead(path: string, age: number): void {
  if (age <= STALE_MS) return;
  const since = Number.isNaN(age) ? "at a time that the storage does not tell" : `${Math.round(age / 1000)} seconds ago`;
  throw new LockedError(
    `this run's lock at ${path} was last kept alive ${since}: what the run planned may be in use by now, so nothing more was deleted. It can't be continued; begin a new run, which puts back what this one left half done`,
  );
}

/** Others go on with the run, or have ended it: then its lock may have been written anew by a last heartbeat from here, and goes. */
export async function letGo(run: Run, { documents }: PartStore): Promise<void> {
  await run.lock?.letGo();
  try {
    if (await documents.isOver()) await run.lock?.release();
  } catch {
    // Then it is taken over once it is five minutes old.
  }
}

/** Says that a part is about to change something, unless its time is over; whether somebody has said so before. */
export async function beginChanging({ run, store, stage, part }: PartRun): Promise<boolean> {
  await run.mayChange();
  return store.markBegun(stage, part);
}

/** What lies aside, of which nothing is known yet. */
export function asideStore(run: Run): AsideStore {
  return new AsideStore(run.driver, run.registry.online?.aside ?? "", run.digests, run.ledger.runId);
}

/** The pieces that a registry is told in. */
export function piecesOf(run: Run): NonNullable<Run["registry"]["pieces"]> {
  const { pieces } = run.registry;
  if (pieces === undefined)
    throw new UnsupportedError("this namespace has no pieces of its own: its registry can be collected by markAndSweep only");
  return pieces;
}

/** The sorted runs of this name that some stages left. `from` is the part that left them. */
export async function sourcesOf(store: PartStore, stages: readonly string[], name: string): Promise<Source[]> {
  const sources: Source[] = [];
  for (const stage of stages) {
    const outputs = await store.outputs(stage);
    outputs.forEach((output, from) => {
      for (const file of output.runs[name] ?? []) sources.push({ file, from });
    });
  }
  return sources;
}

/** Only what one part left: shards and groups have the same numbers in every stage. */
export async function outputOf(store: PartStore, stage: string, part: number): Promise<PartOutput> {
  const output = (await store.outputs(stage))[part];
  if (output === undefined) throw new Error(`stage ${stage} has no part ${part}`);
  return output;
}

/** Takes over what a join said of the digests that this group asked about. */
export async function adoptAnswers({ run, store, part }: PartRun, join: string): Promise<void> {
  for await (const batch of mergeRuns(run.settlingDriver, await sourcesOf(store, [join], "answers"), part, 0)) {
    for (const known of batch) adopt(run, known);
  }
}

function adopt({ digests, marks, sizes, times }: Run, { digest, flags, size, time }: Merged): void {
  const number = digests.add(digest);
  marks.add(number, flags);
  if (!Number.isNaN(size)) sizes.set(number, size);
  if (!Number.isNaN(time)) times.set(number, time);
}

/** What a join left of one shard, file by file: each is whole before any of it is given, so that it may be acted on. */
export async function* stateOf({ run, store, part }: PartRun, join: string): AsyncIterable<readonly Merged[]> {
  const output = await outputOf(store, join, part);
  for (const file of output.runs["state"] ?? []) {
    const batches: (readonly Merged[])[] = [];
    for await (const batch of mergeRuns(run.settlingDriver, [{ file, from: 0 }], part, 0)) batches.push(batch);
    yield batches.flat();
  }
}

/** What a join found in a shard that is to go. */
export async function* doomedOf(run: Run, store: PartStore, join: string, shard: number): AsyncIterable<readonly Merged[]> {
  const { runs } = await outputOf(store, join, shard);
  const sources = (runs["doomed"] ?? []).map((file) => ({ file, from: 0 }));
  yield* mergeRuns(run.settlingDriver, sources, shard, 0);
}

/** Takes over the whole state of a shard. */
export async function adoptState(part: PartRun, join: string, isMeant: (known: Merged) => boolean): Promise<void> {
  for await (const some of stateOf(part, join)) for (const known of some) if (isMeant(known)) adopt(part.run, known);
}

/** The looks at the repositories of a group that a stage left. */
export async function* rememberedLooks({ store, part }: PartRun, stage: string): AsyncIterable<RememberedLook> {
  const output = (await store.outputs(stage))[part];
  for await (const item of store.items(output?.lists["looks"] ?? [])) yield item as RememberedLook;
}

/** The names of the repositories that a stage left looks at. */
async function namesOf(part: PartRun, stage: string): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const { name } of rememberedLooks(part, stage)) names.add(name);
  return names;
}

/** What lies aside, as far as a group needs it: of journals, what they say of its repositories. */
export async function recallGroupAside(part: PartRun, aside: string | undefined, looks: string): Promise<void> {
  const group = await namesOf(part, looks);
  await recallAside(part, aside, { holds: (item) => item.kind !== "blob" && group.has(item.repository) });
}

/** Goes on with these looks. */
export async function recallLooks(part: PartRun, stage: string): Promise<RepositoryLook[]> {
  const looks: RepositoryLook[] = [];
  for await (const remembered of rememberedLooks(part, stage)) {
    looks.push(RepositoryLook.recall(part.run, piecesOf(part.run).repository(remembered.name), remembered));
  }
  return looks;
}

/** A repository listed; `undefined` where it is gone. */
export async function listed(run: Run, repository: Repository): Promise<Repository | undefined> {
  return repository.again === undefined ? repository : repository.again(run.look);
}

/** Everything that is kept by now; what was kept before is left out of {@link writeNewMarks}. */
export function marksNow(run: Run): Map<number, number> {
  return new Map([...run.digests.numbers()].map((number) => [number, run.marks.of(number)]));
}

/** Bits that a join knows better. */
const OF_JOINS = PRESENT | ASIDE | DOOMED;

/** Writes what has been marked since, and answers with how much that is. */
export async function writeNewMarks({ run, attempt }: PartRun, shards: number, before?: ReadonlyMap<number, number>): Promise<number> {
  const writer = attempt.run("marks");
  let count = 0;
  for (const number of run.digests.numbers()) {
    const flags = run.marks.of(number) & ~OF_JOINS & ~(before?.get(number) ?? 0);
    if (flags === 0) continue;
    const digest = run.digests.digest(number);
    writer.add(shardOf(digest, shards), { digest, flags, size: Number.NaN, time: Number.NaN });
    count++;
    await writer.flushFull();
  }
  return count;
}

/** The copies of a listing, of one shard or all. */
export async function* copiesOf(store: PartStore, listing: string, shard: number | undefined): AsyncIterable<ListedCopy> {
  const { lists } = await outputOf(store, listing, 0);
  const files = shard === undefined ? Object.values(lists).flat() : (lists[`copies-${shard}`] ?? []);
  for await (const item of store.items(files)) yield item as ListedCopy;
}

/** What lies aside, as far as this part needs it: copies of these digests, and these items of journals. */
export async function recallAside(
  { run, store }: Pick<PartRun, "run" | "store">,
  listing: string | undefined,
  options: { readonly shard?: number; readonly holds: (item: JournalBlob | JournalLink) => boolean },
): Promise<void> {
  if (run.registry.online === undefined || listing === undefined) return;
  const { journals, notes, busy } = (await outputOf(store, listing, 0)).result as AsideResult;
  const aside = asideStore(run);
  for await (const [digest, runId, size] of copiesOf(store, listing, options.shard)) aside.recallCopy(digest, runId, size ?? undefined);
  for (const runId of journals) aside.runs.add(runId);
  for (const runId of busy) aside.busy.add(runId);
  for (const { path, digests, time } of notes) aside.notes.push({ path, digests, time: time ?? Number.NaN });
  await aside.readJournals({ ...run.look, journalDriver: run.settlingDriver, holds: options.holds });
  run.aside = aside;
  aside.honourNotes(run.storageNow() - run.settings.gracePeriodMs);
  run.renewMarks();
}
