/** A repository out of one flat walk: for object stores, where a page of a listing tells a thousand links with sizes and times. */

import { ALGORITHMS, isAlgorithm, isHexOf } from "../digest.js";
import type { DigestIndex } from "../digestIndex.js";
import { basename, type FileInfo, isBelow, isPath, join, type StorageDriver } from "../driver.js";
import { mapAll } from "../internal/mapAll.js";
import type { Footprint, LayerLink, LookOptions, Repository, Revision, Signature, Tag, TagIndexEntry, Upload } from "../namespace.js";
import { missingCurrentLink } from "./directoryRepository.js";
import { LayoutRepository } from "./layoutRepository.js";
import { listedMd5, md5OfLink, readLink } from "./links.js";
import { isGone, lookAtPath, misplacedFile, unlessGone, walkBelow } from "./listing.js";
import { digestOf, type Layout, REPOSITORY_PARTS } from "./paths.js";
import { type Access, dateUpload, judgeLayerLink, judgeRevision } from "./repositoryParts.js";

const PAGE = 1000;

/** Stands for the size of a link whose MD5 is not that of its digest: it fits nothing, so that the link is read and judged. */
const OTHER_CONTENT = -1;

/** Links by digest, a few words each: there may be millions. */
class LinkTable {
  private readonly numbers: number[] = [];
  private readonly sizes: number[] = [];
  private readonly times: number[] = [];

  constructor(private readonly digests: DigestIndex) {}

  add(digest: string, info: FileInfo): void {
    const md5 = listedMd5(info);
    this.numbers.push(this.digests.add(digest));
    this.sizes.push(md5 === undefined || md5 === md5OfLink(digest) ? (info.size ?? Number.NaN) : OTHER_CONTENT);
    this.times.push(info.modTime?.getTime() ?? Number.NaN);
  }

  *all(): Iterable<string> {
    for (const number of this.numbers) yield this.digests.digest(number);
  }

  *pages(pathOf: (digest: string) => string): Iterable<{ digest: string; link: FileInfo }[]> {
    for (let start = 0; start < this.numbers.length; start += PAGE) {
      yield this.numbers.slice(start, start + PAGE).map((number, i) => {
        const digest = this.digests.digest(number);
        const size = this.sizes[start + i] ?? Number.NaN;
        const time = this.times[start + i] ?? Number.NaN;
        return {
          digest,
          link: {
            path: pathOf(digest),
            isDirectory: false,
            size: Number.isNaN(size) ? undefined : size,
            modTime: Number.isNaN(time) ? undefined : new Date(time),
          },
        };
      });
    }
  }
}

/** The directories of a repository that hold all its tags, revisions or layer links. */
const DIRECTORY_OF_LINKS = new RegExp(`^(?:_manifests(?:/tags)?|(?:_manifests/revisions|_layers)(?:/(?:${ALGORITHMS.join("|")}))?)$`);

interface TagListing {
  current?: FileInfo;
  readonly index: string[];
}

/** Splits a key below `repositories/`: the name ends where the first of the layout's own directories begins, or is a file. */
export function splitKey(key: string): { name: string; rest: readonly string[] } | undefined {
  const parts = key.split("/");
  const at = parts.findIndex((part) => part.startsWith("_"));
  if (at < 1 || parts.slice(0, at).includes("")) return undefined;
  const part = parts[at];
  if (!REPOSITORY_PARTS.some((known) => known === part)) return undefined;
  return { name: parts.slice(0, at).join("/"), rest: parts.slice(at) };
}

export class WalkedRepository extends LayoutRepository implements Repository {
  private readonly revisionLinks: LinkTable;
  private readonly layers: LinkTable;
  private readonly tagListings = new Map<string, TagListing>();
  private readonly signatureLinks = new Map<string, Signature[]>();
  private readonly uploadFiles = new Map<string, FileInfo[]>();
  /** Uploads with a file that no path of ours can name: nobody knows how old that is. */
  private readonly undatedUploads = new Set<string>();
  private readonly strays: string[] = [];
  /** Files in the places of directories. */
  private readonly misplaced: string[] = [];
  private revisionsByMd5: Map<string, string> | undefined;

  constructor(
    name: string,
    driver: StorageDriver,
    layout: Layout,
    private readonly digests: DigestIndex,
  ) {
    super(name, driver, layout);
    this.revisionLinks = new LinkTable(digests);
    this.layers = new LinkTable(digests);
  }

  /** Takes a file that the walk named; `rest` is its path below the repository, in parts. */
  take(rest: readonly string[], info: FileInfo): void {
    if (isPath(info.path) && this.takeKnown(rest, info)) return;
    this.strays.push(info.path);
    this.takeOdd(rest);
  }

  /** Takes the path of a file that is none of ours. What some stores put in the place of an upload's directory is as good as none. */
  takeOdd(parts: readonly string[]): void {
    const [part, id, ...rest] = parts;
    const isMarker = rest.length === 0 || rest.at(-1) === "";
    if (part === "_uploads" && id !== undefined && !isMarker) this.undatedUploads.add(id);
    const place = parts.join("/");
    if (DIRECTORY_OF_LINKS.test(place)) this.misplaced.push(join(this.paths.directory, place));
  }

  /** Whether something of ours lies below a place. Only a store of objects has a file there, too: then it is a marker, and hides nothing. */
  private hasBelow(place: string): boolean {
    for (const digest of this.revisionLinks.all()) if (isBelow(this.paths.revisionLink(digest), place)) return true;
    for (const digest of this.layers.all()) if (isBelow(this.paths.layerLink(digest), place)) return true;
    for (const tag of this.tagListings.keys()) if (isBelow(this.paths.currentLink(tag), place)) return true;
    return false;
  }

  private takeKnown([part, ...rest]: readonly string[], info: FileInfo): boolean {
    if (part === "_layers") return this.takeLink(this.layers, rest, info);
    if (part === "_uploads") return this.takeUpload(rest, info);
    const [kind, ...inner] = rest;
    if (kind === "revisions") return inner.length > 3 ? this.takeSignature(inner, info) : this.takeLink(this.revisionLinks, inner, info);
    return kind === "tags" && this.takeTag(inner, info);
  }

  private takeLink(table: LinkTable, parts: readonly string[], info: FileInfo): boolean {
    const digest = linkDigest(parts);
    if (digest === undefined) return false;
    table.add(digest, info);
    return true;
  }

  private takeTag([tag = "", kind, ...rest]: readonly string[], info: FileInfo): boolean {
    const isCurrent = kind === "current" && rest.length === 1 && rest[0] === "link";
    const entry = kind === "index" ? linkDigest(rest) : undefined;
    if (!isCurrent && entry === undefined) return false;
    const listing: TagListing = this.tagListings.get(tag) ?? { index: [] };
    this.tagListings.set(tag, listing);
    if (entry === undefined) listing.current = info;
    else listing.index.push(entry);
    return true;
  }

  private takeSignature(parts: readonly string[], info: FileInfo): boolean {
    const revision = linkDigest([...parts.slice(0, 2), "link"]);
    const signature = parts[2] === "signatures" ? linkDigest(parts.slice(3)) : undefined;
    if (revision === undefined || signature === undefined) return false;
    const links = this.signatureLinks.get(revision) ?? [];
    this.signatureLinks.set(revision, links);
    links.push({ digest: signature, file: info.path });
    return true;
  }

  private takeUpload([id = "", ...rest]: readonly string[], info: FileInfo): boolean {
    if (rest.length === 0) return false;
    const files = this.uploadFiles.get(id) ?? [];
    this.uploadFiles.set(id, files);
    files.push(info);
    return true;
  }

  async *revisions(options: LookOptions = {}): AsyncIterable<readonly Revision[]> {
    for (const path of this.strays) options.onUnrecognized?.(path);
    for (const place of this.misplaced) if (!this.hasBelow(place)) options.onDamage?.(misplacedFile(place));
    const access = this.access(options);
    for (const page of this.revisionLinks.pages((digest) => this.paths.revisionLink(digest))) {
      const revisions = await mapAll(page, async ({ digest, link }) => {
        const revision = await judgeRevision(access, digest, link);
        return revision && { ...revision, hasSignatures: this.signatureLinks.has(digest) };
      });
      yield revisions.filter((revision) => revision !== undefined);
    }
  }

  async *layerLinks(options: LookOptions = {}): AsyncIterable<readonly LayerLink[]> {
    const access = this.access(options);
    for (const page of this.layers.pages((digest) => this.paths.layerLink(digest))) {
      const links = await mapAll(page, ({ digest, link }) => judgeLayerLink(access, digest, link));
      yield links.filter((link) => link !== undefined);
    }
  }

  async *tags(options: LookOptions = {}): AsyncIterable<readonly Tag[]> {
    const access = this.access(options);
    const all = [...this.tagListings];
    for (let start = 0; start < all.length; start += PAGE) {
      const tags = await mapAll(all.slice(start, start + PAGE), ([name, listing]) => this.tag(name, listing, access));
      yield tags.filter((tag) => tag !== undefined);
    }
  }

  private async tag(name: string, listing: TagListing, { driver, options }: Access): Promise<Tag | undefined> {
    const path = this.paths.currentLink(name);
    if (listing.current === undefined) return { name, path, damage: missingCurrentLink(name, path) };
    const told = this.toldByMd5(listing.current, listing.index);
    if (told !== undefined) return { name, path, modTime: listing.current.modTime, digest: told };
    const content = await unlessGone(driver, path, options, () => readLink(driver, path, options));
    if (content !== undefined) return { name, path, modTime: listing.current.modTime, ...content };
    // Where the tag itself is there still, nothing tells what it names now.
    return (await isGone(driver, join(this.paths.tags, name), options))
      ? undefined
      : { name, path, damage: missingCurrentLink(name, path) };
  }

  /** A current link holds a digest that the tag's index or the repository's revisions name: the one that has its MD5 need not be read. */
  private toldByMd5(current: FileInfo, index: readonly string[]): string | undefined {
    const md5 = listedMd5(current);
    if (md5 === undefined) return undefined;
    const named = index.find((digest) => md5OfLink(digest) === md5);
    if (named !== undefined) return named;
    this.revisionsByMd5 ??= new Map([...this.revisionLinks.all()].map((digest) => [md5OfLink(digest), digest]));
    return this.revisionsByMd5.get(md5);
  }

  async *tagIndexEntries(digests: ReadonlySet<string>): AsyncIterable<readonly TagIndexEntry[]> {
    for (const [tag, { index }] of this.tagListings) {
      yield index
        .filter((digest) => digests.has(digest))
        .map((digest) => ({
          tag,
          digest,
          footprint: this.paths.tagIndexEntryFootprint(tag, digest),
          current: this.paths.currentLink(tag),
        }));
    }
  }

  async signatures(digest: string): Promise<readonly Signature[]> {
    return this.signatureLinks.get(digest) ?? [];
  }

  async *uploads(options: LookOptions = {}): AsyncIterable<readonly Upload[]> {
    const access = this.access(options);
    for (const [id, files] of this.uploadFiles) {
      const upload = await dateUpload(access, `${this.paths.uploads}/${id}`, files);
      yield [this.undatedUploads.has(id) ? { ...upload, newest: undefined } : upload];
    }
  }

  /** The same repository by a walk of its own parts: a walk of its whole directory would meet repositories that are nested in it. */
  async again(options: LookOptions = {}): Promise<Repository | undefined> {
    const { driver } = this.access(options);
    const fresh = new WalkedRepository(this.name, this.driver, this.layout, this.digests);
    let files = 0;
    for (const directory of [this.paths.manifests, this.paths.layers, this.paths.uploads]) {
      let below = 0;
      for await (const page of walkBelow(driver, directory, options)) {
        below += page.length;
        for (const info of page) fresh.take(info.path.slice(this.paths.directory.length + 1).split("/"), info);
      }
      files += below;
      // A walk tells what lies below: a file in the place itself it doesn't.
      if (below > 0 || directory === this.paths.uploads) continue;
      if ((await lookAtPath(driver, directory, options))?.isDirectory !== false) continue;
      files++;
      fresh.takeOdd([basename(directory)]);
    }
    return files === 0 ? undefined : fresh;
  }

  /** Without files there is no directory: nothing is left to go. */
  async emptyFootprint(options: LookOptions = {}): Promise<Footprint | undefined> {
    return (await this.again(options)) === undefined ? { files: [] } : undefined;
  }
}

function linkDigest(parts: readonly string[]): string | undefined {
  const [algorithm = "", hex = "", file, ...more] = parts;
  if (file !== "link" || more.length > 0 || !isAlgorithm(algorithm) || !isHexOf(algorithm, hex)) return undefined;
  return digestOf(algorithm, hex);
}
