/**
 * The links of manifests that a purge takes: tag index entries and signatures, then the revision link, each only if it is still the one
 * that the journal names, and a look whether the manifest is back. What is not gone for good is as it was.
 */

import { messageOf } from "../errors.js";
import { addTo } from "../internal/addTo.js";
import { mapAll } from "../internal/mapAll.js";
import type { DeletedItem } from "../options.js";
import { parentsFirst } from "../parentsFirst.js";
import { failureOf } from "../remover.js";
import { countItem, type SweepCounts } from "../report.js";
import type { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import { tellDeleted } from "../tellDeleted.js";
import { inBatches } from "./batches.js";
import { isReadable, isSameWriting, isThere, removeFile, timeOf, writeIfAbsent } from "./files.js";
import type { Journal, JournalLink } from "./journal.js";

/** A revision link that is to go, and what goes before it: tag index entries and signatures. */
export interface DyingManifest {
  readonly link: JournalLink;
  readonly parts: readonly JournalLink[];
}

/** Where links are counted that go. */
interface Unlinking {
  readonly counts: SweepCounts;
  /**
   * Whether somebody who died may have removed some already: then a link that is gone was removed by him, and is written anew where the
   * manifest is back. A client may have deleted it in between: that can't be told apart.
   */
  readonly isAgain: boolean;
}

/** What the journal names of dying manifests, by repository and number. */
export function dyingManifests(run: Run, journal: Journal, numbers: readonly number[]): Map<string, Map<number, DyingManifest>> {
  const dying = new Set(numbers.map((number) => run.digests.digest(number)));
  const parts = new Map<string, JournalLink[]>();
  for (const link of journal.links) {
    if ((link.kind === "tagIndexEntry" || link.kind === "signature") && dying.has(link.digest)) addTo(parts, partsKey(link), link);
  }
  const manifests = new Map<string, Map<number, DyingManifest>>();
  for (const link of journal.links) {
    if (link.kind !== "manifest" || !dying.has(link.digest)) continue;
    const known = manifests.get(link.repository) ?? new Map<number, DyingManifest>();
    manifests.set(link.repository, known);
    known.set(run.digests.add(link.digest), { link, parts: parts.get(partsKey(link)) ?? [] });
  }
  return manifests;
}

function partsKey({ repository, digest }: JournalLink): string {
  return `${repository} ${digest}`;
}

/** Removes the revision links of one repository, parents before children: what a link that is left keeps is left too. Answers with these. */
export async function unlinkManifests(
  run: Run,
  manifests: ReadonlyMap<number, DyingManifest>,
  look: RepositoryLook,
  unlinking: Unlinking,
): Promise<number[]> {
  const left: number[] = [];
  for (const level of parentsFirst(run, { look, manifests: [...manifests.keys()] })) {
    const dying = level.filter((number) => look.doomed.has(number));
    const stuck: number[] = [];
    await inBatches(run, dying, async (some) => {
      await mapAll(some, async (number) => {
        const manifest = manifests.get(number);
        if (manifest === undefined) return;
        const gone: DeletedItem[] = [];
        const outcome = { isGone: false };
        await run.unlessPromised(manifest.link.digest, async () => {
          outcome.isGone = await unlinkManifest(run, manifest, unlinking, gone);
        });
        if (!outcome.isGone) stuck.push(number);
        // Not before: whoever is told may wait for the barrier.
        await tellDeleted(run, gone);
        run.signal.throwIfAborted();
      });
    });
    await look.keep(stuck);
    for (const number of stuck) left.push(number);
  }
  return left;
}

/**
 * Removes a manifest's parts, then its revision link, then looks whether its data is back: a push of the same manifest writes the data
 * before the link. Whether it is gone for good; where it isn't, what was removed is written anew. `gone` takes what is to be told.
 */
async function unlinkManifest(
  run: Run,
  { link: revision, parts }: DyingManifest,
  unlinking: Unlinking,
  gone: DeletedItem[],
): Promise<boolean> {
  const { removed, unsure, isLeft } = await unlinkInTurn(run, [...parts, revision], unlinking);
  const [place = ""] = run.registry.blobFootprint(revision.digest).files;
  const isGone = !isLeft && (await isKnownAbsent(run, place));
  if (unsure !== undefined) await mendUnsure(run, unsure);
  for (const link of removed) {
    if (!isGone && (await writeAnew(run, link))) continue;
    if (link.kind === "signature") continue;
    countItem(unlinking.counts, { kind: link.kind });
    gone.push({ kind: link.kind, path: link.path, repository: link.repository, digest: link.digest, how: "deleted" });
  }
  return isGone;
}

/** Where nobody can look, the manifest may be back. */
async function isKnownAbsent(run: Run, path: string): Promise<boolean> {
  try {
    return !(await isReadable(run.settlingDriver, path));
  } catch (error) {
    // No failure of the report's: those are removals, and what stays here is told as restored.
    if (!run.signal.aborted) run.log.warn(`${path} could not be looked at: ${messageOf(error)}; the manifest counts as back`, { error });
    return false;
  }
}

function noteFailure(run: Run, path: string, error: unknown): void {
  if (!run.signal.aborted) run.ledger.addFailure(failureOf(path, error));
}

/** Removes links until one is left: those that were removed, the last first. */
async function unlinkInTurn(
  run: Run,
  links: readonly JournalLink[],
  { isAgain }: Unlinking,
): Promise<{ removed: JournalLink[]; unsure?: JournalLink; isLeft: boolean }> {
  const removed: JournalLink[] = [];
  for (const link of links) {
    const outcome = await unlink(run, link);
    if (outcome === "unsure") return { removed, unsure: link, isLeft: true };
    if (outcome === "failed" || (outcome === "changed" && link.kind === "manifest")) return { removed, isLeft: true };
    if (outcome === "removed" || (outcome === "absent" && isAgain)) removed.unshift(link);
  }
  return { removed, isLeft: false };
}

/** `unsure`: the removal failed; `failed`: it was not even tried, and whoever has removed the link meant to. */
async function unlink(run: Run, link: JournalLink): Promise<"removed" | "absent" | "changed" | "failed" | "unsure"> {
  let isTried = false;
  try {
    const time = await timeOf(run.driver, link.path);
    if (time === undefined) return "absent";
    if (!isSameWriting(time, link.time)) return "changed";
    isTried = true;
    await removeFile(run.driver, link.path);
    return "removed";
  } catch (error) {
    noteFailure(run, link.path, error);
    return isTried ? "unsure" : "failed";
  }
}

/** A removal that failed may have been done all the same; where it was not, nothing need be writable. */
async function mendUnsure(run: Run, link: JournalLink): Promise<void> {
  try {
    await writeAnew(run, link);
  } catch (error) {
    if (!(await isThere(run.settlingDriver, link.path))) throw error;
  }
}

/** Writes a link anew; an index entry only where its tag is still there. */
async function writeAnew(run: Run, link: JournalLink): Promise<boolean> {
  const isOfTag = link.kind === "tagIndexEntry";
  if (isOfTag && (link.current === undefined || !(await isThere(run.settlingDriver, link.current)))) return false;
  await writeIfAbsent(run.settlingDriver, link.path, link.target);
  return true;
}
