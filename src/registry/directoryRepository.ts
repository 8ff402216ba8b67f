/** A repository listed directory by directory: for stores that have directories. Names come from listings, and nothing is looked at that they tell already. */

import { isAlgorithm, isHexOf } from "../digest.js";
import { type FileInfo, join, type StorageDriver } from "../driver.js";
import { statAll, visitAll } from "../internal/manyAtOnce.js";
import { mapAll } from "../internal/mapAll.js";
import { Turns, turn } from "../internal/turn.js";
import type {
  Footprint,
  LayerLink,
  LookOptions,
  Repository,
  RepositoryOverview,
  Revision,
  Signature,
  Tag,
  TagIndexEntry,
  Upload,
} from "../namespace.js";
import { LayoutRepository } from "./layoutRepository.js";
import { readLink } from "./links.js";
import { allChildren, children, isGone, knownDirectories, lookAtPath, unlessGone } from "./listing.js";
import { DIGESTS_VISIT, digestsIn, REPOSITORY_VISIT, readOverview } from "./overview.js";
import { digestOf, isTag, type Layout, REPOSITORY_PARTS } from "./paths.js";
import { type Access, dateUpload, fits, judgeLayerLink, judgeRevision } from "./repositoryParts.js";

export class DirectoryRepository extends LayoutRepository implements Repository {
  readonly manyOf: Required<NonNullable<Repository["manyOf"]>> = DirectoryRepository.prototype;

  constructor(
    name: string,
    driver: StorageDriver,
    layout: Layout,
    /** Whether the listing that found it named a directory of uploads. */
    private readonly hasUploads: boolean,
  ) {
    super(name, driver, layout);
  }

  async *revisions(options: LookOptions = {}): AsyncIterable<readonly Revision[]> {
    const access = this.access(options);
    await knownDirectories(access.driver, this.paths.manifests, (name) => name === "revisions" || name === "tags", options);
    if (this.hasUploads) await knownDirectories(access.driver, this.paths.uploads, () => true, { ...options, onDamage: undefined });
    for await (const digests of this.digestsBelow(this.paths.revisions, access)) {
      const links = await this.revisionLinks(digests, access);
      const revisions: Revision[] = [];
      const others: number[] = [];
      links.forEach((link, i) => {
        const digest = digests[i] ?? "";
        if (link === undefined) return;
        if (fits(link, digest)) revisions.push({ digest, modTime: link.modTime });
        else others.push(i);
      });
      const judged = await mapAll(others, async (i) => links[i] && judgeRevision(access, digests[i] ?? "", links[i]));
      yield [...revisions, ...judged.filter((link) => link !== undefined)];
    }
  }

  private revisionLinks(digests: readonly string[], { driver, options }: Access): Promise<(FileInfo | undefined)[]> {
    const paths = digests.map((digest) => this.paths.revisionLink(digest));
    return statAll(driver, paths, options, (i) => lookAtPath(driver, paths[i] ?? "", options));
  }

  async *tags(options: LookOptions = {}): AsyncIterable<readonly Tag[]> {
    const access = this.access(options);
    for await (const names of this.tagNames(access)) {
      const tags = await mapAll(names, (name) => this.tag(name, access));
      yield tags.filter((tag) => tag !== undefined);
    }
  }

  async *layerLinks(options: LookOptions = {}): AsyncIterable<readonly LayerLink[]> {
    const access = this.access(options);
    for await (const digests of this.digestsBelow(this.paths.layers, access)) {
      const named: LayerLink[] = [];
      const others: string[] = [];
      for (const digest of digests) {
        if (digest.startsWith("sha256:")) named.push({ digest, nameOnly: true });
        else others.push(digest);
      }
      yield named;
      const links = await mapAll(others, (digest) => this.lookAtLayerLink(digest, options));
      yield links.filter((link) => link !== undefined);
    }
  }

  visitManifests(
    digests: readonly string[],
    { signal, visit, through }: LookOptions & { readonly visit: string },
  ): Promise<readonly (Uint8Array | undefined)[]> {
    const paths = digests.map((digest) => this.layout.blobData(digest));
    return visitAll(this.access({ through }).driver, paths, { signal, visit });
  }

  async overview(options: LookOptions = {}): Promise<RepositoryOverview | undefined> {
    const { driver } = this.access(options);
    const visit = this.hasUploads ? REPOSITORY_VISIT.withUploads : REPOSITORY_VISIT.withoutUploads;
    const { directory } = this.paths;
    const [answer] = await visitAll(driver, [directory], { signal: options.signal, visit });
    return answer && readOverview(answer, directory, (name) => this.paths.currentLink(name));
  }

  async lookAtLayerLinks(digests: readonly string[], options: LookOptions = {}): Promise<(LayerLink | undefined)[]> {
    const access = this.access(options);
    const paths = digests.map((digest) => this.paths.layerLink(digest));
    const links = await statAll(access.driver, paths, options, (i) => lookAtPath(access.driver, paths[i] ?? "", options));
    const found: (LayerLink | undefined)[] = [];
    const others: number[] = [];
    links.forEach((link, i) => {
      const digest = digests[i] ?? "";
      const isPlain = link !== undefined && digest.startsWith("sha256:") && fits(link, digest);
      found.push(isPlain ? { digest, modTime: link.modTime } : undefined);
      if (link !== undefined && !isPlain) others.push(i);
    });
    await mapAll(others, async (i) => {
      found[i] = links[i] && (await judgeLayerLink(access, digests[i] ?? "", links[i]));
    });
    return found;
  }

  async *tagIndexEntries(digests: ReadonlySet<string>, options: LookOptions = {}): AsyncIterable<readonly TagIndexEntry[]> {
    const access = this.access(options);
    const turns = new Turns();
    const isSha256 = [...digests].every((digest) => digest.startsWith("sha256:"));
    for await (const tags of this.tagNames(access)) {
      const paths = isSha256 ? tags.map((tag) => `${this.paths.tagIndex(tag)}/sha256`) : [];
      const indices = await visitAll(access.driver, paths, { signal: options.signal, visit: DIGESTS_VISIT });
      const listed = await mapAll(tags, async (tag, i) => indices[i] ?? this.indexDigests(tag, digests, access));
      const named: Pick<TagIndexEntry, "tag" | "digest">[] = [];
      for (const [i, tag] of tags.entries()) {
        if (turns.isLong()) await turn();
        const index = listed[i] ?? [];
        for (const digest of ArrayBuffer.isView(index) ? digestsIn(index) : index) if (digests.has(digest)) named.push({ tag, digest });
      }
      yield await this.indexEntries(named, access);
    }
  }

  async signatures(digest: string, options: LookOptions = {}): Promise<readonly Signature[]> {
    const access = this.access(options);
    const directory = this.paths.revisionDirectory(digest);
    const parts = await allChildren(access.driver, directory, access.options);
    if (!parts.some((part) => part.name === "signatures" && part.info.isDirectory)) return [];
    const found: Signature[] = [];
    for await (const digests of this.digestsBelow(join(directory, "signatures"), access)) {
      for (const signature of digests) {
        const file = `${join(directory, "signatures")}/${signature.replace(":", "/")}/link`;
        if (await isFile(access, file)) found.push({ digest: signature, file });
      }
    }
    return found;
  }

  async *uploads(options: LookOptions = {}): AsyncIterable<readonly Upload[]> {
    // Strays beside them were told with the revisions.
    const access = this.access({ ...options, onUnrecognized: undefined });
    for await (const page of children(access.driver, this.paths.uploads, access.options)) {
      const uploads: Upload[] = [];
      for (const { info } of page) {
        if (!info.isDirectory) continue;
        const { files, isAll } = await filesBelow(access, info.path);
        const upload = await dateUpload(access, info.path, files);
        // Of a file that no path of ours can name nobody knows that it is old.
        uploads.push(isAll ? upload : { ...upload, newest: undefined });
      }
      yield uploads;
    }
  }

  /** Gone is what has none of a repository's own directories any more. */
  async again(options: LookOptions = {}): Promise<Repository | undefined> {
    const access = this.access({ ...options, onUnrecognized: undefined });
    const entries = await allChildren(access.driver, this.paths.directory, access.options);
    const parts = entries.filter(({ name, info }) => info.isDirectory && REPOSITORY_PARTS.some((part) => part === name));
    if (parts.length === 0) return undefined;
    const hasUploads = parts.some(({ name }) => name === "_uploads");
    return new DirectoryRepository(this.name, this.driver, this.layout, hasUploads);
  }

  async emptyFootprint(options: LookOptions = {}): Promise<Footprint | undefined> {
    const access = this.access(options);
    const entries = await allChildren(access.driver, this.paths.directory, access.options);
    const trees: string[] = [];
    for (const { name, info } of entries) {
      if (!REPOSITORY_PARTS.some((part) => part === name)) continue;
      if (!info.isDirectory) return undefined;
      const { files, isAll } = await filesBelow(access, info.path);
      if (files.length > 0 || !isAll) return undefined;
      trees.push(info.path);
    }
    return { files: [], trees, upTo: this.layout.repositories };
  }

  /** The digests that `<algorithm>/<hex>` directories below a path name. */
  private async *digestsBelow(path: string, { driver, options }: Access): AsyncIterable<string[]> {
    for (const algorithm of await knownDirectories(driver, path, isAlgorithm, options)) {
      if (!isAlgorithm(algorithm)) continue;
      for await (const page of children(driver, join(path, algorithm), options)) {
        const digests: string[] = [];
        for (const { name, info } of page) {
          if (info.isDirectory && isHexOf(algorithm, name)) digests.push(digestOf(algorithm, name));
          else options.onUnrecognized?.(info.path);
        }
        yield digests;
      }
    }
  }

  private async *tagNames({ driver, options }: Access): AsyncIterable<string[]> {
    for await (const page of children(driver, this.paths.tags, options)) {
      const names: string[] = [];
      for (const { name, info } of page) {
        if (info.isDirectory) names.push(name);
        else options.onUnrecognized?.(info.path);
      }
      yield names;
    }
  }

  private async tag(name: string, access: Access): Promise<Tag | undefined> {
    const { driver, options } = access;
    const path = this.paths.currentLink(name);
    const content = await unlessGone(driver, path, options, () => readLink(driver, path, options));
    if (content !== undefined) return { name, path, ...content };

    const directory = join(this.paths.tags, name);
    if (await isGone(driver, directory, options)) return undefined;
    const parts = await allChildren(driver, directory, options);
    // What has the parts of a tag is one, whatever its name: registries list it, and so keep what it names.
    if ((name.startsWith("_") || !isTag(name)) && !parts.some((part) => part.name === "index" || part.name === "current")) {
      options.onUnrecognized?.(directory);
      return undefined;
    }
    return { name, path, damage: missingCurrentLink(name, path) };
  }

  /** Those of the digests that a tag's index lists. */
  private async indexDigests(tag: string, digests: ReadonlySet<string>, access: Access): Promise<string[]> {
    const found: string[] = [];
    for (const algorithm of new Set([...digests].map((digest) => digest.slice(0, digest.indexOf(":"))))) {
      for await (const page of children(access.driver, join(this.paths.tagIndex(tag), algorithm), access.options)) {
        for (const { name } of page) if (digests.has(`${algorithm}:${name}`)) found.push(`${algorithm}:${name}`);
      }
    }
    return found;
  }

  /** Those of the entries that are there. */
  private async indexEntries(
    named: readonly Pick<TagIndexEntry, "tag" | "digest">[],
    { driver, options }: Access,
  ): Promise<TagIndexEntry[]> {
    const entries = named.map(({ tag, digest }) => {
      return { tag, digest, footprint: this.paths.tagIndexEntryFootprint(tag, digest), current: this.paths.currentLink(tag) };
    });
    const links = entries.map(({ footprint }) => footprint.files[0] ?? "");
    const found = await statAll(driver, links, options, (i) => lookAtPath(driver, links[i] ?? "", options));
    return entries.filter((_, i) => found[i]?.isDirectory === false);
  }
}

/** A tag of which nothing tells what it names. */
export function missingCurrentLink(name: string, path: string): NonNullable<Tag["damage"]> {
  return { kind: "missing-current-link", path, message: `the tag ${name} has no current link at ${path}` };
}

async function isFile({ driver, options }: Access, path: string): Promise<boolean> {
  return (await lookAtPath(driver, path, options))?.isDirectory === false;
}

/** Every file below a directory, and whether these are all: there may be some that no path of ours can name. */
async function filesBelow({ driver, options }: Access, path: string): Promise<{ files: FileInfo[]; isAll: boolean }> {
  const files: FileInfo[] = [];
  const odd: string[] = [];
  const look = { ...options, onUnrecognized: (stray: string) => odd.push(stray) };
  const open = [path];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    for (const { info } of await allChildren(driver, directory, look)) {
      if (info.isDirectory) open.push(info.path);
      else files.push(info);
    }
  }
  return { files, isAll: odd.length === 0 };
}
