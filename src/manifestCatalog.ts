/**
 * What the manifests of a registry name: each is read and parsed at most once a run, however many repositories have it, and then
 * held as a few numbers. A damaged one is damaged wherever it is linked.
 */

import type { DigestIndex } from "./digestIndex.js";
import { Column } from "./internal/column.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { MAX_MANIFEST_BYTES, type ManifestDamage, type ManifestDocument, property, readManifest } from "./manifest.js";
import { fromEntry, type KnownManifest, type ManifestFacts, toEntry } from "./manifestMemory.js";
import type { References } from "./mark.js";
import type { DamageKind, LookOptions, Repository } from "./namespace.js";
import type { ReferenceCache } from "./referenceCache.js";

/** Where manifests are read from. */
type ManifestSource = Pick<Repository, "readManifest">;

type ManifestLook = LookOptions & { readonly maxBytes: number };

export interface ManifestProblem {
  readonly kind: DamageKind;
  readonly message: string;
}

/** Where nobody asks for them. */
const NO_FACTS: ManifestFacts = { annotations: {}, size: 0 };

const WHOLE = 1;
const BROKEN = 2;
const IS_MANIFEST = 4;
const MAY_HAVE_SIGNATURES = 8;

export class ManifestCatalog {
  private readonly states = Column.bytes();
  /** Where in `lists` the references of a manifest begin, + 1. */
  private readonly starts = Column.uint32();
  /** For each manifest: how many children, blobs and subjects, then these. */
  private readonly lists = Column.uint32();
  private end = 0;
  private readonly problems = new Map<number, ManifestProblem>();
  private readonly facts = new Map<number, ManifestFacts>();
  private readonly reading = new Map<number, Reading>();
  private readonly gets: TaskQueue;

  /** Bytes and documents read so far. */
  readonly read = { manifests: 0, bytes: 0 };

  constructor(
    private readonly digests: DigestIndex,
    private readonly options: {
      readonly maxParallelGets: number;
      /** Whether to hold what `keep` asks for. */
      readonly keepFacts: boolean;
      readonly look: LookOptions;
      /** What earlier runs have read. */
      readonly memory: ReferenceCache | undefined;
      /** Whether a listing names the blob, with this size (bytes) where it tells one: what is not there is not remembered either. */
      readonly isListed: (manifest: number, size: number) => Promise<boolean>;
      /** Told where the memory fails: then the manifest is read. */
      readonly onMemoryFailure: (error: unknown) => void;
      /** Where else a manifest may be: what lies aside counts as present. */
      readonly elsewhere: (manifest: number, look: ManifestLook) => Promise<Uint8Array | undefined>;
    },
  ) {
    this.gets = new TaskQueue(options.maxParallelGets);
  }

  /** Reads those of the manifests that nobody has read yet, and waits for those that others are reading. */
  async readAll(repository: ManifestSource, manifests: Iterable<number>): Promise<void> {
    const own = new Map<number, Reading>();
    const others: Promise<void>[] = [];
    const unread = this.unread(manifests, own, others);
    try {
      await this.gets.forEach(unread, (manifest) => this.readOne(repository, manifest, own), {
        signal: this.options.look.signal,
      });
    } catch (error) {
      for (const [manifest, reading] of own) {
        this.reading.delete(manifest);
        reading.reject(error);
      }
      throw error;
    }
    await Promise.all(others);
  }

  private *unread(manifests: Iterable<number>, own: Map<number, Reading>, others: Promise<void>[]): Iterable<number> {
    for (const manifest of manifests) {
      const underWay = this.reading.get(manifest);
      if (underWay !== undefined) others.push(underWay.promise);
      else if (this.states.get(manifest) === 0) {
        const reading = newReading();
        own.set(manifest, reading);
        this.reading.set(manifest, reading);
        yield manifest;
      }
    }
  }

  private async readOne(repository: ManifestSource, manifest: number, own: Map<number, Reading>): Promise<void> {
    const digest = this.digests.digest(manifest);
    const known = await this.remembered(manifest, digest);
    if (known !== undefined) this.hold(manifest, known);
    else {
      const look = { ...this.options.look, maxBytes: MAX_MANIFEST_BYTES };
      const bytes = (await repository.readManifest(digest, look)) ?? (await this.options.elsewhere(manifest, look));
      if (bytes === undefined) this.break(manifest, { kind: "missing-manifest", message: "is not there" });
      else await this.understand(manifest, digest, bytes);
    }
    this.reading.delete(manifest);
    own.get(manifest)?.resolve();
    own.delete(manifest);
  }

  private async remembered(manifest: number, digest: string): Promise<KnownManifest | undefined> {
    const { memory, isListed, onMemoryFailure } = this.options;
    if (memory === undefined) return undefined;
    let known: KnownManifest | undefined;
    try {
      const entry = await memory.get(digest);
      if (entry === undefined) return undefined;
      known = fromEntry(digest, entry);
    } catch (error) {
      onMemoryFailure(error);
    }
    return known !== undefined && (await isListed(manifest, known.facts.size)) ? known : undefined;
  }

  private async understand(manifest: number, digest: string, bytes: Uint8Array): Promise<void> {
    this.read.manifests++;
    this.read.bytes += bytes.length;
    const document = readManifest(digest, bytes);
    if (isDamage(document)) {
      this.break(manifest, document);
      return;
    }
    const { named, subjects, isManifest, mayHaveSignatures } = document;
    const { memory, keepFacts, onMemoryFailure } = this.options;
    const isRemembered = memory !== undefined && isManifest;
    const facts = keepFacts || isRemembered ? factsOf(document, bytes.length) : NO_FACTS;
    const known = { named, subjects, isManifest, mayHaveSignatures, facts };
    this.hold(manifest, known);
    if (!isRemembered) return;
    try {
      await memory.set(digest, toEntry(digest, known));
    } catch (error) {
      onMemoryFailure(error);
    }
  }

  private break(manifest: number, problem: ManifestProblem): void {
    this.problems.set(manifest, problem);
    this.states.set(manifest, BROKEN);
  }

  private hold(manifest: number, document: KnownManifest): void {
    const children = new Set<number>();
    const blobs = new Set<number>();
    for (const { digest, mayBeManifest } of document.named) (mayBeManifest ? children : blobs).add(this.digests.add(digest));
    const subjects = new Set(document.subjects.map((digest) => this.digests.add(digest)));

    this.store(manifest, [children, blobs, subjects]);
    if (this.options.keepFacts) this.facts.set(manifest, document.facts);
    this.states.set(manifest, WHOLE | (document.isManifest ? IS_MANIFEST : 0) | (document.mayHaveSignatures ? MAY_HAVE_SIGNATURES : 0));
  }

  /** Holds what another process has read of a manifest. */
  recall(manifest: number, { children, blobs }: References): void {
    if (this.states.get(manifest) !== 0) return;
    this.store(manifest, [children, blobs, []]);
    this.states.set(manifest, WHOLE | IS_MANIFEST);
  }

  private store(manifest: number, lists: readonly Iterable<number>[]): void {
    this.starts.set(manifest, this.end + 1);
    const arrays = lists.map((list) => [...list]);
    for (const list of arrays) this.lists.set(this.end++, list.length);
    for (const list of arrays) for (const number of list) this.lists.set(this.end++, number);
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
    return { children: this.list(manifest, 0), blobs: this.list(manifest, 1) };
  }

  /** What a manifest is about. */
  subjects(manifest: number): readonly number[] {
    return this.list(manifest, 2);
  }

  private list(manifest: number, which: 0 | 1 | 2): number[] {
    const start = this.starts.get(manifest) - 1;
    if (start < 0) return [];
    let from = start + 3;
    for (let i = 0; i < which; i++) from += this.lists.get(start + i);
    return Array.from({ length: this.lists.get(start + which) }, (_, i) => this.lists.get(from + i));
  }

  /** Resolves when nothing is being read. */
  idle(): Promise<void> {
    return this.gets.idle();
  }
}

/** A read that others may wait for. */
interface Reading {
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
  return { promise, resolve, reject };
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
