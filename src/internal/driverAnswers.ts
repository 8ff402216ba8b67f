/** What drivers in JavaScript may answer with, and is no answer: said with what it should have been, where a TypeError would tell a riddle. */

import type { FileInfo } from "../driver.js";

/** @throws TypeError */
export function fileInfoIn(answer: FileInfo): FileInfo {
  if (typeof answer === "object" && (answer as FileInfo | null) !== null) return answer;
  throw new TypeError(
    `stat must give { path, isDirectory, size, modTime }, and reject with the code PATH_NOT_FOUND where nothing is; got ${typeOf(answer)}`,
  );
}

/** @throws TypeError */
export function bytesIn(answer: Uint8Array | undefined): Uint8Array {
  if (ArrayBuffer.isView(answer)) return answer;
  throw new TypeError(`getContent must give the bytes, a Uint8Array; got ${typeOf(answer)}`);
}

/**
 * A promise of pages, too, is none: its failure must not end the process.
 *
 * @throws TypeError
 */
export function pagesIn(method: string, answer: AsyncIterable<readonly FileInfo[]>): AsyncIterable<readonly FileInfo[]> {
  if (typeof (answer as Partial<typeof answer> | undefined)?.[Symbol.asyncIterator] === "function") return answer;
  if (answer instanceof Promise) answer.catch(() => undefined);
  throw new TypeError(`${method} must give an async iterable of pages, as an async generator does; got ${typeOf(answer)}`);
}

/** @throws TypeError */
export function pageIn(method: string, page: readonly FileInfo[]): readonly FileInfo[] {
  if (Array.isArray(page) && page.every(isFileInfo)) return page as readonly FileInfo[];
  const got = Array.isArray(page) ? `an array with ${typeOf(page.find((each) => !isFileInfo(each)))} in it` : typeOf(page);
  throw new TypeError(`${method} must give pages, each an array of { path, isDirectory, … }; got ${got}`);
}

/** @throws TypeError */
export function streamIn<S>(answer: S): S {
  const { pipe, getReader } = (answer as { pipe?: unknown; getReader?: unknown } | null | undefined) ?? {};
  if (typeof pipe === "function" || typeof getReader === "function") return answer;
  throw new TypeError(`reader must give a stream, a Readable or a ReadableStream; got ${typeOf(answer)}`);
}

function isFileInfo(value: unknown): boolean {
  return typeof value === "object" && value !== null && typeof (value as Partial<FileInfo>).path === "string";
}

function typeOf(value: unknown): string {
  if (value instanceof Promise) return "a promise";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  const kind = (value as { constructor?: { name?: unknown } }).constructor?.name;
  if (typeof kind === "string" && kind !== "Object") return `an instance of ${kind}`;
  return `an object with ${Object.keys(value).slice(0, 5).join(", ") || "nothing"} in it`;
}
