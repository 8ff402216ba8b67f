import { DAY_MS } from "./clock.js";
import { isDigest } from "./digest.js";
import { InvalidDigestError } from "./errors.js";

/**
 * For registries in the same process: they tell which blobs they are about to promise, and the collector asks before each move or
 * delete, under one lock per digest.
 */
export interface WriteBarrier {
  /**
   * Keeps a digest from being removed. Resolves once no removal of it is under way; from then on, for `forMs` (milliseconds, default
   * a day), none starts. To be called on HEAD, mount and upload commit, and for every digest of a manifest before it is verified.
   * Rejects with an InvalidDigestError or a TypeError where it is no digest, or no time.
   */
  protect(digest: string, options?: { readonly forMs?: number | undefined }): Promise<void>;

  /**
   * What the collector calls: runs a removal of this digest, unless it is protected; answers whether it did. Of one digest no two
   * run at once. Where links serve data by several digests, as by sha512, the collector calls it within itself, for one after the
   * other in the order of their text: an implementation with one lock for all digests would wait for itself.
   */
  removing(digest: string, removal: () => Promise<void>): Promise<boolean>;
}

/** Runs a removal of data that goes by several digests, unless one of them is protected; answers whether it did. */
export async function removingAll(barrier: WriteBarrier, digests: readonly string[], removal: () => Promise<void>): Promise<boolean> {
  let isDone = false;
  let guarded = async () => {
    await removal();
    isDone = true;
  };
  // In one order for all, the first outermost: two that are removed at once may have digests in common.
  for (const digest of [...new Set(digests)].sort().reverse()) {
    const inner = guarded;
    guarded = async () => {
      await barrier.removing(digest, inner);
    };
  }
  await guarded();
  return isDone;
}

/** A barrier for the registries and the collector of one process. `now`: milliseconds since 1970, `Date.now` by default. */
export function createWriteBarrier(options: { readonly now?: () => number } = {}): WriteBarrier {
  const now = options.now ?? (() => Date.now());
  const protectedUntil = new Map<string, number>();
  const removals = new Map<string, Promise<void>>();
  let swept = now();

  const forgetExpired = () => {
    if (now() - swept < 60_000) return;
    swept = now();
    for (const [digest, until] of protectedUntil) if (until <= swept) protectedUntil.delete(digest);
  };

  return {
    async protect(digest, { forMs = DAY_MS } = {}) {
      if (!isDigest(digest)) throw new InvalidDigestError(digest);
      if (typeof forMs !== "number" || !(forMs >= 0))
        throw new TypeError(`forMs is ${forMs}; expected a number of milliseconds, 0 or more`);
      forgetExpired();
      const protect = () => protectedUntil.set(digest, Math.max(protectedUntil.get(digest) ?? 0, now() + forMs));
      protect();
      // Its time counts from when nothing is under way any more: a removal that takes longer must not let the next one begin.
      for (let other = removals.get(digest); other !== undefined; other = removals.get(digest)) {
        await other;
        protect();
      }
    },
    async removing(digest, removal) {
      for (let other = removals.get(digest); other !== undefined; other = removals.get(digest)) await other;
      if ((protectedUntil.get(digest) ?? 0) > now()) return false;
      const work = removal();
      // Whoever waits wants to know that it is over, not how it went.
      const over = work.then(
        () => undefined,
        () => undefined,
      );
      removals.set(digest, over);
      try {
        await work;
      } finally {
        removals.delete(digest);
      }
      return true;
    },
  };
}
