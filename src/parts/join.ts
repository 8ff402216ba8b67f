/** Part `join`: of one shard of all digests, what there is without what is kept. It streams, and tells groups what they asked. */

import { ABSENT, DOOMED, isCandidate, isDying, LIVE, PRESENT, PROTECTED, YOUNG } from "../marks.js";
import { lookAtCandidates } from "../plan.js";
import type { Run } from "../run.js";
import { ASKED, LEASED, LEASED_IF_AWAY } from "./flags.js";
import { type Merged, mergeRuns } from "./merge.js";
import { type PartRun, recallAside, sourcesOf } from "./partRun.js";
import type { Entry } from "./sortedRun.js";

export interface JoinInput {
  /** The stages of which the state is taken further. */
  readonly states: readonly string[];
  readonly marks: readonly string[];
  /** The looks that ask. */
  readonly questions: string;
  readonly aside: string | undefined;
  /** Which blobs may be candidates: all that are there, those that were before, or none. */
  readonly candidates: "present" | "doomed" | "none";
}

/** Sums over the blobs of a shard. */
export interface JoinResult {
  present: number;
  live: number;
  young: number;
  protected: number;
  /** What nothing keeps. */
  blobs: number;
  bytes: number;
}

export async function joinPart(part: PartRun, { states, marks, questions, aside, candidates }: JoinInput): Promise<JoinResult> {
  const { run, store, attempt } = part;
  // Of what lies aside a join needs to know what was restored lately; which digests have copies, a sorted run tells.
  await recallAside(part, aside, { shard: part.part, holds: () => false });
  const sources = [
    ...(await sourcesOf(store, states, "state")),
    ...(aside === undefined ? [] : await sourcesOf(store, [aside], "aside")),
    ...(await sourcesOf(store, marks, "marks")),
    ...(await sourcesOf(store, [questions], "questions")),
  ];
  const sums: JoinResult = { present: 0, live: 0, young: 0, protected: 0, blobs: 0, bytes: 0 };
  const state = attempt.run("state");
  const doomed = attempt.run("doomed");
  const answers = attempt.run("answers");
  for await (const batch of mergeRuns(run.settlingDriver, sources, part.part, ASKED)) {
    run.signal.throwIfAborted();
    const known = await judge(run, batch, candidates);
    batch.forEach(({ askers }, i) => {
      const entry = known[i];
      if (entry === undefined) return;
      state.add(part.part, entry);
      for (const group of askers) answers.add(group, entry);
      if ((entry.flags & DOOMED) !== 0) doomed.add(part.part, entry);
      tally(sums, entry);
    });
    await Promise.all([state.flushFull(), doomed.flushFull(), answers.flushFull()]);
  }
  return sums;
}

/** What becomes of these digests, now that all is told of them. */
async function judge(run: Run, batch: readonly Merged[], candidates: JoinInput["candidates"]): Promise<Entry[]> {
  const entries = batch.map((merged) => settle(merged));
  const open: { readonly at: number; readonly number: number }[] = [];
  batch.forEach(({ flags }, at) => {
    const entry = entries[at];
    const mayGo = candidates === "present" || (candidates === "doomed" && (flags & DOOMED) !== 0);
    if (entry === undefined || !mayGo || !isCandidate(entry.flags)) return;
    const number = run.digests.add(entry.digest);
    run.marks.add(number, entry.flags);
    run.sizes.set(number, entry.size);
    run.times.set(number, entry.time);
    open.push({ at, number });
  });
  await lookAtCandidates(
    run,
    open.map(({ number }) => number),
  );
  for (const { at, number } of open) {
    const flags = run.marks.of(number) | (run.marks.has(number, PRESENT) ? 0 : ABSENT);
    const digest = run.digests.digest(number);
    entries[at] = { digest, flags: isCandidate(flags) ? flags | DOOMED : flags, size: run.sizes.get(number), time: run.times.get(number) };
  }
  return entries;
}

/** What marks and leases come to. */
function settle({ digest, flags, size, time }: Merged): Entry {
  let bits = flags & ~(DOOMED | LEASED | LEASED_IF_AWAY);
  if ((bits & ABSENT) !== 0) bits &= ~PRESENT;
  const isLeased = (flags & LEASED) !== 0 || ((flags & LEASED_IF_AWAY) !== 0 && (bits & PRESENT) === 0);
  if (isLeased && isDying(bits)) bits |= YOUNG;
  return { digest, flags: bits, size, time };
}

function tally(sums: JoinResult, { flags, size }: Entry): void {
  if ((flags & PRESENT) === 0) return;
  sums.present++;
  if ((flags & LIVE) !== 0) sums.live++;
  else if ((flags & PROTECTED) !== 0) sums.protected++;
  else if ((flags & YOUNG) !== 0) sums.young++;
  if ((flags & DOOMED) === 0) return;
  sums.blobs++;
  sums.bytes += size || 0;
}
