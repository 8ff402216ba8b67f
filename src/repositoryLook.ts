/** A look at one repository: what it keeps is marked, what it doesn't is found. */

import { DamagedRegistryError } from "./errors.js";
import { refuseDamage } from "./guards.js";
import { mapAll } from "./internal/mapAll.js";
import { untilAborted } from "./internal/untilAborted.js";
import { type EarlierLinks, isSameTime, LooseLinks } from "./looseLinks.js";
import { emptyReach, mark, type Reach } from "./mark.js";
import { type KeepMark, LIVE, PRESENT, PROTECTED, YOUNG } from "./marks.js";
import type { Repository, Signature, Upload } from "./namespace.js";
import { recallRepository } from "./recallRepository.js";
import { type RememberedLook, recallTime } from "./rememberedLook.js";
import type { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";
import { uploadsOf } from "./uploads.js";
import type { RootReason, WatchedLook } from "./watch.js";

/** What a later look of the run is measured by. */
export interface EarlierLook {
  readonly doomed: ReadonlyMap<number, number>;
  readonly loose: EarlierLinks;
}

/** Of a repository that an earlier look didn't see. */
export const UNSEEN: EarlierLook = { doomed: new Map(), loose: new Map() };

/** What one look found in one repository. */
export class RepositoryLook implements WatchedLook {
  /** Revisions that nothing keeps, and when their links were written. */
  readonly doomed = new Map<number, number>();
  readonly loose: LooseLinks;
  readonly expiredUploads: Upload[] = [];
  /** Whether anything else than revisions and layer links is there. */
  otherwiseEmpty = true;
  readonly reach: Reach;
  /** Why roots are roots, where somebody wants to know. */
  private readonly whyRoot = new Map<number, RootReason>();

  private constructor(
    private readonly run: Run,
    readonly view: RepositoryView,
    /** What an earlier look of this run planned for the repository; `undefined` in a first look. */
    private readonly earlier: EarlierLook | undefined,
  ) {
    this.reach = emptyReach(run.watched !== undefined);
    this.loose = new LooseLinks(run, view);
  }

  get repository(): Repository {
    return this.view.repository;
  }

  /** Whether nothing would be left of the repository. */
  get wouldBeEmpty(): boolean {
    const keepsRevisions = this.view.revisions.size + this.view.otherRevisions > this.doomed.size;
    return this.otherwiseEmpty && !keepsRevisions && (this.run.settings.removeLayerLinks || this.loose.size === 0);
  }

  /** Whether anything of it may go, or was taken and may have to come back. */
  get matters(): boolean {
    const mayLose = this.doomed.size > 0 || this.loose.size > 0 || this.expiredUploads.length > 0 || this.wouldBeEmpty;
    return mayLose || this.run.aside?.namesRepository(this.repository.name) === true;
  }

  /** Whether a kept manifest of the repository reaches this layer; under damage any may be needed. */
  needsLayer(layer: number): boolean {
    return this.view.isDamaged || this.isReached(layer);
  }

  signaturesOf(manifest: number): readonly Signature[] {
    return this.view.signaturesOf.get(manifest) ?? [];
  }

  storedAs(number: number): number | undefined {
    return this.view.storedAs(number);
  }

  referrersOf(manifest: number): readonly number[] {
    return this.view.referrersOf(manifest);
  }

  /** Marks what is reached. All damage that this comes upon is in the view then, and nothing is protected for its sake yet. */
  static async begin(run: Run, view: RepositoryView, earlier?: EarlierLook): Promise<RepositoryLook> {
    const look = new RepositoryLook(run, view, earlier);
    const { removeUntagged } = run.settings;
    await look.follow(view.tagged, LIVE, "tag");
    if (!removeUntagged) await look.follow(view.revisions.keys(), LIVE, "revision");
    if (removeUntagged && !view.isDamaged) {
      await look.askKeep();
      await look.keepYoung();
    }
    if (!view.isDamaged) await look.loose.find((layer) => look.isReached(layer), earlier?.loose);
    return look;
  }

  /** Protects what damage asks for, and finds what else may go. */
  async complete(): Promise<void> {
    const { run, view } = this;
    if (view.isDamaged) await this.protect();
    await this.findUploads();
    run.watched?.take(this);
    this.otherwiseEmpty &&= !view.isDamaged && view.tags === 0 && view.strays === 0;
  }

  /** Goes on with a look that another process has made. */
  static recall(run: Run, repository: Repository, remembered: RememberedLook): RepositoryLook {
    const look = new RepositoryLook(run, recallRepository(run, repository, remembered), undefined);
    look.otherwiseEmpty = remembered.otherwiseEmpty;
    for (const digest of remembered.reached) look.reach.digests.add(run.digests.add(digest));
    for (const { digest, time } of remembered.doomed) look.doomed.set(run.digests.add(digest), recallTime(time));
    for (const { digest, time, blob, isChanged } of remembered.loose)
      look.loose.add(run.digests.add(digest), { time: recallTime(time), blob: run.digests.add(blob), isChanged });
    for (const { newest, ...upload } of remembered.uploads)
      look.expiredUploads.push({ ...upload, ...(newest === null ? {} : { newest: new Date(newest) }) });
    return look;
  }

  /** Keeps these manifests after all, with all that they reach. */
  async keep(manifests: Iterable<number>): Promise<void> {
    const kept = [...manifests];
    const wasDamaged = this.view.isDamaged;
    await this.follow(kept, LIVE, "alive-elsewhere");
    // Whatever had reached them before: who keeps until nothing more is to be kept must come to an end.
    for (const number of kept) this.doomed.delete(number);
    if (!wasDamaged && this.view.isDamaged) await this.protectLate();
    this.run.watched?.take(this);
  }

  wayTo(number: number): ReturnType<WatchedLook["wayTo"]> {
    if (!this.reach.digests.has(number)) return undefined;
    const way = [number];
    for (let at = this.reach.cameFrom?.get(number); at !== undefined; at = this.reach.cameFrom?.get(at)) way.unshift(at);
    const why = this.whyRoot.get(way[0] ?? number);
    return why && { why, way };
  }

  protects(number: number): boolean {
    if (!this.view.isDamaged) return false;
    for (const layer of this.view.layers.numbers()) if (layer === number || this.view.layers.blobOf(layer) === number) return true;
    return false;
  }

  private async follow(roots: Iterable<number>, flag: KeepMark, why: RootReason): Promise<void> {
    const reached: number[] = [];
    const starts = [...roots];
    if (this.reach.cameFrom !== undefined) {
      for (const root of starts) if (!this.reach.digests.has(root)) this.whyRoot.set(root, why);
    }
    const onReach = (number: number) => {
      this.run.marks.add(number, flag);
      reached.push(number);
    };
    await mark(this.view, starts, this.reach, onReach, this.run.turns);
    if (this.doomed.size > 0) for (const number of reached) this.doomed.delete(number);
    this.loose.release(reached, (layer) => this.isReached(layer));
  }

  /** Whether a kept manifest of the repository reaches this layer, or the blob that it stands for. */
  isReached(layer: number): boolean {
    return this.reach.digests.has(layer) || this.reach.digests.has(this.view.layers.blobOf(layer));
  }

  private untouched(): number[] {
    return [...this.view.revisions.keys()].filter((number) => !this.reach.manifests.has(number));
  }

  /** Asks the caller about each manifest that nothing else keeps. */
  private async askKeep(): Promise<void> {
    const { keep } = this.run.settings;
    // A later look asks nothing: what it didn't see before stays anyway.
    if (keep === undefined || this.earlier !== undefined) return;
    for (const number of this.untouched()) {
      const facts = this.run.catalog.factsOf(number);
      if (facts === undefined || this.reach.manifests.has(number)) continue;
      const time = this.view.revisions.get(number) ?? Number.NaN;
      const info = {
        ...facts,
        repository: this.repository.name,
        digest: this.run.digests.digest(number),
        modTime: Number.isNaN(time) ? undefined : new Date(time),
      };
      if (await untilAborted((async () => keep(info))(), this.run.signal)) await this.follow([number], LIVE, "keep");
      await this.run.lock?.keepAlive();
    }
  }

  /** Keeps young revisions, and those that an earlier look didn't see as they are; the others are doomed. */
  private async keepYoung(): Promise<void> {
    const untouched = this.untouched();
    const times = await mapAll(untouched, async (number) =>
      this.run.looksAtTimes ? this.view.lookAtRevision(number) : (this.view.revisions.get(number) ?? Number.NaN),
    );
    const pushed = await mapAll(untouched, async (number, i) => this.wasPushedSince(number, times[i] ?? Number.NaN));
    const young: number[] = [];
    untouched.forEach((number, i) => {
      const time = times[i];
      if (time === undefined) return;
      if (this.run.isYoung(time) || !this.wasSeen(number, time) || pushed[i] === true) young.push(number);
      else this.doomed.set(number, time);
    });
    await this.follow(young, YOUNG, "young");
  }

  /**
   * Whether somebody pushed a manifest since a run put it aside: its data is in place again, though a journal names it; or it still
   * lies aside, and no journal names its link as it is now. What was restored lately counts as pushed.
   */
  private async wasPushedSince(number: number, time: number): Promise<boolean> {
    const { aside, digests, look, marks, registry } = this.run;
    if (aside === undefined) return false;
    const digest = digests.digest(number);
    if (aside.wasRestored(digest)) return true;
    const named = aside.linksNamed("manifest", this.repository.name, digest);
    if (named.length === 0 && !aside.isAside(number)) return false;
    // Where nobody can look, the inventory has: what it saw is taken to be in place.
    const isInPlace =
      registry.lookAtBlob === undefined ? marks.has(number, PRESENT) : (await registry.lookAtBlob(digest, look)) !== undefined;
    if (isInPlace) return named.length > 0;
    return aside.isAside(number) && !named.some((link) => isSameTime(link.time, time));
  }

  private wasSeen(number: number, time: number): boolean {
    return this.earlier === undefined || isSameTime(this.earlier.doomed.get(number), time);
  }

  /** Damage: every revision stays as a root, and so does every blob that the repository links. */
  private async protect(): Promise<void> {
    this.doomed.clear();
    this.loose.clear();
    await this.follow(this.view.revisions.keys(), PROTECTED, "damage");
    const layers = [...this.view.layers.numbers()];
    const times = await this.view.layers.lookAt(layers);
    const present = layers.filter((_, i) => times[i] !== undefined);
    for (const link of this.view.layers.journaled()) present.push(this.run.digests.add(link.target));
    for (const layer of present) {
      this.run.marks.add(layer, PROTECTED);
      this.run.marks.add(this.view.layers.blobOf(layer), PROTECTED);
    }
    if (this.view.hasUnknownNeeds && present.length === 0) {
      this.run.unknowable ??= new DamagedRegistryError(
        `a manifest in the repository ${this.repository.name} is damaged, and the repository has no layer links that would tell what it needs; nothing was deleted. Push the image again, or delete the damaged manifest through the registry, then collect again`,
      );
    }
  }

  /** Of damage that nobody had come upon before. */
  private async protectLate(): Promise<void> {
    await this.protect();
    for (const problem of this.view.problems) this.run.notices.damage(problem);
    refuseDamage(this.run);
  }

  private async findUploads(): Promise<void> {
    const { removeUploadsOlderThanMs, removeEmptyRepositories } = this.run.settings;
    if (removeUploadsOlderThanMs === undefined && !removeEmptyRepositories) return;
    for await (const { upload, isExpired } of uploadsOf(this.run, this.repository)) {
      if (isExpired) this.expiredUploads.push(upload);
      else this.otherwiseEmpty = false;
    }
  }
}
