/**
 * Step 7: what earlier runs put aside long ago, and nobody needs, goes for good. Its tag index entries and revision links are removed,
 * each only if it is still the one that the journal names; after each removal it is looked whether the manifest's data is back: a
 * push of the same manifest writes the data before the link. Then the data aside is deleted.
 */

import { refuseDamage } from "../guards.js";
import { readHanging } from "../hanging.js";
import { mapAll } from "../internal/mapAll.js";
import { untilAborted } from "../internal/untilAborted.js";
import { lookAtOne, type RegistryLook } from "../look.js";
import type { Repository } from "../namespace.js";
import { honourLeases, keepLinksToLivingManifests } from "../plan.js";
import type { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import type { AsideCopy, AsideStore } from "./asideStore.js";
import { KEEP_PURGED_MS } from "./closeJournals.js";
import { countsOf, deleteData } from "./deleteAside.js";
import { isThere } from "./files.js";
import type { Journal } from "./journal.js";
import { isInPlace, putBackBlobs, putBackLinks } from "./putBack.js";
import { dyingManifests, unlinkManifests } from "./unlinkManifests.js";

/** Runs whose quarantine is over: settled long enough ago, by the storage's clock. Of this very run only where there is to be none. */
export function purgeable(run: Run, aside: AsideStore): Journal[] {
  const journals = [...aside.journals.values()];
  // Of a journal that can't be read nobody knows what it took: then nothing at all goes.
  if (journals.some((journal) => journal.damage !== undefined)) return [];
  const { quarantineMs } = run.settings;
  const limit = run.storageNow() - quarantineMs;
  const isMeant = ({ runId }: Journal) => runId !== run.ledger.runId || quarantineMs === 0;
  return journals.filter((journal) => isMeant(journal) && journal.settledAt !== undefined && journal.settledAt <= limit);
}

/**
 * Purges what these runs put aside, after a drain and a look (`found`) whose marks say what is needed. Only copies that were listed when
 * the run began: what a sleeper moved since was out of sight for no drain.
 */
export async function purgeAside(run: Run, aside: AsideStore, journals: readonly Journal[], found: RegistryLook): Promise<void> {
  const looks = new Map(found.looks.map((look) => [look.repository.name, look]));
  for (const journal of journals) {
    const copies = copiesOf(aside, journal);
    if (copies.length > 0 && !(await isSeen(run, journal, found.names))) continue;
    const dying = copies.filter(([number]) => !run.marks.isKept(number));
    if (dying.length > 0) await purgeRun(run, aside, { journal, copies: dying, looks });
    await deleteRedundant(run, aside, journal);
    if (leftOf(run, aside, journal) !== "needed" || mayBeHalfMoved(run, journal)) continue;
    await run.mayChange();
    await journal.write([{ kind: "purged", at: run.storageNow() }]);
  }
}

/**
 * What a purge has left of what a run put aside. `needed`: it could not go back, as what is rotten; with that the journal is done: what
 * needs it is judged by later runs like anything else, and not kept for ever because the journal names it.
 */
export function leftOf(run: Run, aside: AsideStore, journal: Journal): "nothing" | "needed" | "dying" {
  const left = copiesOf(aside, journal);
  if (left.length === 0) return "nothing";
  return left.every(([number]) => run.marks.isKept(number)) ? "needed" : "dying";
}

/** Whether the last look saw every repository of which the journal names a revision link that is there; it is told where not. */
export async function isSeen(run: Run, journal: Journal, names: ReadonlySet<string>): Promise<boolean> {
  const unseen = await unseenRepository(run, journal, names);
  if (unseen === undefined) return true;
  run.log.warn(
    `nothing that run ${journal.runId} put aside is purged: the last look did not see the repository ${unseen}, though links of it are there`,
  );
  return false;
}

/** Deletes copies that nobody will need: what they are copies of was pushed again. */
async function deleteRedundant(run: Run, aside: AsideStore, journal: Journal): Promise<void> {
  if (mayBeHalfMoved(run, journal)) return;
  const kept = copiesOf(aside, journal).filter(([number]) => run.marks.isKept(number));
  const isInPlace = await mapAll(kept, ([number, copy]) => liesInPlace(run, aside, number, copy));
  await deleteData(
    run,
    aside,
    journal,
    kept.filter((_, i) => isInPlace[i]),
  );
}

/** Whether a sleeper may be about to drop what lies in its place, if a move is two steps: then the copy is all there is. */
export function mayBeHalfMoved(run: Run, { settledAt = Number.NaN }: Journal): boolean {
  return !(settledAt <= run.storageNow() - KEEP_PURGED_MS);
}

/** The data alone, where links are dealt with: what is needed goes back, what a run put aside and nobody needs goes for good. */
export async function purgeData(run: Run, aside: AsideStore, journals: readonly Journal[]): Promise<void> {
  await putBackBlobs(run);
  for (const journal of journals) {
    await deleteDying(run, aside, journal);
    await deleteRedundant(run, aside, journal);
  }
}

async function deleteDying(run: Run, aside: AsideStore, journal: Journal): Promise<void> {
  const dying = copiesOf(aside, journal).filter(([number]) => !run.marks.isKept(number));
  const stays = mayBeHalfMoved(run, journal) ? await mapAll(dying, ([number]) => isInPlace(run, number)) : [];
  await deleteData(
    run,
    aside,
    journal,
    dying.filter((_, i) => stays[i] !== true),
  );
}

/**
 * A repository that the journal names and the look did not see is gone. Where its revision links are there, somebody has made it since,
 * or a listing has left it out: and then nobody knows what it needs.
 */
async function unseenRepository(run: Run, journal: Journal, names: ReadonlySet<string>): Promise<string | undefined> {
  for (const link of journal.links) {
    if (link.kind === "manifest" && !names.has(link.repository) && (await isThere(run.driver, link.path))) return link.repository;
  }
  return undefined;
}

/** Whether a blob that was pushed again lies in its place, and holds what its digest says: then nobody will need its copy. */
async function liesInPlace(run: Run, aside: AsideStore, number: number, copy: AsideCopy): Promise<boolean> {
  const digest = run.digests.digest(number);
  const [place = ""] = run.registry.blobFootprint(digest).files;
  if (!(await isInPlace(run, number))) return false;
  if (await aside.isSound(run.driver, number, { ...copy, path: place })) return true;
  const message = `${place} does not hold what its digest says, and is needed: what lies aside at ${copy.path} may. Nothing is written over: take the one away, and the next run puts the other back`;
  if (run.ledger.addProblem({ kind: "digest-mismatch", path: place, digest, message })) run.log.warn(message);
  return false;
}

interface Purge {
  readonly journal: Journal;
  readonly copies: readonly (readonly [number, AsideCopy])[];
  readonly looks: ReadonlyMap<string, RepositoryLook>;
}

async function purgeRun(run: Run, aside: AsideStore, { journal, copies, looks }: Purge): Promise<void> {
  await run.mayChange();
  await journal.write([{ kind: "purging", at: run.storageNow() }]);
  const dying = copies.map(([number]) => number);
  const left = await unlinkDying(run, { journal, dying, looks });
  await journal.write([{ kind: "unlinked", at: run.storageNow() }]);
  if (left.size > 0) {
    const again = await lookAgainAt(run, left, run.registry.repositories(run.look));
    await putBackBlobs(run);
    await putBackLinks(run, again);
    refuseDamage(run);
  }
  await deleteDying(run, aside, journal);
}

export interface Unlinking {
  readonly journal: Journal;
  /** Manifests that lie aside and that nobody needs. */
  readonly dying: readonly number[];
  readonly looks: ReadonlyMap<string, RepositoryLook>;
  /** Whether somebody who died may have removed some of the links already. */
  readonly isAgain?: boolean;
}

/** Removes the links of manifests that are to go for good, and answers with those that are left, by repository. */
export async function unlinkDying(
  run: Run,
  { journal, dying, looks, isAgain = false }: Unlinking,
): Promise<Map<string, readonly number[]>> {
  const left = new Map<string, readonly number[]>();
  const dyingOf = dyingManifests(run, journal, dying);
  // In a repository that is gone, or of which nothing may go, there is no link to remove.
  const found = [...dyingOf].flatMap(([name, manifests]) => {
    const look = looks.get(name);
    return look === undefined ? [] : [{ name, manifests, look }];
  });
  const { signal } = run;
  // Removals are ordered by it. Read for all repositories first: where one read fails, nothing is purged.
  await run.repositories.forEach(found, ({ look }) => readHanging(run, look), { signal });
  const unlink = async ({ name, manifests, look }: (typeof found)[number]) => {
    const stuck = await unlinkManifests(run, manifests, look, { counts: countsOf(run, journal), isAgain });
    if (stuck.length > 0) left.set(name, stuck);
  };
  await run.repositories.forEach(found, unlink, { signal });
  return left;
}

/** A purge that leaves a revision link looks at that repository once more before it deletes: what it needs stays, and goes back. */
export async function lookAgainAt(
  run: Run,
  left: ReadonlyMap<string, readonly number[]>,
  repositories: AsyncIterable<Repository> | Iterable<Repository>,
): Promise<RepositoryLook[]> {
  const looks: RepositoryLook[] = [];
  for await (const repository of repositories) {
    const revisions = left.get(repository.name);
    if (revisions === undefined) continue;
    const look = await untilAborted(lookAtOne(run, repository), run.signal);
    if (look === undefined) continue;
    // Whatever the reason why a link is still there: what its manifest reaches stays.
    await look.keep(revisions);
    looks.push(look);
  }
  honourLeases(run, looks);
  await keepLinksToLivingManifests(run, looks);
  return looks;
}

/** What a run put aside. */
function copiesOf(aside: AsideStore, journal: Journal): (readonly [number, AsideCopy])[] {
  const copies: (readonly [number, AsideCopy])[] = [];
  for (const [number, all] of aside.copies) for (const copy of all) if (copy.runId === journal.runId) copies.push([number, copy]);
  return copies;
}
