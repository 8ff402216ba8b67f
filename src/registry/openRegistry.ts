import { requireOptions } from "../arguments.js";
import { checkDriver } from "../context.js";
import { DigestIndex } from "../digestIndex.js";
import { type FileInfo, isPath, join, type StorageDriver } from "../driver.js";
import { DatabaseInUseError, isPathNotFound } from "../errors.js";
import type { LookOptions, Namespace, Repository, SurveyedRepository } from "../namespace.js";
import { blobsBetween, listBlobs, listPackedBlobs, lookAtBlob, lookAtBlobs } from "./blobs.js";
import { DirectoryRepository } from "./directoryRepository.js";
import { allChildren, children, ListingsAhead, walkBelow } from "./listing.js";
import { DEFAULT_ROOT, Layout, REPOSITORY_PARTS } from "./paths.js";
import type { Access } from "./repositoryParts.js";
import { splitKey, WalkedRepository } from "./walkedRepository.js";

/**
 * A registry that lies on a driver in the v2 layout of distribution, as Docker's, GitLab's and many other registries write it.
 *
 * @remarks The cheapest way that the driver has: one flat walk of each prefix where it can `walk`, else directory by directory,
 * with no look at anything that a name tells already.
 * @throws TypeError where the driver is none, `root` is no path, or there is another option.
 */
export function openRegistry(driver: StorageDriver, options: { readonly root?: string } = {}): Namespace {
  checkDriver(driver);
  requireOptions("openRegistry", options, ["root"]);
  const root = options.root ?? DEFAULT_ROOT;
  const layout = new Layout(root);
  const access = (look: LookOptions): Access => ({ driver: look.through?.(driver) ?? driver, options: look });

  const lookAtOne = (digest: string, look: LookOptions = {}) => lookAtBlob(access(look), layout, digest);

  const whole: Pick<Namespace, "repositories" | "blobs"> = {
    repositories: (look = {}) =>
      walks(driver) ? walkedRepositories(driver, layout, access(look)) : directoryRepositories(driver, layout, access(look)),
    blobs: (look = {}) => listBlobs(access(look), layout),
  };
  return {
    ...whole,
    blobFootprint: (digest) => layout.blobFootprint(digest),
    lookAtBlob: lookAtOne,
    manyOf: { lookAtBlob: lookAtOne, blobs: whole.blobs },
    lookAtBlobs: (digests, look = {}) => lookAtBlobs(access(look), layout, digests),
    packedBlobs: (look = {}) => listPackedBlobs(access(look), layout),
    online: { lock: layout.runLock, aside: layout.aside },
    guard: (look = {}) => guard(access(look), layout),
    pieces: {
      of: whole,
      surveyRoots: (look = {}) => surveyRoots(access(look), layout),
      survey: (piece, look = {}) => survey(driver, layout, access(look), piece),
      repository: (name) =>
        walks(driver) ? new WalkedRepository(name, driver, layout, new DigestIndex()) : new DirectoryRepository(name, driver, layout, true),
      blobsBetween: (from, to, look = {}) => blobsBetween(access(look), layout, from, to),
    },
  };
}

/** The database's lock is a file; a directory in its place locks nothing, and is only warned of. */
async function guard({ driver, options }: Access, layout: Layout): Promise<readonly string[]> {
  try {
    const lock = await driver.stat(layout.databaseLock, options);
    if (!lock.isDirectory) throw new DatabaseInUseError(layout.databaseLock);
    return [`${layout.databaseLock} is a directory, not the lock of a metadata database; going on`];
  } catch (error) {
    if (isPathNotFound(error)) return [];
    throw error;
  }
}

/** A flat walk is one piece; else each directory at the top is. Strays among these are told here. */
async function surveyRoots({ driver, options }: Access, layout: Layout): Promise<readonly string[]> {
  if (walks(driver)) return [""];
  const roots: string[] = [];
  for (const { name, info } of await allChildren(driver, layout.repositories, options)) {
    if (info.isDirectory && !name.startsWith("_")) roots.push(name);
    else options.onUnrecognized?.(info.path);
  }
  return roots;
}

async function* survey(driver: StorageDriver, layout: Layout, access: Access, root: string): AsyncIterable<readonly SurveyedRepository[]> {
  // Links tell what they are when the repository is looked at.
  const options = { ...access.options, onUnrecognized: undefined, onLinkedDirectory: undefined };
  if (!walks(driver)) {
    for await (const { name } of directoryRepositories(driver, layout, access, root)) {
      let revisions = 0;
      for await (const page of children(access.driver, join(layout.repository(name).revisions, "sha256"), options))
        revisions += page.length;
      yield [{ name, revisions }];
    }
    return;
  }
  for await (const repository of walkedRepositories(driver, layout, access)) {
    let revisions = 0;
    for await (const page of repository.revisions({ ...options, through: access.options.through })) revisions += page.length;
    yield [{ name: repository.name, revisions }];
  }
}

/** Directories that are listed before it is their turn: whoever looks at repositories must not wait for each listing. */
const LISTED_AHEAD = 16;

/** A directory that holds one of the layout's own is a repository; nothing else that starts with `_` is entered. */
async function* directoryRepositories(driver: StorageDriver, layout: Layout, access: Access, root = ""): AsyncIterable<Repository> {
  // A whole repository, or a team's, often lies on another disk: that shares nothing.
  const listings = new ListingsAhead(access.driver, { ...access.options, onLinkedDirectory: undefined });
  const directoryOf = (name: string) => (name === "" ? layout.repositories : join(layout.repositories, name));
  const noteLink = ({ path, isLink }: FileInfo) => {
    if (isLink === true) access.options.onLinkedDirectory?.(path);
  };
  const open = [root];
  try {
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      const parts = new Set<string>();
      const inner = name === "" ? "" : `${name}/`;
      const children = listings.take(directoryOf(name));
      for (const next of open.slice(-LISTED_AHEAD).reverse()) void listings.begin(directoryOf(next));
      for (const child of await children) {
        const isOwn = isPart(child.name) && name !== "";
        if (isOwn) noteLink(child.info);
        if (child.info.isDirectory && !child.name.startsWith("_")) open.push(`${inner}${child.name}`);
        else if (child.info.isDirectory && isOwn) parts.add(child.name);
        else access.options.onUnrecognized?.(child.info.path);
      }
      if (parts.size > 0) yield new DirectoryRepository(name, driver, layout, parts.has("_uploads"));
    }
  } finally {
    await listings.end();
  }
}

/** What a driver in JavaScript calls `null` it hasn't: a walk that finds nothing would make every repository invisible. */
function walks(driver: StorageDriver): boolean {
  return typeof driver.walk === "function";
}

function isPart(name: string): boolean {
  return REPOSITORY_PARTS.some((part) => part === name);
}

async function* walkedRepositories(driver: StorageDriver, layout: Layout, access: Access): AsyncIterable<Repository> {
  const digests = new DigestIndex();
  const found = new Map<string, WalkedRepository>();
  const odd: { readonly name: string; readonly rest: readonly string[] }[] = [];
  for await (const page of walkBelow(access.driver, layout.repositories, access.options)) {
    for (const info of page) {
      const key = splitKey(info.path.slice(layout.repositories.length + 1));
      // A file in the place of one of a repository's own directories makes no repository.
      if (key === undefined || key.rest.length === 1 || !isPath(info.path)) {
        access.options.onUnrecognized?.(info.path);
        if (key !== undefined) odd.push(key);
        continue;
      }
      const repository = found.get(key.name) ?? new WalkedRepository(key.name, driver, layout, digests);
      found.set(key.name, repository);
      repository.take(key.rest, info);
    }
  }
  for (const { name, rest } of odd) found.get(name)?.takeOdd(rest);
  for (const [name, repository] of found) {
    found.delete(name);
    yield repository;
  }
}
