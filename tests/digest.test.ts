import { expect, test } from "vitest";
import { DIGEST, isDigest, splitDigest } from "../src/digest.js";

const HEX = "0123456789abcdef".repeat(8);
const DIGESTS = [`sha256:${HEX.slice(64)}`, `sha384:${HEX.slice(32)}`, `sha512:${HEX}`];

test("a digest is what the pattern says, and nothing else is one", () => {
  for (const digest of DIGESTS) expect(splitDigest(digest)).toEqual({ algorithm: digest.slice(0, 6), hex: digest.slice(7) });
  const wrong = DIGESTS.flatMap((digest) => [
    ...[digest.toUpperCase(), digest.slice(1), digest.slice(0, -1), `${digest}0`, `${digest}\n`, ` ${digest}`, digest.replace(":", "-")],
    ...[digest.replace("a", "š"), digest.replace("a", "g"), digest.replace("sha", "md5")],
  ]);
  for (const text of [...DIGESTS, ...wrong, "", ":", "sha256:"]) expect(isDigest(text)).toBe(DIGEST.test(text));
  expect(wrong.filter((text) => isDigest(text))).toEqual([]);
});

test.each([undefined, null, 7, {}, [DIGESTS[0]]])("%j is no digest, and is told so", (value) => {
  expect(isDigest(value)).toBe(false);
  expect(() => splitDigest(value as string)).toThrow(expect.objectContaining({ code: "INVALID_DIGEST" }) as Error);
});
