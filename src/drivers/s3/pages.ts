/** Pages of listings that can be trusted: whole, in order, and going on. */

import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { DriverError } from "../../errors.js";
import { UnsoundAnswer } from "./failures.js";
import { compareKeys, decodeKey, type ListedObject, listedObject } from "./keys.js";
import type { Requests } from "./requests.js";

/** What is listed. */
export interface Query {
  readonly prefix: string;
  /** The path that the caller asked for, for messages. */
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  readonly delimiter?: "/" | undefined;
  /** Only keys after this one. */
  readonly startAfter?: string | undefined;
  readonly maxKeys?: number | undefined;
}

/** Which object is looked for. */
export interface ObjectQuery {
  readonly key: string;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

export interface Page {
  readonly objects: readonly ListedObject[];
  /** Common prefixes, with their slash. */
  readonly prefixes: readonly string[];
  readonly isTruncated: boolean;
  readonly token: string | undefined;
}

/** Asks for one page; `token` of the one before. */
export function fetchPage(requests: Requests, query: Query, token?: string): Promise<Page> {
  const { prefix, delimiter, startAfter, maxKeys, path, signal } = query;
  const make = () =>
    new ListObjectsV2Command({
      Bucket: requests.bucket,
      Prefix: prefix,
      // Names with control characters would break the document otherwise.
      EncodingType: "url",
      ...(delimiter !== undefined && { Delimiter: delimiter }),
      ...(maxKeys !== undefined && { MaxKeys: maxKeys }),
      ...(token !== undefined ? { ContinuationToken: token } : startAfter !== undefined && { StartAfter: startAfter }),
    });
  return requests.send("ListObjectsV2", make, { path, signal, read: (output) => pageOf(output, prefix) });
}

function pageOf(output: ListObjectsV2CommandOutput, prefix: string): Page {
  const { IsTruncated, KeyCount, Contents = [], CommonPrefixes = [], EncodingType, NextContinuationToken } = output;
  // An error in a good answer, or half of an answer, looks like a listing of nothing otherwise.
  if (IsTruncated === undefined) throw new UnsoundAnswer("the answer is no listing, or not all of one");
  if (KeyCount !== undefined && KeyCount > Contents.length + CommonPrefixes.length) {
    throw new UnsoundAnswer(`the listing says ${KeyCount} keys, and names ${Contents.length + CommonPrefixes.length}`);
  }
  const decode = EncodingType === "url" ? decodeKey : (key: string) => key;
  const objects = Contents.map((object) => listedObject(object, decode));
  const prefixes = CommonPrefixes.map((each) => decode(each.Prefix ?? ""));
  for (const key of [...objects.map((object) => object.key), ...prefixes]) {
    if (!key.startsWith(prefix)) throw new UnsoundAnswer(`the listing of ${prefix} names ${key}`);
  }
  return { objects, prefixes, isTruncated: IsTruncated, token: NextContinuationToken };
}

/** Pages in a row that may tell nothing new: a bucket of versions skips so on what is deleted, about a thousand keys on each. */
export const MOST_IDLE_PAGES = 10_000;

/** Follows a listing from page to page, and sees that it goes on. */
export class Progress {
  private lastKey: string | undefined;
  private lastPrefix: string | undefined;
  private idlePages = 0;
  /** Tokens since the last page that had something on it: where pages advance, tokens do. */
  private tokens = new Set<string>();

  constructor(
    private readonly query: Query,
    private readonly bucket: string,
  ) {
    this.lastKey = query.startAfter;
  }

  /** The token of the next page; `undefined` at the end. */
  check(page: Page): string | undefined {
    this.advance(page);
    const { objects, prefixes, isTruncated, token } = page;
    const isEmpty = objects.length + prefixes.length === 0;
    const hasToken = token !== undefined && token !== "";
    // One that is at its end and gives a token contradicts itself: what that leads to tells.
    if (!isTruncated && (!hasToken || isEmpty)) return undefined;
    if (!hasToken) throw this.broken("has more to tell, and gave no continuation token");
    if (this.tokens.has(token)) throw this.broken("gave the same continuation token again");
    if (!isEmpty) this.tokens.clear();
    this.tokens.add(token);
    return token;
  }

  /** Keys only go up. A prefix may be told again on the next page, but not for ever. */
  private advance({ objects, prefixes }: Page): void {
    const { lastPrefix } = this;
    for (const { key } of objects) {
      if (this.lastKey !== undefined && compareKeys(key, this.lastKey) <= 0) throw this.broken(`named ${key} after ${this.lastKey}`);
      this.lastKey = key;
    }
    for (const prefix of prefixes) {
      if (this.lastPrefix !== undefined && compareKeys(prefix, this.lastPrefix) < 0) {
        throw this.broken(`named ${prefix} after ${this.lastPrefix}`);
      }
      this.lastPrefix = prefix;
    }
    this.idlePages = objects.length === 0 && this.lastPrefix === lastPrefix ? this.idlePages + 1 : 0;
    if (this.idlePages > MOST_IDLE_PAGES) throw this.broken(`told nothing new on ${MOST_IDLE_PAGES} pages in a row`);
  }

  private broken(what: string): DriverError {
    const { path } = this.query;
    return new DriverError(`s3: the listing of ${path} in bucket ${JSON.stringify(this.bucket)} ${what}: it can't be trusted`, {
      driverName: "s3",
      path,
    });
  }
}

/** The first object of a listing, on whichever page it comes. */
export async function firstObject(requests: Requests, query: Query): Promise<ListedObject | undefined> {
  for await (const { objects } of pagesOf(requests, { ...query, maxKeys: 1 })) if (objects[0] !== undefined) return objects[0];
  return undefined;
}

/** The object of a key, where it is. */
export async function findObject(requests: Requests, { key, path, signal }: ObjectQuery): Promise<ListedObject | undefined> {
  const first = await firstObject(requests, { prefix: key, path, signal });
  return first?.key === key ? first : undefined;
}

/** All pages, one after the other. */
export async function* pagesOf(requests: Requests, query: Query): AsyncIterable<Page> {
  const progress = new Progress(query, requests.bucket);
  let token: string | undefined;
  do {
    query.signal?.throwIfAborted();
    const page = await fetchPage(requests, query, token);
    token = progress.check(page);
    yield page;
  } while (token !== undefined);
}
