/** Manifests that want to harm the collector, or to be understood otherwise than a registry understands them. */

import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { type BuiltBlob, type BuiltManifest, CountingDriver, digestOf, RecordingDriver, RegistryBuilder } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collect, filesIn } from "./pantry.js";

const OPTIONS = { readOnly: true, removeUntagged: true, allowEmptyMark: true } as const;
const MIB = 1024 * 1024;
const fake = (n: number) => `sha256:${n.toString(16).padStart(64, "0")}`;

function makeRegistry(): RegistryBuilder {
  return new RegistryBuilder(new MemoryDriver({ now: () => 0 }));
}

/** Whether a blob outlives a run in which one tagged document is all that may keep it. */
async function isKept(document: (blob: BuiltBlob) => string): Promise<boolean> {
  const registry = makeRegistry();
  const blob = await registry.layer("the only one");
  await registry.layer("garbage");
  await registry.push("foo", document(blob), [], undefined, { tag: "latest" });
  const { report } = await collect(registry.driver, OPTIONS);
  expect(report).toMatchObject({ status: "completed", problemCount: 0 });
  expect((await filesIn(registry.driver)).has(registry.paths.blob(digestOf("layer garbage")))).toBe(false);
  return (await filesIn(registry.driver)).has(registry.paths.blob(blob.digest));
}

describe("a blob is kept by a key that a registry reads as digest", () => {
  test.each<[string, (blob: BuiltBlob) => string]>([
    ["in other case", ({ digest }) => `{"schemaVersion":2,"LAYERS":[{"DiGest":"${digest}"}]}`],
    ["escaped", ({ digest }) => `{"schemaVersion":2,"layers":[{"\\u0064igest":"${digest}"}]}`],
    ["with its value escaped", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"\\u0073${digest.slice(1)}"}]}`],
    ["a duplicate, first", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"${digest}","digest":"${fake(1)}"}]}`],
    ["a duplicate, last", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"${fake(1)}","digest":"${digest}"}]}`],
    ["a duplicate in other case", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"${digest}","DIGEST":"${fake(1)}"}]}`],
    ["in a list that is there twice", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"${digest}"}],"layers":[]}`],
    [
      "beside __proto__",
      ({ digest }) => `{"__proto__":{"mediaType":"x"},"schemaVersion":2,"layers":[{"__proto__":null,"digest":"${digest}"}]}`,
    ],
    ["below __proto__", ({ digest }) => `{"schemaVersion":2,"__proto__":{"layers":[{"digest":"${digest}"}]}}`],
    ["below constructor and prototype", ({ digest }) => `{"schemaVersion":2,"constructor":{"prototype":{"digest":"${digest}"}}}`],
    ["blobSum in other case", ({ digest }) => `{"schemaVersion":1,"fsLayers":[{"BLOBSUM":"${digest}"}]}`],
    ["with a long s, which Go takes for an s", ({ digest }) => `{"schemaVersion":2,"layers":[{"dige\u017ft":"${digest}"}]}`],
    ["blobSum with a long s", ({ digest }) => `{"schemaVersion":1,"fsLayers":[{"blob\u017fum":"${digest}"}]}`],
    ["escaped, with a long s", ({ digest }) => `{"schemaVersion":2,"layers":[{"dige\\u017ft":"${digest}"}]}`],
    ["after a subject that is no object", ({ digest }) => `{"schemaVersion":2,"subject":"x","layers":[{"digest":"${digest}"}]}`],
    ["after an annotations that is a list", ({ digest }) => `{"schemaVersion":2,"annotations":[[[]]],"layers":[{"digest":"${digest}"}]}`],
    ["in a document that is a list", ({ digest }) => `[[{"digest":"${digest}"}]]`],
    ["with blanks of every kind", ({ digest }) => ` \t\r\n{ "layers" :\n[ {\r"digest"\t: "${digest}" } ] }\n `],
    ["beside a string that looks like structure", ({ digest }) => `{"a":"}],\\"subject\\":{\\\\","layers":[{"digest":"${digest}"}]}`],
    ["10,000 levels deep", ({ digest }) => `${'{"a":['.repeat(10_000)}{"digest":"${digest}"}${"]}".repeat(10_000)}`],
  ])("%s", async (_, document) => {
    expect(await isKept(document)).toBe(true);
  });
});

test.each<[string, (blob: BuiltBlob) => string]>([
  ["a subject", ({ digest }) => `{"schemaVersion":2,"subject":{"digest":"${digest}"}}`],
  ["a subject in other case, escaped", ({ digest }) => `{"schemaVersion":2,"\\u0053UBJECT":{"digest":"${digest}"}}`],
  ["annotations", ({ digest }) => `{"schemaVersion":2,"annotations":{"digest":"${digest}"}}`],
  ["another key", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest ":"${digest}","sha":"${digest}"}]}`],
  ["a digest with more behind it", ({ digest }) => `{"schemaVersion":2,"layers":[{"digest":"${digest}/../x"}]}`],
])("a blob is not kept by %s", async (_, document) => {
  expect(await isKept(document)).toBe(false);
});

describe("names that are no digests", () => {
  test.each([
    "sha256:../../../../etc/passwd",
    `sha256:${"a".repeat(63)}/`,
    "../../x",
    "sha256:",
    ":",
    "",
    `sha256:${"A".repeat(64)}`,
    "md5:x",
    "\u0000",
  ])("%j leads to no call and no failure", async (digest) => {
    const registry = makeRegistry();
    const document = JSON.stringify({
      schemaVersion: 2,
      subject: { digest },
      manifests: [{ digest }, { mediaType: "x", digest }],
      config: { digest },
    });
    await registry.push("foo", document, [], undefined, { tag: "latest" });
    const recording = new RecordingDriver(registry.driver);
    const { report } = await collect(recording, OPTIONS);
    expect(report).toMatchObject({ status: "completed", problemCount: 0 });
    expect(
      recording.log.flatMap(({ paths }) => paths).filter((path) => digest !== "" && digest.length > 8 && path.includes(digest.slice(7))),
    ).toEqual([]);
  });
});

describe("the cost is linear in the bytes", () => {
  /** CPU time of a run over one tagged document, the best of three. */
  async function cost(document: string): Promise<number> {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const registry = makeRegistry();
      await registry.push("foo", document, [], undefined, { tag: "latest" });
      const before = process.cpuUsage();
      const { report } = await collect(registry.driver, OPTIONS);
      const { user, system } = process.cpuUsage(before);
      expect(report?.status).toBe("completed");
      best = Math.min(best, user + system);
    }
    return best;
  }

  test.each<[string, (n: number) => string]>([
    ["entries", (n) => `{"schemaVersion":2,"layers":[${Array.from({ length: n / 4 }, (_, i) => `{"digest":"${fake(i)}"}`).join(",")}]}`],
    ["objects within objects", (n) => `${'{"a":'.repeat(n)}1${"}".repeat(n)}`],
    ["lists within lists", (n) => `${"[".repeat(n)}${"]".repeat(n)}`],
    [
      "the same key again and again",
      (n) =>
        `{${Array.from({ length: n }, () => `"digest":"${fake(7)}"`)
          .join(",")
          .slice(0, n * 40)
          .replace(/,"?[^,]*$/, "")}}`,
    ],
    ["keys that are all different", (n) => `{${Array.from({ length: n }, (_, i) => `"k${i}":{}`).join(",")}}`],
    ["backslashes", (n) => `{"a":"${"\\\\".repeat(n * 4)}"}`],
    ["escapes in keys", (n) => `{"${"\\u0061".repeat(n)}":1}`],
    ["digits", (n) => `{"a":1${"0".repeat(n * 8)}}`],
    ["blanks", (n) => `{"a":${" ".repeat(n * 8)}1}`],
  ])("of %s", async (_, document) => {
    await cost(document(2_000));
    const small = await cost(document(10_000));
    const large = await cost(document(80_000));
    // Eight times as much; thirty times the cost would be no longer linear. A fixed part hides noise.
    expect(large).toBeLessThan(30 * small + 50_000);
  });
});

test("a million entries, within the limit of a manifest's size, name nothing", async () => {
  const registry = makeRegistry();
  const image = await registry.image("foo", { tag: "latest" });
  const document = `{"schemaVersion":2,"layers":[${"{},".repeat(1_000_000)}{}]}`;
  expect(document.length).toBeLessThan(4 * MIB);
  await registry.push("foo", document, [], undefined, { tag: "million" });
  const { report } = await collect(registry.driver, OPTIONS);
  expect(report).toMatchObject({ status: "completed", problemCount: 0, deleted: { blobs: 0 } });
  expect((await filesIn(registry.driver)).has(registry.paths.blob(image.digest))).toBe(true);
});

test.each([
  ["objects", '{"a":', "1", "}"],
  ["lists", "[", "", "]"],
])("%s nested a hundred thousand deep are read, or are damage: no crash", async (_, open, inside, close) => {
  const registry = makeRegistry();
  const image = await registry.image("foo", { tag: "latest" });
  await registry.push("foo", `${open.repeat(100_000)}${inside}${close.repeat(100_000)}`, [], undefined, { tag: "deep" });
  const { report } = await collect(registry.driver, OPTIONS);
  expect(report?.status).toBe("completed");
  expect((await filesIn(registry.driver)).has(registry.paths.blob(image.digest))).toBe(true);
});

describe("the limit of a manifest's size", () => {
  const ofSize = (bytes: number, digest: string) => {
    const document = JSON.stringify({ schemaVersion: 2, layers: [{ digest }], pad: "" });
    return document.replace('"pad":""', `"pad":"${"x".repeat(bytes - document.length)}"`);
  };

  test.each([4 * MIB, 4 * MIB - 1])("of %i bytes is read", async (bytes) => {
    const registry = makeRegistry();
    const layer = await registry.layer("of the large one");
    const orphan = await registry.layer("orphan");
    await registry.push("foo", ofSize(bytes, layer.digest), [], undefined, { tag: "large" });
    const { report } = await collect(registry.driver, OPTIONS);
    expect(report).toMatchObject({ status: "completed", problems: [] });
    const there = await filesIn(registry.driver);
    expect([layer, orphan].map(({ digest }) => there.has(registry.paths.blob(digest)))).toEqual([true, false]);
  });

  test("one byte more is damage, and protects what the repository links", async () => {
    const registry = makeRegistry();
    const layer = await registry.layer("of the large one");
    await registry.layerLink("foo", layer.digest);
    await registry.push("foo", ofSize(4 * MIB + 1, layer.digest), [], undefined, { tag: "large" });
    const counting = new CountingDriver(registry.driver);
    const { report } = await collect(counting, OPTIONS);
    expect(report?.problems.map(({ kind }) => kind)).toEqual(["too-large"]);
    expect((await filesIn(registry.driver)).has(registry.paths.blob(layer.digest))).toBe(true);
    expect(counting.bytesRead).toBeLessThan(4 * MIB + 200_000);
  });
});

test("diamonds thirty deep: each manifest is read once", async () => {
  const registry = makeRegistry();
  let below: BuiltManifest[] = [await registry.image("foo", { name: "left" }), await registry.image("foo", { name: "right" })];
  for (let depth = 0; depth < 30; depth++) {
    below = [await registry.index("foo", below, { name: `left ${depth}` }), await registry.index("foo", below, { name: `right ${depth}` })];
  }
  await registry.tag("foo", "latest", below[0]!);
  const before = await filesIn(registry.driver);
  const counting = new CountingDriver(registry.driver);
  const { report } = await collect(counting, OPTIONS);
  expect(report).toMatchObject({ status: "completed", deleted: { manifests: 1, blobs: 1 } });
  expect(before.size - (await filesIn(registry.driver)).size).toBe(2);
  expect(counting.calls("getContent")).toBeLessThan(70);
});

test("a chain of subjects a thousand long is followed, and goes in one run", async () => {
  const registry = makeRegistry();
  const image = await registry.image("foo", { tag: "latest" });
  let subject = image;
  for (let i = 0; i < 1000; i++) subject = await registry.referrer("foo", subject, { layers: 0 });
  expect((await collect(registry.driver, OPTIONS)).report).toMatchObject({ deleted: { manifests: 0, blobs: 0 } });
  await registry.deleteTag("foo", "latest");
  expect((await collect(registry.driver, { ...OPTIONS, maxDeleteRatio: 1 })).report).toMatchObject({ deleted: { manifests: 1001 } });
});
