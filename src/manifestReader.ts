/**
 * Reads manifests for the catalog: each at most once a run, however many repositories have it. What a memory knows is not read; what can
 * be understood where it is, is; and what nothing proved is read and judged here.
 */

import { type DigestIndex, SHA256_BYTES } from "./digestIndex.js";
import { viewOf } from "./internal/bufferOf.js";
import { areOwn } from "./internal/manyAtOnce.js";
import { mapAll, slicesOf } from "./internal/mapAll.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { type Turns, turn } from "./internal/turn.js";
import { untilAborted, within } from "./internal/untilAborted.js";
import { MAX_MANIFEST_BYTES, type ManifestDamage, manifestVisit, packManifest, readManifest } from "./manifest.js";
import type { ManifestCatalog } from "./manifestCatalog.js";
import { type FactsWanted, fromMemory, type KnownManifest, readEntry, toRemember } from "./manifestEntry.js";
import type { ManifestDocument } from "./manifestRule.js";
import type { LookOptions, Repository } from "./namespace.js";
import type { ReferenceCache } from "./referenceCache.js";

/** Where manifests are read from. */
type ManifestSource = Pick<Repository, "readManifest" | "visitManifests" | "manyOf">;

type ManifestLook = LookOptions & { readonly maxBytes: number };

/** Manifests that are asked for together: of the memory, and of a driver that understands them where it reads them. */
const ASKED_TOGETHER = 256;
/** Such questions under way: two for each of two threads. With one for each, dry runs took 3 to 5 per cent longer. */
const QUESTIONS = 4;
const MEMORY_PATIENCE_MS = 60_000;

export class ManifestReader {
  private readonly reading = new Map<number, Reading>();
  private readonly gets: TaskQueue;
  /** Manifests that are asked for together, and how many of them are held at once where they have to be read. */
  private readonly askedTogether: number;
  private readonly heldTogether: number;
  private readonly facts: FactsWanted;
  private readonly visit: string;
  /** Whether manifests are understood elsewhere, as far as is known. */
  private extracts: "unknown" | "sometimes" | "never" = "unknown";
  private readonly look: ManifestLook;
  private memory: ReferenceCache | undefined;

  constructor(
    private readonly digests: DigestIndex,
    private readonly catalog: ManifestCatalog,
    private readonly options: {
      readonly maxParallelGets: number;
      /** Whether manifests are understood where they are read, many at once; else each is read as soon as there is room for it. */
      readonly asksTogether: boolean;
      /** Whether to hold what `keep` asks for. */
      readonly keepFacts: boolean;
      readonly look: LookOptions;
      readonly turns: Turns;
      /** What earlier runs have read. */
      readonly memory: ReferenceCache | undefined;
      /** The sizes (bytes) of those of these blobs that are there: what is not there is not remembered either. */
      readonly listedSizes: (manifests: readonly number[]) => Promise<ReadonlyMap<number, number>>;
      /** Told where the memory fails: then the manifest is read. */
      readonly onMemoryFailure: (error: unknown) => void;
      /** Where else a manifest may be: what lies aside counts as present. */
      readonly elsewhere: (manifest: number, look: ManifestLook) => Promise<Uint8Array | undefined>;
    },
  ) {
    const { maxParallelGets, asksTogether, memory, keepFacts } = options;
    const questions = asksTogether ? Math.min(QUESTIONS, Math.max(1, maxParallelGets)) : maxParallelGets;
    this.gets = new TaskQueue(questions);
    this.heldTogether = Math.max(1, Math.floor(maxParallelGets / questions));
    this.askedTogether = asksTogether ? ASKED_TOGETHER : this.heldTogether;
    this.facts = keepFacts ? "read" : memory !== undefined ? "packed" : "none";
    this.visit = manifestVisit(this.facts !== "none");
    this.memory = memory;
    this.look = { ...options.look, maxBytes: MAX_MANIFEST_BYTES };
  }

  /** Reads those of the manifests that nobody has read yet, and waits for those that others are reading. */
  async readAll(repository: ManifestSource, manifests: Iterable<number>): Promise<void> {
    const own = new Set<Reading>();
    const others = new Set<Promise<void>>();
    const unread = this.unread(manifests, own, others);
    try {
      await this.gets.forEach(unread, (reading) => this.readSome(repository, reading), { signal: this.options.look.signal });
    } catch (error) {
      for (const reading of own) {
        for (const manifest of reading.manifests) if (this.reading.get(manifest) === reading) this.reading.delete(manifest);
        reading.reject(error);
      }
      throw error;
    }
    await Promise.all(others);
  }

  /** A few at a time, claimed when there is room to read them. */
  private *unread(manifests: Iterable<number>, own: Set<Reading>, others: Set<Promise<void>>): Iterable<Reading> {
    let next = newReading();
    for (const manifest of manifests) {
      const underWay = this.reading.get(manifest);
      if (underWay !== undefined && underWay !== next) others.add(underWay.promise);
      else if (underWay === undefined && !this.catalog.knows(manifest)) {
        this.reading.set(manifest, next);
        own.add(next);
        next.manifests.push(manifest);
        if (next.manifests.length < this.askedTogether) continue;
        yield next;
        next = newReading();
      }
    }
    if (next.manifests.length > 0) yield next;
  }

  private async readSome(repository: ManifestSource, reading: Reading): Promise<void> {
    const { memory } = this;
    const unknown = memory === undefined ? reading.manifests : await this.recall(reading.manifests, memory);
    const learnt: Learnt[] = [];
    const unread = await this.readExtracts(repository, unknown, learnt);
    for (const some of slicesOf(unread, this.heldTogether)) await mapAll(some, (manifest) => this.readOne(repository, manifest, learnt));
    if (memory !== undefined) await this.unlessHanging(mapAll(learnt, ({ digest, bytes }) => this.remember(memory, digest, bytes)));
    for (const manifest of reading.manifests) this.reading.delete(manifest);
    reading.resolve();
  }

  /** Has manifests understood where they are read, and returns those that have to be read here: damage is judged by what was read. */
  private async readExtracts(repository: ManifestSource, manifests: readonly number[], learnt: Learnt[]): Promise<readonly number[]> {
    if (this.extracts === "never" || !mayAskTogether(repository, manifests) || repository.visitManifests === undefined) return manifests;
    const digests = manifests.map((manifest) => this.digests.digest(manifest));
    const extracts = await repository.visitManifests(digests, { ...this.look, visit: this.visit });
    const unread: number[] = [];
    for (const [i, manifest] of manifests.entries()) {
      if (this.options.turns.isLong()) await turn();
      if (!this.takeExtract(manifest, extracts[i], learnt)) unread.push(manifest);
    }
    // Where not one was, a function's text may not work there: then each would be read twice.
    if (unread.length < manifests.length) this.extracts = "sometimes";
    else if (this.extracts === "unknown") this.extracts = "never";
    return unread;
  }

  /** Whether it is an extract of this manifest, proved by what was hashed under sha256, and whole. */
  private takeExtract(manifest: number, extract: Uint8Array | undefined, learnt: Learnt[]): boolean {
    if (extract === undefined) return false;
    try {
      if (this.digests.findBytes(viewOf(extract), 0, SHA256_BYTES) !== manifest) return false;
      this.learn(manifest, extract.subarray(SHA256_BYTES), learnt);
      return true;
    } catch {
      return false;
    }
  }

  private async readOne(repository: ManifestSource, manifest: number, learnt: Learnt[]): Promise<void> {
    const digest = this.digests.digest(manifest);
    const read = () => repository.readManifest(digest, this.look);
    // What lies aside may be put back between the two; and that a manifest is not there takes what a layer-linked one names: so once more.
    const bytes = (await read()) ?? (await this.options.elsewhere(manifest, this.look)) ?? (await read());
    if (bytes === undefined) this.catalog.break(manifest, { kind: "missing-manifest", message: "is not there" });
    else this.understand(manifest, digest, bytes, learnt);
  }

  /** Holds those that earlier runs have read, and returns the others. */
  private async recall(manifests: readonly number[], memory: ReferenceCache): Promise<number[]> {
    const asked = mapAll(manifests, (manifest) => this.remembered(memory, this.digests.digest(manifest)));
    const known = await this.unlessHanging(asked);
    if (known === undefined) return [...manifests];
    const sizes = await this.options.listedSizes(manifests.filter((_, i) => known[i] !== undefined));
    return manifests.filter((manifest, i) => {
      const document = known[i];
      if (document === undefined || sizes.get(manifest) !== document.size) return true;
      this.catalog.hold(manifest, document);
      return false;
    });
  }

  /** What a memory answers about some manifests. One that doesn't must not hold up the run, and its lock: it is asked no more. */
  private async unlessHanging<T>(asked: Promise<T[]>): Promise<T[] | undefined> {
    const answers = await within(untilAborted(asked, this.look.signal), MEMORY_PATIENCE_MS);
    if (answers !== undefined) return answers;
    this.memory = undefined;
    this.options.onMemoryFailure(new Error("it did not answer within a minute"));
    return undefined;
  }

  private async remembered(memory: ReferenceCache, digest: string): Promise<KnownManifest | undefined> {
    try {
      const bytes = await memory.get(digest);
      const entry = bytes ? fromMemory(digest, bytes) : undefined;
      // Read at once: the bytes are the cache's own, and may be others by the time of its next answer.
      return entry && readEntry(entry, this.digests, this.facts);
    } catch (error) {
      this.options.onMemoryFailure(error);
      return undefined;
    }
  }

  private async remember(memory: ReferenceCache, digest: string, bytes: Uint8Array): Promise<void> {
    try {
      await memory.set(digest, bytes);
    } catch (error) {
      this.options.onMemoryFailure(error);
    }
  }

  private understand(manifest: number, digest: string, bytes: Uint8Array, learnt: Learnt[]): void {
    const document = readManifest(digest, bytes);
    if (isDamage(document)) this.catalog.break(manifest, document);
    else this.learn(manifest, packManifest(document, bytes.length, this.facts !== "none"), learnt);
  }

  private learn(manifest: number, entry: Uint8Array, learnt: Learnt[]): void {
    const known = readEntry(entry, this.digests, this.facts);
    this.catalog.hold(manifest, known);
    if (this.memory === undefined || !known.isManifest) return;
    const digest = this.digests.digest(manifest);
    learnt.push({ digest, bytes: toRemember(digest, entry) });
  }

  /** Resolves when nothing is being read. */
  idle(): Promise<void> {
    return this.gets.idle();
  }
}

/** One alone is faster asked as it is; and a wrapper that has put a member of its own in the single one's place is asked by that. */
function mayAskTogether(repository: ManifestSource, manifests: readonly number[]): boolean {
  return manifests.length > 1 && areOwn(repository, ["readManifest"]);
}

/** What is to be remembered of a manifest that was read. */
interface Learnt {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** A read of a few manifests that others may wait for. */
interface Reading {
  readonly manifests: number[];
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function newReading(): Reading {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined); // Perhaps nobody waits; the reader itself has thrown the error.
  return { manifests: [], promise, resolve, reject };
}

function isDamage(document: ManifestDocument | ManifestDamage): document is ManifestDamage {
  return "kind" in document;
}
