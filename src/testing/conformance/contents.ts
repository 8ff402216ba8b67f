/** What a registry holds, as it is known beforehand; and what a namespace says of it. */

import { createHash } from "node:crypto";
import type { BlobInfo, LayerLink, LookOptions, Namespace, Repository, Revision, Tag } from "../../namespace.js";
import { all } from "./check.js";

/** What one repository holds. */
export interface RepositoryContents {
  /** The digest that a tag names now, by the tag's name. */
  readonly tags: Readonly<Record<string, string>>;
  /** Digests of the manifests that it has. */
  readonly revisions: readonly string[];
  /** Digests of the blobs that it may serve. */
  readonly layerLinks: readonly string[];
}

/** What a registry holds: all of it, and nothing of it damaged. */
export interface RegistryContents {
  /** By name. */
  readonly repositories: Readonly<Record<string, RepositoryContents>>;
  /** Digests under which blobs are stored; manifests are blobs, too, where the layout keeps them so. */
  readonly blobs: readonly string[];
}

/** One reading of a repository. */
export interface RepositoryLook {
  readonly repository: Repository;
  readonly revisions: readonly Revision[];
  readonly tags: readonly Tag[];
  readonly layerLinks: readonly LayerLink[];
}

/** One reading of a registry. */
export interface Look {
  readonly repositories: readonly RepositoryLook[];
  readonly blobs: readonly BlobInfo[];
}

/** Lists everything, one after the other. */
export async function lookAt(registry: Namespace, options: LookOptions = {}): Promise<Look> {
  const repositories: RepositoryLook[] = [];
  for (const repository of await repositoriesOf(registry, options)) repositories.push(await lookAtRepository(repository, options));
  return { repositories, blobs: await all(registry.blobs(options)) };
}

/** Lists what a repository holds. */
export async function lookAtRepository(repository: Repository, options: LookOptions = {}): Promise<RepositoryLook> {
  return {
    repository,
    revisions: await all(repository.revisions(options)),
    tags: await all(repository.tags(options)),
    layerLinks: await all(repository.layerLinks(options)),
  };
}

/** All repositories. */
export async function repositoriesOf(registry: Namespace, options: LookOptions = {}): Promise<Repository[]> {
  const found: Repository[] = [];
  for await (const repository of registry.repositories(options)) found.push(repository);
  return found;
}

/** A line for each thing that was told: what two looks are compared by. */
export function linesOf({ repositories, blobs }: Look): string[] {
  return [...repositories.flatMap(repositoryLines), ...blobs.map(({ digest }) => `blob ${digest}`)];
}

/** A line for each thing that was told of a repository. */
export function repositoryLines({ repository: { name }, revisions, tags, layerLinks }: RepositoryLook): string[] {
  return [
    `repository ${name}`,
    ...revisions.map(({ digest }) => `revision ${digest} of ${name}`),
    ...tags.map((tag) => `tag ${tag.name} of ${name}: ${String(tag.digest)}`),
    ...layerLinks.map(({ digest }) => `layer link ${digest} of ${name}`),
  ];
}

/** The lines that a look should have. */
export function expectedLines({ repositories, blobs }: RegistryContents): string[] {
  return [
    ...Object.entries(repositories).flatMap(([name, { revisions, tags, layerLinks }]) => [
      `repository ${name}`,
      ...revisions.map((digest) => `revision ${digest} of ${name}`),
      ...Object.entries(tags).map(([tag, digest]) => `tag ${tag} of ${name}: ${digest}`),
      ...layerLinks.map((digest) => `layer link ${digest} of ${name}`),
    ]),
    ...blobs.map((digest) => `blob ${digest}`),
  ];
}

/** Whether these bytes are what a digest says. */
export function isContentOf(digest: string, bytes: Uint8Array): boolean {
  const [algorithm = "", hex] = digest.split(":");
  return createHash(algorithm).update(bytes).digest("hex") === hex;
}

/** A digest of nothing that any registry holds. */
export function absentDigest(): string {
  return `sha256:${createHash("sha256").update("nothing that any registry holds").digest("hex")}`;
}
