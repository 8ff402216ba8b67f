/** Links: small files that hold a digest, to the letter. Registries trim nothing. */

import { isDigest } from "../digest.js";
import type { StorageDriver } from "../driver.js";
import { readBounded } from "../internal/readBounded.js";
import type { Damage, LookOptions } from "../namespace.js";

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
  const bytes = await readSmall(driver, path, options);
  if (bytes.length === 0) {
    return { damage: { kind: "empty-link", path, message: `${path} is empty, as a crash leaves a link` } };
  }
  const content = Buffer.from(bytes).toString("utf8");
  if (isDigest(content)) return { digest: content };
  const start = JSON.stringify(content.slice(0, 80));
  return { damage: { kind: "malformed-link", path, message: `${path} holds ${start}, which is no digest` } };
}

/** Judges a link whose path tells its digest. */
export async function judgeLink(driver: StorageDriver, path: string, digest: string, options: LookOptions): Promise<Damage | undefined> {
  const content = await readLink(driver, path, options);
  if (content.damage !== undefined) return content.damage;
  if (content.digest === digest) return undefined;
  return { kind: "mismatched-link", path, message: `${path} names ${content.digest}, not the digest of its path` };
}
