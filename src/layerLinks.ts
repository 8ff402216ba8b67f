/** The layer links of one repository, as listings named them and as far as anybody has looked at them. */

import { areOwn } from "./internal/manyAtOnce.js";
import { mapAll, slicesOf } from "./internal/mapAll.js";
import { NumberMap } from "./internal/numberMap.js";
import { turn } from "./internal/turn.js";
import type { Damage, LayerLink, LookOptions, Repository } from "./namespace.js";
import type { JournalLink } from "./online/journal.js";
import type { Run } from "./run.js";

/** A link that a listing named, and nobody has looked at. */
const NAME_ONLY = Number.NEGATIVE_INFINITY;

/** Links that are looked at together. */
const LOOKED_AT_TOGETHER = 1024;

export class LayerLinks {
  /** When each was written: milliseconds since 1970, NaN where unknown. */
  private readonly times = new NumberMap(NAME_ONLY);
  private readonly stored = new Map<number, number>();
  /** Links that journals hold as taken. */
  private readonly taken = new Set<number>();

  constructor(
    private readonly run: Run,
    private readonly repository: Repository,
    private readonly options: {
      readonly look: LookOptions;
      /** Told what is wrong with a link, once. */
      readonly onDamage: (damage: Damage, digest: string) => void;
    },
  ) {}

  get size(): number {
    return this.times.size;
  }

  /** The layers whose links listings named. */
  numbers(): Iterable<number> {
    return this.times.keys();
  }

  /** Takes the names of links. */
  name(layers: Uint32Array): void {
    this.times.setAll(layers);
  }

  /** Takes a link as a listing told it. */
  take(link: LayerLink): void {
    const number = this.run.digests.add(link.digest);
    this.times.set(number, link.nameOnly === true ? NAME_ONLY : (link.modTime?.getTime() ?? Number.NaN));
    this.store(number, link);
    if (link.damage !== undefined) this.options.onDamage(link.damage, link.digest);
  }

  /** What another process needs to go on with a link that is named. */
  remember(layer: number): { readonly time: number; readonly isNameOnly: boolean } {
    const time = this.times.get(layer);
    return { time: this.knownTime(layer) ?? Number.NaN, isNameOnly: time === NAME_ONLY };
  }

  /** Takes a link that another process has looked at, or of which it knew the name. */
  recall(layer: number, blob: number, { time, isNameOnly }: { readonly time: number; readonly isNameOnly: boolean }): void {
    this.times.set(layer, isNameOnly ? NAME_ONLY : time);
    if (blob !== layer) this.stored.set(layer, blob);
  }

  /**
   * What a run took, it took on the strength of a look: a later one sees it still, and has it written anew where it is needed. It
   * does so where a listing names the link, too: the directory that it lay in may be all that is left.
   */
  takeJournals(): void {
    for (const link of this.journaled()) {
      const number = this.run.digests.add(link.digest);
      this.taken.add(number);
      this.store(number, link);
    }
  }

  /** Those that journals hold as taken. */
  journaled(): readonly JournalLink[] {
    return (this.run.aside?.layerLinksTakenFrom(this.repository.name) ?? []).map(({ link }) => link);
  }

  /** The digest under which a layer's blob is stored, where it is another one. */
  storedAs(layer: number): number | undefined {
    return this.stored.get(layer);
  }

  /** The digest under which a layer's blob is stored. */
  blobOf(layer: number): number {
    return this.stored.get(layer) ?? layer;
  }

  /** Whether a listing named the link, or a journal holds it. */
  isNamed(layer: number): boolean {
    return this.times.has(layer) || this.taken.has(layer);
  }

  /** Those of these links that are there, or were taken by a run that may have them written anew. */
  async linked(layers: readonly number[]): Promise<number[]> {
    const untaken = layers.filter((layer) => !this.taken.has(layer));
    const times = await this.lookAt(untaken);
    const gone = new Set(untaken.filter((_, i) => times[i] === undefined));
    return layers.filter((layer) => !gone.has(layer));
  }

  /** When each of these was written, in the order asked; `undefined` where there is none. Damage that shows is told. */
  async lookAt(layers: readonly number[], needsTime = false): Promise<(number | undefined)[]> {
    const times: (number | undefined)[] = [];
    for (const some of slicesOf(layers, LOOKED_AT_TOGETHER)) {
      if (this.run.turns.isLong()) await turn();
      await this.lookAtUnknown(some.filter((layer) => !this.isKnown(layer, needsTime)));
      for (const layer of some) times.push(this.knownTime(layer));
    }
    return times;
  }

  private async lookAtUnknown(unknown: readonly number[]): Promise<void> {
    const { repository } = this;
    const { look } = this.options;
    if (unknown.length === 0 || repository.lookAtLayerLink === undefined) return;
    const digests = unknown.map((number) => this.run.digests.digest(number));
    const together = areOwn(repository, ["lookAtLayerLink"]) ? await repository.lookAtLayerLinks?.(digests, look) : undefined;
    // What is not answered is not gone.
    const isWhole = together?.length === digests.length;
    const links = isWhole ? together : await mapAll(digests, async (digest) => repository.lookAtLayerLink?.(digest, look));
    unknown.forEach((number, i) => this.update(number, links[i]));
  }

  private isKnown(layer: number, needsTime: boolean): boolean {
    const known = this.times.get(layer);
    return known !== undefined && known !== NAME_ONLY && !(needsTime && Number.isNaN(known));
  }

  private knownTime(layer: number): number | undefined {
    const known = this.times.get(layer);
    return known === NAME_ONLY ? Number.NaN : known;
  }

  private update(layer: number, link: LayerLink | undefined): void {
    if (link === undefined) {
      this.times.delete(layer);
      return;
    }
    const isNews = this.times.get(layer) === NAME_ONLY;
    this.store(layer, link);
    if (link.damage !== undefined && isNews) this.options.onDamage(link.damage, link.digest);
    this.times.set(layer, link.modTime?.getTime() ?? Number.NaN);
  }

  private store(layer: number, { digest, target }: Pick<LayerLink, "digest" | "target">): void {
    if (target === undefined || target === digest) return;
    const { digests, otherNames } = this.run;
    const blob = digests.add(target);
    this.stored.set(layer, blob);
    otherNames.set(blob, (otherNames.get(blob) ?? new Set()).add(digest));
  }
}
