/**
 * What a manifest names, as a cache remembers it between runs. A manifest never changes, so an entry is right as long as the rule that
 * made it is today's: each says of which manifest and by which rule it is, and carries a checksum over all of that.
 */

import { hash } from "node:crypto";
import { isDigest } from "./digest.js";
import { type ManifestDocument, property } from "./manifest.js";
import type { ManifestInfo } from "./options.js";

/** To be raised with every change of what is read out of a manifest. */
const RULE = 1;

/** What the document says of itself, for `keep`. */
export type ManifestFacts = Omit<ManifestInfo, "repository" | "digest" | "modTime">;

/** All that a run keeps of a manifest. */
export interface KnownManifest extends Pick<ManifestDocument, "named" | "subjects" | "isManifest" | "mayHaveSignatures"> {
  readonly facts: ManifestFacts;
}

/** The bytes that a cache keeps. */
export function toEntry(digest: string, known: KnownManifest): Uint8Array {
  const body = JSON.stringify(known);
  return Buffer.from(`${checksum(digest, body)}\n${body}`);
}

/** What bytes from a cache say; `undefined` where they are damaged, of another manifest, or made by another rule. */
export function fromEntry(digest: string, bytes: Uint8Array): KnownManifest | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  if (end < 0 || text.slice(0, end) !== checksum(digest, body)) return undefined;
  const value: unknown = JSON.parse(body);
  return isKnown(value) ? value : undefined;
}

function checksum(digest: string, body: string): string {
  return hash("sha256", `${RULE} ${digest}\n${body}`, "hex");
}

function isKnown(value: unknown): value is KnownManifest {
  const named = property(value, "named");
  const subjects = property(value, "subjects");
  return (
    Array.isArray(named) &&
    named.every((each) => isDigest(property(each, "digest")) && typeof property(each, "mayBeManifest") === "boolean") &&
    Array.isArray(subjects) &&
    subjects.every((each) => isDigest(each)) &&
    typeof property(value, "isManifest") === "boolean" &&
    typeof property(value, "mayHaveSignatures") === "boolean" &&
    typeof property(property(value, "facts"), "size") === "number"
  );
}
