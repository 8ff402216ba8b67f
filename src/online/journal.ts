/**
 * The journal of a run that puts things aside: what it takes is written down before it is taken, in numbered objects written whole,
 * since an object store can't append. Each object is a file of JSON lines that ends with their number: one that was cut short shows.
 */

import { isDigest } from "../digest.js";
import { dirname, isPath, join, type StorageDriver } from "../driver.js";
import { DriverError, isObject } from "../errors.js";
import { slicesOf } from "../internal/mapAll.js";
import { readBounded } from "../internal/readBounded.js";
import type { LookOptions } from "../namespace.js";
import { isReadable, removeFile, unlessAbsent, writeFile } from "./files.js";
import { pruneAside } from "./pruneAside.js";

/** A blob whose data is moved aside. */
export interface JournalBlob {
  readonly kind: "blob";
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly isManifest: boolean;
}

/** A link that belongs to what goes, as it was seen. */
export interface JournalLink {
  readonly kind: "manifest" | "tagIndexEntry" | "signature" | "layerLink";
  readonly repository: string;
  /** Of a tag index entry or a signature: the manifest's that it belongs to. */
  readonly digest: string;
  /** The digest that the file holds. */
  readonly target: string;
  readonly path: string;
  /** When the link was written, by the storage's clock: milliseconds since 1970. */
  readonly time: number;
  /** Of an index entry: the current link of its tag. */
  readonly current?: string | undefined;
  /** Of a layer link: whether the run takes it, or only saw it. */
  readonly taken?: boolean | undefined;
}

/** How far the run is; `at` is the storage's time. */
export interface JournalState {
  /** `unlinked`: the links that a purge removes are gone, and looked after. */
  readonly kind: "begun" | "settled" | "purging" | "unlinked" | "purged";
  readonly at: number;
}

export type JournalRecord = JournalBlob | JournalLink | JournalState;

/** Records of one object: small enough to be written and read as a whole. */
const RECORDS_AT_ONCE = 5000;
const MAX_OBJECT_BYTES = 64 * 1024 * 1024;
const OBJECT = /^(\d{6})\.jsonl$/;
/** Readings of a journal that somebody takes away meanwhile. */
const READINGS = 3;

/** Whether this is the name of a journal's object: what else lies beside them says nothing. */
export function isJournalObject(name: string): boolean {
  return OBJECT.test(name);
}

export type JournalOptions = LookOptions & {
  readonly holds?: ((item: JournalBlob | JournalLink) => boolean) | undefined;
  /** Who reads it, where it is not who writes it. */
  readonly reader?: StorageDriver;
  /** Whether more of it is looked for than a listing tells: by its number, since reads don't lag. */
  readonly isWrittenNow?: boolean;
};

export class Journal {
  readonly blobs: JournalBlob[] = [];
  readonly links: JournalLink[] = [];
  /** Milliseconds since 1970, by the storage's clock; undefined where the run has not come so far. */
  begunAt: number | undefined;
  settledAt: number | undefined;
  purgingAt: number | undefined;
  /** When a purge was begun while another one was: whoever began that one may be asleep, and remove a link yet. */
  takenOverAt: number | undefined;
  /** Whether a purge has ever begun to remove its links. */
  hasUnlinked = false;
  purgedAt: number | undefined;
  /** Why it can't be believed, where it can't. */
  damage: string | undefined;
  /** Whether its first object is not there: it is the first to go when a journal is taken away. */
  isHeadless = true;
  private next = 0;

  constructor(
    readonly runId: string,
    private readonly driver: StorageDriver,
    private readonly directory: string,
    private readonly holds: (item: JournalBlob | JournalLink) => boolean = () => true,
  ) {}

  /** Whether the run that wrote it ended before it had settled. */
  get isInterrupted(): boolean {
    return this.damage === undefined && this.settledAt === undefined && this.purgedAt === undefined;
  }

  /** Whether what it names still counts: until each of its items is purged, put back or kept. */
  get isOpen(): boolean {
    return this.damage === undefined && this.purgedAt === undefined;
  }

  /** Reads a journal, and holds those of its items that are asked for. What is damaged or cut short is said in `damage`. */
  static async read(runId: string, driver: StorageDriver, directory: string, options: JournalOptions): Promise<Journal> {
    for (let reading = 1; ; reading++) {
      const journal = new Journal(runId, driver, directory, options.holds);
      // Another run takes the journal away, or has: where listings lag, they go on to name what is not there any more.
      if ((await journal.readAll(options)) || reading === READINGS) return journal;
    }
  }

  /** Whether every object was there that is listed; where none is, they count as not listed. */
  private async readAll(options: JournalOptions): Promise<boolean> {
    const { reader = this.driver, signal } = options;
    const listed = await objectNumbers(reader, this.directory, options);
    if (options.isWrittenNow === true) await this.findUnlisted(reader, listed);
    let count = 0;
    for (const number of listed) {
      const bytes = await unlessAbsent(() => readBounded(reader, this.pathOf(number), { signal, maxBytes: MAX_OBJECT_BYTES }));
      if (bytes === undefined) continue;
      if (number !== count) this.damage ??= `object ${count} of it is missing`;
      if (count === 0) this.isHeadless = number !== 0;
      count++;
      this.takeObject(number, bytes);
    }
    // Taken away are all of them: of one alone that can't be found nobody knows what it says.
    if (count > 0 && count < listed.length) {
      this.damage ??= "an object of it is listed, and can't be found";
      this.isHeadless = false;
    }
    if (this.begunAt === undefined) this.damage ??= "it has no beginning";
    this.next = (listed.at(-1) ?? -1) + 1;
    return count === listed.length;
  }

  private async findUnlisted(reader: StorageDriver, listed: number[]): Promise<void> {
    const known = new Set(listed);
    for (let number = 0; known.has(number) || (await isReadable(reader, this.pathOf(number))); number++)
      if (!known.has(number)) listed.push(number);
    listed.sort((a, b) => a - b);
  }

  private takeObject(number: number, bytes: Uint8Array): void {
    const records = parse(bytes);
    if (typeof records === "string") this.damage ??= `${this.pathOf(number)} ${records}`;
    else for (const record of records) this.take(record);
  }

  /**
   * Writes records down; resolves when they are kept.
   *
   * @throws DriverError where one could not be read again, as of a time that is no number: then nothing is written.
   */
  async write(records: readonly JournalRecord[]): Promise<void> {
    const odd = (records as readonly unknown[]).find((record) => !isRecord(record));
    if (odd !== undefined) throw this.unwritable(odd);
    for (const some of slicesOf(records, RECORDS_AT_ONCE)) {
      const lines = [...some.map((record) => JSON.stringify(record)), JSON.stringify({ kind: "end", records: some.length })];
      await writeFile(this.driver, this.pathOf(this.next), Buffer.from(`${lines.join("\n")}\n`));
      // Not before: a write that failed must leave no gap.
      this.next++;
      for (const record of some) this.take(record);
    }
  }

  /** Writes down what comes, an object whenever there is enough for one. */
  async writeAll(records: AsyncIterable<JournalRecord>): Promise<void> {
    let waiting: JournalRecord[] = [];
    for await (const record of records) {
      waiting.push(record);
      if (waiting.length < RECORDS_AT_ONCE) continue;
      await this.write(waiting);
      waiting = [];
    }
    await this.write(waiting);
  }

  /**
   * Takes the journal away, the first object first: what is left of it by a crash has no beginning, and tells of no purge that was
   * broken off.
   */
  async remove(): Promise<void> {
    for (let number = 0; number < this.next; number++) {
      await removeFile(this.driver, this.pathOf(number));
    }
    this.next = 0;
    await pruneAside(this.driver, [this.directory], dirname(dirname(this.directory)));
  }

  /** What is written all the same would make the whole journal one that can't be believed. */
  private unwritable(record: unknown): DriverError {
    const { name: driverName } = this.driver;
    const path = this.pathOf(this.next);
    const message = `${driverName}: ${path} is not written: ${JSON.stringify(record)} could not be read again. Times come from ctx.clock and from the driver's stat: look what they tell`;
    return new DriverError(message, { driverName, path });
  }

  private pathOf(number: number): string {
    return join(this.directory, `${String(number).padStart(6, "0")}.jsonl`);
  }

  private take(record: JournalRecord): void {
    switch (record.kind) {
      case "blob":
        if (this.holds(record)) this.blobs.push(record);
        break;
      case "manifest":
      case "tagIndexEntry":
      case "signature":
      case "layerLink":
        if (this.holds(record)) this.links.push(record);
        break;
      case "begun":
        this.begunAt = record.at;
        break;
      case "settled":
        this.settledAt = record.at;
        break;
      case "purging":
        if (this.purgingAt !== undefined) this.takenOverAt = record.at;
        this.purgingAt = record.at;
        this.hasUnlinked = true;
        break;
      case "unlinked":
        this.purgingAt = undefined;
        break;
      case "purged":
        this.purgedAt = record.at;
        break;
    }
  }
}

/** The numbers of the objects that are there, in order. */
async function objectNumbers(driver: StorageDriver, directory: string, options: LookOptions): Promise<number[]> {
  const numbers: number[] = [];
  await unlessAbsent(async () => {
    for await (const page of driver.list(directory, options)) {
      for (const { path, isDirectory } of page) {
        const match = OBJECT.exec(path.slice(directory.length + 1));
        if (match !== null && !isDirectory) numbers.push(Number(match[1]));
      }
    }
  });
  return numbers.sort((a, b) => a - b);
}

/** The records of one object, or what is wrong with it. */
function parse(bytes: Uint8Array): JournalRecord[] | string {
  const lines = Buffer.from(bytes).toString("utf8").split("\n");
  if (lines.pop() !== "") return "is cut short";
  const records: JournalRecord[] = [];
  for (const [i, line] of lines.entries()) {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return `holds a line ${i + 1} that is no JSON`;
    }
    if (isEnd(value)) return i === lines.length - 1 && value.records === i ? records : "is cut short";
    if (!isRecord(value)) return `holds a line ${i + 1} that is no record`;
    records.push(value);
  }
  return "is cut short";
}

function isEnd(value: unknown): value is { kind: "end"; records: number } {
  return isObject(value) && "kind" in value && value.kind === "end" && "records" in value;
}

const STATES: ReadonlySet<unknown> = new Set(["begun", "settled", "purging", "unlinked", "purged"]);
const LINKS: ReadonlySet<unknown> = new Set(["manifest", "tagIndexEntry", "signature", "layerLink"]);

function isRecord(value: unknown): value is JournalRecord {
  if (!isObject(value)) return false;
  const { kind, at, digest, target, path, time, repository } = value as Readonly<Record<string, unknown>>;
  if (STATES.has(kind)) return Number.isFinite(at);
  if (!isDigest(digest)) return false;
  if (kind === "blob") return true;
  return LINKS.has(kind) && isDigest(target) && isPath(path) && Number.isFinite(time) && typeof repository === "string";
}
