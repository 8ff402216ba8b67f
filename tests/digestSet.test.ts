import { createHash } from "node:crypto";
import fc from "fast-check";
import { DigestSet } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { DigestIndex } from "../src/digestIndex.js";

const digestOf = (text: string, algorithm = "sha256") => `${algorithm}:${createHash(algorithm).update(text).digest("hex")}`;
/** Digests that someone chose: equal but for a few bytes, wherever they stand. */
const counted = (i: number, shift: number) => `sha256:${(BigInt(i) << BigInt(shift)).toString(16).padStart(64, "0")}`;

describe("DigestSet", () => {
  test("is exact, and iterates in the order of adding", () => {
    const digests = Array.from({ length: 20_000 }, (_, i) => digestOf(`${i}`));
    const set = new DigestSet(digests);
    expect(set.size).toBe(digests.length);
    expect([...set]).toEqual(digests);
    for (let i = 0; i < 20_000; i++) {
      expect(set.has(digests[i]!)).toBe(true);
      expect(set.has(digestOf(`not ${i}`))).toBe(false);
    }
  });

  test("adding again changes nothing", () => {
    const set = new DigestSet().add(digestOf("a")).add(digestOf("a"));
    expect(set.size).toBe(1);
  });

  test.each(["sha256", "sha384", "sha512"])("holds %s", (algorithm) => {
    const set = new DigestSet();
    for (let i = 0; i < 9_000; i++) set.add(digestOf(`${i}`, algorithm));
    expect(set.size).toBe(9_000);
    for (let i = 0; i < 9_000; i++) expect(set.has(digestOf(`${i}`, algorithm))).toBe(true);
    expect(set.has(digestOf("x", algorithm))).toBe(false);
  });

  test("algorithms don't mix", () => {
    const sha512 = digestOf("a", "sha512");
    const set = new DigestSet([sha512, digestOf("a")]);
    expect(set.has(`sha256:${sha512.slice(7, 71)}`)).toBe(false);
    expect([...set].sort()).toEqual([digestOf("a"), sha512].sort());
  });

  test.each([0, 32, 96, 224])("names that were chosen neither collide nor slow down (counted from bit %i)", (shift) => {
    const set = new DigestSet();
    for (let i = 0; i < 30_000; i++) set.add(counted(i, shift));
    expect(set.size).toBe(30_000);
    expect(set.has(counted(29_999, shift))).toBe(true);
    expect(set.has(counted(30_000, shift))).toBe(false);
  });

  test.each([
    "",
    "sha256",
    "sha256:",
    `sha256:${"0".repeat(63)}`,
    `sha256:${"0".repeat(65)}`,
    `sha256:${"A".repeat(64)}`,
    `sha256:${"g".repeat(64)}`,
    `sha256:${"0".repeat(63)}\u0130`,
    `SHA256:${"0".repeat(64)}`,
    `sha512:${"0".repeat(64)}`,
    `sha384:${"0".repeat(128)}`,
    `md5000:${"0".repeat(64)}`,
    `sha256-${"0".repeat(64)}`,
    `sha256:${"0".repeat(62)}/.`,
  ])("%j is no digest", (text) => {
    const set = new DigestSet([digestOf("a")]);
    expect(() => set.add(text)).toThrow(expect.objectContaining({ code: "INVALID_DIGEST", digest: text }) as Error);
    expect(set.has(text)).toBe(false);
    expect(set.size).toBe(1);
  });

  test("behaves as a Set does", () => {
    const digest = fc.nat(40).map((i) => digestOf(`${i}`, i % 3 === 0 ? "sha512" : "sha256"));
    fc.assert(
      fc.property(fc.array(digest), fc.array(digest), (added, asked) => {
        const set = new DigestSet(added);
        const model = new Set(added);
        expect(set.size).toBe(model.size);
        for (const each of asked) expect(set.has(each)).toBe(model.has(each));
        expect(new Set(set)).toEqual(model);
      }),
    );
  });

  test("takes at most 44 bytes a sha256 digest and 84 a sha512 one", () => {
    for (const [algorithm, most] of [
      ["sha256", 44],
      ["sha512", 84],
    ] as const) {
      const count = 1_000_000;
      const seed = createHash(algorithm).update(algorithm).digest("hex");
      const before = process.memoryUsage().arrayBuffers;
      const set = new DigestSet();
      for (let i = 0; i < count; i++) set.add(`${algorithm}:${i.toString(16).padStart(8, "0")}${seed.slice(8)}`);
      const bytes = (process.memoryUsage().arrayBuffers - before) / set.size;
      expect(set.size).toBe(count);
      expect(bytes).toBeLessThanOrEqual(most);
    }
  });
});

describe("DigestIndex", () => {
  test("numbers are dense for sha256, stay what they are, and lead back to the digest", () => {
    const index = new DigestIndex();
    for (let i = 0; i < 50_000; i++) expect(index.add(digestOf(`${i}`))).toBe(i);
    for (let i = 0; i < 50_000; i++) {
      expect(index.find(digestOf(`${i}`))).toBe(i);
      expect(index.digest(i)).toBe(digestOf(`${i}`));
    }
    expect(index.find(digestOf("x"))).toBe(-1);
    expect(index.find("x")).toBe(-1);
  });

  test("numbers of other algorithms are their own", () => {
    const index = new DigestIndex();
    const digests = Array.from({ length: 300 }, (_, i) => digestOf(`${i}`, ["sha256", "sha384", "sha512"][i % 3]));
    const numbers = digests.map((digest) => index.add(digest));
    expect(new Set(numbers).size).toBe(300);
    expect(numbers.map((number) => index.digest(number))).toEqual(digests);
    expect(new Set(index.numbers())).toEqual(new Set(numbers));
    expect(numbers.every((number) => number < 2 ** 32)).toBe(true);
  });

  test("bytes that stand one after the other have the numbers of their digests, whatever stands around them", () => {
    const index = new DigestIndex();
    const digests = Array.from({ length: 5000 }, (_, i) => digestOf(`${i % 3000}`));
    for (const digest of digests.slice(1000, 1500)) index.add(digest);
    const around = Buffer.from(`77${digests.map((digest) => digest.slice(7)).join("")}7777`, "hex");
    const packed = new Uint8Array(around.buffer, around.byteOffset + 1, around.length - 2);
    const numbers = [...index.addPacked(packed, 0, 2000), ...index.addPacked(packed, 2000, 5000)];
    expect(numbers.map((number) => index.digest(number))).toEqual(digests);
    expect(numbers).toEqual(digests.map((digest) => index.find(digest)));
    expect(index.size).toBe(3000);
  });

  test("bytes that were cut are no fewer digests", () => {
    const index = new DigestIndex();
    for (const bytes of [1, 31, 33, 63, 95]) {
      expect(() => index.addPacked(new Uint8Array(bytes), 0, bytes / 32), `${bytes}`).toThrow(RangeError);
      expect(() => index.addPacked(new Uint8Array(bytes), 0, 3), `${bytes} for 3`).toThrow(RangeError);
    }
    expect(index.size).toBe(0);
    expect(index.addPacked(new Uint8Array(0), 0, 0)).toHaveLength(0);
  });

  test("a number that was never given is an error", () => {
    expect(() => new DigestIndex().digest(0)).toThrow(RangeError);
  });
});
