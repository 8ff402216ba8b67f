/**
 * Where the parts of a run leave what they found for the next: below `_gc/<runId>/parts`, on the registry's own storage.
 *
 * - `plan`: what the run is. Everything else names it by its checksum.
 * - `<stage>.open`: what the parts of a stage are. `<stage>/<part>.in`: what one of them has to do, where that is a list.
 * - `<stage>/<part>.begun`: an attempt may have changed something; `.again`: and another one, too.
 * - `<stage>/<part>.<attempt>.<n>`: what an attempt wrote. `<stage>/<part>.done`: the attempt that counts, which is the first that came to
 *   its end: written where nothing is, so that two workers at once do no harm.
 * - `<stage>/<part>.broken-<n>`: what an attempt had done when it was broken off.
 * - `<stage>.closed`: what each part of a stage has left. A stage begins once those before it are closed, and what comes late is not seen.
 */

import { randomUUID } from "node:crypto";
import { mapAll } from "../internal/mapAll.js";
import { readBounded } from "../internal/readBounded.js";
import { writeFile } from "../online/files.js";
import { PartDamagedError } from "./errors.js";
import { checksumOf, type ListFile, PartAttempt, type PartOutput } from "./partAttempt.js";
import { MAX_DOCUMENT_BYTES, type RunDocuments } from "./runDocuments.js";

/** What a stage is. */
export interface StageOpening {
  readonly kind: string;
  readonly parts: number;
  readonly input: unknown;
  /** Milliseconds since 1970, by the clock of who leads the run. */
  readonly openedAt: number;
}

/** What a stage came to. */
export interface ClosedStage {
  readonly outputs: readonly PartOutput[];
  /** Milliseconds from its opening to its end. */
  readonly ms: number;
}

const OPEN = ".open";

function brokenName(stage: string, part: number, before: number): string {
  return `${stage}/${part}.broken-${before}`;
}

export class PartStore {
  /** What closed stages left: it never changes. */
  private readonly known = new Map<string, Promise<readonly PartOutput[]>>();

  constructor(readonly documents: RunDocuments) {}

  /** Says what the parts of a stage are; whether nobody had. */
  async open(stage: string, opening: StageOpening): Promise<boolean> {
    return this.documents.put(stage + OPEN, opening);
  }

  async opening(stage: string): Promise<StageOpening> {
    return (await this.documents.get(stage + OPEN)) as StageOpening;
  }

  /** Says what one part has to do. Written anew it says the same. */
  async assign(stage: string, part: number, items: unknown): Promise<void> {
    await this.documents.put(`${stage}/${part}.in`, items);
  }

  async assignment(stage: string, part: number): Promise<unknown> {
    return this.documents.get(`${stage}/${part}.in`);
  }

  /** What a closed stage left, part by part; `undefined` where it isn't closed. */
  async closed(stage: string): Promise<ClosedStage | undefined> {
    const closed = (await this.documents.look(`${stage}.closed`)) as ClosedStage | null | undefined;
    if (closed === null) throw new PartDamagedError(this.documents.pathOf(`${stage}.closed`), "the stage was broken off");
    return closed;
  }

  /** @throws PartDamagedError where it isn't closed. */
  outputs(stage: string): Promise<readonly PartOutput[]> {
    const known = this.known.get(stage);
    if (known !== undefined) return known;
    const outputs = this.readOutputs(stage);
    this.known.set(stage, outputs);
    // A read that failed once may be made again.
    outputs.catch(() => this.known.delete(stage));
    return outputs;
  }

  private async readOutputs(stage: string): Promise<readonly PartOutput[]> {
    const closed = await this.closed(stage);
    if (closed === undefined) throw new PartDamagedError(this.documents.pathOf(`${stage}.closed`), "it is not there");
    return closed.outputs;
  }

  async isClosed(stage: string): Promise<boolean> {
    return this.documents.has(`${stage}.closed`);
  }

  async isDone(stage: string, part: number): Promise<boolean> {
    return this.documents.has(`${stage}/${part}.done`);
  }

  /**
   * Closes a stage of which every part is done, with every file that they name there and as long as it was written.
   *
   * @param ms - How long it took.
   * @throws PartDamagedError which names what is missing, short or of another run.
   */
  async close(stage: string, parts: number, ms = 0): Promise<ClosedStage> {
    const all = Array.from({ length: parts }, (_, part) => part);
    const outputs = await mapAll(all, async (part) => {
      const output = (await this.documents.get(`${stage}/${part}.done`)) as PartOutput;
      const files = [...Object.values(output.runs).flat(), ...Object.values(output.lists).flat()];
      await mapAll(files, async ({ path, bytes }) => {
        const size = await this.documents.sizeOf(path);
        // Where a store tells no sizes, the checksum of what is read must do.
        if (size !== bytes && !Number.isNaN(size))
          throw new PartDamagedError(path, size === undefined ? "it is not there" : `it has ${size} bytes instead of ${bytes}`);
      });
      return output;
    });
    await this.documents.put(`${stage}.closed`, { outputs, ms });
    return { outputs: await this.outputs(stage), ms };
  }

  /** Stages that were opened, and not closed. */
  async openStages(): Promise<string[]> {
    const names = await this.documents.names();
    const opened = [...names].filter((name) => name.endsWith(OPEN)).map((name) => name.slice(0, -OPEN.length));
    return opened.filter((stage) => !names.has(`${stage}.closed`));
  }

  /** What an attempt at a part had come to when it was broken off. */
  async breakOff(stage: string, part: number, result: unknown): Promise<void> {
    let before = 0;
    while (!(await this.documents.put(brokenName(stage, part, before), result))) before++;
  }

  /**
   * What the parts of a stage have come to, whether it is closed or not: of one that is done its result, of another what each attempt tells
   * that was broken off.
   */
  async resultsSoFar(stage: string): Promise<unknown[][]> {
    const { parts } = await this.opening(stage);
    const all = Array.from({ length: parts }, (_, part) => part);
    return mapAll(all, async (part) => {
      const done = (await this.documents.look(`${stage}/${part}.done`)) as PartOutput | undefined;
      return done === undefined ? this.brokenOff(stage, part) : [done.result];
    });
  }

  private async brokenOff(stage: string, part: number): Promise<unknown[]> {
    const results: unknown[] = [];
    for (;;) {
      const result = await this.documents.look(brokenName(stage, part, results.length));
      if (result === undefined) return results;
      results.push(result);
    }
  }

  /** Closes a stage that is not to come to its end. */
  async spoil(stage: string): Promise<void> {
    await this.documents.put(`${stage}.closed`, null);
  }

  /** Says that a part is begun, before it changes what can be told apart only by that; whether somebody has begun it before. */
  async markBegun(stage: string, part: number): Promise<boolean> {
    const name = `${stage}/${part}.begun`;
    const isBegun = await this.documents.has(name);
    const isFirst = await this.documents.put(name, true);
    // Of two that begin at once neither sees the other's word, and one of them is not the first.
    const isAgain = isBegun || !isFirst;
    if (isAgain) await this.documents.put(`${stage}/${part}.again`, true);
    return isAgain;
  }

  /** Whether anybody has begun a part, who says so; read, since a look may be a listing that lags. */
  async wasBegun(stage: string, part: number): Promise<boolean> {
    return (await this.documents.look(`${stage}/${part}.begun`)) !== undefined;
  }

  /** Whether two have begun the same part of a stage: asked once it is closed, since who begins one later does nothing any more. */
  async isDoubled(stage: string, parts: number): Promise<boolean> {
    const all = Array.from({ length: parts }, (_, part) => part);
    return (await mapAll(all, (part) => this.documents.has(`${stage}/${part}.again`))).includes(true);
  }

  /** What a new attempt at a part writes. */
  attempt(stage: string, part: number): PartAttempt {
    let files = 0;
    const id = randomUUID();
    return new PartAttempt(
      async (content) => {
        const path = this.documents.pathOf(`${stage}/${part}.${id}.${files++}`);
        await writeFile(this.documents.driver, path, content);
        return path;
      },
      async (output) => {
        await this.documents.put(`${stage}/${part}.done`, output);
      },
    );
  }

  /** The items of lists, each file checked before any of it is given. */
  async *items(files: readonly ListFile[]): AsyncIterable<unknown> {
    for (const { path, sha256 } of files) {
      const bytes = await readBounded(this.documents.driver, path, { maxBytes: MAX_DOCUMENT_BYTES });
      if (checksumOf(bytes) !== sha256) throw new PartDamagedError(path, "its checksum is another");
      const items: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
      if (Array.isArray(items)) yield* items as unknown[];
    }
  }
}
