/**
 * All that a run keeps of a manifest, packed into bytes: as a thread that reads manifests tells it, and as a cache remembers it between
 * runs. `manifestRule` packs it:
 *
 * - a byte that is 1 where it looks like a manifest at all, and its size;
 * - how many children, blobs and subjects it names (4 bytes each, as the size: the lowest first);
 * - these digests, of each the number of its bytes, which tells the algorithm, and the bytes;
 * - what `keep` is told, as JSON; nothing where nobody asks for it.
 */

import { hash } from "node:crypto";
import { splitDigest } from "./digest.js";
import type { DigestIndex } from "./digestIndex.js";
import { bufferOf, viewOf } from "./internal/bufferOf.js";
import type { ManifestFacts } from "./manifestRule.js";

const SIZE_AT = 1;
/** Three counts of four bytes. */
const COUNTS_AT = 5;
const HEADER_BYTES = 17;

/** To be raised with every change of what is read out of a manifest, or of how it is packed. */
const RULE = 4;

const CHECKSUM_BYTES = 32;
const RULE_AT = CHECKSUM_BYTES;
const DIGEST_AT = RULE_AT + 1;

/** What an entry says, in numbers. */
export interface KnownManifest {
  readonly isManifest: boolean;
  /** Bytes. */
  readonly size: number;
  /** Named in a way that lets it be a manifest. Each once, as all of these. */
  readonly children: readonly number[];
  /** Named as something that is none. */
  readonly blobs: readonly number[];
  readonly subjects: readonly number[];
  /** Where they were asked for. */
  readonly facts: ManifestFacts | undefined;
}

/** Of what is packed with facts: whether they are read, or only that they are there. */
export type FactsWanted = "none" | "packed" | "read";

/**
 * Reads an entry.
 *
 * @throws RangeError or SyntaxError where it is not whole.
 */
export function readEntry(bytes: Uint8Array, digests: DigestIndex, facts: FactsWanted): KnownManifest {
  if (bytes.length < HEADER_BYTES) throw new RangeError(`no entry of ${bytes.length} bytes`);
  const view = viewOf(bytes);
  const lists: [number[], number[], number[]] = [[], [], []];
  let at = HEADER_BYTES;
  for (let list = 0; list < lists.length; list++)
    at = readList(view, at, view.getUint32(COUNTS_AT + list * 4, true), digests, lists[list] ?? []);
  // What nobody is told of, nobody can keep.
  if ((facts !== "none") !== at < bytes.length) throw new RangeError("an entry of another kind");
  const [children, blobs, subjects] = lists;
  return {
    isManifest: view.getUint8(0) === 1,
    size: view.getUint32(SIZE_AT, true),
    ...{ children: unique(children), blobs: unique(blobs), subjects: unique(subjects) },
    // Read where they are needed: that takes as long as all the rest.
    facts: facts === "read" ? (JSON.parse(Buffer.from(bytes.subarray(at)).toString("utf8")) as ManifestFacts) : undefined,
  };
}

/** Reads so many digests, and returns where they end. */
function readList(bytes: DataView, start: number, count: number, digests: DigestIndex, numbers: number[]): number {
  let at = start;
  for (let i = 0; i < count; i++) {
    const length = bytes.getUint8(at);
    numbers.push(digests.addBytes(bytes, at + 1, length));
    at += 1 + length;
  }
  return at;
}

/** Shorter lists are looked through faster than a set is made. */
const SHORT = 24;

/** Each number once. */
function unique(numbers: readonly number[]): readonly number[] {
  if (numbers.length < 2) return numbers;
  if (numbers.length > SHORT) return [...new Set(numbers)];
  return numbers.filter((number, i) => numbers.indexOf(number) === i);
}

/**
 * The bytes that a cache keeps: a checksum over all that follows, a byte for the rule that made the entry, whose it is (the bytes of its
 * digest), and the entry.
 */
export function toRemember(digest: string, entry: Uint8Array): Uint8Array {
  const { hex } = splitDigest(digest);
  const told = Buffer.concat([Buffer.alloc(CHECKSUM_BYTES), Buffer.from([RULE]), Buffer.from(hex, "hex"), entry]);
  told.write(checksum(told), "hex");
  return told;
}

/** The entry in bytes from a cache; `undefined` where they are damaged, of another manifest, or made by another rule. */
export function fromMemory(digest: string, bytes: Uint8Array): Uint8Array | undefined {
  const { hex } = splitDigest(digest);
  const told = bufferOf(bytes);
  const entryAt = DIGEST_AT + hex.length / 2;
  if (told[RULE_AT] !== RULE || told.toString("hex", DIGEST_AT, entryAt) !== hex) return undefined;
  return told.toString("hex", 0, CHECKSUM_BYTES) === checksum(told) ? told.subarray(entryAt) : undefined;
}

function checksum(told: Buffer): string {
  return hash("sha256", told.subarray(RULE_AT), "hex");
}
