/** Checks of what goes with a thing: exactly that, and nothing that another thing needs. */

import { dirname, isBelow, isPath } from "../../driver.js";
import type { Footprint, Namespace } from "../../namespace.js";
import { all } from "./check.js";
import { type Look, lookAt, type RepositoryLook } from "./contents.js";
import { holds, same, sameSet, show } from "./expecting.js";
import { type NamespaceCheck, namespaceCheck } from "./namespaceCheck.js";

export function footprintChecks(): NamespaceCheck[] {
  return [
    namespaceCheck("footprints: name paths of a driver, below upTo", [], async ({ registry }) => {
      for (const { what, footprint } of await footprintsOf(registry)) {
        for (const path of pathsOf(footprint)) {
          holds(isPath(path) && path !== "/", `the footprint of ${what}: expected paths of a driver, got ${show(path)}`);
          const { upTo } = footprint;
          holds(
            upTo === undefined || isBelow(path, upTo),
            `the footprint of ${what}: expected ${path} to lie below upTo, got upTo ${show(upTo)}`,
          );
        }
      }
    }),
    namespaceCheck("footprints: no two things share a file, or lie within one another", [], async ({ registry }) => {
      areApart(await footprintsOf(registry));
    }),
    namespaceCheck("footprints: say the same each time", [], async ({ registry }) => {
      const lines = async () => (await footprintsOf(registry)).map(({ what, footprint }) => `${what}: ${pathsOf(footprint).join(" ")}`);
      const first = await lines();
      sameSet(await lines(), first, "the footprints of a second look");
    }),
    namespaceCheck("blobFootprint: names files of its own for each blob", ["blobFootprint"], async ({ registry, holds: { blobs } }) => {
      for (const digest of blobs) {
        const footprint = registry.blobFootprint(digest);
        holds(pathsOf(footprint).length > 0, `the footprint of blob ${digest}: expected a file, got ${show(footprint)}`);
      }
      areApart(blobs.map((digest) => ({ what: `blob ${digest}`, footprint: registry.blobFootprint(digest) })));
    }),
    namespaceCheck("emptyFootprint: a repository that holds something has none", [], async ({ registry }) => {
      for (const { repository, revisions, tags, layerLinks } of (await lookAt(registry)).repositories) {
        if (revisions.length + tags.length + layerLinks.length === 0) continue;
        same(await repository.emptyFootprint?.(), undefined, `emptyFootprint of ${repository.name}`);
      }
    }),
    namespaceCheck("online: its places lie apart from all that a run removes", ["online"], async ({ registry }) => {
      const { lock, aside } = registry.online;
      for (const path of [lock, aside]) holds(isPath(path) && path !== "/", `expected a path of a driver, got ${show(path)}`);
      const places: Claim[] = [
        { what: "online.lock", footprint: { files: [lock] } },
        { what: "online.aside", footprint: { files: [], trees: [aside] } },
      ];
      areApart([...places, ...(await footprintsOf(registry))]);
    }),
  ];
}

/** A thing, and what goes with it. */
interface Claim {
  readonly what: string;
  readonly footprint: Footprint;
}

async function footprintsOf(registry: Namespace): Promise<Claim[]> {
  const look: Look = await lookAt(registry);
  const claims = look.blobs.flatMap(({ digest }) =>
    registry.blobFootprint === undefined ? [] : [{ what: `blob ${digest}`, footprint: registry.blobFootprint(digest) }],
  );
  for (const repository of look.repositories) claims.push(...(await repositoryClaims(repository)));
  return claims.sort((a, b) => (a.what < b.what ? -1 : 1));
}

async function repositoryClaims({ repository, revisions, layerLinks }: RepositoryLook): Promise<Claim[]> {
  const { name } = repository;
  const claims: Claim[] = layerLinks.map(({ digest }) => ({
    what: `layer link ${digest} of ${name}`,
    footprint: repository.layerLinkFootprint(digest),
  }));
  for (const { digest } of revisions) {
    const signatures = (await repository.signatures?.(digest)) ?? [];
    claims.push({ what: `revision ${digest} of ${name}`, footprint: repository.revisionFootprint(digest, signatures) });
  }
  if (repository.tagIndexEntries !== undefined) {
    for (const { tag, digest, footprint } of await all(repository.tagIndexEntries(new Set(revisions.map((each) => each.digest))))) {
      claims.push({ what: `entry ${digest} of tag ${tag} of ${name}`, footprint });
    }
  }
  if (repository.uploads !== undefined) {
    for (const { path, footprint } of await all(repository.uploads())) claims.push({ what: `upload ${path} of ${name}`, footprint });
  }
  return claims;
}

/** Every path has one owner, and none lies below a path of another. */
function areApart(claims: readonly Claim[]): void {
  const owners = new Map<string, string>();
  for (const { what, footprint } of claims) {
    for (const path of pathsOf(footprint)) {
      const owner = owners.get(path);
      holds(owner === undefined, `${path}: expected one thing that it goes with, got ${String(owner)} and ${what}`);
      owners.set(path, what);
    }
  }
  for (const [path, what] of owners) {
    for (let above = dirname(path); above !== "/"; above = dirname(above)) {
      const owner = owners.get(above);
      holds(
        owner === undefined || owner === what,
        `${path} of ${what}: expected nothing else above it to be removed, got ${above} of ${String(owner)}`,
      );
    }
  }
}

function pathsOf({ files, trees = [] }: Footprint): string[] {
  return [...files, ...trees];
}
