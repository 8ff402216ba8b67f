/**
 * What a look found in one repository, as plain JSON: enough to plan what goes from it, to carry that out, or to keep it after all, in
 * another process. What the repository keeps is not in it, but for what the rest refers to.
 */

import type { Signature, Upload } from "./namespace.js";

/** Milliseconds since 1970; `null` where unknown. */
export type RememberedTime = number | null;

/** A revision that nothing keeps. */
export interface RememberedRevision {
  readonly digest: string;
  readonly time: RememberedTime;
  readonly children: readonly string[];
  readonly blobs: readonly string[];
  readonly signatures: readonly Signature[];
}

interface RememberedLayerLink {
  readonly digest: string;
  readonly time: RememberedTime;
  readonly blob: string;
}

/** A layer link that nothing reaches. */
export interface RememberedLink extends RememberedLayerLink {
  /** Whether an earlier look of the run did not see it as it is. */
  readonly isChanged: boolean;
}

/** What hangs on revisions that nothing keeps, beside revisions: were one of them kept after all, it would be followed. */
export interface RememberedHanging {
  /** Manifests that layer links serve. */
  readonly served: readonly { readonly digest: string; readonly children: readonly string[]; readonly blobs: readonly string[] }[];
  /** The layer links that are not loose. */
  readonly links: readonly (RememberedLayerLink & { readonly isNameOnly: boolean })[];
  /** Those of the revisions that are about something, by what they are about. */
  readonly referrers: readonly { readonly subject: string; readonly revisions: readonly string[] }[];
}

export type RememberedUpload = Omit<Upload, "newest"> & { readonly newest: RememberedTime };

export interface RememberedLook {
  readonly name: string;
  readonly isDamaged: boolean;
  /** Whether anything else than revisions and layer links is there. */
  readonly otherwiseEmpty: boolean;
  /** Revisions that are kept. */
  readonly otherRevisions: number;
  readonly doomed: readonly RememberedRevision[];
  readonly hanging: RememberedHanging;
  readonly loose: readonly RememberedLink[];
  readonly uploads: readonly RememberedUpload[];
  /** What the repository keeps, of all that is named here or by a journal. */
  readonly reached: readonly string[];
}

export function rememberTime(time: number | undefined): RememberedTime {
  return time === undefined || Number.isNaN(time) ? null : time;
}

export function recallTime(time: RememberedTime): number {
  return time ?? Number.NaN;
}
