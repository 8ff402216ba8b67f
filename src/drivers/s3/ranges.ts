/** Ranges of keys, and where to part them: by the directories that a listing shows, or by arithmetic where names are hashes. */

import { compareKeys } from "./keys.js";
import { fetchPage, type Query } from "./pages.js";
import type { Requests } from "./requests.js";

/** The keys after one, up to and with another. */
export interface Range {
  /** Not itself in the range; `undefined`: from the beginning. */
  readonly after: string | undefined;
  /** The last key that may be in it; `undefined`: to the end of the prefix. */
  end: string | undefined;
  /** The last key that was listed. */
  cursor: string | undefined;
  /** Pages that were listed since it was last parted. */
  pages: number;
  /** How many components below the prefix are the same from the cursor to the end. */
  depth: number;
  /** Nothing more to part it by. */
  isWhole: boolean;
}

export function rangeOf(after: string | undefined, end: string | undefined, depth = 0): Range {
  return { after, end, cursor: after, pages: 0, depth, isWhole: false };
}

/** Keys to part a range at, in order. */
export interface Parting {
  readonly points: readonly string[];
  /** Requests that were made to find them. */
  readonly requests: number;
}

const HASH = /^[0-9a-f]{32,}$/;
/** Digits that are reckoned with: 32 bits tell any number of ranges apart. */
const DIGITS = 8;

/**
 * Finds keys that part what is left of a range into about equal pieces.
 *
 * From the top downwards, the first directory that has more children between the cursor and the end is parted between them.
 */
export async function partingOf(requests: Requests, query: Query, range: Range, wanted: number): Promise<Parting> {
  const none: Parting = { points: [], requests: 0 };
  if (range.cursor === undefined) return none;
  const components = range.cursor.slice(query.prefix.length).split("/");
  let made = 0;
  for (; range.depth < components.length - 1; range.depth++) {
    const name = components[range.depth] ?? "";
    const directory =
      query.prefix +
      components
        .slice(0, range.depth)
        .map((each) => `${each}/`)
        .join("");
    if (range.end !== undefined && compareKeys(range.end, `${directory}${name}0`) < 0) continue;
    if (HASH.test(name)) return { points: hashPoints(directory, name, range, wanted), requests: made };
    made++;
    const points = await siblings(requests, { ...query, prefix: directory, delimiter: "/", startAfter: range.cursor }, name);
    if (points === undefined) break;
    const inside = points.filter((point) => isInside(range, point));
    if (inside.length > 0) return { points: spread(inside, wanted), requests: made };
  }
  range.isWhole = true;
  return { points: [], requests: made };
}

/** Whether a key may part what is left of a range, as far as that has come by now. */
export function isInside(range: Range, point: string): boolean {
  const isAhead = range.cursor === undefined || compareKeys(point, range.cursor) > 0;
  return isAhead && (range.end === undefined || compareKeys(point, range.end) < 0);
}

/** Directories after the one of this name; `undefined` where the store does not know how to begin after a key. */
async function siblings(requests: Requests, query: Query, name: string): Promise<readonly string[] | undefined> {
  const own = `${query.prefix}${name}/`;
  const { prefixes, isTruncated } = await fetchPage(requests, query);
  if (prefixes.some((prefix) => compareKeys(prefix, own) < 0)) return undefined;
  const others = prefixes.filter((prefix) => prefix !== own);
  // Of more than a page the rest lies after its last: that is a good place too.
  const last = others.at(-1);
  return isTruncated && last !== undefined ? [...others, last] : others;
}

/** Evenly out of the middle of a list. */
function spread(all: readonly string[], wanted: number): string[] {
  const count = Math.min(wanted, all.length);
  const points = Array.from({ length: count }, (_, i) => all[Math.floor(((i + 1) * all.length) / (count + 1))] ?? "");
  return [...new Set(points)].filter((point) => point !== "");
}

/** Hashes lie evenly: what is left of them, in equal parts, and no more parts than its pages are worth. */
function hashPoints(directory: string, name: string, range: Range, wanted: number): string[] {
  const from = numberOf(name);
  const endName = range.end?.startsWith(directory) === true ? range.end.slice(directory.length).split("/")[0] : undefined;
  const to = endName === undefined ? 16 ** DIGITS : numberOf(endName);
  const count = Math.min(wanted, to - from - 1);
  const points: string[] = [];
  for (let i = 1; i <= count; i++) {
    const at = from + Math.floor(((to - from) * i) / (count + 1));
    points.push(directory + at.toString(16).padStart(DIGITS, "0"));
  }
  return points.filter((point) => isInside(range, point));
}

function numberOf(hex: string): number {
  const digits = /^[0-9a-f]*/.exec(hex)?.[0] ?? "";
  return Number.parseInt(digits.slice(0, DIGITS).padEnd(DIGITS, "0") || "0", 16);
}
