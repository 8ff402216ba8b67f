/** What lies aside: copies of blobs by the runs that moved them, the journals of these runs, and what was restored lately. */

import { createHash } from "node:crypto";
import { type Algorithm, splitDigest } from "../digest.js";
import type { DigestIndex } from "../digestIndex.js";
import { type FileInfo, join, type StorageDriver } from "../driver.js";
import { addTo } from "../internal/addTo.js";
import { sizeIn } from "../internal/driverAnswers.js";
import { readBounded, readPieces } from "../internal/readBounded.js";
import type { LookOptions } from "../namespace.js";
import { children } from "../registry/listing.js";
import { asideFile, filesBelow, isRunId, type RestoredNote, readNote } from "./asideFiles.js";
import { unlessAbsent } from "./files.js";
import { Journal, type JournalBlob, type JournalLink, type JournalOptions } from "./journal.js";

/** A blob's data that lies aside. */
export interface AsideCopy {
  readonly runId: string;
  readonly path: string;
  /** Bytes, where the listing told them. */
  readonly size: number | undefined;
  /** Whether the journal says that it is a manifest. */
  readonly isManifest: boolean;
  /** Whether the move failed that may have made it, in part or whole. */
  readonly hasFailed?: boolean;
}

/** A layer link, and the run that took it. */
export interface TakenLink {
  readonly runId: string;
  readonly link: JournalLink;
}

export class AsideStore {
  readonly copies = new Map<number, AsideCopy[]>();
  readonly journals = new Map<string, Journal>();
  readonly notes: RestoredNote[] = [];
  /** Runs of which a journal is to be read. */
  readonly runs = new Set<string>();
  /** Runs that several processes made, or make, and that left what they told each other. */
  readonly partsOf = new Set<string>();
  /** Runs of which a listing named data: whoever knows only some copies is told. */
  readonly busy = new Set<string>();
  /** What a driver that was killed in the middle of a write or a move has left. */
  readonly temporaries: string[] = [];
  /** Layer links that this process has tried to remove, and those that count as deleted; undefined where others remove them, too. */
  takenHere: { readonly tried: Set<JournalLink>; readonly counted: Set<JournalLink> } | undefined;
  /** Directories that were emptied by somebody who died before he took them away. */
  emptied: readonly string[] = [];
  /** What is left of journals whose removal was broken off. */
  readonly leftovers: Journal[] = [];
  /** Links that open journals name, by repository and digest. */
  private readonly named = new Map<string, JournalLink[]>();
  /** Layer links that runs took, by repository: of closed journals too, as long as these are there. */
  private readonly taken = new Map<string, TakenLink[]>();
  private readonly repositories = new Set<string>();
  private readonly restored = new Set<string>();

  constructor(
    private readonly driver: StorageDriver,
    readonly directory: string,
    private readonly digests: DigestIndex,
    /** A run whose journal others may have written just now: of it more is looked for than listings tell, which may lag. */
    private readonly writtenNow?: string,
  ) {}

  /** Lists everything that lies aside, and reads the journals. Foreign files are reported as unrecognized, and left. */
  static async open(
    driver: StorageDriver,
    directory: string,
    digests: DigestIndex,
    options: LookOptions & { readonly journalDriver: StorageDriver },
  ): Promise<AsideStore> {
    const store = new AsideStore(driver, directory, digests);
    await store.list(options);
    await store.readJournals({ ...options, reader: driver });
    return store;
  }

  /** Lists everything that lies aside. */
  async list(options: LookOptions): Promise<void> {
    const { files, empty } = await filesBelow(this.driver, this.directory, options);
    for (const info of files) await this.takeFile(info, options);
    this.emptied = empty;
  }

  /** Reads the journals of the runs that something lies aside of; of items that `holds` leaves out, only their number is looked at. */
  async readJournals(
    options: LookOptions & {
      readonly journalDriver: StorageDriver;
      /** Who reads them, where it is another: an abort ends that. */
      readonly reader?: StorageDriver;
      readonly holds?: ((item: JournalBlob | JournalLink) => boolean) | undefined;
    },
  ): Promise<void> {
    for (const runId of [...this.runs].sort()) {
      const journal = await this.read(runId, options.journalDriver, options);
      if (journal.isHeadless && !this.busy.has(runId)) {
        this.leftovers.push(journal);
        continue;
      }
      this.add(journal);
      this.describeCopies(journal);
    }
  }

  /** What no listing tells of copies, the journal does. */
  private describeCopies({ runId, blobs }: Journal): void {
    for (const { digest, size, isManifest } of blobs) {
      const number = this.digests.find(digest);
      const copies = this.copies.get(number);
      if (copies === undefined) continue;
      const described = copies.map((copy) => (copy.runId === runId ? { ...copy, size: copy.size ?? sizeIn(size), isManifest } : copy));
      this.copies.set(number, described);
    }
  }

  /** Takes what a listing names; what is none of ours is told. */
  private async takeFile(info: FileInfo, options: LookOptions): Promise<void> {
    const file = asideFile(this.directory, info.path);
    switch (file?.kind) {
      case "copy":
        this.addCopy(this.digests.add(file.digest), { runId: file.runId, path: info.path, size: sizeIn(info.size), isManifest: false });
        this.runs.add(file.runId);
        this.busy.add(file.runId);
        return;
      case "journal":
        this.runs.add(file.runId);
        return;
      case "temporary":
        this.temporaries.push(info.path);
        return;
      case "parts":
        this.partsOf.add(file.runId);
        return;
      case "note": {
        const note = await readNote(this.driver, info.path, options);
        if (note === undefined) break;
        this.notes.push(note);
        return;
      }
      case undefined:
        break;
    }
    options.onUnrecognized?.(info.path);
  }

  /** One journal, with those of its items that `holds` asks for. */
  readJournal(
    runId: string,
    driver: StorageDriver,
    options: LookOptions & { readonly holds: (item: JournalBlob | JournalLink) => boolean },
  ): Promise<Journal> {
    return this.read(runId, driver, options);
  }

  private read(runId: string, driver: StorageDriver, options: JournalOptions): Promise<Journal> {
    return Journal.read(runId, driver, this.journalDirectory(runId), { ...options, isWrittenNow: runId === this.writtenNow });
  }

  /** A journal of this run, not yet begun. */
  newJournal(runId: string, driver: StorageDriver, holds?: (item: JournalBlob | JournalLink) => boolean): Journal {
    return new Journal(runId, driver, this.journalDirectory(runId), holds);
  }

  add(journal: Journal): void {
    const { runId } = journal;
    this.journals.set(runId, journal);
    if (journal.damage !== undefined) return;
    for (const link of journal.links) {
      if (journal.isOpen) addTo(this.named, keyOf(link.kind, link.repository, link.digest), link);
      // A sleeper may still take a link that his journal, closed by then, names.
      if (link.taken === true) addTo(this.taken, link.repository, { runId, link });
      else if (!journal.isOpen) continue;
      this.repositories.add(link.repository);
    }
  }

  /** A copy that another process has listed. */
  recallCopy(digest: string, runId: string, size: number | undefined): void {
    this.addCopy(this.digests.add(digest), { runId, path: this.pathFor(runId, digest), size, isManifest: false });
  }

  addCopy(number: number, copy: AsideCopy): void {
    addTo(this.copies, number, copy);
  }

  removeCopy(number: number, copy: AsideCopy): void {
    const left = (this.copies.get(number) ?? []).filter((each) => each !== copy);
    if (left.length === 0) this.copies.delete(number);
    else this.copies.set(number, left);
  }

  /** The runs of which data lies aside. */
  busyRuns(): Set<string> {
    return new Set([...this.copies.values()].flatMap((copies) => copies.map((copy) => copy.runId)));
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

  /** Whether open journals name anything of a repository, or any hold a layer link of it as taken. */
  namesRepository(name: string): boolean {
    return this.repositories.has(name);
  }

  /** What open journals say of a link: whether one names it at all, and whether one names it as it is now. */
  linksNamed(kind: JournalLink["kind"], repository: string, digest: string): readonly JournalLink[] {
    return this.named.get(keyOf(kind, repository, digest)) ?? [];
  }

  /** The layer links of a repository that journals hold as taken. */
  layerLinksTakenFrom(repository: string): readonly TakenLink[] {
    return this.taken.get(repository) ?? [];
  }

  pathFor(runId: string, digest: string): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.directory}/${runId}/blobs/${algorithm}/${hex}/data`;
  }

  notePath(runId: string): string {
    return `${this.directory}/${runId}/restored.json`;
  }

  /** What the processes of a run that is made in parts tell each other. */
  partsDirectory(runId: string): string {
    return `${this.directory}/${runId}/parts`;
  }

  runDirectory(runId: string): string {
    return join(this.directory, runId);
  }

  private journalDirectory(runId: string): string {
    return `${this.directory}/${runId}/journal`;
  }

  /** The bytes of a manifest that lies aside; undefined where it does not. */
  async readManifest(number: number, options: LookOptions & { readonly maxBytes: number }): Promise<Uint8Array | undefined> {
    for (const { path } of this.copies.get(number) ?? []) {
      const bytes = await unlessAbsent(() => readBounded(this.driver, path, options));
      if (bytes !== undefined) return bytes;
    }
    return undefined;
  }

  /** The same of what somebody has put aside since the listing: a run beside a dry one, or a sleeper. */
  async readLate(number: number, options: LookOptions & { readonly maxBytes: number }): Promise<Uint8Array | undefined> {
    for await (const page of children(this.driver, this.directory, options)) {
      for (const { name } of page) {
        if (!isRunId(name)) continue;
        const path = this.pathFor(name, this.digests.digest(number));
        const bytes = await unlessAbsent(() => readBounded(this.driver, path, options));
        if (bytes !== undefined) return bytes;
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

function keyOf(kind: JournalLink["kind"], repository: string, digest: string): string {
  return `${kind} ${repository} ${digest}`;
}

async function hashOf(driver: StorageDriver, path: string, algorithm: Algorithm): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of readPieces(driver, path)) hash.update(chunk);
  return hash.digest("hex");
}
