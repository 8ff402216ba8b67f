/** The deleting half alone: it removes exactly what it is told, by names and digests that are checked before anything goes. */

import { isDigest } from "./digest.js";
import type { AbortOptions, Failure, StorageDriver } from "./driver.js";
import { InvalidDigestError } from "./errors.js";
import { mapAll, slicesOf } from "./internal/mapAll.js";
import { type Logger, safeLogger } from "./logger.js";
import type { Footprint } from "./namespace.js";
import { DirectoryRepository } from "./registry/directoryRepository.js";
import { DEFAULT_ROOT, isRepositoryName, isTag, Layout, REPOSITORY_PARTS } from "./registry/paths.js";
import { failureOf, type Removal, type RemovalOptions, Remover, type VacuumResult } from "./remover.js";
import { checkOption } from "./settings.js";

/** Manifests whose index entries are looked up before their links go. */
const MANIFESTS_AT_ONCE = 256;

export interface VacuumOptions {
  /** The registry's root, as `openRegistry` has it. */
  readonly root?: string | undefined;
  /** Batches, and single deletes, in flight. Default 16. */
  readonly concurrency?: number | undefined;
  readonly logger?: Logger | undefined;
}

export class Vacuum {
  private readonly layout: Layout;
  private readonly remover: Remover;

  /** @throws TypeError where an option is not what it must be. */
  constructor(
    private readonly driver: StorageDriver,
    options: VacuumOptions = {},
  ) {
    const { root = DEFAULT_ROOT, concurrency = 16 } = options;
    checkOption("concurrency", concurrency);
    this.layout = new Layout(root);
    const log = safeLogger(options.logger, () => ({ driver: driver.name }));
    this.remover = new Remover(driver, log, concurrency);
  }

  /**
   * Removes manifests from their repositories: the index entries of the tags that are told (of all tags where none are), then the
   * revision link. Never a current link.
   *
   * @throws InvalidDigestError, TypeError before anything is removed, where a digest, a name or a tag is none.
   */
  async removeManifests(
    items: Iterable<{ readonly repository: string; readonly digest: string; readonly tags?: readonly string[] | undefined }>,
    options: AbortOptions = {},
  ): Promise<VacuumResult> {
    const checked = [...items];
    for (const { repository, digest, tags } of checked) {
      checkRepository(repository);
      checkDigest(digest);
      checkTags(tags);
    }
    const result = { removed: 0, failures: [] as Failure[] };
    for (const some of slicesOf(checked, MANIFESTS_AT_ONCE)) {
      const broken = new Set<object>();
      const looked = await mapAll(some, async (item) => {
        try {
          return await this.manifestRemovals(item, options);
        } catch (error) {
          options.signal?.throwIfAborted();
          const [path = ""] = this.layout.repository(item.repository).revisionFootprint(item.digest, []).files;
          result.failures.push(failureOf(path, error));
          return undefined;
        }
      });
      const removals = looked.filter((each) => each !== undefined);
      const onBatch = async (_: unknown, failed: readonly (readonly [{ of: object }, Failure])[]) => {
        for (const [{ of }] of failed) broken.add(of);
      };
      const entries = await this.removeAll(
        removals.map(([entry]) => entry),
        { ...options, onBatch },
      );
      const links = await this.removeAll(
        removals.map(([, link]) => link),
        { ...options, onBatch },
      );
      result.removed += removals.length - broken.size;
      result.failures.push(...entries.failures, ...links.failures);
    }
    return result;
  }

  /** The index entries of a manifest, and its revision link: in this order. */
  private async manifestRemovals(
    of: { readonly repository: string; readonly digest: string; readonly tags?: readonly string[] | undefined },
    options: AbortOptions,
  ): Promise<readonly [{ of: object; footprint: Footprint }, { of: object; footprint: Footprint }]> {
    const { repository, digest, tags } = of;
    const paths = this.layout.repository(repository);
    const link = { of, footprint: paths.revisionFootprint(digest, []) };
    const files = (tags ?? []).flatMap((tag) => paths.tagIndexEntryFootprint(tag, digest).files);
    if (tags === undefined) {
      const repositoryOnDisk = new DirectoryRepository(repository, this.driver, this.layout, true);
      for await (const page of repositoryOnDisk.tagIndexEntries(new Set([digest]), options)) {
        for (const entry of page) for (const file of entry.footprint.files) files.push(file);
      }
    }
    return [{ of, footprint: { files } }, link];
  }

  /**
   * Removes repositories' links to layers; their blobs stay.
   *
   * @throws InvalidDigestError, TypeError before anything is removed, where a digest or a name is none.
   */
  async removeLayerLinks(
    items: Iterable<{ readonly repository: string; readonly digest: string }>,
    options: AbortOptions = {},
  ): Promise<VacuumResult> {
    const removals = [...items].map(({ repository, digest }) => {
      checkRepository(repository);
      checkDigest(digest);
      return { footprint: this.layout.repository(repository).layerLinkFootprint(digest) };
    });
    return this.removeAll(removals, options);
  }

  /**
   * Removes blobs, for every repository.
   *
   * @throws InvalidDigestError where a digest is none: of an `Iterable` before anything is removed, of an `AsyncIterable` before
   * anything of that batch is.
   */
  async removeBlobs(digests: Iterable<string> | AsyncIterable<string>, options: AbortOptions = {}): Promise<VacuumResult> {
    const removal = (digest: string) => {
      checkDigest(digest);
      return { footprint: this.layout.blobFootprint(digest) };
    };
    if (Symbol.iterator in digests) return this.removeAll([...digests].map(removal), options);
    async function* removals(source: AsyncIterable<string>) {
      for await (const digest of source) yield removal(digest);
    }
    return this.removeAll(removals(digests), options);
  }

  /**
   * Removes a repository's own directories, and never a repository that is nested in it. Its blobs stay.
   *
   * @throws TypeError where the name is none.
   */
  async removeRepository(name: string, options: AbortOptions = {}): Promise<VacuumResult> {
    checkRepository(name);
    const { directory } = this.layout.repository(name);
    return this.removeAll([{ footprint: { files: [], trees: REPOSITORY_PARTS.map((part) => `${directory}/${part}`) } }], options);
  }

  /** Removes anything, by its paths. Resolves when every batch has settled; rejects with the signal's reason where that fired. */
  removeAll<T extends Removal>(items: Iterable<T> | AsyncIterable<T>, options: RemovalOptions<T> = {}): Promise<VacuumResult> {
    return this.remover.removeAll(items, options);
  }
}

function checkRepository(name: string): void {
  if (!isRepositoryName(name)) throw new TypeError(`not a repository's name: ${JSON.stringify(name)}`);
}

function checkDigest(digest: string): void {
  if (!isDigest(digest)) throw new InvalidDigestError(digest);
}

/** Text would be taken for the tags of its characters. */
function checkTags(tags: unknown): void {
  if (tags === undefined) return;
  if (!Array.isArray(tags)) throw new TypeError(`tags are ${JSON.stringify(tags)}; expected an array`);
  for (const tag of tags as readonly string[]) if (!isTag(tag)) throw new TypeError(`not a tag: ${JSON.stringify(tag)}`);
}
