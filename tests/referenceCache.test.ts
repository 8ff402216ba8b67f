/** What is remembered between runs: it saves reading, and never decides anything that reading would not have. */

import { createHash } from "node:crypto";
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, rmdir, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GcOptions, type GcReport, markAndSweep, memoryReferenceCache, openRegistry, type ReferenceCache } from "oci-registry-gc";
import { FilesystemDriver, fileReferenceCache } from "oci-registry-gc/drivers/filesystem";
import { RecordingDriver } from "oci-registry-gc/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DigestIndex } from "../src/digestIndex.js";
import { packManifest, readManifest } from "../src/manifest.js";
import { fromMemory, readEntry, toRemember } from "../src/manifestEntry.js";
import { contentOf, filesystemStore, flatStore, memoryStore, type Store } from "./support/stores.js";
import { image, push, revision } from "./support/tree.js";
import { allVectors, layOut, vector } from "./support/vectors.js";
import { blobPath, digestOf } from "./support/world.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "reference-cache-"));
});
afterEach(() => rm(folder, { recursive: true }));

const OPTIONS: GcOptions = { readOnly: true, removeUntagged: true };

/** A run, and the manifests that it read. */
async function collect(
  store: Store,
  referenceCache?: ReferenceCache,
  options: GcOptions = {},
): Promise<{ report: GcReport; reads: string[] }> {
  const recording = new RecordingDriver(store.driver);
  const report = await markAndSweep({}, recording, openRegistry(recording), { ...OPTIONS, referenceCache, ...options });
  const reads = recording.log.filter(({ method }) => method === "getContent" || method === "reader").map(({ paths }) => paths[0] ?? "");
  return { report, reads: reads.filter((path) => path.includes("/blobs/")) };
}

/** What a run found, without what differs from run to run. */
const outcomeOf = ({ eligible, deleted, kept, marked, problems, reasons }: GcReport) => ({
  eligible,
  deleted,
  kept,
  marked,
  problems,
  reasons,
});

const caches: [string, () => ReferenceCache][] = [
  ["in memory", memoryReferenceCache],
  ["in a file", () => fileReferenceCache(join(folder, "made/for/it"))],
];

describe("a cache that never answers", () => {
  afterEach(() => void vi.useRealTimers());

  test.each(["get", "set"] as const)("%s: after a minute it is asked no more, and manifests are read", async (silent) => {
    const store = await layOut(vector("lists"), memoryStore());
    const without = await collect(await layOut(vector("lists"), memoryStore()));
    const inner = memoryReferenceCache();
    const asked = { get: 0, set: 0 };
    const hanging = new Promise<never>(() => undefined);
    const cache: ReferenceCache = {
      get: (digest) => {
        asked.get++;
        return silent === "get" ? hanging : inner.get(digest);
      },
      set: (digest, bytes) => {
        asked.set++;
        return silent === "set" ? hanging : inner.set(digest, bytes);
      },
    };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (message: string) => void warnings.push(message), error() {} };
    const running = markAndSweep({ logger }, store.driver, openRegistry(store.driver), { ...OPTIONS, referenceCache: cache });
    await vi.waitFor(() => expect(asked[silent]).toBeGreaterThan(0));
    await vi.advanceTimersByTimeAsync(60_000);
    const before = { ...asked };
    expect(outcomeOf(await running)).toEqual(outcomeOf(without.report));
    expect(asked).toEqual(before);
    expect(warnings.filter((message) => message.includes("did not answer within a minute"))).toHaveLength(1);
  });
});

describe.each(caches)("%s", (_, make) => {
  test.each([
    ["directories", memoryStore],
    ["a flat store", flatStore],
  ])("a second run with nothing new reads no manifest: %s", async (_kind, makeStore) => {
    const store = await layOut(vector("lists"), makeStore());
    const cache = make();
    const first = await collect(store, cache, { dryRun: true });
    const second = await collect(store, cache, { dryRun: true });
    expect(first.reads.length).toBeGreaterThan(0);
    expect(second.reads).toEqual([]);
    expect(outcomeOf(second.report)).toEqual(outcomeOf(first.report));
  });

  test.each(allVectors().map((each) => [each.name, each] as const))("changes no outcome: %s", async (_name, each) => {
    const plain = await layOut(each, memoryStore());
    const remembering = await layOut(each, memoryStore());
    const cache = make();
    await collect(remembering, cache, { dryRun: true }).catch(() => undefined);
    const run = async (store: Store, referenceCache?: ReferenceCache) =>
      collect(store, referenceCache).then(
        ({ report }) => outcomeOf(report),
        (error: unknown) => String(error),
      );
    expect(await run(remembering, cache)).toEqual(await run(plain));
    expect(await contentOf(remembering.driver)).toEqual(await contentOf(plain.driver));
  });

  test("keep is told the same of what is remembered", async () => {
    const store = await layOut(vector("lists"), memoryStore());
    const cache = make();
    const told: unknown[][] = [[], []];
    for (const list of told) await collect(store, cache, { dryRun: true, keep: (manifest) => list.push(manifest) < 0 });
    expect(told[0]?.length).toBeGreaterThan(0);
    expect(told[1]).toEqual(told[0]);
  });
});

describe("what is remembered of a manifest that is gone", () => {
  test.each([
    ["directories", memoryStore],
    ["a flat store", flatStore],
  ])("is not believed, and it is damage: %s", async (_kind, makeStore) => {
    const store = makeStore();
    const manifest = image(digestOf("layer"));
    await push((path, content) => store.put(path, content), "r", manifest, ["layer"], "t");
    const cache = memoryReferenceCache();
    await collect(store, cache);
    await store.driver.deleteFiles?.([blobPath(digestOf(manifest))]);
    const { report } = await collect(store, cache);
    expect(report.problems).toMatchObject([{ kind: "missing-manifest", path: revision("r", digestOf(manifest)) }]);
    await store.put(blobPath(digestOf(manifest)), "cut");
    expect((await collect(store, cache)).report.problems).toMatchObject([{ kind: "digest-mismatch" }]);
  });

  test("is not believed of one among many on a disk, which are looked at together", async () => {
    const store = filesystemStore();
    const layers = ["whole", "gone", "cut", "no file"];
    const manifests = layers.map((layer) => image(digestOf(layer)));
    const [, gone = "", cut = "", noFile = ""] = manifests;
    for (const [i, manifest] of manifests.entries()) {
      await push((path, content) => store.put(path, content), "r", manifest, layers, `v${i}`);
    }
    const cache = memoryReferenceCache();
    const run = async () => {
      const { problems } = await markAndSweep({}, store.driver, openRegistry(store.driver), { ...OPTIONS, referenceCache: cache });
      return problems.map(({ kind, path }) => ({ kind, path }));
    };
    expect(await run()).toEqual([]);
    expect(await run()).toEqual([]);

    await store.driver.deleteFiles?.([gone, noFile].map((manifest) => blobPath(digestOf(manifest))));
    await store.put(blobPath(digestOf(cut)), cut.slice(1));
    await store.put(`${blobPath(digestOf(noFile))}/of/it`, "a directory");
    const damage = await run();
    expect(damage).toHaveLength(3);
    expect(damage).toEqual(
      expect.arrayContaining([
        { kind: "missing-manifest", path: revision("r", digestOf(gone)) },
        { kind: "digest-mismatch", path: revision("r", digestOf(cut)) },
        { kind: "missing-manifest", path: revision("r", digestOf(noFile)) },
      ]),
    );
  });
});

describe("an entry", () => {
  const layers = [{ mediaType: "application/octet-stream", digest: digestOf("layer") }];
  const manifest = JSON.stringify({ schemaVersion: 2, artifactType: "a/b", annotations: { a: "ö" }, layers });
  const digest = digestOf(manifest);
  const document = readManifest(digest, Buffer.from(manifest));
  if ("kind" in document) throw new Error(document.message);
  const packed = packManifest(document, manifest.length, true);
  const remembered = Buffer.from(toRemember(digest, packed));

  test("is read back as it was", () => {
    const entry = fromMemory(digest, remembered);
    expect(entry && Buffer.from(entry)).toEqual(Buffer.from(packed));
    const digests = new DigestIndex();
    const known = readEntry(entry ?? new Uint8Array(), digests, "read");
    expect(known.facts).toMatchObject({ artifactType: "a/b", annotations: { a: "ö" }, size: manifest.length });
    expect(known.blobs.map((number) => digests.digest(number))).toContain(digestOf("layer"));
  });

  test("that is changed by any bit, or cut anywhere, is ignored", () => {
    for (let bit = 0; bit < remembered.length * 8; bit++) {
      const changed = Buffer.from(remembered);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(fromMemory(digest, changed)).toBeUndefined();
    }
    for (let end = 0; end < remembered.length; end++) expect(fromMemory(digest, remembered.subarray(0, end))).toBeUndefined();
  });

  test("of another rule is ignored", () => {
    const madeBy = (rule: number) => {
      const told = Buffer.concat([Buffer.from([rule]), Buffer.from(digest.slice(7), "hex"), packed]);
      return Buffer.concat([createHash("sha256").update(told).digest(), told]);
    };
    expect(madeBy(4)).toEqual(remembered);
    for (const rule of [0, 1, 2, 3, 255]) expect(fromMemory(digest, madeBy(rule))).toBeUndefined();
    // As they were packed until rule 2.
    const checksum = createHash("sha256").update(`2 ${digest}\n`).update(packed).digest();
    expect(fromMemory(digest, Buffer.concat([checksum, packed]))).toBeUndefined();
  });

  test("of another manifest is ignored", () => {
    expect(fromMemory(digestOf("another"), remembered)).toBeUndefined();
    expect(fromMemory(`sha512:${digest.slice(7)}${"0".repeat(64)}`, remembered)).toBeUndefined();
  });

  test("that is damaged has the manifest read again, and is made anew", async () => {
    const store = await layOut(vector("retag"), memoryStore());
    const cache = memoryReferenceCache();
    const { reads } = await collect(store, cache, { dryRun: true });
    const damaged: ReferenceCache = {
      get: async (each) => (await cache.get(each))?.slice(1),
      set: (each, bytes) => cache.set(each, bytes),
    };
    expect((await collect(store, damaged, { dryRun: true })).reads.sort()).toEqual(reads.sort());
  });
});

test("a cache that fails is said once, and manifests are read", async () => {
  const store = await layOut(vector("lists"), memoryStore());
  const warnings: string[] = [];
  const logger = { debug() {}, info() {}, warn: (message: string) => void warnings.push(message), error() {} };
  const referenceCache: ReferenceCache = {
    get: () => {
      throw new Error("no get");
    },
    set: () => Promise.reject(new Error("no set")),
  };
  const plain = await collect(store, undefined, { dryRun: true });
  const report = await markAndSweep({ logger }, store.driver, openRegistry(store.driver), { ...OPTIONS, dryRun: true, referenceCache });
  expect(outcomeOf(report)).toEqual(outcomeOf(plain.report));
  expect(warnings.filter((message) => message.includes("referenceCache failed: no get"))).toHaveLength(1);
  expect(warnings.filter((message) => message.includes("no set"))).toHaveLength(0);
});

describe("a file", () => {
  const path = () => join(folder, "cache");
  const bytes = (text: string) => Buffer.from(text);

  test("is read again by the next process; the last entry of a digest counts", async () => {
    const cache = fileReferenceCache(path());
    await Promise.all([cache.set("a", bytes("1")), cache.set("b", bytes("2")), cache.set("a", bytes("3"))]);
    const next = fileReferenceCache(path());
    expect([await next.get("a"), await next.get("b"), await next.get("c")].map((each) => each && Buffer.from(each).toString())).toEqual([
      "3",
      "2",
      undefined,
    ]);
  });

  test("that could not be opened for a moment is opened again", async () => {
    await fileReferenceCache(path()).set("a", bytes("1"));
    const cache = fileReferenceCache(path());
    await rename(path(), `${path()}.away`);
    await mkdir(path());
    await expect(cache.get("a")).rejects.toThrow();
    await rmdir(path());
    await rename(`${path()}.away`, path());
    expect(Buffer.from((await cache.get("a"))!).toString()).toBe("1");
  });

  test("that was cut short loses what was cut, and takes what comes", async () => {
    await fileReferenceCache(path()).set("a", bytes("1"));
    const whole = await readFile(path());
    await fileReferenceCache(path()).set("b", bytes("22222"));
    await truncate(path(), (await readFile(path())).length - 2);
    const next = fileReferenceCache(path());
    expect(await next.get("b")).toBeUndefined();
    expect(await readFile(path())).toEqual(whole);
    await next.set("c", bytes("3"));
    const last = fileReferenceCache(path());
    expect(Buffer.from((await last.get("c"))!).toString()).toBe("3");
    expect(Buffer.from((await last.get("a"))!).toString()).toBe("1");
  });

  test("is read whole though it is read in pieces, and an entry is longer than a piece", async () => {
    const entries = Array.from(
      { length: 40 },
      (_, i) => [`digest ${i}`, Buffer.alloc(i === 20 ? 5_000_000 : 70_001 + i, `${i} `)] as const,
    );
    const cache = fileReferenceCache(path());
    for (const [digest, content] of entries) await cache.set(digest, content);
    await fileReferenceCache(path()).set("last", bytes("the last"));
    const length = (await readFile(path())).length;
    await truncate(path(), length - 1);
    const next = fileReferenceCache(path());
    const allocate = vi.spyOn(Buffer, "allocUnsafe");
    await next.get("any");
    const [first = 0] = allocate.mock.calls.map(([size]) => size).filter((size) => size > 100_000);
    allocate.mockRestore();
    expect(first).toBe(1024 * 1024);
    for (const [digest, content] of entries) expect(content.equals((await next.get(digest)) ?? bytes("none")), digest).toBe(true);
    expect(await next.get("last")).toBeUndefined();
    expect((await readFile(path())).length).toBeLessThan(length - 8);
  });

  test("has all that was set, also what was set while a write was ending", async () => {
    // Whenever the second is set, it is the last: nothing later brings it along.
    for (let turns = 0; turns < 120; turns += 2) {
      const cache = fileReferenceCache(path());
      const first = cache.set("first", bytes("1"));
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      await Promise.all([first, cache.set(`second ${turns}`, bytes("2"))]);
      expect(await fileReferenceCache(path()).get(`second ${turns}`), `${turns} turns later`).toBeDefined();
    }
  });

  test("that is none of ours is written over from where it is none", async () => {
    await writeFile(path(), "something else altogether, and long enough");
    const cache = fileReferenceCache(path());
    expect(await cache.get("a")).toBeUndefined();
    await cache.set("a", bytes("1"));
    expect(Buffer.from((await fileReferenceCache(path()).get("a"))!).toString()).toBe("1");
    await appendFile(path(), "xx");
    expect(Buffer.from((await fileReferenceCache(path()).get("a"))!).toString()).toBe("1");
  });

  test("whose end a crash left full of zeros loses that end", async () => {
    await fileReferenceCache(path()).set("a", bytes("1"));
    const whole = await readFile(path());
    await appendFile(path(), Buffer.alloc(100_000));
    expect(Buffer.from((await fileReferenceCache(path()).get("a"))!).toString()).toBe("1");
    expect(await readFile(path())).toEqual(whole);
  });

  test.skipIf(process.platform !== "linux")("that never ends tells nothing", { timeout: 10_000 }, async () => {
    const outcome = await Promise.allSettled([fileReferenceCache("/dev/full").get("a")]);
    expect(outcome).toEqual([{ status: "fulfilled", value: undefined }]);
  });

  test("whose path is none is refused", () => {
    expect(() => fileReferenceCache("")).toThrow(TypeError);
  });
});

test.each([
  ["memory", memoryStore],
  ["files", filesystemStore],
])("a cache that answers with views of one buffer loses nothing: %s", async (_, makeStore) => {
  const store = await layOut(vector("lists"), makeStore());
  const inner = memoryReferenceCache();
  const { report } = await collect(store, inner, { dryRun: true });
  const buffer = Buffer.alloc(1 << 20);
  let last: Promise<unknown> = Promise.resolve();
  // Each answer is whole when it is given, and is overwritten by the next one's.
  const read = async (digest: string) => {
    await new Promise((resolve) => setImmediate(resolve));
    const bytes = (await inner.get(digest)) ?? new Uint8Array();
    buffer.set(bytes);
    return bytes.length === 0 ? undefined : buffer.subarray(0, bytes.length);
  };
  const referenceCache: ReferenceCache = {
    get: (digest) => {
      const answer = last.then(() => read(digest));
      last = answer;
      return answer;
    },
    set: () => undefined,
  };
  expect(outcomeOf((await collect(store, referenceCache, { dryRun: true })).report)).toEqual(outcomeOf(report));
});

test("null is no entry, as clients of databases say it", async () => {
  const store = await layOut(vector("lists"), memoryStore());
  const referenceCache = { get: () => null, set: () => undefined } as unknown as ReferenceCache;
  const plain = await collect(store, undefined, { dryRun: true });
  expect((await collect(store, referenceCache, { dryRun: true })).reads).toEqual(plain.reads);
});

test("a run on files ends where a test fakes the timers, and so does one that fills a cache", async () => {
  const store = await layOut(vector("lists"), filesystemStore());
  const cache = fileReferenceCache(join(folder, "cache"));
  vi.useFakeTimers();
  try {
    expect((await collect(store, cache, { dryRun: true })).report.status).toBe("completed");
    const driver = new FilesystemDriver({ root: store.folder });
    const report = await markAndSweep({}, driver, openRegistry(driver), { ...OPTIONS, referenceCache: cache });
    expect(report.status).toBe("completed");
  } finally {
    vi.useRealTimers();
  }
});
