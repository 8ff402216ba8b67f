/** What a caller may say: the options of a run, and what its hooks are told. */

import type { ReferenceCache } from "./referenceCache.js";
import type { WriteBarrier } from "./writeBarrier.js";

/** The kinds of things that a run removes. */
export type ItemKind = "manifest" | "blob" | "layerLink" | "tagIndexEntry" | "upload" | "repository";

/** Why something is to go; `onItem` and a report's `reasons` share these words. */
export type Reason =
  | "unreachable"
  | "untagged"
  | "index-entry-of-removed-manifest"
  | "layer-not-reached"
  | "upload-expired"
  | "repository-empty";

/** A planned deletion. */
export interface PlannedItem {
  readonly kind: ItemKind;
  readonly path: string;
  readonly repository?: string | undefined;
  readonly digest?: string | undefined;
  readonly bytes?: number | undefined;
  readonly reason: Reason;
}

/** Something that has become unavailable, confirmed. */
export interface DeletedItem {
  readonly kind: ItemKind;
  readonly path: string;
  readonly repository?: string | undefined;
  readonly digest?: string | undefined;
  readonly how: "deleted" | "aside";
}

/** The phases of a run, as `onProgress`, spans and `durationsMs` name them. */
export type Phase = "inventory" | "mark" | "look" | "sweep" | "drain" | "purge";

export interface Progress {
  readonly phase: Phase;
  /** Blobs in `inventory`, repositories in `mark` and `look`, items in `sweep` and `purge`, milliseconds in `drain`. */
  readonly done: number;
  readonly total?: number | undefined;
  readonly bytes?: number | undefined;
}

/** What `keep` decides by. */
export interface ManifestInfo {
  readonly repository: string;
  readonly digest: string;
  /** Of the document itself; absent where it says none. */
  readonly mediaType?: string | undefined;
  readonly artifactType?: string | undefined;
  readonly configMediaType?: string | undefined;
  /** The digest of the manifest that this one is about. */
  readonly subject?: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Bytes of the document. */
  readonly size: number;
  /** When the repository got it, by the storage's clock, where that is known. */
  readonly modTime?: Date | undefined;
}

export interface GcOptions {
  /** Plan everything, change nothing: not one mutating call. Default `false`. */
  readonly dryRun?: boolean | undefined;
  /** Also remove manifests that nothing keeps. Default `false`. */
  readonly removeUntagged?: boolean | undefined;
  /** Manifest reads in flight. Default 16; values below 1 count as 1. */
  readonly maxParallelManifestGets?: number | undefined;
  /** All other storage calls in flight. Default 16. */
  readonly concurrency?: number | undefined;
  /** The caller guarantees that nothing writes to the registry during the run. Turns the online protections off. Default `false`. */
  readonly readOnly?: boolean | undefined;
  /** Milliseconds. What is younger is kept, and so is all that it reaches. Default a day, with `readOnly` 0. */
  readonly gracePeriodMs?: number | undefined;
  /** Whether an untagged manifest whose `subject` is kept is kept too. Default `"keep-with-subject"`. */
  readonly referrers?: "keep-with-subject" | "ignore" | undefined;
  /** Damaged content: keep everything that its repository links and go on, or delete nothing anywhere. Default `"protect"`. */
  readonly onDamage?: "protect" | "abort" | undefined;
  /** Remove a repository's links to layers that its kept manifests no longer reach. Default `true`. */
  readonly removeLayerLinks?: boolean | undefined;
  /** Milliseconds. Remove upload sessions that showed no sign of life for longer. Default: off. */
  readonly removeUploadsOlderThanMs?: number | undefined;
  /** Remove repositories that hold nothing any more; `readOnly` runs only. Default `false`. */
  readonly removeEmptyRepositories?: boolean | undefined;
  /** Refuse a plan that would delete more than this share of the blobs, from 100 blobs up. Default 0.5; 1 switches it off. */
  readonly maxDeleteRatio?: number | undefined;
  /** Allow a plan that would delete blobs although no repository was found. Default `false`. */
  readonly allowEmptyMark?: boolean | undefined;
  /** `true` keeps a manifest and all that it reaches; asked of each that nothing else keeps. A throw ends the run before any delete. */
  readonly keep?: ((manifest: ManifestInfo) => boolean | Promise<boolean>) | undefined;
  /** Told in batches what has become unavailable, and awaited. A throw is tried again, then reported, never fatal. */
  readonly onDeleted?: ((items: readonly DeletedItem[]) => void | Promise<void>) | undefined;
  /** Told every planned deletion and its reason, once the plan stands. A throw ends the run before any delete. */
  readonly onItem?: ((item: PlannedItem) => void | Promise<void>) | undefined;
  /** Online: put garbage aside first, and delete it in a later run. Default `true`, where the driver has `putContent` and `move`. */
  readonly quarantine?: boolean | undefined;
  /** Milliseconds. How long things lie aside before a run deletes them. Default 7 days. */
  readonly quarantineMs?: number | undefined;
  /** Milliseconds. Longer than any request takes between its check and its write, and longer than listings lag. Default 120,000. */
  readonly drainMs?: number | undefined;
  /** Of a registry in this process: what it is about to promise stays. */
  readonly barrier?: WriteBarrier | undefined;
  /**
   * Remembers between runs what each manifest names: `memoryReferenceCache()`, or `fileReferenceCache(path)` of the filesystem driver.
   * A manifest that is remembered and that the inventory lists is not read again; one that rotted since is noticed by a run without it.
   */
  readonly referenceCache?: ReferenceCache | undefined;
  /** Told about ten times a second how far the run is. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}
