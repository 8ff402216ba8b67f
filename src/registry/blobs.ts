/** The blob store that all repositories share. */

import { type Algorithm, isAlgorithm, isHexOf } from "../digest.js";
import { join } from "../driver.js";
import { isPathNotFound } from "../errors.js";
import { mayVisit, statAll, visitAll } from "../internal/manyAtOnce.js";
import { readBounded } from "../internal/readBounded.js";
import { Turns, turn } from "../internal/turn.js";
import type { BlobInfo, LookOptions } from "../namespace.js";
import { children, isDirectory, knownDirectories, walkBelow } from "./listing.js";
import { PREFIX_VISIT } from "./overview.js";
import { digestOf, type Layout } from "./paths.js";
import type { Access } from "./repositoryParts.js";

/** Prefixes that are listed at once. */
const PREFIXES_AT_ONCE = 16;
/** Prefixes in one visit. */
const VISITED_AT_ONCE = 8;
/** Visits under way: two for each of two threads. With fewer the second one starts when the blobs are listed: 2 per cent of a dry run. */
const VISITS = 4;

/** Every blob, the cheapest way that the driver has. Where it has directories, names are believed and no blob is looked at. */
export async function* listBlobs(access: Access, layout: Layout): AsyncIterable<readonly BlobInfo[]> {
  if (access.driver.walk !== undefined) yield* walkBlobs(access, layout, layout.blobs);
  else for await (const some of prefixesOf(access, layout, access.options)) yield* listLanes(access, some);
}

/** The same, where names that say it all are told as bytes. */
export async function* listPackedBlobs(access: Access, layout: Layout): AsyncIterable<readonly BlobInfo[] | Uint8Array> {
  if (access.driver.walk !== undefined || !mayVisit(access.driver)) yield* listBlobs(access, layout);
  else for await (const some of prefixesOf(access, layout, access.options)) yield* visitPrefixes(access, some);
}

/** The blobs of which the first byte is one of these. Strays beside the prefixes are told with the first piece. */
export async function* blobsBetween(access: Access, layout: Layout, from: number, to: number): AsyncIterable<readonly BlobInfo[]> {
  const { driver, options } = access;
  const isMeant = (prefix: string) => Number.parseInt(prefix, 16) >= from && Number.parseInt(prefix, 16) < to;
  const beside = from === 0 ? options : { ...options, onUnrecognized: undefined };
  for await (const { base, algorithm, prefixes } of prefixesOf(access, layout, beside)) {
    const meant = prefixes.filter(isMeant);
    if (driver.walk === undefined) yield* listLanes(access, { base, algorithm, prefixes: meant });
    else for (const prefix of meant) yield* walkBlobs(access, layout, join(base, prefix));
  }
}

function isPrefix(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

/** Where the blobs of one algorithm lie. */
interface Prefixes {
  readonly base: string;
  readonly algorithm: Algorithm;
  readonly prefixes: readonly string[];
}

async function* prefixesOf({ driver }: Access, layout: Layout, beside: LookOptions): AsyncIterable<Prefixes> {
  for (const algorithm of await knownDirectories(driver, layout.blobs, isAlgorithm, beside)) {
    if (!isAlgorithm(algorithm)) continue;
    const base = join(layout.blobs, algorithm);
    yield { base, algorithm, prefixes: await knownDirectories(driver, base, isPrefix, beside) };
  }
}

/** Visits are under way while others are worked off. */
async function* visitPrefixes(access: Access, { base, algorithm, prefixes }: Prefixes): AsyncIterable<readonly BlobInfo[] | Uint8Array> {
  if (algorithm !== "sha256") {
    yield* listLanes(access, { base, algorithm, prefixes });
    return;
  }
  const { driver, options } = access;
  const visit = async (start: number) => {
    const some = prefixes.slice(start, start + VISITED_AT_ONCE);
    const paths = some.map((prefix) => join(base, prefix));
    return { some, told: await visitAll(driver, paths, { signal: options.signal, visit: PREFIX_VISIT }) };
  };
  const begin = (start: number) => {
    const visits = visit(start);
    visits.catch(() => undefined); // It is thrown when it is taken.
    return visits;
  };
  const turns = new Turns();
  const open: ReturnType<typeof visit>[] = [];
  for (let i = 0; i < VISITS; i++) {
    // The first ones start threads. Asked again after a turn: time is counted from the first who asks.
    while (turns.isLong()) await turn();
    open.push(begin(i * VISITED_AT_ONCE));
  }
  for (let start = VISITED_AT_ONCE * VISITS; open.length > 0; start += VISITED_AT_ONCE) {
    const visits = await open.shift();
    if (start < prefixes.length) open.push(begin(start));
    const singly: string[] = [];
    for (const [i, prefix] of visits?.some.entries() ?? []) {
      const packed = visits?.told[i];
      if (packed === undefined) singly.push(prefix);
      else yield packed;
    }
    yield* listLanes(access, { base, algorithm, prefixes: singly });
  }
}

/** Lists prefixes, some at a time. */
async function* listLanes(access: Access, { base, algorithm, prefixes }: Prefixes): AsyncIterable<readonly BlobInfo[]> {
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

/** The bytes of a manifest; `undefined` where it is not there. */
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
