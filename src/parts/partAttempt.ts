/** One attempt at a part: what it writes, in files of a bounded size, and what it leaves when it has come to its end. */

import { createHash } from "node:crypto";
import { type RunFile, SortedRunWriter } from "./sortedRun.js";

/** A list that a part wrote. */
export interface ListFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What one part left. */
export interface PartOutput {
  readonly runs: Readonly<Record<string, readonly RunFile[]>>;
  readonly lists: Readonly<Record<string, readonly ListFile[]>>;
  /** Its numbers. */
  readonly result: unknown;
}

/** Items of a list in one file. */
const ITEMS_A_LIST = 1000;

/** One attempt at a part. Nothing that it writes counts before it is finished, and then only if it is the first. */
export class PartAttempt {
  private readonly writers = new Map<string, SortedRunWriter>();
  private readonly lists = new Map<string, { readonly files: ListFile[]; waiting: unknown[] }>();

  constructor(
    private readonly write: (content: Buffer) => Promise<string>,
    private readonly done: (output: PartOutput) => Promise<void>,
  ) {}

  run(name: string): SortedRunWriter {
    const writer = this.writers.get(name) ?? new SortedRunWriter(this.write);
    this.writers.set(name, writer);
    return writer;
  }

  async addToList(name: string, item: unknown): Promise<void> {
    const list = this.lists.get(name) ?? { files: [], waiting: [] };
    this.lists.set(name, list);
    list.waiting.push(item);
    if (list.waiting.length >= ITEMS_A_LIST) await this.flush(list);
  }

  async finish(result: unknown): Promise<void> {
    const runs: Record<string, readonly RunFile[]> = {};
    for (const [name, writer] of this.writers) runs[name] = await writer.finish();
    const lists: Record<string, readonly ListFile[]> = {};
    for (const [name, list] of this.lists) {
      if (list.waiting.length > 0) await this.flush(list);
      lists[name] = list.files;
    }
    await this.done({ runs, lists, result });
  }

  private async flush(list: { readonly files: ListFile[]; waiting: unknown[] }): Promise<void> {
    const content = Buffer.from(JSON.stringify(list.waiting));
    list.waiting = [];
    list.files.push({ path: await this.write(content), bytes: content.length, sha256: checksumOf(content) });
  }
}

export function checksumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
