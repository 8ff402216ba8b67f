/**
 * What a manifest names. One rule for all kinds, past and future: every object in the document that has a `digest` or `blobSum`
 * with a digest in it, wherever it stands, except in `annotations` and under the document's `subject`.
 *
 * Registries read keys without regard to case and take the last of several equal ones; `JSON.parse` does neither. So the document
 * is proved to be JSON by `JSON.parse`, and then scanned: in linear time, without recursion.
 */

import { hash } from "node:crypto";
import { isDigest, splitDigest } from "./digest.js";
import type { DamageKind } from "./namespace.js";

/** The largest manifest that registries accept, in bytes. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

const MANIFEST_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.artifact.manifest.v1+json",
]);

/** A digest that a manifest names. */
export interface NamedDigest {
  readonly digest: string;
  /** Whether it may be a manifest, by what the document says of it: a manifest's or an index's type, or none. Never proof. */
  readonly mayBeManifest: boolean;
}

export interface ManifestDocument {
  readonly named: readonly NamedDigest[];
  /** What it is about: `subject`, and where the key stands several times all of them. */
  readonly subjects: readonly string[];
  /** Whether the document looks like a manifest at all: a layer that happens to be JSON does not. */
  readonly isManifest: boolean;
  /** Old registries kept signatures beside schema 1 manifests; every later kind says `schemaVersion: 2`. */
  readonly mayHaveSignatures: boolean;
  /** The parsed document. */
  readonly content: unknown;
}

/** Why bytes are not the manifest that their digest promises. */
export interface ManifestDamage {
  readonly kind: DamageKind & ("digest-mismatch" | "not-json" | "too-large");
  readonly message: string;
}

/** Proves the bytes against the digest, then reads what they name. Not a word of them is believed before. */
export function readManifest(digest: string, bytes: Uint8Array): ManifestDocument | ManifestDamage {
  if (bytes.length > MAX_MANIFEST_BYTES) return { kind: "too-large", message: "is larger than the 4 MiB that registries accept" };
  const { algorithm, hex } = splitDigest(digest);
  if (hash(algorithm, bytes, "hex") !== hex) {
    return { kind: "digest-mismatch", message: `has other content than its digest says (${bytes.length} bytes)` };
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return { kind: "not-json", message: "is no JSON" };
  }
  return { ...scan(text), content, mayHaveSignatures: !saysSchema2(content) };
}

/** Whether every spelling of `schemaVersion` says 2: which of several a registry took is not for us to guess. */
function saysSchema2(content: unknown): boolean {
  if (typeof content !== "object" || content === null) return false;
  let isSaid = false;
  for (const [key, version] of Object.entries(content)) {
    if (fold(key) !== "schemaversion") continue;
    if (version !== 2) return false;
    isSaid = true;
  }
  return isSaid;
}

/** A property of a parsed value, `undefined` where it has none of its own. */
export function property(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** An object or array that the scan is in. */
interface Frame {
  readonly isObject: boolean;
  readonly place: "document" | "subject" | "ignored" | "anywhere";
  /** The key that the next value belongs to, folded; in an array none. */
  key: string | undefined;
  readonly digests: string[];
  readonly blobSums: string[];
  hasType: boolean;
  hasManifestType: boolean;
  /** Whether the next string is a key. */
  atKey: boolean;
  /** Whether something in the document itself is what only manifests have. */
  tellsManifest: boolean;
}

const MANIFEST_KEYS: ReadonlySet<string> = new Set(["schemaversion", "manifests", "layers", "fslayers", "blobs"]);

// Characters as numbers: compared as strings they take twice as long.
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

type Found = Pick<ManifestDocument, "named" | "subjects" | "isManifest">;

/** Scans text that is known to be JSON. */
function scan(text: string): Found {
  const named: NamedDigest[] = [];
  const subjects: string[] = [];
  const stack: Frame[] = [];
  let frame: Frame | undefined;
  let isManifest = false;

  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === SPACE) continue;
    if (character === QUOTE) {
      const end = stringEnd(text, i);
      if (frame?.isObject === true) takeString(frame, text, i, end);
      if (frame?.tellsManifest === true) isManifest = true;
      i = end;
    } else if (character === OPEN_BRACE || character === OPEN_BRACKET) {
      frame = enter(frame, character === OPEN_BRACE);
      stack.push(frame);
    } else if (character === CLOSE_BRACE || character === CLOSE_BRACKET) {
      if (frame !== undefined) leave(frame, named, subjects);
      stack.pop();
      frame = stack[stack.length - 1];
    } else if (character === COMMA) {
      if (frame !== undefined) frame.atKey = frame.isObject;
    }
  }
  return { named, subjects, isManifest };
}

/** A key, or the value of one; values that tell nothing are not even unquoted. */
function takeString(frame: Frame, text: string, start: number, end: number): void {
  if (frame.atKey) {
    frame.key = fold(unquote(text, start, end));
    frame.atKey = false;
    if (frame.place === "document" && MANIFEST_KEYS.has(frame.key)) frame.tellsManifest = true;
  } else if (isTelling(frame.key)) {
    takeValue(frame, unquote(text, start, end));
    if (frame.place === "document" && frame.hasManifestType) frame.tellsManifest = true;
  }
}

function enter(parent: Frame | undefined, isObject: boolean): Frame {
  return {
    isObject,
    place: placeBelow(parent),
    key: undefined,
    digests: [],
    blobSums: [],
    hasType: false,
    hasManifestType: false,
    atKey: isObject,
    tellsManifest: false,
  };
}

function placeBelow(parent: Frame | undefined): Frame["place"] {
  if (parent === undefined) return "document";
  if (parent.place === "ignored" || parent.place === "subject") return "ignored";
  if (parent.key === "annotations") return "ignored";
  if (parent.place === "document" && parent.key === "subject") return "subject";
  return "anywhere";
}

function isTelling(key: string | undefined): boolean {
  return key === "digest" || key === "blobsum" || key === "mediatype";
}

function takeValue(frame: Frame, value: string): void {
  if (frame.place === "ignored") return;
  if (frame.key === "mediatype") {
    const parameters = value.indexOf(";");
    const type = (parameters < 0 ? value : value.slice(0, parameters)).trim().toLowerCase();
    if (type === "") return;
    frame.hasType = true;
    if (MANIFEST_TYPES.has(type)) frame.hasManifestType = true;
  } else if (isDigest(value)) {
    const list = frame.key === "digest" ? frame.digests : frame.blobSums;
    list.push(value);
  }
}

/** What an object names is told when it ends: its type may stand behind its digest. */
function leave(frame: Frame, named: NamedDigest[], subjects: string[]): void {
  if (frame.place === "subject") {
    for (const digest of frame.digests) subjects.push(digest);
    return;
  }
  const mayBeManifest = !frame.hasType || frame.hasManifestType;
  for (const digest of frame.digests) named.push({ digest, mayBeManifest });
  for (const digest of frame.blobSums) named.push({ digest, mayBeManifest: false });
}

/** The closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, start, end)) end = text.indexOf('"', end + 1);
  return end;
}

function isEscaped(text: string, start: number, quote: number): boolean {
  let slashes = 0;
  while (quote - slashes - 1 > start && text.charCodeAt(quote - slashes - 1) === BACKSLASH) slashes++;
  return slashes % 2 === 1;
}

function unquote(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
}

/** Go's JSON decoder takes a long s for an s and a kelvin sign for a k, too. */
function fold(key: string): string {
  // Nearly every key is ASCII: three passes over each took a twentieth of a dry run.
  for (let i = 0; i < key.length; i++) {
    if (key.charCodeAt(i) > 127) return key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
  }
  return key.toLowerCase();
}
