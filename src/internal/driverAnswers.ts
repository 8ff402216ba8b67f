/** Drivers in JavaScript may answer with anything: what is no answer is told with what it should have been, each time as a TypeError. */

import { types } from "node:util";
import type { FileInfo } from "../driver.js";
import { isObject } from "../errors.js";
import { onRejection } from "../logger.js";

/** What a driver says is at this path: whatever path it names itself. */
export function fileInfoIn(path: string, answer: FileInfo): FileInfo {
  const should = "stat must give { path, isDirectory, size, modTime }, or reject with the code PATH_NOT_FOUND";
  const { isDirectory, size, modTime, md5, isLink } = must(should, isFileInfo(answer), answer);
  return { path, isDirectory, size, modTime: dateIn(modTime), md5: md5 ?? undefined, isLink };
}

/** A date that is none is a time that the store doesn't tell. */
function dateIn(modTime: Date | null | undefined): Date | undefined {
  return Number.isNaN(modTime?.getTime()) ? undefined : (modTime ?? undefined);
}

/** Those of many answers that are about the paths that were asked for; the others are asked for singly. */
export function fileInfosIn(paths: readonly string[], answers: readonly (FileInfo | undefined)[]): (FileInfo | undefined)[] {
  return answers.map((answer, i) => (isFileInfo(answer) && answer.path === paths[i] ? answer : undefined));
}

/** Whether it tells what is at a path; a walk, which names nothing but files, need not say that each is one. */
function isFileInfo(value: unknown, isWalked = false): value is FileInfo {
  if (!isObject(value)) return false;
  const { isDirectory, modTime, md5 } = value as Partial<Record<keyof FileInfo, unknown>>;
  const isKindTold = typeof isDirectory === "boolean" || (isWalked && isDirectory === undefined);
  return isKindTold && (types.isDate(modTime) || isNothing(modTime)) && (types.isUint8Array(md5) || isNothing(md5));
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** A size in bytes; one that can be none is one that nobody knows. */
export function sizeIn(size: unknown): number | undefined {
  return Number.isSafeInteger(size) && Number(size) >= 0 ? Number(size) : undefined;
}

export function bytesIn(answer: Uint8Array | undefined): Uint8Array {
  return must("getContent must give bytes, a Uint8Array", types.isUint8Array(answer), answer) as Uint8Array;
}

export function streamIn<S>(answer: S): S {
  const isStream = isObject(answer) && ("pipe" in answer || "getReader" in answer);
  return must("reader must give a stream", isStream, answer);
}

export function pagesIn(method: string, answer: AsyncIterable<readonly FileInfo[]>): AsyncIterable<readonly FileInfo[]> {
  const isIterable = isObject(answer) && Symbol.asyncIterator in answer;
  // A promise of pages is none, and its failure must not end the process.
  if (!isIterable) onRejection(answer, () => undefined);
  return must(`${method} must give an async iterable of pages`, isIterable, answer);
}

export function checkPage(method: string, page: readonly FileInfo[]): void {
  const should = `${method} must give pages, each an array of { path, isDirectory, … }`;
  must(should, Array.isArray(page), page);
  for (const each of page) must(should, isFileInfo(each, method === "walk") && typeof each.path === "string", each);
}

function must<A>(should: string, isAnswer: boolean, answer: A): A {
  if (isAnswer) return answer;
  throw new TypeError(`${should}; got ${Object.prototype.toString.call(answer).slice(8, -1)}`);
}
