/**
 * What a manifest names. One rule for all kinds, past and future: every object in the document that has a `digest` or `blobSum`
 * with a digest in it, wherever it stands, except in `annotations` and under the document's `subject`.
 *
 * Registries read keys without regard to case and take the last of several equal ones; `JSON.parse` does neither. So the document
 * is proved to be JSON by `JSON.parse`, and then scanned: in linear time, without recursion. Unless it is as nearly all are, and its text
 * proves that its members tell all.
 */

import type { hash } from "node:crypto";
import type { ManifestInfo } from "./options.js";

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
  /** The parsed document. */
  readonly content: unknown;
}

/** What the document says of itself, for `keep`. */
export type ManifestFacts = Omit<ManifestInfo, "repository" | "digest" | "modTime">;

/** An object or array that the scan is in. */
interface Frame {
  readonly isObject: boolean;
  readonly place: "document" | "subject" | "ignored" | "anywhere";
  /** The key that the next value belongs to, folded; in an array none. */
  key: string;
  /** Those under `digest` may be manifests, as far as their keys tell. */
  readonly digests: NamedDigest[];
  hasType: boolean;
  hasManifestType: boolean;
  /** Whether the next string is a key. */
  atKey: boolean;
}

/** What the rule is given, since it can't reach for it where its text runs. */
export interface RuleParts {
  readonly crypto: { readonly hash: typeof hash };
  /** What a digest looks like. */
  readonly digest: RegExp;
}

/**
 * The rule. It is one function, and uses nothing beside it but what it is given: its text also runs in the thread that reads files
 * (`manifestVisit` in src/manifest.ts).
 */
export function manifestRule({ crypto, digest: digestPattern }: RuleParts) {
  /** Manifests and indexes of both kinds, whatever parameters stand behind. */
  const MANIFEST_TYPE =
    /^\s*application\/vnd\.(?:docker\.distribution\.manifest\.(?:v1\+json|v1\+prettyjws|v2\+json|list\.v2\+json)|oci\.(?:image\.manifest|image\.index|artifact\.manifest)\.v1\+json)\s*(?:;|$)/iu;
  const NO_TYPE = /^\s*(?:;|$)/;

  const MANIFEST_KEYS: ReadonlySet<string> = new Set(["schemaversion", "manifests", "layers", "fslayers", "blobs"]);

  /** Keys whose values are looked at. */
  const TELLING_VALUES: ReadonlySet<string> = new Set(["digest", "blobsum", "mediatype"]);

  /** Keys that tell something, in any case. */
  const TELLING = /"(?:schemaversion|digest|blobsum|mediatype|subject|annotations)"/gi;

  /** Room for a byte and four counts, in hex. */
  const HEADER = "00".repeat(17);

  // Characters as numbers: compared as strings they take twice as long.
  const SPACE = 0x20;
  const QUOTE = 0x22;
  const COMMA = 0x2c;
  const BACKSLASH = 0x5c;
  const OPEN_BRACKET = 0x5b;
  const CLOSE_BRACKET = 0x5d;
  const OPEN_BRACE = 0x7b;
  const CLOSE_BRACE = 0x7d;

  /** What a document says; `undefined` where it is no JSON. */
  function read(bytes: Uint8Array): ManifestDocument | undefined {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch {
      return undefined;
    }
    return readUsual(text, content) ?? { ...scan(text), content };
  }

  /**
   * What nearly all manifests are, by the members of the parsed document; `undefined` where the text has a telling key anywhere else, or
   * twice, or something that may hide one. It takes half the time of a scan.
   */
  function readUsual(text: string, content: unknown): ManifestDocument | undefined {
    const { schemaVersion, config, layers, manifests, subject } = membersOf(content);
    if (schemaVersion !== 2 || hidesKeys(text)) return undefined;
    let unseen = (text.match(TELLING)?.length ?? 0) - 1;
    const see = (value: unknown): NamedDigest | undefined => {
      const { digest, mediaType, annotations } = membersOf(value);
      const isTyped = typeof mediaType === "string";
      if (isTyped) unseen--;
      if (annotations !== undefined) unseen--;
      if (typeof digest !== "string" || !digestPattern.test(digest)) return undefined;
      unseen--;
      return { digest, mayBeManifest: !isTyped || NO_TYPE.test(mediaType) || MANIFEST_TYPE.test(mediaType) };
    };
    const named: NamedDigest[] = [];
    for (const values of [[config], layers, manifests]) {
      for (const value of Array.isArray(values) ? values : []) {
        const each = see(value);
        if (each !== undefined) named.push(each);
      }
    }
    if (subject !== undefined) unseen--;
    const about = see(subject);
    if (see(content) !== undefined || unseen !== 0) return undefined;
    return { named, subjects: about === undefined ? [] : [about.digest], isManifest: true, content };
  }

  /** Whether a telling key may be hidden: by an escape, or a letter that is folded. Asked first, since there may be millions to count. */
  function hidesKeys(text: string): boolean {
    return text.includes("\\") || Buffer.byteLength(text, "utf8") !== text.length;
  }

  /** All that a run keeps of a manifest, packed. */
  function pack(document: ManifestDocument, size: number, withFacts: boolean): Buffer {
    return packBehind("", document, size, withFacts);
  }

  /** What bytes hash to under sha256, and behind that all that a run keeps of them; `undefined` where they are no JSON. */
  function extract(bytes: Uint8Array, withFacts: boolean): Uint8Array | undefined {
    const document = read(bytes);
    if (document === undefined) return undefined;
    return packBehind(crypto.hash("sha256", bytes, "hex"), document, bytes.length, withFacts);
  }

  /** Written as hex, and made bytes in one go: digests are hex already, and a call for each takes longer than all the rest. */
  function packBehind(start: string, document: ManifestDocument, size: number, withFacts: boolean): Buffer {
    const { named, subjects, isManifest } = document;
    let [children, childCount, blobs] = ["", 0, ""];
    for (const { digest, mayBeManifest } of named) {
      if (mayBeManifest) {
        children += packedDigest(digest);
        childCount++;
      } else blobs += packedDigest(digest);
    }
    let about = "";
    for (const subject of subjects) about += packedDigest(subject);
    const entry = Buffer.from(start + HEADER + children + blobs + about, "hex");
    const at = start.length / 2;
    entry[at] = isManifest ? 1 : 0;
    [size, childCount, named.length - childCount, subjects.length].forEach((count, i) => entry.writeUInt32LE(count, at + 1 + i * 4));
    return withFacts ? Buffer.concat([entry, Buffer.from(JSON.stringify(factsOf(document, size)))]) : entry;
  }

  /** The number of a digest's bytes, and these. */
  function packedDigest(digest: string): string {
    const hex = digest.slice(digest.indexOf(":") + 1);
    return (hex.length / 2).toString(16) + hex;
  }

  function factsOf({ content, subjects }: ManifestDocument, size: number): ManifestFacts {
    const text = (value: unknown) => (typeof value === "string" ? value : undefined);
    const { mediaType, artifactType, config, annotations } = membersOf(content);
    const entries = Object.entries(membersOf(annotations)).filter((entry): entry is [string, string] => typeof entry[1] === "string");
    return {
      mediaType: text(mediaType),
      artifactType: text(artifactType),
      configMediaType: text(membersOf(config)["mediaType"]),
      subject: subjects.at(-1),
      annotations: Object.fromEntries(entries),
      size,
    };
  }

  function membersOf(value: unknown): Readonly<Record<string, unknown>> {
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  }

  /** Scans text that is known to be JSON. */
  function scan(text: string): Pick<ManifestDocument, "named" | "subjects" | "isManifest"> {
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
        if (frame?.isObject === true && takeString(frame, text, i, end)) isManifest = true;
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

  /** A key, or the value of one; whether only manifests have it in the document itself. Values that tell nothing are not even unquoted. */
  function takeString(frame: Frame, text: string, start: number, end: number): boolean {
    const isDocument = frame.place === "document";
    if (frame.atKey) {
      frame.key = fold(unquote(text, start, end));
      frame.atKey = false;
      return isDocument && MANIFEST_KEYS.has(frame.key);
    }
    if (frame.place === "ignored" || !TELLING_VALUES.has(frame.key)) return false;
    const value = unquote(text, start, end);
    if (frame.key !== "mediatype") {
      if (digestPattern.test(value)) frame.digests.push({ digest: value, mayBeManifest: frame.key === "digest" });
      return false;
    }
    const isManifestType = MANIFEST_TYPE.test(value);
    if (isManifestType) frame.hasManifestType = true;
    if (!NO_TYPE.test(value)) frame.hasType = true;
    return isDocument && isManifestType;
  }

  function enter(parent: Frame | undefined, isObject: boolean): Frame {
    return { isObject, place: placeBelow(parent), key: "", digests: [], hasType: false, hasManifestType: false, atKey: isObject };
  }

  function placeBelow(parent: Frame | undefined): Frame["place"] {
    if (parent === undefined) return "document";
    if (parent.place === "ignored" || parent.place === "subject") return "ignored";
    if (parent.key === "annotations") return "ignored";
    if (parent.place === "document" && parent.key === "subject") return "subject";
    return "anywhere";
  }

  /** What an object names is told when it ends: its type may stand behind its digest. */
  function leave({ place, digests, hasType, hasManifestType }: Frame, named: NamedDigest[], subjects: string[]): void {
    for (const { digest, mayBeManifest } of digests) {
      if (place !== "subject") named.push({ digest, mayBeManifest: mayBeManifest && (!hasType || hasManifestType) });
      else if (mayBeManifest) subjects.push(digest);
    }
  }

  /** The closing quote of the string that opens at `start`: the first with an even number of backslashes before it. */
  function stringEnd(text: string, start: number): number {
    for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
      let slashes = 0;
      while (text.charCodeAt(end - slashes - 1) === BACKSLASH) slashes++;
      if (slashes % 2 === 0) return end;
    }
  }

  function unquote(text: string, start: number, end: number): string {
    const raw = text.slice(start + 1, end);
    return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
  }

  /** Go's JSON decoder takes a long s for an s and a kelvin sign for a k, too. */
  function fold(key: string): string {
    return key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase();
  }

  return { read, pack, extract };
}
