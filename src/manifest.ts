/** Reading a manifest: its bytes proved against its digest, and then what they name. */

import * as crypto from "node:crypto";
import { DIGEST, splitDigest } from "./digest.js";
import { type ManifestDocument, manifestRule } from "./manifestRule.js";
import type { DamageKind } from "./namespace.js";

/** The largest manifest that registries accept, in bytes. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const rule = manifestRule({ crypto, digest: DIGEST });

/** Why bytes are not the manifest that their digest promises. */
export interface ManifestDamage {
  readonly kind: DamageKind & ("digest-mismatch" | "not-json" | "too-large");
  /** Of bytes that were not proved: whether they may be what is left of a document. */
  readonly mayBeDocument?: boolean;
  readonly message: string;
}

/** Proves the bytes against the digest, then reads what they name. Not a word of them is believed before. */
export function readManifest(digest: string, bytes: Uint8Array): ManifestDocument | ManifestDamage {
  if (bytes.length > MAX_MANIFEST_BYTES) return { kind: "too-large", message: "is larger than the 4 MiB that registries accept" };
  const { algorithm, hex } = splitDigest(digest);
  if (crypto.hash(algorithm, bytes, "hex") !== hex) {
    const message = `has other content than its digest says (${bytes.length} bytes)`;
    return { kind: "digest-mismatch", mayBeDocument: mayBeDocument(bytes), message };
  }
  return rule.read(bytes) ?? { kind: "not-json", message: "is no JSON" };
}

/** Whether bytes begin as a document does, or as a file that was lost in a crash of the disk: empty, or with zeros. */
function mayBeDocument(bytes: Uint8Array): boolean {
  return /^[\s\0\ufeff]*(?:\{|$)/.test(Buffer.from(bytes.subarray(0, 64)).toString("utf8"));
}

/** All that a run keeps of a manifest of so many bytes, packed: src/manifestEntry.ts reads it. */
export function packManifest(document: ManifestDocument, size: number, withFacts: boolean): Uint8Array {
  return rule.pack(document, size, withFacts);
}

/**
 * The text of a function for {@link StorageDriver.visitMany}: it makes of the manifest at a path what its bytes hash to under sha256, and
 * behind that what {@link packManifest} makes of them; nothing where they are too many, or no JSON.
 */
export function manifestVisit(withFacts: boolean): string {
  // A transformer that keeps functions' names puts calls of `__name` in.
  return `(crypto) => {
    const __name = (target) => target;
    const rule = (${String(manifestRule)})({ crypto, digest: ${String(DIGEST)} });
    return (files, path) => {
      const bytes = files.readOnce(path, ${MAX_MANIFEST_BYTES + 1});
      return bytes.length > ${MAX_MANIFEST_BYTES} ? undefined : rule.extract(bytes, ${String(withFacts)});
    };
  }`;
}
