/** What each manifest names, as numbers in one column: some words for each, outside the JavaScript heap. */

import { Column } from "./internal/column.js";

type Which = 0 | 1 | 2;

export class ReferenceLists {
  /** Where in `lists` those of a manifest begin, + 1. */
  private readonly starts = Column.uint32();
  /** For each manifest: how long its three lists are, then these. */
  private readonly lists = Column.uint32();
  private end = 0;

  set(manifest: number, lists: readonly [readonly number[], readonly number[], readonly number[]]): void {
    this.starts.set(manifest, this.end + 1);
    for (const list of lists) this.lists.set(this.end++, list.length);
    for (const list of lists) for (const number of list) this.lists.set(this.end++, number);
  }

  /** One list of a manifest; empty where none was set. */
  get(manifest: number, which: Which): number[] {
    const start = this.starts.get(manifest) - 1;
    if (start < 0) return [];
    let from = start + 3;
    for (let i = 0; i < which; i++) from += this.lists.get(start + i);
    const end = from + this.lists.get(start + which);
    const numbers: number[] = [];
    for (let at = from; at < end; at++) numbers.push(this.lists.get(at));
    return numbers;
  }
}
