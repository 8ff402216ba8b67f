/** The blob store that all repositories share. */

import { type Algorithm, isAlgorithm, isHexOf } from "../digest.js";
import { join } from "../driver.js";
import { isPathNotFound } from "../errors.js";
import { statAll } from "../internal/manyAtOnce.js";
import { readBounded } from "../internal/readBounded.js";
import type { BlobInfo, LookOptions } from "../namespace.js";
import { children, isDirectory, knownDirectories, walkBelow } from "./listing.js";
import { digestOf, type Layout } from "./paths.js";
import type { Access } from "./repositoryParts.js";

/** Prefixes that are listed at once. */
const PREFIXES_AT_ONCE = 16;

/** Every blob, the cheapest way that the driver has. Where it has directories, names are believed and no blob is looked at. */
export async function* listBlobs(access: Access, layout: Layout): AsyncIterable<readonly BlobInfo[]> {
  if (access.driver.walk === undefined) yield* listPrefixes(access, layout, () => true);
  else yield* walkBlobs(access, layout, layout.blobs);
}

/** The blobs of which the first byte is one of these. Strays beside the prefixes are told with the first piece. */
export async function* blobsBetween(access: Access, layout: Layout, from: number, to: number): AsyncIterable<readonly BlobInfo[]> {
  const { driver, options } = access;
  const isMeant = (prefix: string) => Number.parseInt(prefix, 16) >= from && Number.parseInt(prefix, 16) < to;
  const beside = from === 0 ? options : { ...options, onUnrecognized: undefined };
  if (driver.walk === undefined) {
    yield* listPrefixes(access, layout, isMeant, beside);
    return;
  }
  for (const algorithm of await knownDirectories(driver, layout.blobs, isAlgorithm, beside)) {
    const base = join(layout.blobs, algorithm);
    for (const prefix of await knownDirectories(driver, base, isPrefix, beside)) {
      if (isMeant(prefix)) yield* walkBlobs(access, layout, join(base, prefix));
    }
  }
}

function isPrefix(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

async function* listPrefixes(
  access: Access,
  layout: Layout,
  isMeant: (prefix: string) => boolean,
  beside: LookOptions = access.options,
): AsyncIterable<readonly BlobInfo[]> {
  const { driver } = access;
  for (const algorithm of await knownDirectories(driver, layout.blobs, isAlgorithm, beside)) {
    if (!isAlgorithm(algorithm)) continue;
    const base = join(layout.blobs, algorithm);
    const prefixes = (await knownDirectories(driver, base, isPrefix, beside)).filter(isMeant);
    const open = (start: number) => openLanes(access, base, algorithm, prefixes.slice(start, start + PREFIXES_AT_ONCE));
    let [lanes, next] = [open(0), [] as Lane[]];
    try {
      for (let start = PREFIXES_AT_ONCE; lanes.length > 0; start += PREFIXES_AT_ONCE) {
        // The next are begun before these are worked off.
        next = open(start);
        yield* pagesOf(lanes);
        lanes = next;
      }
    } finally {
      // Whoever stops here doesn't ask whether the rest could be listed.
      for (const { pages } of [...lanes, ...next]) pages.return(undefined).catch(() => undefined);
    }
  }
}

/** A listing under way, of which one page at most waits to be taken: however many blobs there are, few are held. */
interface Lane {
  readonly pages: AsyncGenerator<readonly BlobInfo[]>;
  readonly page: Promise<IteratorResult<readonly BlobInfo[], unknown>>;
}

function openLanes(access: Access, base: string, algorithm: Algorithm, prefixes: readonly string[]): Lane[] {
  return prefixes.map((prefix) => laneOf(blobsOfPrefix(access, base, algorithm, prefix)));
}

function laneOf(pages: AsyncGenerator<readonly BlobInfo[]>): Lane {
  const page = pages.next();
  page.catch(() => undefined); // It is thrown when it is taken.
  return { pages, page };
}

/** The pages of all these, in turns. */
async function* pagesOf(lanes: readonly Lane[]): AsyncIterable<readonly BlobInfo[]> {
  for (let open = lanes; open.length > 0; ) {
    const left: Lane[] = [];
    for (const { pages, page } of open) {
      const { done, value } = await page;
      if (done === true) continue;
      left.push(laneOf(pages));
      yield value;
    }
    open = left;
  }
}

async function* blobsOfPrefix(
  { driver, options }: Access,
  base: string,
  algorithm: Algorithm,
  prefix: string,
): AsyncGenerator<readonly BlobInfo[]> {
  for await (const page of children(driver, join(base, prefix), options)) {
    const blobs: BlobInfo[] = [];
    for (const { name, info } of page) {
      if (info.isDirectory && isHexOf(algorithm, name) && name.startsWith(prefix)) blobs.push({ digest: digestOf(algorithm, name) });
      else options.onUnrecognized?.(info.path);
    }
    yield blobs;
  }
}

async function* walkBlobs({ driver, options }: Access, layout: Layout, below: string): AsyncIterable<readonly BlobInfo[]> {
  for await (const page of walkBelow(driver, below, options)) {
    const blobs: BlobInfo[] = [];
    for (const info of page) {
      const [algorithm = "", prefix = "", hex = "", file, ...more] = info.path.slice(layout.blobs.length + 1).split("/");
      const isBlob =
        file === "data" && more.length === 0 && isAlgorithm(algorithm) && isHexOf(algorithm, hex) && hex.slice(0, 2) === prefix;
      if (isBlob) blobs.push({ digest: digestOf(algorithm, hex), size: info.size, modTime: info.modTime });
      else options.onUnrecognized?.(info.path);
    }
    yield blobs;
  }
}

/** One blob with its size and time; `undefined` where there is none: nothing is deleted on the strength of that. */
export async function lookAtBlob({ driver, options }: Access, layout: Layout, digest: string): Promise<BlobInfo | undefined> {
  try {
    const info = await driver.stat(layout.blobData(digest), options);
    return info.isDirectory ? undefined : { digest, size: info.size, modTime: info.modTime };
  } catch (error) {
    if (isPathNotFound(error)) return undefined;
    throw error;
  }
}

/** The same for several. */
export async function lookAtBlobs(access: Access, layout: Layout, digests: readonly string[]): Promise<(BlobInfo | undefined)[]> {
  const { driver, options } = access;
  const paths = digests.map((digest) => layout.blobData(digest));
  const found = await statAll(driver, paths, options, (i) => lookAtBlob(access, layout, digests[i] ?? ""));
  return found.map((each, i) => {
    if (each === undefined || "digest" in each) return each;
    return each.isDirectory ? undefined : { digest: digests[i] ?? "", size: each.size, modTime: each.modTime };
  });
}

/** The bytes of a manifest: one call, and no other where it is not there, since its absence takes nothing's life. */
export async function readManifestBlob(
  { driver, options }: Access,
  layout: Layout,
  digest: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  try {
    return await readBounded(driver, layout.blobData(digest), { signal: options.signal, maxBytes });
  } catch (error) {
    if (isPathNotFound(error) || (await isDirectory(driver, layout.blobData(digest), options))) return undefined;
    throw error;
  }
}
