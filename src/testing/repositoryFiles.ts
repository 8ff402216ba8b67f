import { isDigest } from "./manifestFacts.js";
import type { Snapshot } from "./snapshot.js";
import { V2Paths } from "./v2Paths.js";

/** What a snapshot holds of one repository: links as they are, nothing judged but whether they can be read. */
export class RepositoryFiles {
  /** Digest -> path of its link. */
  readonly revisions: ReadonlyMap<string, string>;
  readonly layers: ReadonlyMap<string, string>;
  /** What tags name now, as it is written; `undefined` of a tag without a current link. */
  readonly currents: readonly (string | undefined)[];

  private constructor(
    private readonly snapshot: Snapshot,
    private readonly paths: V2Paths,
    readonly name: string,
  ) {
    this.revisions = this.links(`${this.base}/_manifests/revisions`);
    this.layers = this.links(`${this.base}/_layers`);
    this.currents = childrenOf(snapshot, `${this.base}/_manifests/tags`).map((tag) => {
      const path = paths.currentLink(name, tag);
      return snapshot.files.has(path) ? this.text(path) : undefined;
    });
  }

  /** Every directory that holds `_manifests`, `_layers` or `_uploads`. */
  static all(snapshot: Snapshot, root: string): RepositoryFiles[] {
    const names = new Set<string>();
    const start = `${root}/repositories/`;
    for (const path of [...snapshot.files.keys(), ...[...snapshot.directories].map((each) => `${each}/`)]) {
      if (!path.startsWith(start)) continue;
      const parts = path.slice(start.length).split("/");
      const special = parts.findIndex((part) => part.startsWith("_"));
      const isRepository = special > 0 && special < parts.length - 1 && /^_(manifests|layers|uploads)$/.test(parts[special] ?? "");
      if (isRepository) names.add(parts.slice(0, special).join("/"));
    }
    return [...names].sort().map((name) => new RepositoryFiles(snapshot, new V2Paths(root), name));
  }

  /** Content that was looked at and is wrong. A link whose size fits its path is believed, unread. */
  hasBrokenLink(seesLayerLinks: boolean): boolean {
    const isOdd = ([digest, path]: [string, string]) => this.text(path).length !== digest.length;
    const isOddLayer = ([digest, path]: [string, string]) => {
      if (digest.startsWith("sha256:")) return seesLayerLinks && isOdd([digest, path]);
      return this.text(path) !== digest && !(isDigest(this.text(path)) && this.text(path).startsWith("sha256:"));
    };
    return [...this.revisions].some(isOdd) || [...this.layers].some(isOddLayer) || !this.currents.every(isDigest);
  }

  /** The digest that a blob lies under: only links under another algorithm than sha256 say another one than their path. */
  stored(digest: string): string {
    const path = digest.startsWith("sha256:") ? undefined : this.layers.get(digest);
    const target = path === undefined ? "" : this.text(path);
    return isDigest(target) ? target : digest;
  }

  /** Digests of the signatures that lie beside a revision. */
  signaturesOf(digest: string): string[] {
    return [...this.links(`${this.directoryOf(digest)}/signatures`).keys()];
  }

  /** The files that go with a revision: its link, its signatures' links, the index entries that exist for it. */
  filesOf(digest: string): string[] {
    const tags = childrenOf(this.snapshot, `${this.base}/_manifests/tags`);
    const entries = tags.map((tag) => this.paths.indexEntry(this.name, tag, digest)).filter((path) => this.snapshot.files.has(path));
    return [`${this.directoryOf(digest)}/link`, ...this.links(`${this.directoryOf(digest)}/signatures`).values(), ...entries];
  }

  /** The files of each upload. */
  uploads(): string[][] {
    const at = `${this.base}/_uploads`;
    return childrenOf(this.snapshot, at).map((id) => [...this.snapshot.files.keys()].filter((path) => path.startsWith(`${at}/${id}/`)));
  }

  text(path: string): string {
    return Buffer.from(this.snapshot.files.get(path)?.bytes ?? []).toString("utf8");
  }

  private get base(): string {
    return this.paths.repository(this.name);
  }

  private directoryOf(digest: string): string {
    return this.paths.revision(this.name, digest).slice(0, -"/link".length);
  }

  private links(directory: string): Map<string, string> {
    const found = new Map<string, string>();
    for (const path of this.snapshot.files.keys()) {
      if (!path.startsWith(`${directory}/`)) continue;
      const [algorithm = "", hex = "", file, ...more] = path.slice(directory.length + 1).split("/");
      if (file === "link" && more.length === 0 && isDigest(`${algorithm}:${hex}`)) found.set(`${algorithm}:${hex}`, path);
    }
    return found;
  }
}

/** The names of the directories in a directory. */
function childrenOf({ files, directories }: Snapshot, directory: string): string[] {
  const below = [...files.keys(), ...[...directories].map((each) => `${each}/`)].filter((path) => path.startsWith(`${directory}/`));
  const rests = below.map((path) => path.slice(directory.length + 1)).filter((rest) => rest.includes("/"));
  return [...new Set(rests.map((rest) => rest.slice(0, rest.indexOf("/"))))].sort();
}
