import { createHash } from "node:crypto";
import { factsOf, isDigest, type ManifestFacts } from "./manifestFacts.js";
import { RepositoryFiles } from "./repositoryFiles.js";
import type { Snapshot } from "./snapshot.js";
import { DEFAULT_ROOT, V2Paths } from "./v2Paths.js";

/** What a collection is told that matters to what goes; as in `GcOptions`. */
export interface OracleOptions {
  readonly removeUntagged?: boolean | undefined;
  readonly referrers?: "keep-with-subject" | "ignore" | undefined;
  readonly removeLayerLinks?: boolean | undefined;
  /** Manifests that the caller keeps. */
  readonly keep?: ((manifest: { readonly repository: string; readonly digest: string }) => boolean) | undefined;
  /** Milliseconds; default 0, as in a `readOnly` run. */
  readonly gracePeriodMs?: number | undefined;
  /** Milliseconds; default: uploads stay. */
  readonly removeUploadsOlderThanMs?: number | undefined;
  /**
   * Whether listings tell the sizes of layer links, so that those that can't be right are seen. Default `true`; where names are
   * listed by directories, a layer link is believed by its path.
   */
  readonly seesLayerLinks?: boolean | undefined;
  /** Milliseconds since 1970; default: the present. */
  readonly now?: number | undefined;
}

/** What goes, and why the rest stays. */
export interface Verdict {
  /** Exactly the files that a collection removes: none where it is refused. */
  readonly removed: ReadonlySet<string>;
  /** The code that a run is refused with: no repository beside blobs, or nothing that tells what a damaged manifest needs. */
  readonly refusal: "EMPTY_MARK" | "DAMAGED" | undefined;
  /** Repositories of which damage keeps everything. */
  readonly damaged: ReadonlySet<string>;
  /** Blobs that nothing reaches, and that stay: for damage, for their youth. */
  readonly kept: { readonly protected: number; readonly young: number };
}

/**
 * What a collection of a storage that nothing writes to removes, under `onDamage: "protect"`. It asks every question anew, in the
 * words of the rules, and shares no code with the collector: it is slow, and easy to believe.
 */
export function reachable(snapshot: Snapshot, options: OracleOptions = {}, root: string = DEFAULT_ROOT): Verdict {
  const judge = new Judge(snapshot, options, new V2Paths(root));
  const repositories = RepositoryFiles.all(snapshot, root);
  const damaged = new Set(repositories.filter((each) => judge.isDamaged(each)).map(({ name }) => name));
  const blobs = blobsOf(snapshot, root);
  const aliveWith = (protects: boolean, spares: boolean) =>
    new Set(repositories.flatMap((each) => [...judge.needs(each, protects, spares)]));
  const needed = new Set([...aliveWith(true, true), ...repositories.flatMap((each) => [...judge.leases(each)])]);
  const isYoung = (digest: string) => judge.isYoung(new V2Paths(root).blob(digest));
  const deadBlobs = blobs.filter((digest) => !needed.has(digest) && !isYoung(digest));
  const removed = [
    ...repositories.flatMap((each) => judge.removedFrom(each)),
    ...deadBlobs.map((digest) => new V2Paths(root).blob(digest)),
  ];
  const [strict, protecting] = [aliveWith(false, false), aliveWith(true, false)];
  const kept = {
    protected: blobs.filter((digest) => protecting.has(digest) && !strict.has(digest)).length,
    young: blobs.filter((digest) => !protecting.has(digest) && (needed.has(digest) || isYoung(digest))).length,
  };
  const refusal = refusalOf(repositories, blobs, judge);
  return { removed: new Set(refusal === undefined ? removed : []), refusal, damaged, kept };
}

function refusalOf(repositories: readonly RepositoryFiles[], blobs: readonly string[], judge: Judge): Verdict["refusal"] {
  if (repositories.length === 0 && blobs.length > 0) return "EMPTY_MARK";
  return repositories.some((each) => judge.isUnknowable(each)) ? "DAMAGED" : undefined;
}

/** The digests of all blobs that are where they belong. */
function blobsOf({ files }: Snapshot, root: string): string[] {
  const paths = new V2Paths(root);
  const digests = [...files.keys()].map((path) => path.slice(`${root}/blobs/`.length).split("/")).map(([alg, , hex]) => `${alg}:${hex}`);
  return [...new Set(digests)].filter((digest) => isDigest(digest) && files.has(paths.blob(digest)));
}

class Judge {
  private readonly read = new Map<string, ManifestFacts | undefined>();

  constructor(
    private readonly snapshot: Snapshot,
    private readonly options: OracleOptions,
    private readonly paths: V2Paths,
  ) {}

  /** Whether damage keeps everything of this repository. A tag without a revision does so only where its manifest is not whole. */
  isDamaged(repository: RepositoryFiles): boolean {
    return repository.hasBrokenLink(this.options.seesLayerLinks ?? true) || this.lost(repository).length > 0;
  }

  /** A manifest is damaged, and no layer link tells what it needs. */
  isUnknowable(repository: RepositoryFiles): boolean {
    return this.lost(repository).length > 0 && repository.layers.size === 0;
  }

  /** Everything that this repository keeps: blobs, by the digests that they are stored under, and what they are named. */
  needs(repository: RepositoryFiles, protects: boolean, spares: boolean): Set<string> {
    const live = this.live(repository, protects, spares);
    const needed = new Set<string>();
    const keep = (digest: string) => needed.add(digest).add(repository.stored(digest));
    for (const digest of live) {
      keep(digest);
      for (const named of this.facts(digest)?.names ?? []) keep(named.digest);
      for (const signature of repository.signaturesOf(digest)) keep(signature);
    }
    if (protects && this.isDamaged(repository)) for (const digest of repository.layers.keys()) keep(digest);
    return needed;
  }

  /** What young layer links keep: their blobs, and themselves. */
  leases(repository: RepositoryFiles): Set<string> {
    const young = [...repository.layers].filter(([, path]) => this.isYoung(path)).map(([digest]) => digest);
    return new Set(young.flatMap((digest) => [digest, repository.stored(digest)]));
  }

  removedFrom(repository: RepositoryFiles): string[] {
    return [...this.removedLinks(repository), ...this.removedUploads(repository)];
  }

  isYoung(path: string): boolean {
    const grace = this.options.gracePeriodMs ?? 0;
    if (grace === 0) return false;
    const age = this.ageOf(path);
    return age === undefined || age < grace;
  }

  private removedLinks(repository: RepositoryFiles): string[] {
    if (this.isDamaged(repository)) return [];
    const live = this.live(repository, true, true);
    const dead = [...repository.revisions.keys()].filter((digest) => !live.has(digest));
    const removed = dead.flatMap((digest) => repository.filesOf(digest));
    if (this.options.removeLayerLinks === false) return removed;
    const needed = this.needs(repository, true, true);
    const isIdle = ([digest, path]: [string, string]) =>
      !needed.has(digest) && !needed.has(repository.stored(digest)) && !this.isYoung(path);
    const idle = [...repository.layers].filter(isIdle);
    return [...removed, ...idle.map(([, path]) => path)];
  }

  private removedUploads(repository: RepositoryFiles): string[] {
    const limit = this.options.removeUploadsOlderThanMs;
    if (limit === undefined) return [];
    return repository.uploads().flatMap((files) => {
      const ages = files.map((path) => this.ageOf(path));
      const started = files.filter((path) => path.endsWith("/startedat")).map((path) => this.now - Date.parse(repository.text(path)));
      const known = [...ages, ...started].filter((age) => age !== undefined && !Number.isNaN(age));
      return known.length > 0 && Math.min(...(known as number[])) > limit ? files : [];
    });
  }

  /** The live manifests of a repository: roots, then all that follows, until nothing changes. */
  private live(repository: RepositoryFiles, protects: boolean, spares: boolean): Set<string> {
    const isEvery = this.options.removeUntagged !== true || (protects && this.isDamaged(repository));
    const isKept = (digest: string) => this.options.keep?.({ repository: repository.name, digest }) === true;
    const roots = [...repository.revisions].filter(([digest, path]) => isEvery || isKept(digest) || (spares && this.isYoung(path)));
    const live = new Set([...roots.map(([digest]) => digest), ...repository.currents.filter(isDigest)]);
    for (let before = -1; before !== live.size; ) {
      before = live.size;
      for (const digest of [...live]) for (const child of this.childrenOf(digest, repository)) live.add(child);
      if (this.options.referrers === "ignore") continue;
      for (const digest of repository.revisions.keys()) if (this.isAboutAny(digest, live, repository)) live.add(digest);
    }
    return live;
  }

  private isAboutAny(digest: string, live: ReadonlySet<string>, repository: RepositoryFiles): boolean {
    return this.facts(digest)?.subjects.some((subject) => live.has(subject) || live.has(repository.stored(subject))) === true;
  }

  private childrenOf(digest: string, repository: RepositoryFiles): string[] {
    const found: string[] = [];
    for (const named of this.facts(digest)?.names ?? []) {
      const stored = repository.stored(named.digest);
      for (const each of [named.digest, stored]) if (repository.revisions.has(each)) found.push(each);
      if (named.mayBeManifest && repository.layers.has(named.digest) && this.facts(stored)?.isManifest === true) found.push(stored);
    }
    return found;
  }

  /** Manifests that the repository claims to have, and that are gone or not whole. */
  private lost({ revisions, currents }: RepositoryFiles): string[] {
    return [...revisions.keys(), ...currents.filter(isDigest)].filter((digest) => this.facts(digest) === undefined);
  }

  /** What a manifest says, where it is there, whole and of a size that registries accept. */
  private facts(digest: string): ManifestFacts | undefined {
    if (!this.read.has(digest)) this.read.set(digest, this.readFacts(digest));
    return this.read.get(digest);
  }

  private readFacts(digest: string): ManifestFacts | undefined {
    const bytes = this.snapshot.files.get(this.paths.blob(digest))?.bytes;
    const [algorithm = "", hex] = digest.split(":");
    if (bytes === undefined || bytes.length > 4 * 1024 * 1024 || createHash(algorithm).update(bytes).digest("hex") !== hex)
      return undefined;
    try {
      return factsOf(Buffer.from(bytes).toString("utf8"));
    } catch {
      return undefined;
    }
  }

  /** Milliseconds; `undefined` for what is unknown, or lies in the future. */
  private ageOf(path: string): number | undefined {
    const time = this.snapshot.files.get(path)?.modTime?.getTime();
    return time === undefined || time > this.now ? undefined : this.now - time;
  }

  private get now(): number {
    return this.options.now ?? Date.now();
  }
}
