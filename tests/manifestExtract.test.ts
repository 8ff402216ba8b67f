/** Manifests that are understood by the thread that reads them: it says of each what would be said here, and decides nothing alone. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type GcReport, markAndSweep, memoryReferenceCache, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { RegistryBuilder } from "oci-registry-gc/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DigestIndex } from "../src/digestIndex.js";
import { MAX_MANIFEST_BYTES, manifestVisit, packManifest, readManifest } from "../src/manifest.js";
import { readEntry } from "../src/manifestEntry.js";
import { allVectors } from "./support/vectors.js";
import { digestOf } from "./support/world.js";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "extract-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const areManifests = (paths: readonly string[]) => paths[0]?.endsWith("/data") === true;

/** What the driver's thread makes of each content. */
async function extracted(contents: readonly (string | Uint8Array)[], withFacts: boolean): Promise<(Uint8Array | undefined)[]> {
  const folder = mkdtempSync(join(root, "contents-"));
  contents.forEach((content, i) => writeFileSync(join(folder, String(i)), content));
  const driver = new FilesystemDriver({ root: folder });
  const paths = contents.map((_, i) => `/${i}`);
  return [...(await driver.visitMany(paths, { visit: manifestVisit(withFacts) })).answers];
}

/** What is made of it here, by the way that every other store's manifests take; nothing of what would be damage. */
function expected(content: string | Uint8Array, withFacts: boolean): Buffer | undefined {
  const bytes = Buffer.from(content);
  const hash = createHash("sha256").update(bytes).digest();
  const document = readManifest(`sha256:${hash.toString("hex")}`, bytes);
  return "kind" in document ? undefined : Buffer.concat([hash, packManifest(document, bytes.length, withFacts)]);
}

async function sameAsHere(contents: readonly (string | Uint8Array)[]): Promise<void> {
  for (const withFacts of [false, true]) {
    const made = await extracted(contents, withFacts);
    expect(made.map((bytes) => bytes && Buffer.from(bytes))).toEqual(contents.map((content) => expected(content, withFacts)));
  }
}

const wide = (algorithm: string, name: string) => `${algorithm}:${createHash(algorithm).update(name).digest("hex")}`;

describe("the thread makes the same of", () => {
  test("what lies in the vectors' blobs", async () => {
    const contents = allVectors().flatMap(({ files }) => Object.entries(files).filter(([path]) => path.endsWith("/data")));
    expect(contents.length).toBeGreaterThan(50);
    await sameAsHere(contents.map(([, content]) => content));
  });

  test("digests of every algorithm, however they are written", async () => {
    const digests = ["sha256", "sha384", "sha512"].map((algorithm) => wide(algorithm, "a"));
    await sameAsHere([
      JSON.stringify({ schemaVersion: 2, layers: digests.map((digest) => ({ digest })) }),
      JSON.stringify({ schemaVersion: 2, subject: { digest: digests[2] }, layers: [{ digest: digests[1] }] }),
      `{"LAYERS":[{"DiGest":"${digestOf("a")}","dige\u017ft":"\\u0073${digestOf("b").slice(1)}"}]}`,
      JSON.stringify({ digest: digestOf("a").toUpperCase(), blobSum: ` ${digestOf("a")}` }),
      JSON.stringify({ schemaVersion: 2, mediaType: "a/b", annotations: { __proto__: "x", "\ud800": "\ud800", ä: "ö", n: 1 } }),
    ]);
  });

  test("what is no manifest, or none that is whole: nothing, or what it is", async () => {
    const digest = digestOf("a");
    await sameAsHere([
      ...["", " ", "null", "1", '"text"', "[]", "{}", "{", `{"digest":"${digest}"`, `\ufeff{"digest":"${digest}"}`],
      Buffer.from([0xff, 0xfe, 0x7b, 0x7d]),
      `${'{"a":['.repeat(10_000)}{"digest":"${digest}"}${"]}".repeat(10_000)}`,
      `{"digest":"${digest}"}`.padEnd(MAX_MANIFEST_BYTES),
      `{"digest":"${digest}"}`.padEnd(MAX_MANIFEST_BYTES + 1),
    ]);
  });

  test("documents of any form", async () => {
    const key = fc.constantFrom("digest", "DIGEST", "blobSum", "mediaType", "schemaVersion", "subject", "annotations", "layers", "x");
    const leaf = fc.oneof(
      fc.constantFrom(digestOf("a"), digestOf("b"), wide("sha512", "c"), "application/vnd.oci.image.index.v1+json", 2, null),
      fc.string(),
      fc.integer(),
    );
    const { node } = fc.letrec((tie) => ({
      node: fc.oneof({ maxDepth: 5 }, leaf, fc.array(tie("node"), { maxLength: 4 }), fc.dictionary(key, tie("node"), { maxKeys: 5 })),
    }));
    const documents = fc.sample(node, { numRuns: 2000, seed: 1 }).map((document) => JSON.stringify(document));
    await sameAsHere(documents);
  });
});

test("an entry that was cut anywhere is not read", () => {
  const content = JSON.stringify({ schemaVersion: 2, layers: [{ digest: digestOf("a") }, { digest: wide("sha512", "b") }] });
  const entry = expected(content, true)?.subarray(32) ?? Buffer.alloc(0);
  const digests = new DigestIndex();
  const { children } = readEntry(entry, digests, "read");
  expect(children.map((number) => digests.digest(number))).toEqual([digestOf("a"), wide("sha512", "b")]);
  const facts = 17 + 33 + 65;
  for (let end = 0; end < entry.length; end++) {
    expect(() => readEntry(entry.subarray(0, end), digests, "read")).toThrow();
    if (end <= facts) expect(() => readEntry(entry.subarray(0, end), digests, "packed")).toThrow();
    if (end !== facts) expect(() => readEntry(entry.subarray(0, end), digests, "none")).toThrow();
  }
  expect(readEntry(entry.subarray(0, facts), digests, "none").facts).toBeUndefined();
});

describe("a run", () => {
  /** A registry with damage of every kind that reading shows, and one manifest by another algorithm. */
  async function makeRegistry(): Promise<string> {
    const folder = mkdtempSync(join(root, "registry-"));
    const driver = new FilesystemDriver({ root: folder });
    const builder = new RegistryBuilder(driver);
    for (const repository of ["whole", "rotten", "text", "gone"]) {
      for (const tag of ["v1", "v2", "v3"]) await builder.image(repository, { tag });
      await builder.image(repository, {});
    }
    // More repositories than are asked about at the same time.
    for (const repository of ["a", "b", "c", "d"]) for (const tag of ["v1", "v2"]) await builder.image(repository, { tag });
    for (const name of ["garbage", "more garbage"]) await builder.blob(name);
    const rotten = await builder.image("rotten", { tag: "spoilt" });
    await driver.putContent(builder.paths.blob(rotten.digest), Buffer.from(JSON.stringify({ schemaVersion: 2 })));
    await builder.push("text", "no JSON", [], undefined, { tag: "spoilt" });
    const gone = await builder.image("gone", { tag: "spoilt" });
    await driver.delete(builder.paths.blob(gone.digest));
    return folder;
  }

  const outcomeOf = ({ eligible, kept, marked, problems, reasons, storageCalls }: GcReport) => {
    return {
      eligible,
      kept,
      marked,
      problems: problems.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
      reasons,
      reads: storageCalls["getContent"],
    };
  };

  const collect = (driver: FilesystemDriver) =>
    markAndSweep({}, driver, openRegistry(driver), { dryRun: true, readOnly: true, removeUntagged: true });

  /** What such a driver finds, and what it was told of manifests. */
  async function outcome(folder: string, change: (extracts: (Uint8Array | undefined)[]) => (Uint8Array | undefined)[]) {
    const told: (Uint8Array | undefined)[] = [];
    class Changed extends FilesystemDriver {
      override async visitMany(...[paths, options]: Parameters<FilesystemDriver["visitMany"]>) {
        const visits = await super.visitMany(paths, options);
        if (!areManifests(paths)) return visits;
        const answers = change([...visits.answers]);
        told.push(...answers);
        return { ...visits, answers };
      }
    }
    return { told, found: outcomeOf(await collect(new Changed({ root: folder }))) };
  }

  test("reads for itself what can't be proved, and judges it: as where nothing is understood elsewhere", async () => {
    const folder = await makeRegistry();
    const { told, found } = await outcome(folder, (answers) => answers);
    expect(found.problems.map(({ kind }) => kind).sort()).toEqual(["digest-mismatch", "missing-manifest", "not-json"]);
    expect(told.filter((answer) => answer !== undefined).length).toBe(told.length - 2);
    const none = await outcome(folder, (answers) => answers.map(() => undefined));
    expect({ ...none.found, reads: 0 }).toEqual({ ...found, reads: 0 });
    // Nobody goes on asking there: each would be read twice.
    expect(none.told.length).toBeLessThan(told.length);
  });

  test.each<[string, (extracts: (Uint8Array | undefined)[]) => (Uint8Array | undefined)[]]>([
    ["in another order", (answers) => answers.toReversed()],
    ["too few", (answers) => answers.slice(1)],
    ["all the same", (answers) => answers.map(() => answers[0])],
    ["cut", (answers) => answers.map((answer) => answer?.subarray(0, 60))],
    ["cut to nothing", (answers) => answers.map(() => new Uint8Array())],
    ["no bytes", (answers) => answers.map(() => "x".repeat(80) as never)],
    ["null", (answers) => answers.map(() => null as never)],
    ["of another content", (answers) => answers.map((answer) => answer?.map((byte, i) => (i < 32 ? byte ^ 1 : byte)))],
  ])("is told nothing else by answers that are wrong: %s", async (_, change) => {
    const folder = await makeRegistry();
    const [right, wrong] = [await outcome(folder, (answers) => answers), await outcome(folder, change)];
    expect({ ...wrong.found, reads: 0 }).toEqual({ ...right.found, reads: 0 });
  });

  test("asks keep though a wrapper answers what was made without what keep is told", async () => {
    const folder = mkdtempSync(join(root, "registry-"));
    const builder = new RegistryBuilder(new FilesystemDriver({ root: folder }));
    const digests = [await builder.image("app", {}), await builder.image("app", {})].map(({ digest }) => digest);
    class Forgetful extends FilesystemDriver {
      override visitMany(...[paths, options]: Parameters<FilesystemDriver["visitMany"]>) {
        return super.visitMany(paths, areManifests(paths) ? { ...options, visit: manifestVisit(false) } : options);
      }
    }
    const driver = new Forgetful({ root: folder });
    const asked: string[] = [];
    const keep = ({ digest }: { digest: string }) => asked.push(digest) > 0;
    const report = await markAndSweep({}, driver, openRegistry(driver), { dryRun: true, readOnly: true, removeUntagged: true, keep });
    expect(asked.toSorted()).toEqual(digests.toSorted());
    expect(report.eligible).toMatchObject({ manifests: 0, blobs: 0 });
  });

  test("fills a cache with what is right though a driver's answers are views of one buffer", async () => {
    const folder = await makeRegistry();
    const buffer = Buffer.alloc(1 << 20);
    class Reusing extends FilesystemDriver {
      override async visitMany(...[paths, options]: Parameters<FilesystemDriver["visitMany"]>) {
        let at = 0;
        const visits = await super.visitMany(paths, options);
        if (!areManifests(paths)) return visits;
        // One is left out: it is read while the buffer is used again.
        const answers = visits.answers.map((answer, i) => {
          if (answer === undefined || i === 0) return undefined;
          buffer.set(answer, at);
          at += answer.length;
          return buffer.subarray(at - answer.length, at);
        });
        return { ...visits, answers };
      }
    }
    const referenceCache = memoryReferenceCache();
    const options = { dryRun: true, readOnly: true, removeUntagged: true, referenceCache };
    const run = async (driver: FilesystemDriver) => outcomeOf(await markAndSweep({}, driver, openRegistry(driver), options));
    const first = await run(new Reusing({ root: folder }));
    expect({ ...(await run(new FilesystemDriver({ root: folder }))), reads: 0 }).toEqual({ ...first, reads: 0 });
  });

  test("does not wait for what is a pipe in the place of a manifest", async () => {
    const folder = mkdtempSync(join(root, "registry-"));
    const driver = new FilesystemDriver({ root: folder });
    const builder = new RegistryBuilder(driver);
    const [first] = [await builder.image("app", { tag: "a" }), await builder.image("app", { tag: "b" })];
    const file = join(folder, builder.paths.blob(first.digest));
    rmSync(file);
    execFileSync("mkfifo", [file]);
    const report = await collect(driver);
    expect(report.problems.map(({ kind }) => kind)).toEqual(["digest-mismatch"]);
    expect(report.eligible).toMatchObject({ manifests: 0, blobs: 0 });
  });
});
