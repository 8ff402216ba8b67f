/**
 * Where the parts of a run leave what they found for the next: below `_gc/<runId>/parts`, on the registry's own storage.
 *
 * - `plan`: what the run is. Everything else names it by its checksum.
 * - `<stage>.open`: what the parts of a stage are. `<stage>/<part>.in`: what one of them has to do, where that is a list.
 * - `<stage>/<part>.begun`: an attempt may have changed something.
 * - `<stage>/<part>.<attempt>.<n>`: what an attempt wrote. `<stage>/<part>.done`: the attempt that counts, which is the first that came to
 *   its end: written where nothing is, so that two workers at once do no harm.
 * - `<stage>.closed`: what each part of a stage has left. A stage begins once those before it are closed, and what comes late is not seen.
 */

import { randomUUID } from "node:crypto";
import type { StorageDriver } from "../driver.js";
import { codeOf, isPathNotFound, UnsupportedError } from "../errors.js";
import { mapAll } from "../internal/mapAll.js";
import { property } from "../internal/property.js";
import { readBounded } from "../internal/readBounded.js";
import { PartDamagedError } from "./errors.js";
import { checksumOf, type ListFile, PartAttempt, type PartOutput } from "./partAttempt.js";

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
const MAX_DOCUMENT_BYTES = 1024 * 1024 * 1024;

export class PartStore {
  /** What closed stages left: it never changes. */
  private readonly known = new Map<string, Promise<readonly PartOutput[]>>();

  constructor(
    private readonly driver: StorageDriver,
    private readonly directory: string,
    readonly runId: string,
    /** The plan's checksum; empty until there is one. */
    readonly plan: string,
  ) {}

  /** The same, by another driver. */
  through(driver: StorageDriver): PartStore {
    return new PartStore(driver, this.directory, this.runId, this.plan);
  }

  /** The store of a run that was begun; `undefined` where there is no plan. */
  async find(): Promise<PartStore | undefined> {
    try {
      return this.withPlan(await this.read("plan"));
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  private withPlan(plan: Uint8Array): PartStore {
    return new PartStore(this.driver, this.directory, this.runId, checksumOf(plan));
  }

  /** Writes the plan, or finds the one that is there; and the store that goes on with it. */
  async begin(plan: unknown): Promise<PartStore> {
    await this.putWhereAbsent("plan", sealed(JSON.stringify(plan)));
    return this.withPlan(await this.read("plan"));
  }

  /**
   * The plan that this run was begun with.
   *
   * @throws PartDamagedError where it is another one, or gone: then the run is over.
   */
  async readPlan(): Promise<unknown> {
    const bytes = await this.read("plan").catch((error: unknown) => {
      if (isPathNotFound(error)) throw new PartDamagedError(this.pathOf("plan"), "it is not there, so the run has ended");
      throw error;
    });
    if (checksumOf(bytes) !== this.plan) throw new PartDamagedError(this.pathOf("plan"), "it is not the plan of this run");
    return parse(Buffer.from(this.unsealed("plan", bytes)));
  }

  /** Whether the run has ended: the first thing of it that is written is gone. It is read, since a look may be a listing that lags. */
  async isOver(): Promise<boolean> {
    try {
      await this.read("plan");
      return false;
    } catch (error) {
      if (isPathNotFound(error)) return true;
      throw error;
    }
  }

  /** A value that is made once, whoever goes on with the run. */
  async once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = await this.look(`${name}.value`);
    if (known !== undefined) return known as T;
    await this.put(`${name}.value`, await make());
    return (await this.get(`${name}.value`)) as T;
  }

  /** Says what the parts of a stage are; whether nobody had. */
  async open(stage: string, opening: StageOpening): Promise<boolean> {
    return this.put(stage + OPEN, opening);
  }

  async opening(stage: string): Promise<StageOpening> {
    return (await this.get(stage + OPEN)) as StageOpening;
  }

  /** Says what one part has to do. Written anew it says the same. */
  async assign(stage: string, part: number, items: unknown): Promise<void> {
    await this.put(`${stage}/${part}.in`, items);
  }

  async assignment(stage: string, part: number): Promise<unknown> {
    return this.get(`${stage}/${part}.in`);
  }

  /** What a closed stage left, part by part; `undefined` where it isn't closed. */
  async closed(stage: string): Promise<ClosedStage | undefined> {
    const closed = (await this.look(`${stage}.closed`)) as ClosedStage | null | undefined;
    if (closed === null) throw new PartDamagedError(this.pathOf(`${stage}.closed`), "the stage was broken off");
    return closed;
  }

  /** @throws PartDamagedError where it isn't closed. */
  outputs(stage: string): Promise<readonly PartOutput[]> {
    const outputs = this.known.get(stage) ?? this.readOutputs(stage);
    this.known.set(stage, outputs);
    return outputs;
  }

  private async readOutputs(stage: string): Promise<readonly PartOutput[]> {
    const closed = await this.closed(stage);
    if (closed === undefined) throw new PartDamagedError(this.pathOf(`${stage}.closed`), "it is not there");
    return closed.outputs;
  }

  async isClosed(stage: string): Promise<boolean> {
    return (await this.sizeOf(this.pathOf(`${stage}.closed`))) !== undefined;
  }

  async isDone(stage: string, part: number): Promise<boolean> {
    return (await this.sizeOf(this.doneAt(stage, part))) !== undefined;
  }

  /** Where it is said which attempt at a part counts. */
  doneAt(stage: string, part: number): string {
    return this.pathOf(`${stage}/${part}.done`);
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
      const output = (await this.get(`${stage}/${part}.done`)) as PartOutput;
      const files = [...Object.values(output.runs).flat(), ...Object.values(output.lists).flat()];
      await mapAll(files, async ({ path, bytes }) => {
        const size = await this.sizeOf(path);
        // Where a store tells no sizes, the checksum of what is read must do.
        if (size !== bytes && !Number.isNaN(size))
          throw new PartDamagedError(path, size === undefined ? "it is not there" : `it has ${size} bytes instead of ${bytes}`);
      });
      return output;
    });
    await this.put(`${stage}.closed`, { outputs, ms });
    return { outputs: await this.outputs(stage), ms };
  }

  /** Stages that were opened, and not closed. */
  async openStages(): Promise<string[]> {
    const names = new Set<string>();
    for await (const page of this.driver.list(this.directory))
      for (const { path } of page) names.add(path.slice(this.directory.length + 1));
    const opened = [...names].filter((name) => name.endsWith(OPEN)).map((name) => name.slice(0, -OPEN.length));
    return opened.filter((stage) => !names.has(`${stage}.closed`));
  }

  /** What those parts of a stage left that are done, closed or not. */
  async doneParts(stage: string): Promise<PartOutput[]> {
    const { parts } = await this.opening(stage);
    const all = Array.from({ length: parts }, (_, part) => part);
    const done = await mapAll(all, async (part) => (await this.look(`${stage}/${part}.done`)) as PartOutput | undefined);
    return done.filter((output) => output !== undefined);
  }

  /** Closes a stage that is not to come to its end. */
  async spoil(stage: string): Promise<void> {
    await this.put(`${stage}.closed`, null);
  }

  /** Says that a part is begun, before it changes what can be told apart only by that; whether somebody has begun it before. */
  async isBegun(stage: string, part: number): Promise<boolean> {
    const name = `${stage}/${part}.begun`;
    const isBegun = (await this.sizeOf(this.pathOf(name))) !== undefined;
    await this.put(name, true);
    return isBegun;
  }

  /** What a new attempt at a part writes. */
  attempt(stage: string, part: number): PartAttempt {
    let files = 0;
    const id = randomUUID();
    return new PartAttempt(
      async (content) => {
        const path = this.pathOf(`${stage}/${part}.${id}.${files++}`);
        await this.driver.putContent?.(path, content);
        return path;
      },
      async (output) => {
        await this.put(`${stage}/${part}.done`, output);
      },
    );
  }

  /** The items of lists, each file checked before any of it is given. */
  async *items(files: readonly ListFile[]): AsyncIterable<unknown> {
    for (const { path, sha256 } of files) {
      const bytes = await readBounded(this.driver, path, { maxBytes: MAX_DOCUMENT_BYTES });
      if (checksumOf(bytes) !== sha256) throw new PartDamagedError(path, "its checksum is another");
      const items: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
      if (Array.isArray(items)) yield* items as unknown[];
    }
  }

  /** Takes all of it away. */
  async remove(): Promise<void> {
    try {
      await this.driver.delete(this.directory);
    } catch (error) {
      if (!isPathNotFound(error)) throw error;
    }
  }

  /** Writes a document where there is none: the first one counts. */
  private async put(name: string, content: unknown): Promise<boolean> {
    const text = JSON.stringify({ runId: this.runId, plan: this.plan, name, content });
    return this.putWhereAbsent(name, sealed(text));
  }

  private async putWhereAbsent(name: string, content: Uint8Array): Promise<boolean> {
    try {
      return (await this.driver.putContent?.(this.pathOf(name), content, { ifAbsent: true })) === true;
    } catch (error) {
      if (codeOf(error) !== "UNSUPPORTED") throw error;
      throw new UnsupportedError(
        `${this.driver.name}: a run in parts needs a store that can write where nothing is; collect this one with markAndSweep`,
      );
    }
  }

  private async get(name: string): Promise<unknown> {
    const content = await this.look(name);
    if (content === undefined) throw new PartDamagedError(this.pathOf(name), "it is not there");
    return content;
  }

  private async look(name: string): Promise<unknown> {
    let bytes: Uint8Array;
    try {
      bytes = await this.read(name);
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
    const inner = parse(Buffer.from(this.unsealed(name, bytes)));
    const isOurs = property(inner, "runId") === this.runId && property(inner, "plan") === this.plan && property(inner, "name") === name;
    if (!isOurs) throw new PartDamagedError(this.pathOf(name), "it belongs to another run, or to another part");
    return property(inner, "content");
  }

  private unsealed(name: string, bytes: Uint8Array): string {
    const document = parse(bytes);
    const text = property(document, "text");
    const isWhole = typeof text === "string" && checksumOf(Buffer.from(text)) === property(document, "sha256");
    if (isWhole) return text;
    throw new PartDamagedError(this.pathOf(name), "it is cut short, or not what was written");
  }

  private read(name: string): Promise<Uint8Array> {
    return readBounded(this.driver, this.pathOf(name), { maxBytes: MAX_DOCUMENT_BYTES });
  }

  private async sizeOf(path: string): Promise<number | undefined> {
    try {
      return (await this.driver.stat(path)).size ?? Number.NaN;
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  private pathOf(name: string): string {
    return `${this.directory}/${name}`;
  }
}

/** A text with its checksum. */
function sealed(text: string): Buffer {
  return Buffer.from(JSON.stringify({ sha256: checksumOf(Buffer.from(text)), text }));
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}
