/** The layer links of one repository that no kept manifest of it reaches, and which of them may belong to a push that is under way. */

import { DAY_MS } from "./clock.js";
import { PRESENT } from "./marks.js";
import type { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";

/** A layer link that no kept manifest of its repository reaches. */
export interface LooseLink {
  /** Milliseconds since 1970, NaN where unknown. */
  readonly time: number;
  /** The digest under which its blob is stored. */
  readonly blob: number;
  /** Whether an earlier look of the run did not see it as it is. */
  readonly isChanged: boolean;
}

/** What an earlier look of the run saw of the same. */
export interface EarlierLinks {
  get(layer: number): Pick<LooseLink, "time"> | undefined;
}

/** By layer. */
export class LooseLinks extends Map<number, LooseLink> {
  /** Layers whose blob is stored under another digest. */
  private readonly byAnotherName: number[] = [];

  constructor(
    private readonly run: Run,
    private readonly view: RepositoryView,
  ) {
    super();
  }

  add(layer: number, link: LooseLink): void {
    this.set(layer, link);
    if (link.blob !== layer) this.byAnotherName.push(layer);
  }

  /** Takes out what is reached after all. */
  release(reached: readonly number[], isReached: (layer: number) => boolean): void {
    if (this.size === 0) return;
    for (const number of reached) this.delete(number);
    for (const layer of this.byAnotherName) if (isReached(layer)) this.delete(layer);
  }

  /**
   * Finds the links that nothing reaches, and looks at each: whether it is there, since when, and whether it is whole. It is changed
   * where an earlier look did not see it as it is; a first look has none.
   */
  async find(isReached: (layer: number) => boolean, earlier: EarlierLinks | undefined): Promise<void> {
    const { removeLayerLinks, removeEmptyRepositories } = this.run.settings;
    const { layers } = this.view;
    const mustLook = removeLayerLinks || removeEmptyRepositories || this.run.looksAtTimes;
    const unreached = await this.run.turns.filter(layers.numbers(), (layer) => !isReached(layer));
    const times = mustLook ? await layers.lookAt(unreached, this.run.looksAtTimes) : unreached.map(() => Number.NaN);
    unreached.forEach((layer, i) => {
      const time = times[i];
      if (time === undefined) return;
      const isChanged = earlier !== undefined && !isSameTime(earlier.get(layer)?.time, time);
      this.add(layer, { time, blob: layers.blobOf(layer), isChanged });
    });
  }

  /** Whether a link may belong to a push that is under way: it is young, or an earlier look didn't see it as it is. */
  isLease(layer: number): boolean {
    const link = this.get(layer);
    if (link === undefined || this.isLeaseByTime(link)) return true;
    return this.isUnnamed(layer, link) && !this.run.marks.has(link.blob, PRESENT);
  }

  isLeaseByTime({ time, isChanged }: LooseLink): boolean {
    return isChanged || this.run.isYoung(time);
  }

  /**
   * A link to something that lies aside, which no journal names as it is: where its blob is not in place, someone wrote it since, and its
   * manifest may be on its way. No push takes a day.
   */
  isUnnamed(layer: number, { blob, time }: LooseLink): boolean {
    const { aside, digests } = this.run;
    if (aside === undefined || !aside.isAside(blob) || this.run.isOlderThan(time, DAY_MS)) return false;
    const named = aside.linksNamed("layerLink", this.view.repository.name, digests.digest(layer));
    return !named.some((link) => isSameTime(link.time, time));
  }
}

/** Whether a link was written when an earlier look, or a journal, says so. */
export function isSameTime(a: number | undefined, b: number): boolean {
  return a !== undefined && (a === b || (Number.isNaN(a) && Number.isNaN(b)));
}
