/** What is known of a repository: a graph for the mark, as numbers, with the damage seen. Filled by one reading, or from memory. */

import { addTo } from "./internal/addTo.js";
import { NumberMap, NumberSet } from "./internal/numberMap.js";
import { LayerLinks } from "./layerLinks.js";
import type { Graph } from "./mark.js";
import type { Damage, LookOptions, Repository, Signature } from "./namespace.js";
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
  /** How the repository is looked at: strays are counted here, and damage is told. */
  readonly look: LookOptions;
  private readonly referrers = new Map<number, number[]>();

  constructor(
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
    this.served = new ServedManifests(run, repository, this.layers, (damage, digest) => this.lost(damage, digest));
  }

  /** Whether some of the damage may pass: a reading before this one did not see it. */
  mayPass(seen: ReadonlySet<string>): boolean {
    return [...this.passing].some((damage) => !seen.has(damage));
  }

  /** Damage that asks for everything in the repository to be kept. */
  damaged(damage: Damage, digest?: string): void {
    this.isDamaged = true;
    this.report(damage, digest);
  }

  /** The same, and nothing tells what it needs. */
  lost(damage: Damage, digest?: string): void {
    this.hasUnknownNeeds = true;
    this.damaged(damage, digest);
  }

  /** Damage that is told, and of which it is known what it needs. */
  report({ kind, path, message }: Damage, digest?: string): void {
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

  addReferrer(subject: number, referrer: number): void {
    addTo(this.referrers, subject, referrer);
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
