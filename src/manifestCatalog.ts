/**
 * What the manifests of a registry name: each is read and parsed at most once a run, however many repositories have it, and then
 * held as a few numbers. A damaged one is damaged wherever it is linked.
 */

import type { DigestIndex } from "./digestIndex.js";
import { Column } from "./internal/column.js";
import { mapAll } from "./internal/mapAll.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { MAX_MANIFEST_BYTES, type ManifestDamage, type ManifestDocument, property, readManifest } from "./manifest.js";
import { fromEntry, type KnownManifest, type ManifestFacts, toEntry } from "./manifestMemory.js";
import type { References } from "./mark.js";
import type { DamageKind, LookOptions, Repository } from "./namespace.js";
import type { ReferenceCache } from "./referenceCache.js";
import { ReferenceLists } from "./referenceLists.js";

/** Where manifests are read from. */
type ManifestSource = Pick<Repository, "readManifest" | "readManifests" | "manyOf">;

type ManifestLook = LookOptions & { readonly maxBytes: number };

export interface ManifestProblem {
  readonly kind: DamageKind;
  readonly message: string;
}

/** Manifests that are looked for in the memory together. */
const RECALLED_TOGETHER = 256;

/** Where nobody asks for them. */
const NO_FACTS: ManifestFacts = { annotations: {}, size: 0 };

const WHOLE = 1;
const BROKEN = 2;
const IS_MANIFEST = 4;
const MAY_HAVE_SIGNATURES = 8;

export class ManifestCatalog {
  private readonly states = Column.bytes();
  /** Children, blobs and subjects. */
  private readonly lists = new ReferenceLists();
  private readonly problems = new Map<number, ManifestProblem>();
  private readonly facts = new Map<number, ManifestFacts>();
  private readonly reading = new Map<number, Reading>();
  private readonly gets: TaskQueue;
  /** Manifests that are read together. */
  private readonly together: number;

  /** Bytes and documents read so far. */
  readonly read = { manifests: 0, bytes: 0 };

  constructor(
    private readonly digests: DigestIndex,
    private readonly options: {
      readonly maxParallelGets: number;
      /** Whether many are read faster together; else each is read as soon as there is room for it. */
      readonly asksTogether: boolean;
      /** Whether to hold what `keep` asks for. */
      readonly keepFacts: boolean;
      readonly look: LookOptions;
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
    // Half of what may be held at once, so that some are read while others are understood.
    this.together = options.asksTogether ? Math.max(1, Math.floor(options.maxParallelGets / 2)) : 1;
    this.gets = new TaskQueue(Math.max(1, Math.floor(options.maxParallelGets / this.together)));
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
    const most = this.options.memory !== undefined && this.options.asksTogether ? RECALLED_TOGETHER : this.together;
    let next = newReading();
    for (const manifest of manifests) {
      const underWay = this.reading.get(manifest);
      if (underWay !== undefined && underWay !== next) others.add(underWay.promise);
      else if (underWay === undefined && this.states.get(manifest) === 0) {
        this.reading.set(manifest, next);
        own.add(next);
        next.manifests.push(manifest);
        if (next.manifests.length < most) continue;
        yield next;
        next = newReading();
      }
    }
    if (next.manifests.length > 0) yield next;
  }

  private async readSome(repository: ManifestSource, reading: Reading): Promise<void> {
    const { memory } = this.options;
    const unknown = memory === undefined ? reading.manifests : await this.recall(reading.manifests, memory);
    const learnt: [digest: string, known: KnownManifest][] = [];
    for (let start = 0; start < unknown.length; start += this.together) {
      await this.readTogether(repository, unknown.slice(start, start + this.together), learnt);
    }
    if (memory !== undefined) await mapAll(learnt, ([digest, known]) => this.remember(memory, digest, known));
    for (const manifest of reading.manifests) this.reading.delete(manifest);
    reading.resolve();
  }

  private async readTogether(
    repository: ManifestSource,
    unknown: readonly number[],
    learnt: [digest: string, known: KnownManifest][],
  ): Promise<void> {
    const digests = unknown.map((manifest) => this.digests.digest(manifest));
    const look = { ...this.options.look, maxBytes: MAX_MANIFEST_BYTES };
    const contents =
      digests.length > 1 && repository.readManifests !== undefined && repository.manyOf?.readManifest === repository.readManifest
        ? await repository.readManifests(digests, look)
        : await mapAll(digests, (digest) => repository.readManifest(digest, look));
    for (const [i, manifest] of unknown.entries()) {
      const bytes = contents[i] ?? (await this.options.elsewhere(manifest, look));
      if (bytes === undefined) this.break(manifest, { kind: "missing-manifest", message: "is not there" });
      else this.understand(manifest, digests[i] ?? "", bytes, learnt);
    }
  }

  /** Holds those that earlier runs have read, and returns the others. */
  private async recall(manifests: readonly number[], memory: ReferenceCache): Promise<number[]> {
    const known = await mapAll(manifests, (manifest) => this.remembered(memory, this.digests.digest(manifest)));
    const sizes = await this.options.listedSizes(manifests.filter((_, i) => known[i] !== undefined));
    return manifests.filter((manifest, i) => {
      const document = known[i];
      if (document === undefined || sizes.get(manifest) !== document.facts.size) return true;
      this.hold(manifest, document);
      return false;
    });
  }

  private async remembered(memory: ReferenceCache, digest: string): Promise<KnownManifest | undefined> {
    try {
      const entry = await memory.get(digest);
      return entry && fromEntry(digest, entry);
    } catch (error) {
      this.options.onMemoryFailure(error);
      return undefined;
    }
  }

  private async remember(memory: ReferenceCache, digest: string, known: KnownManifest): Promise<void> {
    try {
      await memory.set(digest, toEntry(digest, known));
    } catch (error) {
      this.options.onMemoryFailure(error);
    }
  }

  private understand(manifest: number, digest: string, bytes: Uint8Array, learnt: [digest: string, known: KnownManifest][]): void {
    this.read.manifests++;
    this.read.bytes += bytes.length;
    const document = readManifest(digest, bytes);
    if (isDamage(document)) {
      this.break(manifest, document);
      return;
    }
    const { named, subjects, isManifest, mayHaveSignatures } = document;
    const { memory, keepFacts } = this.options;
    const isRemembered = memory !== undefined && isManifest;
    const facts = keepFacts || isRemembered ? factsOf(document, bytes.length) : NO_FACTS;
    const known = { named, subjects, isManifest, mayHaveSignatures, facts };
    this.hold(manifest, known);
    if (isRemembered) learnt.push([digest, known]);
  }

  private break(manifest: number, problem: ManifestProblem): void {
    this.problems.set(manifest, problem);
    this.states.set(manifest, BROKEN);
  }

  private hold(manifest: number, document: KnownManifest): void {
    const children: number[] = [];
    const blobs: number[] = [];
    for (const { digest, mayBeManifest } of document.named) (mayBeManifest ? children : blobs).push(this.digests.add(digest));
    const subjects = document.subjects.map((digest) => this.digests.add(digest));
    this.lists.set(manifest, [unique(children), unique(blobs), unique(subjects)]);
    if (this.options.keepFacts) this.facts.set(manifest, document.facts);
    this.states.set(manifest, WHOLE | (document.isManifest ? IS_MANIFEST : 0) | (document.mayHaveSignatures ? MAY_HAVE_SIGNATURES : 0));
  }

  /** Holds what another process has read of a manifest. */
  adopt(manifest: number, { children, blobs }: References): void {
    if (this.states.get(manifest) !== 0) return;
    this.lists.set(manifest, [[...children], [...blobs], []]);
    this.states.set(manifest, WHOLE | IS_MANIFEST);
  }

  /** Whether the manifest was read and is whole. */
  isWhole(manifest: number): boolean {
    return (this.states.get(manifest) & WHOLE) !== 0;
  }

  /** Whether what was read looks like a manifest at all. */
  isManifest(manifest: number): boolean {
    return (this.states.get(manifest) & IS_MANIFEST) !== 0;
  }

  /** Whether signatures may lie beside it; of one that is broken nothing tells that they don't. */
  mayHaveSignatures(manifest: number): boolean {
    return (this.states.get(manifest) & (MAY_HAVE_SIGNATURES | BROKEN)) !== 0;
  }

  problem(manifest: number): ManifestProblem | undefined {
    return this.problems.get(manifest);
  }

  factsOf(manifest: number): ManifestFacts | undefined {
    return this.facts.get(manifest);
  }

  /** What a manifest names; nothing where it is not whole. */
  references(manifest: number): References {
    return { children: this.lists.get(manifest, 0), blobs: this.lists.get(manifest, 1) };
  }

  /** What a manifest is about. */
  subjects(manifest: number): readonly number[] {
    return this.lists.get(manifest, 2);
  }

  /** Resolves when nothing is being read. */
  idle(): Promise<void> {
    return this.gets.idle();
  }
}

/** Shorter lists are looked through faster than a set is made. */
const SHORT = 24;

/** Each number once. */
function unique(numbers: readonly number[]): readonly number[] {
  if (numbers.length > SHORT) return [...new Set(numbers)];
  return numbers.filter((number, i) => numbers.indexOf(number) === i);
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

function factsOf({ content, subjects }: ManifestDocument, size: number): ManifestFacts {
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  const annotations = property(content, "annotations");
  const entries = typeof annotations === "object" && annotations !== null ? Object.entries(annotations) : [];
  return {
    mediaType: text(property(content, "mediaType")),
    artifactType: text(property(content, "artifactType")),
    configMediaType: text(property(property(content, "config"), "mediaType")),
    subject: subjects.at(-1),
    annotations: Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string")),
    size,
  };
}
