/** Where the v2 layout of distribution puts things. */

import { type Algorithm, splitDigest } from "../digest.js";
import { dirname, isPath, join } from "../driver.js";
import type { Footprint, Signature } from "../namespace.js";

/** The root where every registry of this layout keeps its tree; a driver may put its own prefix in front. */
export const DEFAULT_ROOT = "/docker/registry/v2";

/** The directories that make a directory a repository. */
export const REPOSITORY_PARTS = ["_manifests", "_layers", "_uploads"] as const;

export const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** Whether registries accept this as a tag. */
export function isTag(name: string): boolean {
  return TAG.test(name);
}

/** Whether this can be the name of a repository's directory: no component is empty, relative or one of the layout's own. */
export function isRepositoryName(name: unknown): name is string {
  return typeof name === "string" && isPath(`/${name}`) && name !== "" && name.split("/").every((part) => !part.startsWith("_"));
}

/** The bytes of a link file: the digest, no newline. */
export function linkSize(digest: string): number {
  return digest.length;
}

/** Paths under one root. */
export class Layout {
  readonly blobs: string;
  readonly repositories: string;
  /** Of the registry's metadata database, beside the root. */
  readonly databaseLock: string;
  /** Of a run, beside the root. */
  readonly runLock: string;
  /** Quarantine and journals. */
  readonly aside: string;

  /** @throws TypeError where `root` is no path of a registry. */
  constructor(readonly root: string) {
    if (!isPath(root) || root === "/") throw new TypeError(`option root is ${JSON.stringify(root)}; expected an absolute path below "/"`);
    this.blobs = join(root, "blobs");
    this.repositories = join(root, "repositories");
    this.databaseLock = join(join(dirname(root), "lockfiles"), "database-in-use");
    this.runLock = join(join(dirname(root), "lockfiles"), "gc-in-progress");
    this.aside = join(root, "_gc");
  }

  blobData(digest: string): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.blobs}/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
  }

  blobFootprint(digest: string): Footprint {
    return { files: [this.blobData(digest)], upTo: `${this.blobs}/${splitDigest(digest).algorithm}` };
  }

  repository(name: string): RepositoryLayout {
    return new RepositoryLayout(join(this.repositories, name));
  }
}

/** Paths of one repository. */
export class RepositoryLayout {
  readonly manifests: string;
  readonly revisions: string;
  readonly tags: string;
  readonly layers: string;
  readonly uploads: string;

  constructor(readonly directory: string) {
    this.manifests = join(directory, "_manifests");
    this.revisions = join(this.manifests, "revisions");
    this.tags = join(this.manifests, "tags");
    this.layers = join(directory, "_layers");
    this.uploads = join(directory, "_uploads");
  }

  revisionDirectory(digest: string): string {
    return linkDirectory(this.revisions, digest);
  }

  revisionLink(digest: string): string {
    return `${this.revisionDirectory(digest)}/link`;
  }

  layerLink(digest: string): string {
    return `${linkDirectory(this.layers, digest)}/link`;
  }

  currentLink(tag: string): string {
    return `${this.tags}/${tag}/current/link`;
  }

  tagIndex(tag: string): string {
    return `${this.tags}/${tag}/index`;
  }

  revisionFootprint(digest: string, signatures: readonly Signature[]): Footprint {
    return { files: [...signatures.map((signature) => signature.file), this.revisionLink(digest)], upTo: this.manifests };
  }

  layerLinkFootprint(digest: string): Footprint {
    return { files: [this.layerLink(digest)], upTo: this.layers };
  }

  tagIndexEntryFootprint(tag: string, digest: string): Footprint {
    return { files: [`${linkDirectory(this.tagIndex(tag), digest)}/link`], upTo: this.manifests };
  }
}

function linkDirectory(base: string, digest: string): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${base}/${algorithm}/${hex}`;
}

/** `<algorithm>:<hex>`, of parts that were checked. */
export function digestOf(algorithm: Algorithm, hex: string): string {
  return `${algorithm}:${hex}`;
}
