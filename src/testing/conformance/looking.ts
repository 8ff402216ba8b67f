/** Checks of what a namespace tells: everything that is there, each once, every time, and with the right content. */

import { types } from "node:util";
import type { Damage } from "../../namespace.js";
import { isDigest } from "../manifestFacts.js";
import {
  expectedLines,
  isContentOf,
  type Look,
  linesOf,
  lookAt,
  lookAtRepository,
  type RepositoryLook,
  repositoriesOf,
  repositoryLines,
} from "./contents.js";
import { ConformanceError, holds, same, sameSet, show } from "./expecting.js";
import { type NamespaceCheck, type NamespaceSubject, namespaceCheck } from "./namespaceCheck.js";

const MAX_BYTES = 4 * 1024 * 1024;

export function lookChecks(): NamespaceCheck[] {
  return [
    linesCheck("repositories: every one, once", "repository "),
    linesCheck("revisions: every one, once", "revision "),
    linesCheck("tags: every one, once, with the digest that it names now", "tag "),
    linesCheck("layerLinks: every one, once", "layer link "),
    linesCheck("blobs: every one, once", "blob "),
    namespaceCheck("listings: a second look says the same, also at the same time", [], async ({ registry }) => {
      const first = linesOf(await lookAt(registry));
      sameSet(linesOf(await lookAt(registry)), first, "a second look");
      const looks = await Promise.all([lookAt(registry), lookAt(registry)]);
      for (const look of looks) sameSet(linesOf(look), first, "a look beside another one");
      const [repository] = await repositoriesOf(registry);
      if (repository === undefined) return;
      const asked = repositoryLines(await lookAtRepository(repository));
      sameSet(repositoryLines(await lookAtRepository(repository)), asked, "a second look at one repository");
    }),
    namespaceCheck("listings: digests, sizes and times are well formed, and nothing sound is damaged", [], async ({ registry }) => {
      const look = await lookAt(registry);
      for (const each of thingsOf(look)) {
        holds(isDigest(each.digest), `expected a digest of ${each.what}, got ${show(each.digest)}`);
        holds(each.target === undefined || isDigest(each.target), `expected a digest as target of ${each.what}, got ${show(each.target)}`);
        holds(isTime(each.modTime), `expected a Date or nothing as modTime of ${each.what}, got ${show(each.modTime)}`);
        holds(isSize(each.size), `expected a number of bytes or nothing as size of ${each.what}, got ${show(each.size)}`);
        holds(each.damage === undefined, `expected no damage of ${each.what}, got ${show(each.damage)}`);
      }
    }),
    namespaceCheck("readManifest: gives the bytes of every revision", [], async (subject) => {
      await eachRevision(subject, async ({ repository }, digest) => {
        const bytes = await repository.readManifest(digest, { maxBytes: MAX_BYTES });
        if (bytes === undefined) throw new ConformanceError(`expected the bytes of ${digest} in ${repository.name}, got undefined`);
        holds(isContentOf(digest, bytes), `expected the bytes of ${digest} in ${repository.name}, got ${bytes.length} others`);
      });
    }),
    namespaceCheck("readManifest: never cuts silently at maxBytes", [], async (subject) => {
      await eachRevision(subject, async ({ repository }, digest) => {
        const whole = (await repository.readManifest(digest, { maxBytes: MAX_BYTES }))?.length ?? 0;
        for (const maxBytes of [0, 1, Math.max(0, whole - 1), whole]) {
          const length = (await repository.readManifest(digest, { maxBytes }))?.length;
          const least = Math.min(whole, maxBytes + 1);
          holds(
            length !== undefined && length >= least,
            `${digest} of ${whole} bytes, maxBytes ${maxBytes}: expected ${least} or more, got ${String(length)}`,
          );
        }
      });
    }),
    namespaceCheck("look-ups: one link or blob, looked at alone, is as listings tell it", [], async ({ registry }) => {
      const look = await lookAt(registry);
      for (const { repository, revisions, layerLinks } of look.repositories) {
        for (const { digest } of revisions) {
          if (repository.lookAtRevision === undefined) break;
          same((await repository.lookAtRevision(digest))?.digest, digest, `lookAtRevision in ${repository.name}`);
        }
        for (const { digest, nameOnly } of layerLinks) {
          holds(
            nameOnly !== true || repository.lookAtLayerLink !== undefined,
            `expected lookAtLayerLink in ${repository.name}, got links of which only the name is known`,
          );
          if (repository.lookAtLayerLink !== undefined)
            same((await repository.lookAtLayerLink(digest))?.digest, digest, `lookAtLayerLink in ${repository.name}`);
        }
      }
      for (const { digest } of look.blobs) {
        if (registry.lookAtBlob !== undefined) same((await registry.lookAtBlob(digest))?.digest, digest, "lookAtBlob");
      }
    }),
    namespaceCheck("overview, packedBlobs, lookAtLayerLinks, lookAtBlobs: many at once tell what each tells", [], async ({ registry }) => {
      const { repositories, blobs } = await lookAt(registry);
      for (const { repository, revisions, layerLinks, tags } of repositories) {
        const overview = await repository.overview?.();
        if (overview !== undefined) {
          const { name } = repository;
          sameSet(digestsOf(overview.revisions), revisions.map(digestOf), `the revisions in the overview of ${name}`);
          sameSet(digestsOf(overview.layerLinks), layerLinks.map(digestOf), `the layer links in the overview of ${name}`);
          const named = digestsOf(overview.tagged).map((digest, i) => `${overview.tag(i).name} ${digest}`);
          const expected = tags.map((tag) => `${tag.name} ${digestOf(tag)}`);
          sameSet(named, expected, `the tags in the overview of ${name}`);
        }
        const asked = layerLinks.map(digestOf);
        const links = await repository.lookAtLayerLinks?.(asked);
        if (links !== undefined) same(links.map((link) => link?.digest).join(), asked.join(), `lookAtLayerLinks in ${repository.name}`);
      }
      const asked = blobs.map(digestOf);
      const found = await registry.lookAtBlobs?.(asked);
      if (found !== undefined) same(found.map((blob) => blob?.digest).join(), asked.join(), "lookAtBlobs");
      if (registry.packedBlobs === undefined) return;
      const packed: string[] = [];
      for await (const page of registry.packedBlobs()) packed.push(...(ArrayBuffer.isView(page) ? digestsOf(page) : page.map(digestOf)));
      sameSet(packed, asked, "packedBlobs");
    }),
    namespaceCheck("again: the same repository, listed afresh", [], async ({ registry }) => {
      for (const repository of await repositoriesOf(registry)) {
        if (repository.again === undefined) continue;
        const again = await repository.again();
        if (again === undefined) throw new ConformanceError(`again: expected ${repository.name}, got undefined`);
        sameSet(
          repositoryLines(await lookAtRepository(again)),
          repositoryLines(await lookAtRepository(repository)),
          `${repository.name} listed afresh`,
        );
      }
    }),
  ];
}

/** The digests of sha256 whose bytes stand one after the other. */
function digestsOf(packed: Uint8Array): string[] {
  const hex = Buffer.from(packed).toString("hex");
  holds(packed.length % 32 === 0, `expected 32 bytes for each digest, got ${packed.length} bytes`);
  return Array.from({ length: packed.length / 32 }, (_, i) => `sha256:${hex.slice(i * 64, (i + 1) * 64)}`);
}

function digestOf({ digest }: { readonly digest?: string | undefined }): string {
  return digest ?? "";
}

function linesCheck(name: string, start: string): NamespaceCheck {
  const some = (lines: readonly string[]) => lines.filter((line) => line.startsWith(start));
  return namespaceCheck(name, [], async ({ registry, holds: contents }) => {
    sameSet(some(linesOf(await lookAt(registry))), some(expectedLines(contents)), "a look at the registry");
  });
}

async function eachRevision({ registry }: NamespaceSubject, work: (look: RepositoryLook, digest: string) => Promise<void>): Promise<void> {
  const { repositories } = await lookAt(registry);
  for (const look of repositories) for (const { digest } of look.revisions) await work(look, digest);
}

interface Thing {
  readonly what: string;
  readonly digest?: string | undefined;
  readonly target?: string | undefined;
  readonly modTime?: Date | undefined;
  readonly size?: number | undefined;
  readonly damage?: Damage | undefined;
}

function thingsOf({ repositories, blobs }: Look): Thing[] {
  return [
    ...repositories.flatMap(({ repository: { name }, revisions, tags, layerLinks }) => [
      ...revisions.map((each) => ({ what: `a revision of ${name}`, ...each })),
      ...tags.map((each) => ({ what: `the tag ${each.name} of ${name}`, ...each })),
      ...layerLinks.map((each) => ({ what: `a layer link of ${name}`, ...each })),
    ]),
    ...blobs.map((each) => ({ what: "a blob", ...each })),
  ];
}

function isTime(time: unknown): boolean {
  return time === undefined || (types.isDate(time) && !Number.isNaN(time.getTime()));
}

function isSize(size: unknown): boolean {
  return size === undefined || (Number.isSafeInteger(size) && Number(size) >= 0);
}
