/** The descriptor cache that distribution keeps in Redis, and how it forgets what a collection has taken away. */

import type { Redis } from "ioredis";
import type { DeletedItem } from "oci-registry-gc";

/** Keys as distribution names them. */
export const keys = {
  blob: (digest: string) => `blobs::${digest}`,
  blobsOf: (repository: string) => `repository::${repository}::blobs`,
  blobOf: (repository: string, digest: string) => `repository::${repository}::blobs::${digest}`,
};

/** What is to be forgotten: a blob everywhere, a blob in one repository, or a repository with all that it had. */
type Stale = { readonly digest: string; readonly repository?: undefined } | { readonly digest?: string; readonly repository: string };

/** Items in one round trip. */
const BATCH = 500;

/**
 * Invalidates the cache as a run goes on: `onDeleted: (items) => cache.onDeleted(items)`.
 *
 * `onDeleted` is awaited, and may throw: the run tries it three times in all, writes the failure down as a problem (`hook-failed`), and
 * goes on. So a Redis that is gone never stops a run, nor makes it delete anything else; but a call that never came back would hold it
 * up, hence the client's `commandTimeout`. What could not be forgotten is remembered here, and goes with the next batch, or with
 * {@link flush} at the end.
 */
export class CacheInvalidation {
  private readonly stale = new Map<string, Stale>();
  private forgotten = 0;

  constructor(private readonly redis: Redis) {}

  /** Things that the cache may still know. */
  get pending(): number {
    return this.stale.size;
  }

  /** Things that the cache was told to forget. */
  get done(): number {
    return this.forgotten;
  }

  async onDeleted(items: readonly DeletedItem[]): Promise<void> {
    for (const item of items) {
      const stale = staleOf(item);
      if (stale !== undefined) this.stale.set(`${stale.repository ?? ""} ${stale.digest ?? ""}`, stale);
    }
    await this.flush();
  }

  /** Forgets all that is pending; rejects where Redis can't be told, and then it is pending still. */
  async flush(): Promise<void> {
    const all = [...this.stale];
    for (let start = 0; start < all.length; start += BATCH) {
      const batch = all.slice(start, start + BATCH);
      await this.forget(batch.map(([, stale]) => stale));
      for (const [name] of batch) this.stale.delete(name);
      this.forgotten += batch.length;
    }
  }

  private async forget(batch: readonly Stale[]): Promise<void> {
    const commands: string[][] = [];
    for (const { repository, digest } of batch) {
      if (repository === undefined) {
        commands.push(["del", keys.blob(digest)]);
      } else if (digest !== undefined) {
        commands.push(["srem", keys.blobsOf(repository), digest], ["del", keys.blobOf(repository, digest)]);
      } else {
        const digests = await this.redis.smembers(keys.blobsOf(repository));
        commands.push(["del", keys.blobsOf(repository), ...digests.map((each) => keys.blobOf(repository, each))]);
      }
    }
    const answers = await this.redis.pipeline(commands).exec();
    const failure = answers?.find(([error]) => error !== null)?.[0];
    if (failure != null) throw failure;
  }
}

/** What a cache knows of an item that has become unavailable, deleted or aside; `undefined` where it knows nothing of such. */
function staleOf({ kind, repository, digest }: DeletedItem): Stale | undefined {
  if (kind === "blob" && digest !== undefined) return { digest };
  if ((kind === "layerLink" || kind === "manifest") && repository !== undefined && digest !== undefined) return { repository, digest };
  return kind === "repository" && repository !== undefined ? { repository } : undefined;
}
