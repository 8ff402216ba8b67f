/** Paths and the keys that stand for them. A key that no path can name is told raw, so that it is seen, and never asked for. */

import type { _Object } from "@aws-sdk/client-s3";
import type { FileInfo } from "../../driver.js";

/** What a prefix and slashes make of paths. */
export class Keys {
  /** What every key begins with: empty, or a prefix that ends in one slash. */
  readonly base: string;

  constructor(prefix: string) {
    const trimmed = prefix.replace(/^\/+/, "").replace(/\/+$/, "");
    this.base = trimmed === "" ? "" : `${trimmed}/`;
  }

  /** The key of a file. */
  keyOf(path: string): string {
    return this.base + path.slice(1);
  }

  /** What the keys of all files below a directory begin with. */
  prefixOf(path: string): string {
    return path === "/" ? this.base : `${this.keyOf(path)}/`;
  }

  /** The path of a key, or of a common prefix without its last slash. A marker keeps its slash, and so is no path. */
  pathOf(key: string): string {
    const rest = key.slice(this.base.length);
    return rest === "" ? "//" : `/${rest}`;
  }

  /** What a listing tells of an object. */
  infoOf(object: ListedObject): FileInfo {
    return { path: this.pathOf(object.key), isDirectory: false, size: object.size, modTime: object.modTime, md5: object.md5 };
  }
}

/** An object of a listing, with its key as it is. */
export interface ListedObject {
  readonly key: string;
  readonly size: number | undefined;
  readonly modTime: Date | undefined;
  /** Where the `ETag` can be one: of an object that was written in one part. Under SSE-KMS and SSE-C it looks like one, and is none. */
  readonly md5: Uint8Array | undefined;
}

const MD5_ETAG = /^"?([0-9a-fA-F]{32})"?$/;

/** An object as the SDK gives it; `decode` undoes the encoding of the listing. */
export function listedObject(object: _Object, decode: (key: string) => string): ListedObject {
  const hex = MD5_ETAG.exec(object.ETag ?? "")?.[1];
  return {
    key: decode(object.Key ?? ""),
    size: object.Size,
    modTime: object.LastModified,
    md5: hex === undefined ? undefined : Buffer.from(hex, "hex"),
  };
}

const ENCODED = /[%+]/;

/** Undoes `encoding-type=url`. What can't be decoded stays as it is: no path of ours can name it, so it is told and left. */
export function decodeKey(encoded: string): string {
  // Nearly every key stands there as it is.
  if (!ENCODED.test(encoded)) return encoded;
  try {
    return decodeURIComponent(encoded.replaceAll("+", "%20"));
  } catch {
    return encoded;
  }
}

const ASCII = /^[\0-\x7f]*$/;

/** Keys are ordered by their bytes; JavaScript's own order of strings differs from that beyond ASCII. */
export function compareKeys(a: string, b: string): number {
  if (ASCII.test(a) && ASCII.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
