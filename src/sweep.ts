/**
 * The sweep: the plan carried out. Tag index entries, then revision links (parents before children), then layer links, then blobs,
 * then uploads, then empty repositories, each class complete before the next: a crash at any point leaves no link to a missing blob
 * that a pull would follow, and a later run finishes the job.
 */

import type { Failure } from "./driver.js";
import { NumberSet } from "./internal/numberMap.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { writeIfAbsent } from "./online/files.js";
import type { DeletedItem } from "./options.js";
import { parentsFirst } from "./parentsFirst.js";
import type { Plan, RepositoryPlan } from "./plan.js";
import { failureOf } from "./remover.js";
import { countItem } from "./report.js";
import type { Run } from "./run.js";
import {
  blobItems,
  doomedLayerLinks,
  layerLinkItems,
  manifestItems,
  repositoryItem,
  type SweepItem,
  signatureItems,
  spareItems,
  tagIndexItems,
  uploadItems,
} from "./sweepItems.js";
import { tellDeleted, toDeleted } from "./tellDeleted.js";
import { stillExpired } from "./uploads.js";
import { Vacuum } from "./vacuum.js";

/** Removes the uploads of a plan, and nothing else of it. */
export async function sweepUploads(run: Run, plan: Plan): Promise<void> {
  await new Sweep(run, plan).removeUploads();
}

/** Carries the plan out. */
export async function sweep(run: Run, plan: Plan): Promise<void> {
  await new Sweep(run, plan).run();
}

/** The chapters of a sweep, in their order. */
export const SWEEP_CHAPTERS = ["revisions", "layerLinks", "blobs", "rest"] as const;
export type SweepChapter = (typeof SWEEP_CHAPTERS)[number];

/** Carries out one chapter for a part of a plan: everything before it is done everywhere. */
export async function sweepChapter(run: Run, plan: Plan, chapter: SweepChapter): Promise<void> {
  await new Sweep(run, plan).chapter(chapter);
}

/** Removals one by one, for each of which a barrier is asked, between two looks at the lock. */
const SINGLES_PER_CHECK = 100;

class Sweep {
  private readonly vacuum: Vacuum;
  private done = 0;
  private readonly total: number;
  private bytes = 0;
  /** Blobs of the plan that a promised manifest reaches. */
  private readonly spared = new NumberSet();

  constructor(
    private readonly of: Run,
    private readonly plan: Plan,
  ) {
    const { manifests, blobs, layerLinks, tagIndexEntries, uploads, repositories } = of.ledger.eligible;
    this.total = manifests + blobs + layerLinks + tagIndexEntries + uploads + repositories;
    this.vacuum = new Vacuum(of.driver, { concurrency: of.settings.concurrency, logger: of.log });
  }

  async run(): Promise<void> {
    const { of: run } = this;
    for (const chapter of SWEEP_CHAPTERS) await this.chapter(chapter);
    run.progress({ phase: "sweep", done: this.done, total: this.total, bytes: this.bytes }, true);
  }

  async chapter(chapter: SweepChapter): Promise<void> {
    const { of: run, plan } = this;
    switch (chapter) {
      case "revisions":
        await this.removeOrKeep(each(plan, (repository) => tagIndexItems(run, repository)));
        for (const level of levels(run, plan)) await this.removeRevisions(level.filter(isStillDoomed));
        return;
      case "layerLinks":
        await this.removeUnlessPromised(each(plan, (repository) => layerLinkItems(run, repository)));
        return;
      case "blobs":
        await this.removeUnlessPromised(this.blobs());
        return;
      case "rest":
        await this.removeUploads();
        await this.removeRepositories();
    }
  }

  /** Where registries write, each repository's are looked at again right before. */
  async removeUploads(): Promise<void> {
    if (this.of.settings.readOnly) return this.remove(each(this.plan, uploadItems));
    for (const repository of this.plan.repositories) {
      if (repository.uploads.length === 0) continue;
      const uploads = await stillExpired(this.of, repository.look.repository, repository.uploads);
      await this.remove(uploadItems({ ...repository, uploads }));
    }
  }

  private async remove(
    items: Iterable<SweepItem> | AsyncIterable<SweepItem>,
    onStuck: (item: SweepItem) => void = ignore,
    {
      beforeBatch = () => this.of.mayChange(),
      tell = (gone: readonly DeletedItem[]) => tellDeleted(this.of, gone),
    }: { beforeBatch?: () => Promise<void>; tell?: (gone: readonly DeletedItem[]) => Promise<void> } = {},
  ): Promise<void> {
    await this.vacuum.removeAll(items, {
      signal: this.of.signal,
      beforeBatch,
      prune: this.of.settings.readOnly,
      onBatch: (gone, failed) => {
        for (const [item] of failed) onStuck(item);
        return tell(this.settle(gone, failed));
      },
    });
  }

  /**
   * Removes what belongs to manifests. Where that fails, everything that the manifest reaches stays this time, its revision link
   * included: a later run finds it by that, and finishes the job.
   */
  private async removeOrKeep(items: Iterable<SweepItem>): Promise<void> {
    const stuck: SweepItem[] = [];
    const promised: SweepItem[] = [];
    await this.removeUnlessPromised(
      items,
      (item) => void stuck.push(item),
      (item) => void promised.push(item),
    );
    await keepFor(stuck);
    if (promised.length > 0) await this.spare(promised);
  }

  /**
   * Revision links, each after its signatures: by the link a later run finds these. What stays gets them back; on a store where nothing can
   * be written they go last.
   */
  private async removeRevisions(revisions: readonly SweepItem[]): Promise<void> {
    if (this.of.driver.putContent === undefined) {
      await this.removeOrKeep(revisions.map(linkAlone));
      const signed = revisions.filter((each) => each.footprint.files.length > 1 && isStillDoomed(each));
      await this.removeUnlessPromised(signed.map((each) => ({ ...each, isPart: true })));
      return;
    }
    await this.removeOrKeep(revisions.flatMap((revision) => [...signatureItems(this.of, revision)]));
    const doomed = revisions.filter(isStillDoomed);
    await this.removeOrKeep(doomed);
    for (const revision of doomed) if (!isStillDoomed(revision)) await this.writeSignatures(revision);
  }

  private async writeSignatures({ look, number = -1 }: SweepItem): Promise<void> {
    for (const { digest, file } of look?.signaturesOf(number) ?? []) {
      try {
        await writeIfAbsent(this.of.settlingDriver, file, digest);
      } catch (error) {
        this.of.ledger.addFailure(failureOf(file, error));
      }
    }
  }

  /** What belongs to promised manifests leaves the plan, with all that they reach: that is no failure. */
  private async spare(promised: readonly SweepItem[]): Promise<void> {
    const { of: run } = this;
    const before = await this.stillPlanned();
    await keepFor(promised);
    const after = await this.stillPlanned();
    for (const number of before.blobs) {
      if (after.blobs.has(number)) continue;
      this.spared.add(number);
      spareItems(run, "blob", 1, run.sizes.get(number));
    }
    spareItems(run, "manifest", before.manifests - after.manifests);
    spareItems(run, "layerLink", before.layerLinks - after.layerLinks);
    for (const { planned } of promised) if (planned.kind === "tagIndexEntry") spareItems(run, planned.kind);
  }

  /** What of the plan nothing keeps as yet. */
  private async stillPlanned(): Promise<{ manifests: number; layerLinks: number; blobs: ReadonlySet<number> }> {
    const { of: run, plan } = this;
    const left = { manifests: 0, layerLinks: 0, blobs: new Set<number>() };
    for (const repository of plan.repositories) {
      left.manifests += repository.manifests.filter((number) => repository.look.doomed.has(number)).length;
      await run.turns.each(doomedLayerLinks(run, repository), () => left.layerLinks++);
    }
    await run.turns.each(plan.blobs, (number) => {
      if (run.marks.isCandidate(number)) left.blobs.add(number);
    });
    return left;
  }

  /** In bulk; or each by itself, where a registry in this process promises what is not to go. */
  private async removeUnlessPromised(
    items: Iterable<SweepItem>,
    onStuck: (item: SweepItem) => void = ignore,
    onPromised = ({ planned: { kind, bytes } }: SweepItem) => spareItems(this.of, kind, 1, bytes),
  ): Promise<void> {
    const { signal, settings } = this.of;
    if (settings.barrier === undefined) return this.remove(items, onStuck);
    const removeOne = async (item: SweepItem) => {
      const gone: DeletedItem[] = [];
      const removal = () =>
        this.remove([item], onStuck, {
          beforeBatch: () => Promise.resolve(),
          tell: async (items) => void gone.push(...items),
        });
      try {
        if (!(await this.of.unlessPromised(item.planned.digest ?? item.planned.path, removal))) onPromised(item);
      } finally {
        // Not before: whoever is told may wait for the barrier.
        await tellDeleted(this.of, gone);
      }
    };
    await new TaskQueue(settings.concurrency).forEach(this.whileMayChange(items), removeOne, { signal });
  }

  /** The items, as long as the run may still change anything: that is asked every so often. */
  private async *whileMayChange<T>(items: Iterable<T>): AsyncIterable<T> {
    let count = 0;
    for (const item of items) {
      if (count++ % SINGLES_PER_CHECK === 0) await this.of.mayChange();
      yield item;
    }
  }

  /** What a stuck revision link keeps is left, and said to be. */
  private *blobs(): Iterable<SweepItem> {
    for (const blob of blobItems(this.of, this.plan)) {
      const { number, planned } = blob;
      if (this.of.marks.isCandidate(number)) yield blob;
      else if (!this.spared.has(number)) {
        const { path } = planned;
        this.of.ledger.addFailure({
          path,
          code: "STILL_NEEDED",
          message: `${path} stays: a revision link that needs it could not be removed`,
        });
      }
    }
  }

  /** A repository goes only if a last listing finds nothing in it. */
  private async removeRepositories(): Promise<void> {
    const { of: run, plan } = this;
    async function* emptied(): AsyncIterable<SweepItem> {
      for (const each of plan.repositories) {
        if (!each.isEmptied) continue;
        const footprint = await each.look.repository.emptyFootprint?.(run.look);
        if (footprint !== undefined) yield repositoryItem(each, footprint);
        else run.log.warn(`repository ${each.look.repository.name} holds something after all; it stays`);
      }
    }
    await this.remove(emptied());
  }

  /** Counts a batch, and answers with what is to be told of it. */
  private settle(gone: readonly SweepItem[], failed: readonly (readonly [SweepItem, Failure])[]): DeletedItem[] {
    const { of: run } = this;
    const whole = gone.filter(({ isPart }) => isPart !== true);
    for (const { planned } of whole) {
      countItem(run.ledger.deleted, planned);
      if (planned.kind === "blob") this.bytes += planned.bytes ?? 0;
      run.log.debug(`deleted ${planned.kind} ${planned.path}`);
    }
    for (const [{ planned }, failure] of failed) {
      run.ledger.addFailure(failure);
      run.log.error(`could not delete ${planned.kind} ${failure.path}: ${failure.message}`, { code: failure.code });
    }
    this.done += whole.length + failed.length;
    run.telemetry.event("batch", { "registry_gc.batch.deleted": whole.length, "registry_gc.batch.failed": failed.length });
    run.progress({ phase: "sweep", done: this.done, total: this.total, bytes: this.bytes });
    return whole.map(({ planned }) => toDeleted(planned));
  }
}

function ignore(): void {}

/** Keeps the manifests that these belong to, and all that they reach. */
async function keepFor(items: readonly SweepItem[]): Promise<void> {
  for (const { look, number } of items) if (number !== undefined) await look?.keep([number]);
}

/** A revision without its signatures: its link stands behind them. */
function linkAlone(revision: SweepItem): SweepItem {
  const { footprint } = revision;
  return { ...revision, footprint: { ...footprint, files: footprint.files.slice(-1) } };
}

function isStillDoomed({ look, number }: SweepItem): boolean {
  return number !== undefined && look?.doomed.has(number) === true;
}

/** Items of all repositories. */
function* each(plan: Plan, items: (repository: RepositoryPlan) => Iterable<SweepItem>): Iterable<SweepItem> {
  for (const repository of plan.repositories) yield* items(repository);
}

/** Revision links by level: no manifest is removed before those that name it. */
function* levels(run: Run, plan: Plan): Iterable<SweepItem[]> {
  const byLevel: SweepItem[][] = [];
  for (const repository of plan.repositories) {
    parentsFirst(run, repository).forEach((manifests, level) => {
      const items = byLevel[level] ?? [];
      byLevel[level] = items;
      for (const item of manifestItems(run, repository, manifests)) items.push(item);
    });
  }
  yield* byLevel;
}
