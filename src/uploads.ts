/** Uploads that were begun and not finished: which of them have expired. */

import type { Repository, Upload } from "./namespace.js";
import type { Run } from "./run.js";

/** The uploads of a repository, and whether each has expired. */
export async function* uploadsOf(
  run: Run,
  repository: Repository,
): AsyncIterable<{ readonly upload: Upload; readonly isExpired: boolean }> {
  for await (const page of repository.uploads?.(run.look) ?? []) {
    for (const upload of page) yield { upload, isExpired: isExpired(run, upload) };
  }
}

/** Looks at uploads again: those of them to which nobody has added anything. */
export async function stillExpired(run: Run, repository: Repository, uploads: readonly Upload[]): Promise<Upload[]> {
  const planned = new Set(uploads.map(({ path }) => path));
  const fresh = repository.again === undefined ? repository : await repository.again(run.look);
  const still: Upload[] = [];
  if (fresh === undefined) return still;
  for await (const each of uploadsOf(run, fresh)) if (each.isExpired && planned.has(each.upload.path)) still.push(each.upload);
  return still;
}

function isExpired(run: Run, { newest }: Upload): boolean {
  const { removeUploadsOlderThanMs = Number.POSITIVE_INFINITY } = run.settings;
  // `startedat` is by the registry's clock, files' times are by the storage's: old is what is old by either.
  const now = Math.min(run.clock.now(), run.storageNow());
  return newest !== undefined && newest.getTime() < now - removeUploadsOlderThanMs;
}
