/**
 * The documents of a run in parts: each is written once, where nothing is, with its checksum and with whose it is. What is cut short, of
 * another run or at another's place is told apart from what is not there.
 */

import type { StorageDriver } from "../driver.js";
import { codeOf, isPathNotFound, UnsupportedError } from "../errors.js";
import { ownProperty } from "../internal/ownProperty.js";
import { readBounded } from "../internal/readBounded.js";
import { writeFile } from "../online/files.js";
import { PartDamagedError } from "./errors.js";
import { checksumOf } from "./partAttempt.js";

/** What the run is; everything else names it by its checksum. */
const PLAN = "plan";
export const MAX_DOCUMENT_BYTES = 1024 * 1024 * 1024;

export class RunDocuments {
  constructor(
    readonly driver: StorageDriver,
    private readonly directory: string,
    private readonly runId: string,
    /** The plan's checksum; empty until there is one. */
    readonly plan = "",
  ) {}

  /** The same, by another driver. */
  through(driver: StorageDriver): RunDocuments {
    return new RunDocuments(driver, this.directory, this.runId, this.plan);
  }

  /** Those of a run that was begun; `undefined` where there is no plan. */
  async find(): Promise<RunDocuments | undefined> {
    try {
      return this.withPlan(await this.read(PLAN));
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Writes the plan, or finds the one that is there; and the documents that go on with it. */
  async begin(plan: unknown): Promise<RunDocuments> {
    await this.putWhereAbsent(PLAN, sealed(JSON.stringify(plan)));
    return this.withPlan(await this.read(PLAN));
  }

  private withPlan(plan: Uint8Array): RunDocuments {
    return new RunDocuments(this.driver, this.directory, this.runId, checksumOf(plan));
  }

  /**
   * The plan that this run was begun with.
   *
   * @throws PartDamagedError where it is another one, or gone: then the run is over.
   */
  async readPlan(): Promise<unknown> {
    const bytes = await this.read(PLAN).catch((error: unknown) => {
      if (isPathNotFound(error)) throw new PartDamagedError(this.pathOf(PLAN), "it is not there, so the run has ended");
      throw error;
    });
    if (checksumOf(bytes) !== this.plan) throw new PartDamagedError(this.pathOf(PLAN), "it is not the plan of this run");
    return parse(Buffer.from(this.unsealed(PLAN, bytes)));
  }

  /** Whether the run has ended: the first thing of it that is written is gone. It is read, since a look may be a listing that lags. */
  async isOver(): Promise<boolean> {
    try {
      await this.read(PLAN);
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

  /** Writes a document where there is none: the first one counts. Whether it is this one. */
  async put(name: string, content: unknown): Promise<boolean> {
    const text = JSON.stringify({ runId: this.runId, plan: this.plan, name, content });
    return this.putWhereAbsent(name, sealed(text));
  }

  /** @throws PartDamagedError where it is not there, or not what was written there. */
  async get(name: string): Promise<unknown> {
    const content = await this.look(name);
    if (content === undefined) throw new PartDamagedError(this.pathOf(name), "it is not there");
    return content;
  }

  /**
   * `undefined` where it is not there.
   *
   * @throws PartDamagedError where it is not what was written there.
   */
  async look(name: string): Promise<unknown> {
    let bytes: Uint8Array;
    try {
      bytes = await this.read(name);
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
    const inner = parse(Buffer.from(this.unsealed(name, bytes)));
    const isOurs =
      ownProperty(inner, "runId") === this.runId && ownProperty(inner, "plan") === this.plan && ownProperty(inner, "name") === name;
    if (!isOurs) throw new PartDamagedError(this.pathOf(name), "it belongs to another run, or to another part");
    return ownProperty(inner, "content");
  }

  /** Whether it is there: looked at, not read. */
  async has(name: string): Promise<boolean> {
    return (await this.sizeOf(this.pathOf(name))) !== undefined;
  }

  /** In bytes; `undefined` where nothing is, and not a number where the store tells none. */
  async sizeOf(path: string): Promise<number | undefined> {
    try {
      return (await this.driver.stat(path)).size ?? Number.NaN;
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Names of those at the top, and of directories there. */
  async names(): Promise<Set<string>> {
    const names = new Set<string>();
    for await (const page of this.driver.list(this.directory))
      for (const { path } of page) names.add(path.slice(this.directory.length + 1));
    return names;
  }

  pathOf(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** Takes all of it away. */
  async remove(): Promise<void> {
    try {
      await this.driver.delete(this.directory);
    } catch (error) {
      if (!isPathNotFound(error)) throw error;
    }
  }

  private async putWhereAbsent(name: string, content: Uint8Array): Promise<boolean> {
    try {
      return await writeFile(this.driver, this.pathOf(name), content, { ifAbsent: true });
    } catch (error) {
      if (codeOf(error) !== "UNSUPPORTED") throw error;
      throw new UnsupportedError(
        `${this.driver.name}: a run in parts needs a store that can write where nothing is; collect this one with markAndSweep`,
      );
    }
  }

  private unsealed(name: string, bytes: Uint8Array): string {
    const document = parse(bytes);
    const text = ownProperty(document, "text");
    const isWhole = typeof text === "string" && checksumOf(Buffer.from(text)) === ownProperty(document, "sha256");
    if (isWhole) return text;
    throw new PartDamagedError(this.pathOf(name), "it is cut short, or not what was written");
  }

  private read(name: string): Promise<Uint8Array> {
    return readBounded(this.driver, this.pathOf(name), { maxBytes: MAX_DOCUMENT_BYTES });
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
