/** Drivers in JavaScript may answer with anything: what is no answer is told with what it should have been, each time as a TypeError. */

import type { FileInfo } from "../driver.js";
import { isObject } from "../errors.js";

export function fileInfoIn(answer: FileInfo): FileInfo {
  return must("stat must give { path, isDirectory, size, modTime }, or reject with the code PATH_NOT_FOUND", isObject(answer), answer);
}

export function bytesIn(answer: Uint8Array | undefined): Uint8Array {
  return must("getContent must give bytes, a Uint8Array", ArrayBuffer.isView(answer), answer) as Uint8Array;
}

export function streamIn<S>(answer: S): S {
  const isStream = isObject(answer) && ("pipe" in answer || "getReader" in answer);
  return must("reader must give a stream", isStream, answer);
}

export function pagesIn(method: string, answer: AsyncIterable<readonly FileInfo[]>): AsyncIterable<readonly FileInfo[]> {
  // Of a promise of pages, too: its failure must not end the process.
  if (answer instanceof Promise) answer.catch(() => undefined);
  const isIterable = isObject(answer) && Symbol.asyncIterator in answer;
  return must(`${method} must give an async iterable of pages`, isIterable, answer);
}

export function checkPage(method: string, page: readonly FileInfo[]): void {
  const should = `${method} must give pages, each an array of { path, isDirectory, … }`;
  must(should, Array.isArray(page), page);
  for (const each of page) must(should, isObject(each) && typeof each.path === "string", each);
}

function must<A>(should: string, isAnswer: boolean, answer: A): A {
  if (isAnswer) return answer;
  throw new TypeError(`${should}; got ${Object.prototype.toString.call(answer).slice(8, -1)}`);
}
