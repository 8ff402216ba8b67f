/** Contents that a driver may get wrong. */

import { ConformanceError } from "./expecting.js";

/** How many bytes a large file has: more than the largest manifest that registries take. */
export const LARGE = 4 * 1024 * 1024 + 1;

/** Bytes of every value, text in no encoding. */
export function everyByte(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 8)) & 255;
  return bytes;
}

/** @throws {@link ConformanceError} unless both are the same; says from which byte on they aren't. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, i) => actual[i] !== byte);
  throw new ConformanceError(
    `${what}: expected ${expected.length} bytes, got ${actual.length}${at === -1 ? "" : `, and other ones from byte ${at} on`}`,
  );
}
