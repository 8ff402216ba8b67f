/** Links: small files that hold a digest, to the letter. Registries trim nothing. */

import { hash } from "node:crypto";
import { isDigest } from "../digest.js";
import type { FileInfo, StorageDriver } from "../driver.js";
import { bufferOf } from "../internal/bufferOf.js";
import { readBounded } from "../internal/readBounded.js";
import type { Damage, LookOptions } from "../namespace.js";
import { isDirectory } from "./listing.js";

/** More than any link holds, so that a longer one shows. */
const MAX_LINK_BYTES = 256;

/** What a link says, or what is wrong with it. */
export type LinkContent =
  | { readonly digest: string; readonly damage?: undefined }
  | { readonly digest?: undefined; readonly damage: Damage };

/** The bytes of a small file, enough of a longer one to tell. */
export function readSmall(driver: StorageDriver, path: string, options: LookOptions): Promise<Uint8Array> {
  return readBounded(driver, path, { signal: options.signal, maxBytes: MAX_LINK_BYTES });
}

/** Reads and judges a link. Rejects with `PATH_NOT_FOUND` where there is none. */
export async function readLink(driver: StorageDriver, path: string, options: LookOptions): Promise<LinkContent> {
  let bytes: Uint8Array;
  try {
    bytes = await readSmall(driver, path, options);
  } catch (error) {
    if (await isDirectory(driver, path, options)) return { damage: directoryForLink(path) };
    throw error;
  }
  return judgeLink(path, bytes);
}

/** What a link says, of bytes that were read. */
function judgeLink(path: string, bytes: Uint8Array): LinkContent {
  if (bytes.length === 0) {
    return { damage: { kind: "empty-link", path, message: `${path} is empty, as a crash leaves a link` } };
  }
  const content = bufferOf(bytes).toString("utf8");
  if (isDigest(content)) return { digest: content };
  const start = JSON.stringify(content.slice(0, 80));
  return { damage: { kind: "malformed-link", path, message: `${path} holds ${start}, which is no digest` } };
}

/** The MD5 of a link that holds this digest, in hex: object stores tell a file's MD5 with its name. */
export function md5OfLink(digest: string): string {
  return hash("md5", digest, "hex");
}

/** A file's MD5 in hex, where the listing has told it. */
export function listedMd5({ md5 }: FileInfo): string | undefined {
  return md5 && bufferOf(md5).toString("hex");
}

/** What is wrong where a directory stands in a link's place. */
export function directoryForLink(path: string): Damage {
  return { kind: "malformed-link", path, message: `${path} is a directory, and should be a link` };
}

/** What is wrong with a link that names another digest than it should. */
export function mismatchedLink(path: string, named: string): Damage {
  return { kind: "mismatched-link", path, message: `${path} names ${named}, not the digest of its path` };
}
