/** Putting back: data that something needs after all, and links that a run took. Nothing is written over, and nothing rotten goes back. */

import { dirname, type StorageDriver } from "../driver.js";
import { isPathNotFound, messageOf, UnsupportedError } from "../errors.js";
import { slicesOf } from "../internal/mapAll.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { RegistryLook } from "../look.js";
import type { AsideCounts } from "../report.js";
import type { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import type { AsideCopy, TakenLink } from "./asideStore.js";
import { BATCH, inBatches } from "./batches.js";
import { isReadable, isThere, isWhollyAt, writeIfAbsent } from "./files.js";
import { pruneAside } from "./pruneAside.js";

export type PutBackOutcome = "back" | "there" | "gone" | "rotten";

/** Brings everything back that a look found to be needed: data first, then the layer links of what is kept. */
export async function putBackNeeded(run: Run, found: RegistryLook): Promise<void> {
  const attempts = new Attempts(run);
  await bringBackBlobs(run, attempts);
  await bringBackLinks(run, found.looks, attempts);
  attempts.end();
}

/** Writes the layer links anew that runs took and that what these repositories keep needs. */
export async function putBackLinks(run: Run, looks: readonly RepositoryLook[]): Promise<void> {
  const attempts = new Attempts(run);
  await bringBackLinks(run, looks, attempts);
  attempts.end();
}

/**
 * Brings back the data of what lies aside and is kept.
 *
 * @param isAgain - Whether somebody who died may have brought some back: a copy that is gone, while its place is taken, was then.
 */
export async function putBackBlobs(run: Run, isAgain = false): Promise<void> {
  const attempts = new Attempts(run);
  await bringBackBlobs(run, attempts, isAgain);
  attempts.end();
}

async function bringBackLinks(run: Run, looks: readonly RepositoryLook[], attempts: Attempts): Promise<void> {
  const { aside } = run;
  if (aside === undefined) return;
  const needed = looks.flatMap((look) =>
    aside.layerLinksTakenFrom(look.repository.name).filter(({ link }) => look.needsLayer(run.digests.add(link.digest))),
  );
  const queue = new TaskQueue(run.settings.concurrency);
  const bringBack = async (taken: TakenLink) => {
    if (await isStored(run, run.digests.add(taken.link.target))) await writeTaken(run, run.driver, taken);
  };
  await inBatches(run, needed, (some) => queue.forEach(some, (taken) => attempts.at(taken.link.path, () => bringBack(taken))));
}

/** What can't be put back now must not keep the rest from its place: all is tried, and then the first failure is thrown. */
class Attempts {
  private first: { readonly error: unknown } | undefined;

  constructor(private readonly run: Run) {}

  async at(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.run.signal.throwIfAborted();
      this.first ??= { error };
      this.run.log.error(`could not put back ${path}: ${messageOf(error)}`, { error });
    }
  }

  end(): void {
    if (this.first !== undefined) throw this.first.error;
  }
}

/** Writes a layer link anew that a run took; what is there again was not deleted. */
async function writeTaken(run: Run, driver: StorageDriver, { runId, link }: TakenLink): Promise<void> {
  const isBack = await writeIfAbsent(driver, link.path, link.target);
  // Where other processes remove them, too, each was counted.
  const here = run.aside?.takenHere;
  if (isBack && runId === run.ledger.runId && here?.counted.delete(link) !== false) run.ledger.deleted.layerLinks--;
}

async function bringBackBlobs(run: Run, attempts: Attempts, isAgain = false): Promise<void> {
  const { aside } = run;
  if (aside === undefined) return;
  const kept = [...aside.copies].filter(([number]) => run.marks.isKept(number));
  const queue = new TaskQueue(run.settings.concurrency);
  await inBatches(run, kept, async (some) => {
    const emptied: string[] = [];
    const bringBack = async (number: number, copies: readonly AsideCopy[]) => {
      for (const copy of copies) {
        const outcome = await putBack(run, run.driver, number, copy);
        const wasBack = isAgain && outcome === "there" && !(await isThere(run.driver, copy.path));
        if (outcome === "back" || wasBack) countBack(run, copy);
        if (outcome === "back") emptied.push(dirname(copy.path));
        if (outcome === "back" || outcome === "there") return;
      }
    };
    await queue.forEach(some, ([number, copies]) => attempts.at(run.digests.digest(number), () => bringBack(number, [...copies])));
    await pruneAside(run.driver, emptied, aside.directory);
  });
}

/** Brings one copy back, where nothing is in its place and its bytes are what its digest says. */
export async function putBack(run: Run, driver: StorageDriver, number: number, copy: AsideCopy): Promise<PutBackOutcome> {
  const digest = run.digests.digest(number);
  const [place = ""] = run.registry.blobFootprint(digest).files;
  if (await isThere(driver, place)) return "there";
  try {
    if (!(await run.aside?.isSound(driver, number, copy))) {
      const message = `${copy.path} lies aside and does not hold what its digest says; it was not put back`;
      if (run.ledger.addProblem({ kind: "digest-mismatch", path: copy.path, digest, message })) run.log.warn(message);
      return "rotten";
    }
    if (driver.move === undefined)
      throw new UnsupportedError(
        `${copy.path} lies aside and is needed at ${place}, and the driver ${driver.name} has no move: use one that has`,
      );
    await driver.move(copy.path, place);
  } catch (error) {
    // By a call whose answer was lost it is back all the same.
    if (!(await isWhollyAt(driver, place, copy.path))) {
      // Someone wrote it anew, or another run brought it back, at the same moment.
      if (isPathNotFound(error)) return "gone";
      if (await isReadable(driver, place)) return "there";
      throw error;
    }
  }
  run.aside?.removeCopy(number, copy);
  run.log.debug(`put back ${place}`);
  return "back";
}

function countBack(run: Run, copy: AsideCopy): void {
  // What failed to go aside is counted as that.
  if (copy.hasFailed === true) return;
  const counts: AsideCounts = isCounted(run, copy) ? run.ledger.restored : run.ledger.returned;
  countAside(counts, copy, 1);
  if (isCounted(run, copy)) countAside(run.ledger.quarantined, copy, -1);
}

/** Whether a copy is one of those that this run counts as put aside by it. */
export function isCounted(run: Run, copy: AsideCopy): boolean {
  return copy.runId === run.ledger.runId && copy.hasFailed !== true;
}

/** Adds one copy to what is counted, or takes it out again. */
export function countAside(counts: AsideCounts, { size, isManifest }: Pick<AsideCopy, "size" | "isManifest">, sign: 1 | -1): void {
  counts.blobs += sign;
  counts.bytes += sign * (size ?? 0);
  if (isManifest) counts.manifests += sign;
}

/** Whether a blob's data lies where the registry looks for it. */
export function isInPlace(run: Run, number: number): Promise<boolean> {
  const [place = ""] = run.registry.blobFootprint(run.digests.digest(number)).files;
  return isThere(run.driver, place);
}

/** Whether a blob's data is anywhere: a link to what was purged leads nowhere. */
export function isStored(run: Run, number: number): Promise<boolean> {
  return run.aside?.isAside(number) === true ? Promise.resolve(true) : isInPlace(run, number);
}

/**
 * Undoes what this run took, after an abort or an error: data goes back, removed layer links are written anew. What can't be undone
 * is in the journal, for the next run. `driver` is one that the run's own signal does not stop.
 */
export async function undo(run: Run, driver: StorageDriver): Promise<void> {
  const { aside } = run;
  const { runId } = run.ledger;
  const journal = aside?.journals.get(runId);
  if (aside === undefined || journal === undefined || journal.settledAt !== undefined) return;
  const own = [...aside.copies].flatMap(([number, copies]) =>
    copies.filter((copy) => copy.runId === runId).map((copy) => ({ number, copy })),
  );
  // What a client removed before this run came to it stays removed.
  const taken = journal.links.filter((link) => link.taken === true && aside.takenHere?.tried.has(link) !== false);
  let failed = 0;
  const attempt = async (path: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      failed++;
      run.log.error(`could not put back ${path}: ${messageOf(error)}; the next run does`, { error });
    }
  };
  const queue = new TaskQueue(run.settings.concurrency);
  const all = async <T>(items: readonly T[], pathOf: (item: T) => string, work: (item: T) => Promise<void>) => {
    for (const some of slicesOf(items, BATCH)) {
      const held = run.lock?.check();
      held?.catch(() => undefined); // Each of them tells it.
      const whileHeld = async (item: T) => {
        await held;
        await work(item);
      };
      await queue.forEach(some, (item) => attempt(pathOf(item), () => whileHeld(item)));
    }
  };
  await all(
    own,
    ({ copy }) => copy.path,
    async ({ number, copy }) => {
      if ((await putBack(run, driver, number, copy)) === "back") countBack(run, copy);
    },
  );
  await pruneAside(
    driver,
    own.map(({ copy }) => dirname(copy.path)),
    aside.directory,
  );
  await all(
    taken,
    ({ path }) => path,
    (link) => writeTaken(run, driver, { runId, link }),
  );
  const at = run.storageNow();
  if (failed === 0)
    await attempt(runId, async () => {
      await run.lock?.check();
      await journal.write([
        { kind: "settled", at },
        { kind: "purged", at },
      ]);
    });
}
