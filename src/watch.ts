/** What looks tell somebody who wants to know why something is kept. */

import type { Repository, Signature } from "./namespace.js";

/** Why a revision keeps what it reaches, though nothing else reaches it. `explain` says it in these words. */
export type RootReason = "tag" | "revision" | "keep" | "young" | "damage" | "alive-elsewhere";

/** A look at one repository, as far as it can be asked about a digest. */
export interface WatchedLook {
  readonly repository: Repository;
  /** The digest under which a blob is stored, where a link of the repository tells another one. */
  storedAs(number: number): number | undefined;
  /** How a digest is reached from a root: manifests, the digest last; `undefined` where it isn't. Known where somebody watches. */
  wayTo(number: number): { readonly why: RootReason; readonly way: readonly number[] } | undefined;
  /** Whether damage keeps this layer, or what it stands for. */
  protects(number: number): boolean;
  /** The revisions that are about this manifest. */
  referrersOf(manifest: number): readonly number[];
  signaturesOf(manifest: number): readonly Signature[];
}

/** Who wants to know: told of each look, and again where it comes to keep more. */
export interface Watch {
  take(look: WatchedLook): void;
}
