/** What a run refuses to do, however sure its plan is. */

import { DamagedRegistryError, DeleteRatioError, EmptyMarkError } from "./errors.js";
import type { Run } from "./run.js";

/** Below so many blobs a large share of garbage tells nothing. */
const RATIO_FROM_BLOBS = 100;

/** Of a repository nothing tells what it needs: then nothing may go, anywhere. */
export function refuseUnknowable({ unknowable }: Run): void {
  if (unknowable !== undefined) throw unknowable;
}

export function refuseDamage(run: Run): void {
  refuseUnknowable(run);
  if (run.settings.onDamage !== "abort" || !run.ledger.hasDamage) return;
  throw new DamagedRegistryError(
    'the registry is damaged, and onDamage is "abort": nothing was deleted. report.problems lists the damage; mend it, or collect with onDamage "protect"',
  );
}

/** Blobs without a single repository: a wrong root, a disk that is not mounted, a listing that lied. */
export function refuseEmptyMark(run: Run, repositories: number, blobs: number): void {
  if (repositories > 0) return;
  if (blobs === 0) {
    run.notices.warn("no repositories and no blobs were found: an empty registry, or a wrong root");
    return;
  }
  if (run.settings.allowEmptyMark) return;
  throw new EmptyMarkError(
    `${blobs} blobs, but not one repository was found: is the root right, is everything mounted? Nothing was deleted; allowEmptyMark: true collects all the same`,
  );
}

/** Of a look that comes when things lie aside: whoever sees no repository would purge all of it. */
export function refuseEmptyLook(run: Run, repositories: number, isAnythingAside: boolean): void {
  if (repositories > 0 || !isAnythingAside || run.settings.allowEmptyMark) return;
  throw new EmptyMarkError(
    "data lies aside, but not one repository was found: nothing was purged. Is the root right, is everything mounted? On a store without directories a repository is gone with its last link: if these were the last ones, allowEmptyMark: true collects them",
  );
}

/** `present`: blobs of the inventory. */
export function refuseRatio(run: Run, present: number): void {
  const { maxDeleteRatio } = run.settings;
  const doomed = run.ledger.eligible.blobs;
  if (present < RATIO_FROM_BLOBS || doomed / present <= maxDeleteRatio) return;
  throw new DeleteRatioError(
    `the plan would delete ${doomed} of ${present} blobs, more than maxDeleteRatio ${maxDeleteRatio} allows; nothing was deleted. Look at a dry run; if the plan is right, raise maxDeleteRatio (1 switches it off)`,
  );
}
