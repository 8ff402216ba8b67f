/** What lies aside: copies of blobs by the runs that moved them, the journals of these runs, and what was restored lately. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { type Algorithm, isAlgorithm, isHexOf, splitDigest } from "../digest.js";
import type { DigestIndex } from "../digestIndex.js";
import { type FileInfo, isPath, join, type StorageDriver } from "../driver.js";
import { isPathNotFound } from "../errors.js";
import { readBounded } from "../internal/readBounded.js";
import type { LookOptions } from "../namespace.js";
import { Journal, type JournalLink } from "./journal.js";

/** A blob's data that lies aside. */
export interface AsideCopy {
  readonly runId: string;
  readonly path: string;
  /** Bytes, where the listing told them. */
  readonly size: number | undefined;
}

/** What was restored counts as young for a while: noted here, since a moved file keeps its old time. */
export interface RestoredNote {
  readonly path: string;
  readonly digests: readonly string[];
  /** By the storage's clock; NaN where unknown. */
  readonly time: number;
}

const RUN = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;

export class AsideStore {
  readonly copies = new Map<number, AsideCopy[]>();
  readonly journals = new Map<string, Journal>();
  readonly notes: RestoredNote[] = [];
  /** Links that open journals name, by repository and digest. */
  private readonly named = new Map<string, JournalLink[]>();
  private readonly repositories = new Set<string>();
  private readonly restored = new Set<string>();

  constructor(
    private readonly driver: StorageDriver,
    private readonly directory: string,
    private readonly digests: DigestIndex,
  ) {}

  /** Lists everything that lies aside, and reads the journals. Foreign files are reported as unrecognized, and left. */
  static async open(
    driver: StorageDriver,
    directory: string,
    digests: DigestIndex,
    options: LookOptions & { readonly journalDriver: StorageDriver },
  ): Promise<AsideStore> {
    const store = new AsideStore(driver, directory, digests);
    const runs = new Set<string>();
    for (const info of await filesBelow(driver, directory, options)) {
      const runId = await store.takeFile(info, options);
      if (runId !== undefined) runs.add(runId);
    }
    for (const runId of [...runs].sort()) {
      const journal = await Journal.read(runId, options.journalDriver, store.journalDirectory(runId), options);
      store.add(journal);
      store.takeSizes(journal);
    }
    return store;
  }

  /** Listings of directories tell no sizes of files; the journal does. */
  private takeSizes({ runId, blobs }: Journal): void {
    for (const { digest, size } of blobs) {
      const number = this.digests.find(digest);
      const copies = this.copies.get(number);
      if (copies === undefined) continue;
      const sized = copies.map((copy) => (copy.runId === runId && copy.size === undefined ? { ...copy, size } : copy));
      this.copies.set(number, sized);
    }
  }

  /** The run that a file belongs to; undefined where it is none of ours, or belongs to no journal. */
  private async takeFile(info: FileInfo, options: LookOptions): Promise<string | undefined> {
    const [runId = "", part, ...rest] = info.path.slice(this.directory.length + 1).split("/");
    const isRun = isPath(info.path) && RUN.test(runId);
    const digest = isRun && part === "blobs" ? digestOfCopy(rest) : undefined;
    if (digest !== undefined) {
      this.addCopy(this.digests.add(digest), { runId, path: info.path, size: info.size });
      return runId;
    }
    if (isRun && part === "journal") return runId;
    const note = isRun && part === "restored.json" ? await readNote(this.driver, info.path, options) : undefined;
    if (note === undefined) options.onUnrecognized?.(info.path);
    else this.notes.push(note);
    return undefined;
  }

  /** A journal of this run, not yet begun. */
  newJournal(runId: string, driver: StorageDriver): Journal {
    return new Journal(runId, driver, this.journalDirectory(runId));
  }

  add(journal: Journal): void {
    this.journals.set(journal.runId, journal);
    if (journal.isOpen) this.name(journal.links);
  }

  /** Makes links known as named by an open journal. */
  name(links: readonly JournalLink[]): void {
    for (const link of links) {
      const key = keyOf(link.kind, link.repository, link.digest);
      const known = this.named.get(key);
      if (known === undefined) this.named.set(key, [link]);
      else known.push(link);
      this.repositories.add(link.repository);
    }
  }

  addCopy(number: number, copy: AsideCopy): void {
    const known = this.copies.get(number);
    if (known === undefined) this.copies.set(number, [copy]);
    else known.push(copy);
  }

  removeCopy(number: number, copy: AsideCopy): void {
    const left = (this.copies.get(number) ?? []).filter((each) => each !== copy);
    if (left.length === 0) this.copies.delete(number);
    else this.copies.set(number, left);
  }

  /** Whether a digest was restored so lately that it counts as young. */
  wasRestored(digest: string): boolean {
    return this.restored.has(digest);
  }

  /** Makes the notes count that are younger than this (milliseconds since 1970, the storage's time). */
  honourNotes(since: number): void {
    for (const { digests, time } of this.notes) if (!(time <= since)) for (const digest of digests) this.restored.add(digest);
  }

  isAside(number: number): boolean {
    return this.copies.has(number);
  }

  /** Whether open journals name anything of a repository. */
  namesRepository(name: string): boolean {
    return this.repositories.has(name);
  }

  /** What open journals say of a link: whether one names it at all, and whether one names it as it is now. */
  linksNamed(kind: JournalLink["kind"], repository: string, digest: string): readonly JournalLink[] {
    return this.named.get(keyOf(kind, repository, digest)) ?? [];
  }

  /** The layer links of a repository that open journals hold as taken. */
  *layerLinksTakenFrom(repository: string): Iterable<JournalLink> {
    if (!this.repositories.has(repository)) return;
    for (const journal of this.journals.values()) {
      if (!journal.isOpen) continue;
      for (const link of journal.links) {
        if (link.kind === "layerLink" && link.taken === true && link.repository === repository) yield link;
      }
    }
  }

  pathFor(runId: string, digest: string): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.directory}/${runId}/blobs/${algorithm}/${hex}/data`;
  }

  notePath(runId: string): string {
    return `${this.directory}/${runId}/restored.json`;
  }

  runDirectory(runId: string): string {
    return join(this.directory, runId);
  }

  private journalDirectory(runId: string): string {
    return `${this.directory}/${runId}/journal`;
  }

  /** The bytes of a manifest that lies aside; undefined where it does not. */
  async readManifest(number: number, options: LookOptions & { readonly maxBytes: number }): Promise<Uint8Array | undefined> {
    const driver = options.through?.(this.driver) ?? this.driver;
    for (const { path } of this.copies.get(number) ?? []) {
      try {
        return await readBounded(driver, path, options);
      } catch (error) {
        if (!isPathNotFound(error)) throw error;
      }
    }
    return undefined;
  }

  /** Whether a copy holds what its digest says: read whole, as a stream. */
  async isSound(driver: StorageDriver, number: number, copy: AsideCopy): Promise<boolean> {
    const { algorithm, hex } = splitDigest(this.digests.digest(number));
    return (await hashOf(driver, copy.path, algorithm)) === hex;
  }
}

/** The digest of `<algorithm>/<hex>/data`. */
function digestOfCopy([algorithm = "", hex = "", file, ...more]: readonly string[]): string | undefined {
  const isCopy = isAlgorithm(algorithm) && isHexOf(algorithm, hex) && file === "data" && more.length === 0;
  return isCopy ? `${algorithm}:${hex}` : undefined;
}

function keyOf(kind: JournalLink["kind"], repository: string, digest: string): string {
  return `${kind} ${repository} ${digest}`;
}

/** Every file below a directory of ours, however the store lists. */
async function filesBelow(driver: StorageDriver, directory: string, options: LookOptions): Promise<FileInfo[]> {
  const files: FileInfo[] = [];
  if (driver.walk !== undefined) {
    for await (const page of driver.walk(directory, options)) for (const info of page) files.push(info);
    return files;
  }
  const open = [directory];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    try {
      for await (const page of driver.list(path, options)) {
        for (const info of page) {
          if (!info.isDirectory) files.push(info);
          else if (isPath(info.path)) open.push(info.path);
        }
      }
    } catch (error) {
      // Nothing lies aside; or another purge took it away just now.
      if (!isPathNotFound(error)) throw error;
    }
  }
  return files;
}

async function hashOf(driver: StorageDriver, path: string, algorithm: Algorithm): Promise<string> {
  const stream = await driver.reader(path, { offset: 0 });
  const readable = stream instanceof Readable ? stream : Readable.fromWeb(stream as never);
  const hash = createHash(algorithm);
  try {
    for await (const chunk of readable) hash.update(chunk as Uint8Array);
  } finally {
    readable.destroy();
  }
  return hash.digest("hex");
}

async function readNote(driver: StorageDriver, path: string, options: LookOptions): Promise<RestoredNote | undefined> {
  try {
    const bytes = await readBounded(driver, path, { signal: options.signal, maxBytes: 64 * 1024 * 1024 });
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    const { modTime } = await driver.stat(path, options);
    if (!Array.isArray(value)) return undefined;
    return { path, digests: value.filter((each) => typeof each === "string"), time: modTime?.getTime() ?? Number.NaN };
  } catch (error) {
    if (isPathNotFound(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
