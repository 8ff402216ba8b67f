/** One reading of a repository: what its listings said, as numbers, with the damage seen. */

import { SHA256_BYTES } from "./digestIndex.js";
import { addTo } from "./internal/addTo.js";
import { viewOf } from "./internal/bufferOf.js";
import { areOwn } from "./internal/manyAtOnce.js";
import { mapAll } from "./internal/mapAll.js";
import { NumberMap, NumberSet } from "./internal/numberMap.js";
import { turn } from "./internal/turn.js";
import { LayerLinks } from "./layerLinks.js";
import type { Graph } from "./mark.js";
import { ABSENT, PRESENT } from "./marks.js";
import type { Damage, LookOptions, Repository, RepositoryOverview, Signature, Tag } from "./namespace.js";
import { type RememberedLook, recallTime } from "./rememberedLook.js";
import type { Problem } from "./report.js";
import type { Run } from "./run.js";
import { ServedManifests } from "./servedManifests.js";

/** Damage that registries leave for a moment, since they write in several steps. */
const PASSING: ReadonlySet<string> = new Set(["empty-link", "missing-current-link", "dangling-tag"]);

export class RepositoryView implements Graph {
  /** Revision links and when they were written (milliseconds since 1970; NaN where unknown). */
  readonly revisions = new NumberMap(Number.NaN);
  /** What tags name that is a revision, or can be followed all the same. */
  readonly tagged = new NumberSet();
  readonly signaturesOf = new Map<number, readonly Signature[]>();
  readonly problems: Problem[] = [];
  tags = 0;
  strays = 0;
  /** Revisions beside those that are held here: of a view that was remembered, those that nothing is to happen to. */
  otherRevisions = 0;
  /** Whether damage asks for everything in the repository to be kept. */
  isDamaged = false;
  /** Whether something that may be needed can't be known from what was read. */
  hasUnknownNeeds = false;
  /** The damage seen that may have been a write under way. */
  readonly passing = new Set<string>();

  readonly layers: LayerLinks;
  /** What these serve as manifests. */
  readonly served: ServedManifests;
  private readonly referrers = new Map<number, number[]>();
  private readonly look: LookOptions;

  private constructor(
    private readonly run: Run,
    readonly repository: Repository,
  ) {
    const onUnrecognized = (path: string) => {
      this.strays++;
      run.notices.stray(path);
    };
    const onDamage = (damage: Damage, digest?: string) => this.damaged(damage, digest);
    this.look = { ...run.look, onUnrecognized, onDamage: (damage) => onDamage(damage) };
    this.layers = new LayerLinks(run, repository, { look: this.look, onDamage });
    this.served = new ServedManifests(run, repository, this.layers, (damage, digest) => {
      this.hasUnknownNeeds = true;
      onDamage(damage, digest);
    });
  }

  /** Lists everything, reads every manifest that no one has read, and judges it. */
  static async read(run: Run, repository: Repository): Promise<RepositoryView> {
    const view = new RepositoryView(run, repository);
    const overview = await view.lookOver();
    if (overview === undefined) {
      await view.listRevisions();
      await view.listLayerLinks();
    }
    view.layers.takeJournals();
    await run.manifests.readAll(repository, view.revisions.keys());
    await view.judgeManifests();
    if (overview === undefined) await view.listTags();
    else await view.takeTags(overview);
    return view;
  }

  /** A view of what a look remembered: only what may go is in it. */
  static recall(run: Run, repository: Repository, remembered: RememberedLook): RepositoryView {
    const view = new RepositoryView(run, repository);
    const numbersOf = (names: readonly string[]) => names.map((name) => run.digests.add(name));
    view.isDamaged = remembered.isDamaged;
    view.otherRevisions = remembered.otherRevisions;
    for (const { digest, time, children, blobs, signatures } of remembered.doomed) {
      const number = run.digests.add(digest);
      view.revisions.set(number, recallTime(time));
      run.catalog.adopt(number, { children: numbersOf(children), blobs: numbersOf(blobs) });
      if (signatures.length > 0) view.signaturesOf.set(number, signatures);
    }
    const { served, links, referrers } = remembered.hanging;
    for (const { digest, children, blobs } of served)
      run.catalog.adopt(run.digests.add(digest), { children: numbersOf(children), blobs: numbersOf(blobs) });
    for (const { subject, revisions } of referrers) view.referrers.set(run.digests.add(subject), numbersOf(revisions));
    for (const { digest, time, blob, isNameOnly } of [...links, ...remembered.loose.map((link) => ({ ...link, isNameOnly: false }))])
      view.layers.recall(run.digests.add(digest), run.digests.add(blob), { time: recallTime(time), isNameOnly });
    view.layers.takeJournals();
    return view;
  }

  /** Takes revisions and layer links from one answer, where the repository has that; a wrapper's listings are asked by themselves. */
  private async lookOver(): Promise<RepositoryOverview | undefined> {
    if (!areOwn(this.repository, ["revisions", "layerLinks", "tags"])) return undefined;
    const found = await this.repository.overview?.(this.look);
    if (found === undefined) return undefined;
    const { digests, turns } = this.run;
    await turns.slices(found.revisions.length / SHA256_BYTES, (start, end) =>
      this.revisions.setAll(digests.addPacked(found.revisions, start, end), found.times.subarray(start, end)),
    );
    await turns.slices(found.layerLinks.length / SHA256_BYTES, (start, end) =>
      this.layers.name(digests.addPacked(found.layerLinks, start, end)),
    );
    return found;
  }

  private async takeTags(overview: RepositoryOverview): Promise<void> {
    this.tags = overview.tagged.length / SHA256_BYTES;
    const tagged = viewOf(overview.tagged);
    for (let i = 0; i < this.tags; i++) {
      if (this.run.turns.isLong()) await turn();
      const number = this.run.digests.addBytes(tagged, i * SHA256_BYTES, SHA256_BYTES);
      if (this.revisions.has(number)) this.tagged.add(number);
      else await this.followDangling(overview.tag(i), number);
    }
  }

  private async listRevisions(): Promise<void> {
    for await (const page of this.repository.revisions(this.look)) {
      for (const { digest, modTime, damage } of page) {
        this.revisions.set(this.run.digests.add(digest), modTime?.getTime() ?? Number.NaN);
        if (damage !== undefined) this.damaged(damage, digest);
      }
    }
  }

  private async listLayerLinks(): Promise<void> {
    for await (const page of this.repository.layerLinks(this.look)) {
      for (const link of page) this.layers.take(link);
    }
  }

  private async judgeManifests(): Promise<void> {
    const { catalog, digests, settings } = this.run;
    await this.judgeMissing();
    for (const number of this.revisions.keys()) {
      if (this.run.turns.isLong()) await turn();
      const problem = catalog.problem(number);
      if (problem !== undefined) {
        const digest = digests.digest(number);
        this.hasUnknownNeeds = true;
        this.damaged(
          {
            ...problem,
            path: this.repository.revisionFootprint(digest, []).files.at(-1) ?? "",
            message: `the manifest ${digest} ${problem.message}`,
          },
          digest,
        );
      }
      if (settings.referrers === "keep-with-subject") {
        for (const subject of catalog.subjects(number)) {
          addTo(this.referrers, subject, number);
          const stored = this.layers.storedAs(subject);
          if (stored !== undefined) addTo(this.referrers, stored, number);
        }
      }
    }
    await this.findSignatures([...this.revisions.keys()]);
  }

  /** A revision whose manifest is not there may have gone with it, as another run takes it away: then it is none any more. */
  private async judgeMissing(): Promise<void> {
    const { repository } = this;
    const { catalog, digests, marks, turns } = this.run;
    const missing = await turns.filter(this.revisions.keys(), (number) => catalog.problem(number)?.kind === "missing-manifest");
    for (const number of missing) {
      // A directory told its name, and there is nothing in it.
      marks.remove(number, PRESENT);
      marks.add(number, ABSENT);
    }
    if (repository.lookAtRevision === undefined) return;
    const links = await mapAll(missing, async (number) => repository.lookAtRevision?.(digests.digest(number), this.look));
    missing.forEach((number, i) => {
      if (links[i] === undefined) this.revisions.delete(number);
    });
  }

  private async findSignatures(manifests: readonly number[]): Promise<void> {
    const { catalog, digests } = this.run;
    const old = manifests.filter((number) => catalog.mayHaveSignatures(number));
    const signatures = await mapAll(old, async (number) => this.repository.signatures?.(digests.digest(number), this.look));
    old.forEach((number, i) => this.signaturesOf.set(number, signatures[i] ?? []));
  }

  private async listTags(): Promise<void> {
    for await (const page of this.repository.tags(this.look)) {
      this.tags += page.length;
      for (const tag of page) {
        if (tag.damage !== undefined) this.damaged(tag.damage);
        else if (tag.digest === undefined) this.damaged(namesNothing(tag));
        if (tag.digest === undefined) continue;
        const number = this.run.digests.add(tag.digest);
        if (this.revisions.has(number)) this.tagged.add(number);
        else await this.followDangling(tag, number);
      }
    }
  }

  /** A tag that names no revision: what it names may be served by a layer link, may be there and whole all the same, or be lost. */
  private async followDangling(tag: { name: string; path: string }, number: number): Promise<void> {
    const served = await this.servedAsManifests([number]);
    for (const manifest of served) this.tagged.add(manifest);
    if (served.length > 0) return;

    await this.run.manifests.readAll(this.repository, [number]);
    const digest = this.run.digests.digest(number);
    const damage: Damage = {
      kind: "dangling-tag",
      path: tag.path,
      message: `the tag ${tag.name} names ${digest}, which is no revision here`,
    };
    // Whole or not, what a tag names stays.
    this.tagged.add(number);
    await this.findSignatures([number]);
    if (this.run.catalog.isWhole(number)) {
      this.report(damage, digest);
      return;
    }
    this.hasUnknownNeeds = true;
    this.damaged({ ...damage, message: `${damage.message}, and the manifest ${this.run.catalog.problem(number)?.message ?? ""}` }, digest);
  }

  /** Whether some of the damage may pass: a reading before this one did not see it. */
  mayPass(seen: ReadonlySet<string>): boolean {
    return [...this.passing].some((damage) => !seen.has(damage));
  }

  private damaged(damage: Damage, digest?: string): void {
    this.isDamaged = true;
    this.report(damage, digest);
  }

  private report({ kind, path, message }: Damage, digest?: string): void {
    if (PASSING.has(kind)) this.passing.add([kind, path, message].join(" "));
    this.problems.push({ kind, path, repository: this.repository.name, ...(digest === undefined ? {} : { digest }), message });
  }

  isRevision(number: number): boolean {
    return this.revisions.has(number);
  }

  references(manifest: number): { children: readonly number[]; blobs: readonly number[] } {
    const references = this.run.catalog.references(manifest);
    const signatures = this.signaturesOf.get(manifest);
    if (signatures === undefined) return references;
    return { children: references.children, blobs: [...references.blobs, ...signatures.map(({ digest }) => this.run.digests.add(digest))] };
  }

  referrersOf(manifest: number): readonly number[] {
    return this.referrers.get(manifest) ?? [];
  }

  /** The referrers among these revisions, by what they are about. */
  *referrersAmong(revisions: ReadonlyMap<number, unknown>): Iterable<readonly [subject: number, revisions: readonly number[]]> {
    for (const [subject, all] of this.referrers) {
      const some = all.filter((number) => revisions.has(number));
      if (some.length > 0) yield [subject, some];
    }
  }

  storedAs(number: number): number | undefined {
    return this.layers.storedAs(number);
  }

  servedAsManifests(numbers: readonly number[]): Promise<readonly number[]> {
    return this.served.among(numbers);
  }

  /** Whether a layer link may serve this as a manifest, which is no revision. */
  mayServe(number: number): boolean {
    return this.layers.isNamed(number) && !this.isRevision(number) && !this.isRevision(this.layers.blobOf(number));
  }

  /** Whether the listings named nothing: perhaps there is no such repository any more. */
  get isBare(): boolean {
    return this.revisions.size === 0 && this.tags === 0 && this.layers.size === 0;
  }

  /** When a revision link was written; `undefined` where it is gone by now. */
  async lookAtRevision(number: number): Promise<number | undefined> {
    const known = this.revisions.get(number);
    if (known === undefined || !Number.isNaN(known) || this.repository.lookAtRevision === undefined) return known;
    const link = await this.repository.lookAtRevision(this.run.digests.digest(number), this.look);
    if (link === undefined) {
      this.revisions.delete(number);
      return undefined;
    }
    const time = link.modTime?.getTime() ?? Number.NaN;
    this.revisions.set(number, time);
    if (link.damage !== undefined) this.damaged(link.damage, link.digest);
    return time;
  }
}

/** Of a tag that neither names a digest nor says why. */
function namesNothing({ name, path }: Tag): Damage {
  return { kind: "missing-current-link", path, message: `the tag ${name} names no digest` };
}
