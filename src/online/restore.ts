import { isRecord, show } from "../arguments.js";
import { conduct } from "../conduct.js";
import type { GcContext } from "../context.js";
import { dirname, type Failure, type StorageDriver } from "../driver.js";
import { addTo } from "../internal/addTo.js";
import { slicesOf } from "../internal/mapAll.js";
import { readBounded } from "../internal/readBounded.js";
import { TaskQueue } from "../internal/taskQueue.js";
import type { Namespace, Repository } from "../namespace.js";
import { failureOf } from "../remover.js";
import { Run } from "../run.js";
import type { AsideCopy, AsideStore } from "./asideStore.js";
import { inBatches } from "./batches.js";
import { endJournals } from "./closeJournals.js";
import { isThere, writeFile, writeIfAbsent } from "./files.js";
import type { Journal, JournalLink } from "./journal.js";
import { pruneAside } from "./pruneAside.js";
import { isInPlace, isStored, putBack } from "./putBack.js";
import { beginSession } from "./session.js";

/** What to bring back; without either everything that is aside. */
export interface RestoreTarget {
  /** Everything that this run put aside. */
  readonly runId?: string | undefined;
  /** This blob, and where it is a manifest all that it names, so that it can be pulled again. */
  readonly digest?: string | undefined;
}

/** What came back. */
export interface RestoreReport {
  /** Blobs whose data is in its place again, manifests included. */
  blobs: number;
  /** Those of these blobs. */
  bytes: number;
  /** Links that were written anew. */
  links: number;
  /** Digests that are wanted, and neither aside nor in place. */
  missing: readonly string[];
  /** What could not be brought back, and why. */
  failures: readonly Failure[];
}

/**
 * Brings back what a run put aside: data only where there is none and after its digest was checked, the layer links that the run took
 * only where there are none. What is restored counts as young for `gracePeriodMs`, so that there is time to tag it.
 *
 * @throws TypeError where the run or the digest is none, RegistryGcError as `markAndSweep` does.
 */
export async function restore(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  what: RestoreTarget = {},
): Promise<RestoreReport> {
  checkTarget(what);
  const report = { blobs: 0, bytes: 0, links: 0, missing: [] as string[], failures: [] as Failure[] };
  const run = Run.begin(ctx, driver, registry, {});
  const wanted = what.digest === undefined ? undefined : run.digests.add(what.digest);
  const story = async () => {
    await beginSession(run);
    if (run.aside === undefined) return;
    if (what.runId !== undefined && !run.aside.journals.has(what.runId)) {
      throw new TypeError(
        `there is no run ${JSON.stringify(what.runId)} aside; there are ${[...run.aside.journals.keys()].join(", ") || "none"}`,
      );
    }
    const numbers = wanted === undefined ? [...run.aside.copies.keys()] : await closureOf(run, run.aside, wanted, report.missing);
    await bringBack(run, run.aside, { numbers: new Set(numbers), runId: what.runId, isAll: wanted === undefined }, report);
    // A journal of which nothing is aside any more dooms nothing. What is to be taken away, and when, runs say by their own options.
    if (report.failures.length === 0) await endJournals(run, run.aside);
    for (const { runId, damage } of run.aside.journals.values()) {
      if (damage === undefined || (what.runId !== undefined && what.runId !== runId)) continue;
      const message = `the journal of run ${runId} can't be read: ${damage}. The layer links that it took did not come back`;
      report.failures.push({ path: run.aside.runDirectory(runId), code: "DAMAGED", message });
    }
  };
  await conduct(run, story, "restore");
  return report;
}

/** Without either member everything comes back: so nothing that was meant to be one may pass for neither. */
function checkTarget(what: unknown): void {
  const expected = "expected nothing, { runId } or { digest }";
  if (!isRecord(what)) throw new TypeError(`what to restore is ${show(what)}; ${expected}`);
  for (const [name, value] of Object.entries(what)) {
    if (name !== "runId" && name !== "digest") throw new TypeError(`what to restore has ${JSON.stringify(name)}; ${expected}`);
    if (value !== undefined && typeof value !== "string") {
      throw new TypeError(`what to restore: ${name} is ${JSON.stringify(value)}; expected a string`);
    }
  }
}

/** Digests in one note: it is read as a whole. */
const NOTED_AT_ONCE = 500_000;

interface RestoreCounts {
  blobs: number;
  bytes: number;
  links: number;
  readonly failures: Failure[];
}

/** What is to come back. */
interface Wanted {
  readonly numbers: ReadonlySet<number>;
  readonly runId: string | undefined;
  /** Whether all links come back that runs took, those to blobs that never went aside, too. */
  readonly isAll: boolean;
}

async function bringBack(run: Run, aside: AsideStore, wanted: Wanted, report: RestoreCounts): Promise<void> {
  const blobs = [...wanted.numbers].map((number) => ({ number, copies: copiesOf(aside, wanted, number) }));
  // Several runs may have taken one.
  const links = [...new Map([...linksOf(run, aside, wanted)].map((link) => [link.path, link])).values()];
  // Noted before it is done: a moved file keeps its old time.
  await noteRestored(run, aside, wanted);

  const queue = new TaskQueue(run.settings.concurrency);
  await inBatches(
    run,
    blobs.filter(({ copies }) => copies.length > 0),
    (some) => queue.forEach(some, (blob) => bringBackBlob(run, blob, report), { signal: run.signal }),
  );
  const emptied = blobs.flatMap(({ copies }) => copies.map(({ path }) => dirname(path)));
  await pruneAside(run.driver, emptied, aside.directory);
  await inBatches(run, links, (some) =>
    queue.forEach(
      some,
      (link) =>
        noting(run, link.path, report.failures, async () => {
          if ((await isUseful(run, wanted, link)) && (await writeIfAbsent(run.driver, link.path, link.target))) report.links++;
        }),
      { signal: run.signal },
    ),
  );
}

function isMeant({ runId }: Wanted, ofRun: string): boolean {
  return runId === undefined || runId === ofRun;
}

function copiesOf(aside: AsideStore, wanted: Wanted, number: number): AsideCopy[] {
  return (aside.copies.get(number) ?? []).filter(({ runId }) => isMeant(wanted, runId));
}

function* linksOf(run: Run, aside: AsideStore, wanted: Wanted): Iterable<JournalLink> {
  for (const journal of aside.journals.values()) {
    if (!isMeant(wanted, journal.runId) || journal.damage !== undefined) continue;
    for (const link of journal.links) {
      const isBack = isTaken(link)
        ? isOf(run, link, wanted.numbers) || (wanted.isAll && (journal.isOpen || tookOnlyLinks(journal)))
        : isUnlinked(journal, link) && wanted.numbers.has(run.digests.find(link.digest));
      if (isBack) yield link;
    }
  }
}

/** What other runs alone put aside is none of it. */
async function noteRestored(run: Run, aside: AsideStore, wanted: Wanted): Promise<void> {
  await run.mayChange();
  const isOther = (number: number) => aside.isAside(number) && copiesOf(aside, wanted, number).length === 0;
  const digests = [...wanted.numbers].filter((number) => !isOther(number)).map((number) => run.digests.digest(number));
  for (const [i, some] of [...slicesOf(digests, NOTED_AT_ONCE)].entries()) {
    const name = i === 0 ? run.ledger.runId : `${run.ledger.runId}-${i}`;
    await writeFile(run.driver, aside.notePath(name), Buffer.from(JSON.stringify(some)));
  }
}

/** One copy after the other: no two may go to one place at once. */
async function bringBackBlob(
  run: Run,
  { number, copies }: { readonly number: number; readonly copies: readonly AsideCopy[] },
  report: RestoreCounts,
): Promise<void> {
  for (const copy of copies) {
    await noting(run, copy.path, report.failures, async () => {
      const outcome = await putBack(run, run.driver, number, copy);
      if (outcome === "rotten")
        report.failures.push({ path: copy.path, code: "DAMAGED", message: `${copy.path} does not hold what its digest says` });
      if (outcome !== "back") return;
      report.blobs++;
      report.bytes += copy.size ?? 0;
    });
  }
}

/** What was purged since has no use for a link; and one to a manifest that is not back would be damage. */
async function isUseful(run: Run, wanted: Wanted, link: JournalLink): Promise<boolean> {
  if (!isTaken(link)) return isInPlace(run, run.digests.add(link.digest));
  return isOf(run, link, wanted.numbers) || (await isStored(run, run.digests.add(link.target)));
}

/** What fails is noted, and the rest goes on. */
async function noting(run: Run, path: string, failures: Failure[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    run.signal.throwIfAborted();
    failures.push(failureOf(path, error));
  }
}

/** Its journal is closed at once, since nothing of it lies aside; and says what it took for as long as it is there. */
function tookOnlyLinks({ blobs }: Journal): boolean {
  return blobs.length === 0;
}

function isTaken(link: JournalLink): boolean {
  return link.kind === "layerLink" && link.taken === true;
}

/** A link that a purge, which did not come to its end, may have removed. */
function isUnlinked(journal: Journal, { kind }: JournalLink): boolean {
  return journal.hasUnlinked && (kind === "manifest" || kind === "signature");
}

function isOf(run: Run, link: JournalLink, numbers: ReadonlySet<number>): boolean {
  return numbers.has(run.digests.find(link.digest)) || numbers.has(run.digests.find(link.target));
}

/**
 * A digest and all that it names, to any depth, as far as it is aside or in place. What was a revision is followed whatever it is named
 * as, and so is all that is named as a manifest anywhere; its signatures belong to it.
 */
async function closureOf(run: Run, aside: AsideStore, wanted: number, missing: string[]): Promise<number[]> {
  const revisions = revisionsIn(run, aside);
  const signatures = signaturesIn(run, aside);
  const stored = new Map<number, number | undefined>();
  const followed = new Set<number>();
  const store = blobStore(run);
  const open = [{ named: wanted, mayBeManifest: true }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { named, mayBeManifest } = next;
    if (!stored.has(named)) {
      stored.set(named, await storedAs(run, named));
      if (stored.get(named) === undefined) missing.push(run.digests.digest(named));
    }
    const number = stored.get(named);
    if (number === undefined || followed.has(number)) continue;
    if (!mayBeManifest && !revisions.has(named) && !revisions.has(number)) continue;
    followed.add(number);
    for (const signature of [named, number].flatMap((each) => signatures.get(each) ?? []))
      open.push({ named: signature, mayBeManifest: false });
    await run.manifests.readAll(store, [number]);
    if (!run.catalog.isManifest(number)) continue;
    const { children, blobs } = run.catalog.references(number);
    for (const child of children) open.push({ named: child, mayBeManifest: true });
    for (const blob of blobs) open.push({ named: blob, mayBeManifest: false });
  }
  return [...stored].flatMap(([named, number]) => (number === undefined ? named : [named, number]));
}

/** What runs named as revisions that were to go: existence decides, never what a descriptor claims. */
function revisionsIn(run: Run, aside: AsideStore): ReadonlySet<number> {
  const revisions = new Set<number>();
  for (const { links } of aside.journals.values())
    for (const { kind, digest } of links) if (kind === "manifest") revisions.add(run.digests.add(digest));
  return revisions;
}

/** The signatures that runs saw beside revisions. */
function signaturesIn(run: Run, aside: AsideStore): ReadonlyMap<number, readonly number[]> {
  const signatures = new Map<number, number[]>();
  for (const { links } of aside.journals.values())
    for (const { kind, digest, target } of links)
      if (kind === "signature") addTo(signatures, run.digests.add(digest), run.digests.add(target));
  return signatures;
}

/** The digest under which a blob is stored, aside or in place; where nothing lies under its own name, links tell another. */
async function storedAs(run: Run, number: number): Promise<number | undefined> {
  if (await isStored(run, number)) return number;
  const digest = run.digests.digest(number);
  if (digest.startsWith("sha256:")) return undefined;
  for (const journal of run.aside?.journals.values() ?? []) {
    const link = journal.links.find((each) => each.kind === "layerLink" && each.digest === digest);
    if (link !== undefined && (await isStored(run, run.digests.add(link.target)))) return run.digests.add(link.target);
  }
  for await (const repository of run.registry.repositories(run.look)) {
    const target = (await repository.lookAtLayerLink?.(digest, run.look))?.target;
    if (target !== undefined && (await isStored(run, run.digests.add(target)))) return run.digests.add(target);
  }
  return undefined;
}

/** Manifests by their place, whatever repository they belong to; what lies aside is read from there. */
function blobStore({ registry, driver }: Run): Pick<Repository, "readManifest"> {
  return {
    async readManifest(digest, { maxBytes, signal }) {
      const [place = ""] = registry.blobFootprint(digest).files;
      return (await isThere(driver, place)) ? readBounded(driver, place, { maxBytes, signal }) : undefined;
    },
  };
}
