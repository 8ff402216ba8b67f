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
    // The next are listed while these are worked off.
    let listed = listDirectories(access, base, algorithm, prefixes.slice(0, PREFIXES_AT_ONCE));
    for (let next = PREFIXES_AT_ONCE; next < prefixes.length + PREFIXES_AT_ONCE; next += PREFIXES_AT_ONCE) {
      const pages = await listed;
      listed = listDirectories(access, base, algorithm, prefixes.slice(next, next + PREFIXES_AT_ONCE));
      // Whoever stops here doesn't ask whether the next could be listed.
      listed.catch(() => undefined);
      yield* pages;
    }
  }
}

function listDirectories(
  { driver, options }: Access,
  base: string,
  algorithm: Algorithm,
  prefixes: readonly string[],
): Promise<BlobInfo[][]> {
  return Promise.all(
    prefixes.map(async (prefix) => {
      const blobs: BlobInfo[] = [];
      for await (const page of children(driver, join(base, prefix), options)) {
        for (const { name, info } of page) {
          if (info.isDirectory && isHexOf(algorithm, name) && name.startsWith(prefix)) blobs.push({ digest: digestOf(algorithm, name) });
          else options.onUnrecognized?.(info.path);
        }
      }
      return blobs;
    }),
  );
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
