/**
 * A naive oracle: what is garbage on a storage of the v2 layout that nothing writes to. It holds everything in memory, asks every
 * question anew, and shares no code with the collector: it is slow, and easy to believe.
 */

import { createHash } from "node:crypto";

/** A storage: path -> content. */
export type Files = ReadonlyMap<string, Uint8Array>;

export interface OracleOptions {
  readonly removeUntagged?: boolean;
  readonly referrers?: "keep-with-subject" | "ignore";
  readonly removeLayerLinks?: boolean;
}

export interface Verdict {
  /** Exactly the files that a collection removes. */
  readonly removed: ReadonlySet<string>;
  /** Whether nothing tells what a damaged manifest needs: then nothing is removed at all. */
  readonly isUnknowable: boolean;
  /** Repositories of which damage keeps everything. */
  readonly damaged: ReadonlySet<string>;
}

interface Manifest {
  readonly children: readonly string[];
  readonly blobs: readonly string[];
  readonly subjects: readonly string[];
  readonly looksLikeOne: boolean;
}

const ROOT = "/docker/registry/v2";
const DIGEST = /^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const MANIFEST_TYPE =
  /^application\/vnd\.(docker\.distribution\.manifest\.(v1\+(json|prettyjws)|v2\+json|list\.v2\+json)|oci\.(image\.(manifest|index)|artifact\.manifest)\.v1\+json)$/;

/** What a collection with these options removes. */
export function reachable(files: Files, options: OracleOptions = {}): Verdict {
  return new Oracle(files, options).judge();
}

class Oracle {
  constructor(
    private readonly files: Files,
    private readonly options: OracleOptions,
  ) {}

  judge(): Verdict {
    const needed = new Set<string>();
    const removed = new Set<string>();
    const damaged = new Set<string>();
    let isUnknowable = false;
    for (const name of this.repositories()) {
      const verdict = this.judgeRepository(name);
      for (const digest of verdict.needed) needed.add(digest);
      for (const path of verdict.removed) removed.add(path);
      if (verdict.isDamaged) damaged.add(name);
      isUnknowable ||= verdict.isUnknowable;
    }
    for (const path of this.files.keys()) {
      const blob = /\/v2\/blobs\/(\w+)\/(\w\w)\/(\w+)\/data$/.exec(path);
      if (blob === null) continue;
      const [, algorithm = "", prefix = "", hex = ""] = blob;
      if (hex.startsWith(prefix) && DIGEST.test(`${algorithm}:${hex}`) && !needed.has(`${algorithm}:${hex}`)) removed.add(path);
    }
    return { removed: isUnknowable ? new Set() : removed, isUnknowable, damaged };
  }

  private repositories(): Set<string> {
    const names = new Set<string>();
    for (const path of this.files.keys()) {
      const match = /\/v2\/repositories\/(.+?)\/(_manifests|_layers|_uploads)\//.exec(path);
      if (match?.[1] !== undefined && !match[1].split("/").some((part) => part.startsWith("_"))) names.add(match[1]);
    }
    return names;
  }

  private judgeRepository(name: string): { needed: Set<string>; removed: string[]; isDamaged: boolean; isUnknowable: boolean } {
    const base = `${ROOT}/repositories/${name}`;
    const revisions = this.links(`${base}/_manifests/revisions`);
    const layers = this.links(`${base}/_layers`);
    const currents = [...this.tags(base).values()];

    const lost = [...revisions.keys(), ...currents.filter(isDigest)].filter((digest) => this.manifest(digest) === undefined);
    // A link whose size fits its path is believed unread, and what it says is not looked at.
    const isBroken = [...revisions].some(([digest, content]) => content.length !== digest.length) || !currents.every(isDigest);
    const isDamaged = isBroken || lost.length > 0;
    // What a tag names stays, be it whole or not.
    const roots = new Set(currents.filter(isDigest));
    if (isDamaged || this.options.removeUntagged !== true) for (const digest of revisions.keys()) roots.add(digest);

    const live = this.close(roots, revisions, layers);
    const needed = this.needs(live, layers, base);
    if (isDamaged) for (const [digest, target] of layers) needed.add(digest).add(target);
    const dead = [...revisions.keys()].filter((digest) => !live.has(digest));
    const removed = isDamaged ? [] : this.removedFrom(base, dead, layers, needed);
    return { needed, removed, isDamaged, isUnknowable: lost.length > 0 && layers.size === 0 };
  }

  private removedFrom(base: string, dead: readonly string[], layers: ReadonlyMap<string, string>, needed: ReadonlySet<string>): string[] {
    const own = [...this.files.keys()].filter((path) => path.startsWith(`${base}/_`));
    const removed = own.filter((path) => dead.some((digest) => belongsTo(path, base, digest)));
    if (this.options.removeLayerLinks === false) return removed;
    for (const [digest, target] of layers) {
      if (!needed.has(digest) && !needed.has(target)) removed.push(`${base}/_layers/${digest.replace(":", "/")}/link`);
    }
    return removed;
  }

  /** Everything that roots keep in one repository, until nothing changes. */
  private close(roots: ReadonlySet<string>, revisions: ReadonlyMap<string, string>, layers: ReadonlyMap<string, string>): Set<string> {
    const live = new Set(roots);
    for (let before = -1; before !== live.size; ) {
      before = live.size;
      for (const digest of [...live]) for (const child of this.manifestsNamedBy(digest, revisions, layers)) live.add(child);
      if (this.options.referrers === "ignore") continue;
      for (const digest of revisions.keys()) {
        if (this.manifest(digest)?.subjects.some((subject) => live.has(subject)) === true) live.add(digest);
      }
    }
    return live;
  }

  private manifestsNamedBy(digest: string, revisions: ReadonlyMap<string, string>, layers: ReadonlyMap<string, string>): string[] {
    const { children = [], blobs = [] } = this.manifest(digest) ?? {};
    const found: string[] = [];
    for (const named of [...children, ...blobs]) {
      const stored = layers.get(named) ?? named;
      const isServed = children.includes(named) && layers.has(named) && this.manifest(stored)?.looksLikeOne === true;
      if (revisions.has(named)) found.push(named);
      else if (revisions.has(stored) || isServed) found.push(stored);
    }
    return found;
  }

  private needs(live: ReadonlySet<string>, layers: ReadonlyMap<string, string>, base: string): Set<string> {
    const needed = new Set<string>();
    for (const digest of live) {
      needed.add(digest);
      const manifest = this.manifest(digest);
      const signatures = this.links(`${base}/_manifests/revisions/${digest.replace(":", "/")}/signatures`).keys();
      for (const named of [...(manifest?.children ?? []), ...(manifest?.blobs ?? []), ...signatures]) {
        needed.add(named).add(layers.get(named) ?? named);
      }
    }
    return needed;
  }

  /** `<algorithm>/<hex>/link` below a directory: digest -> content. */
  private links(directory: string): Map<string, string> {
    const links = new Map<string, string>();
    for (const [path, content] of this.files) {
      if (!path.startsWith(`${directory}/`)) continue;
      const [algorithm, hex, file, ...more] = path.slice(directory.length + 1).split("/");
      const digest = `${algorithm ?? ""}:${hex ?? ""}`;
      if (file === "link" && more.length === 0 && DIGEST.test(digest)) links.set(digest, text(content));
    }
    return links;
  }

  private tags(base: string): Map<string, string | undefined> {
    const tags = new Map<string, string | undefined>();
    for (const path of this.files.keys()) {
      const tag = path.startsWith(`${base}/_manifests/tags/`)
        ? path.slice(base.length + "/_manifests/tags/".length).split("/")[0]
        : undefined;
      if (tag === undefined) continue;
      const current = this.files.get(`${base}/_manifests/tags/${tag}/current/link`);
      tags.set(tag, current === undefined ? undefined : text(current));
    }
    return tags;
  }

  /** A manifest that is there and whole. */
  private manifest(digest: string): Manifest | undefined {
    const [algorithm = "", hex = ""] = digest.split(":");
    const bytes = this.files.get(`${ROOT}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`);
    if (bytes === undefined || bytes.length > 4 * 1024 * 1024) return undefined;
    if (createHash(algorithm).update(bytes).digest("hex") !== hex) return undefined;
    try {
      return understand(JSON.parse(text(bytes)));
    } catch {
      return undefined;
    }
  }
}

/** Whether a file goes with a revision: its link, its signatures' links, its tag index entries. */
function belongsTo(path: string, base: string, digest: string): boolean {
  const name = digest.replace(":", "/");
  const own = `${base}/_manifests/revisions/${name}`;
  if (path === `${own}/link` || (path.startsWith(`${own}/signatures/`) && path.endsWith("/link"))) return true;
  return path.startsWith(`${base}/_manifests/tags/`) && path.endsWith(`/index/${name}/link`);
}

/** What a document names; by recursion, so that it is easy to follow. */
class Reading {
  readonly children: string[] = [];
  readonly blobs: string[] = [];
  readonly subjects: string[] = [];

  visit(value: unknown, isTop: boolean): void {
    if (Array.isArray(value)) for (const each of value) this.visit(each, false);
    else if (typeof value === "object" && value !== null) this.visitObject(Object.entries(value), isTop);
  }

  private visitObject(members: readonly (readonly [string, unknown])[], isTop: boolean): void {
    const entries = members.map(([key, value]) => [key.toLowerCase(), value] as const);
    const type = entries.find(([key]) => key === "mediatype")?.[1];
    const mayBeManifest = typeof type !== "string" || type === "" || MANIFEST_TYPE.test(type);
    for (const [key, value] of entries) {
      if (key === "digest" && isDigest(value)) (mayBeManifest ? this.children : this.blobs).push(value);
      else if (key === "blobsum" && isDigest(value)) this.blobs.push(value);
      else if (key === "subject" && isTop) this.subjects.push(...membersOf(value).filter(isDigest));
      else if (key !== "annotations") this.visit(value, false);
    }
  }
}

function understand(document: unknown): Manifest {
  const { children, blobs, subjects } = visited(document);
  const keys = typeof document === "object" && document !== null ? Object.keys(document).map((key) => key.toLowerCase()) : [];
  const looksLikeOne = keys.some((key) => ["schemaversion", "manifests", "layers", "fslayers", "blobs"].includes(key));
  return { children, blobs, subjects, looksLikeOne };
}

function visited(document: unknown): Reading {
  const reading = new Reading();
  reading.visit(document, true);
  return reading;
}

function membersOf(value: unknown): unknown[] {
  return typeof value === "object" && value !== null ? Object.values(value) : [];
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && DIGEST.test(value);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
