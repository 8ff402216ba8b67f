/**
 * The plan: what is to go, out of what the marks keep. It is data: numbers of digests and the looks that they come from.
 *
 * A second plan of the same run names nothing that the first did not: whatever has appeared or changed since leaves it.
 */

import { lookAtBlobs } from "./blobFacts.js";
import { readHanging } from "./hanging.js";
import { slicesOf } from "./internal/mapAll.js";
import type { NumberSet } from "./internal/numberMap.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { untilAborted } from "./internal/untilAborted.js";
import type { LooseLink } from "./looseLinks.js";
import { emptyReach, mark } from "./mark.js";
import { ASIDE, DOOMED, isCandidate, isDying, LIVE, PRESENT, PROTECTED, YOUNG } from "./marks.js";
import type { TagIndexEntry, Upload } from "./namespace.js";
import type { RepositoryLook } from "./repositoryLook.js";
import type { Run } from "./run.js";

/** What is to go from one repository. */
export interface RepositoryPlan {
  readonly look: RepositoryLook;
  readonly manifests: readonly number[];
  readonly layerLinks: readonly number[];
  readonly tagIndexEntries: readonly TagIndexEntry[];
  readonly uploads: readonly Upload[];
  /** Whether the repository itself is to go. */
  readonly isEmptied: boolean;
}

export interface Plan {
  readonly blobs: readonly number[];
  /** Only repositories from which something is to go. */
  readonly repositories: readonly RepositoryPlan[];
}

/** How many blobs there are, and why they stay. */
export interface Tally {
  readonly present: number;
  readonly live: number;
  readonly young: number;
  readonly protected: number;
}

/** Blobs that are looked at together. */
const LOOKED_AT_TOGETHER = 256;
/** Such looks under way: while some are answered, the answer of another is taken in. */
const LOOKS = 4;

export async function makePlan(run: Run, looks: readonly RepositoryLook[], earlier?: Plan): Promise<Plan> {
  // What an earlier plan named and this one doesn't is alive, and so are the links to it.
  for (const number of earlier?.blobs ?? []) run.marks.remove(number, DOOMED);
  if (run.looksAtTimes) honourLeases(run, looks);
  const candidates = await findCandidates(run, earlier);
  await keepLinksToLivingManifests(run, looks);
  const blobs = candidates.filter((number) => run.marks.isCandidate(number));
  for (const number of blobs) run.marks.add(number, DOOMED);

  return { blobs, repositories: await planRepositories(run, looks) };
}

/** A push in flight may re-use a blob of any age: the layer link that it wrote keeps the blob. */
export function honourLeases(run: Run, looks: readonly RepositoryLook[]): void {
  for (const look of looks) {
    for (const [layer, { blob }] of look.loose) {
      if (isDying(run.marks.of(blob)) && look.loose.isLease(layer)) run.marks.add(blob, YOUNG);
    }
  }
}

/** The blobs that no look keeps; of each that the listing told too little of, size and time are looked up now, and marked. */
async function findCandidates(run: Run, earlier: Plan | undefined): Promise<number[]> {
  const isStillCandidate = (number: number) => run.marks.isCandidate(number);
  const unmarked = await (earlier === undefined ? run.marks.select(isCandidate) : run.turns.filter(earlier.blobs, isStillCandidate));
  await lookAtCandidates(run, unmarked);
  return run.turns.filter(unmarked, isStillCandidate);
}

/** Whether blobs that nothing keeps are there, and since when: those that are young stay. */
export async function lookAtCandidates(run: Run, candidates: readonly number[]): Promise<void> {
  const unknown = await run.turns.filter(candidates, (number) => !isKnown(run, number));
  const look = async (some: readonly number[]) => {
    for (const number of await lookAtBlobs(run, some)) run.marks.remove(number, PRESENT);
  };
  await new TaskQueue(LOOKS).forEach(slicesOf(unknown, LOOKED_AT_TOGETHER), look, { signal: run.signal });
  await run.turns.each(candidates, (number) => {
    // Of what is gone no time is known: that makes it none of the young.
    if (!run.marks.has(number, PRESENT)) return;
    if (run.isYoung(run.times.get(number)) || run.aside?.wasRestored(run.digests.digest(number)) === true) run.marks.add(number, YOUNG);
  });
}

function isKnown(run: Run, number: number): boolean {
  return !Number.isNaN(run.sizes.get(number)) && !(run.watchesTimes && Number.isNaN(run.times.get(number)));
}

/**
 * Online, a revision whose manifest stays alive through another repository stays too, with all that it reaches: if it were pushed
 * again meanwhile, nothing but its link would show it. Where repositories share directories, the link may be the other's own.
 */
export async function keepLinksToLivingManifests(run: Run, looks: readonly RepositoryLook[]): Promise<void> {
  if (run.settings.readOnly && !run.sharesDirectories) return;
  for (let changed = true; changed; ) {
    changed = false;
    for (const look of looks) {
      const living = [...look.doomed.keys()].filter((number) => !isDying(run.marks.of(number)));
      if (living.length === 0) continue;
      await look.keep(living);
      changed = true;
    }
  }
}

/** A few side by side: what all of them ask at once would have to be held at once. */
async function planRepositories(run: Run, looks: readonly RepositoryLook[]): Promise<RepositoryPlan[]> {
  const plans: (RepositoryPlan | undefined)[] = looks.map(() => undefined);
  const each = looks.map((look, i) => ({ look, i }));
  const plan = async ({ look, i }: { look: RepositoryLook; i: number }) => {
    plans[i] = await planRepository(run, look);
  };
  await untilAborted(run.repositories.forEach(each, plan, { signal: run.signal }), run.signal);
  return plans.filter((made) => made !== undefined);
}

export async function planRepository(run: Run, look: RepositoryLook): Promise<RepositoryPlan | undefined> {
  const { removeLayerLinks, removeEmptyRepositories, readOnly } = run.settings;
  // What lies aside already is not named again.
  const manifests = [...look.doomed.keys()].filter((number) => run.marks.has(number, PRESENT) || !run.marks.has(number, ASIDE));
  // Whoever carries the plan out needs it to order the removals.
  await readHanging(run, look);
  const restorable = await reachOfAside(run, look);
  const layerLinks = removeLayerLinks ? await run.turns.filter(look.loose, (link) => mayGo(run, look, link, restorable)) : [];
  const isAllPlanned = manifests.length === look.doomed.size && layerLinks.length === look.loose.size;
  const plan: RepositoryPlan = {
    look,
    manifests,
    layerLinks: layerLinks.map(([layer]) => layer),
    tagIndexEntries: manifests.length === 0 ? [] : await indexEntries(run, look, manifests),
    uploads: look.expiredUploads,
    isEmptied: removeEmptyRepositories && readOnly && look.wouldBeEmpty && isAllPlanned,
  };
  const items = plan.manifests.length + plan.layerLinks.length + plan.uploads.length;
  // What no look tells, as the signatures of a revision that is gone, would keep it from going, run after run.
  if (items === 0 && plan.isEmptied && (await look.repository.emptyFootprint?.(run.look)) === undefined) return undefined;
  return items > 0 || plan.isEmptied || leavesLinks(run, look) ? plan : undefined;
}

/**
 * Whether links stay to blobs that go: these count as the repository's; and where they go aside a journal must name the links, or a later
 * look takes them for a push's.
 */
function leavesLinks(run: Run, { loose }: RepositoryLook): boolean {
  if (run.settings.removeLayerLinks) return false;
  return [...loose.values()].some(({ blob }) => run.marks.has(blob, DOOMED));
}

/**
 * In the degree "grace" links to living blobs stay: no third look would see that one was written anew. So they do where repositories
 * share directories.
 */
function mayGo(run: Run, look: RepositoryLook, [layer, { blob }]: readonly [number, LooseLink], restorable: NumberSet): boolean {
  if (run.marks.has(blob, ASIDE) && !run.marks.has(blob, PRESENT)) return false;
  if (run.looksAtTimes && look.loose.isLease(layer)) return false;
  const isDead = run.marks.has(blob, DOOMED) || !run.marks.has(blob, PRESENT);
  if (isDead) return true;
  return (run.settings.readOnly || run.quarantines) && !run.sharesDirectories && !restorable.has(layer) && !restorable.has(blob);
}

/** What manifests need that lie aside: restored, they are to be pulled again, and where nobody writes no journal would tell their links. */
async function reachOfAside(run: Run, { doomed, view }: RepositoryLook): Promise<NumberSet> {
  const reach = emptyReach();
  if (!run.settings.readOnly) return reach.digests;
  const aside = [...doomed.keys()].filter((number) => run.marks.has(number, ASIDE) && !run.marks.has(number, PRESENT));
  await mark(view, aside, reach, () => undefined, run.turns);
  return reach.digests;
}

async function indexEntries(run: Run, look: RepositoryLook, manifests: readonly number[]): Promise<TagIndexEntry[]> {
  const digests = new Set(manifests.map((number) => run.digests.digest(number)));
  const entries: TagIndexEntry[] = [];
  for await (const page of look.repository.tagIndexEntries?.(digests, run.look) ?? []) for (const entry of page) entries.push(entry);
  return entries;
}

/** Counts the blobs of the inventory by why they stay. */
export async function tally(run: Run): Promise<Tally> {
  const counts = { present: 0, live: 0, young: 0, protected: 0 };
  for (const [flags, count] of (await run.marks.countSets()).entries()) {
    if ((flags & PRESENT) === 0) continue;
    counts.present += count;
    if ((flags & LIVE) !== 0) counts.live += count;
    else if ((flags & PROTECTED) !== 0) counts.protected += count;
    else if ((flags & YOUNG) !== 0) counts.young += count;
  }
  return counts;
}
