/** The acceptance cases from the field, row by row, on every store. "Before" and "after" are blobs and revision links. */

import { createHash } from "node:crypto";
import { type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, STORES, type Store } from "./support/stores.js";
import { layOut, vector } from "./support/vectors.js";

const ROOT = "/docker/registry/v2";
const OFFLINE: GcOptions = { readOnly: true };
const UNTAGGED: GcOptions = { readOnly: true, removeUntagged: true };

interface Counts {
  readonly blobs: number;
  readonly manifests: number;
}

function countsOf(paths: Iterable<string>): Counts {
  const all = [...paths];
  return {
    blobs: all.filter((path) => path.startsWith(`${ROOT}/blobs/`)).length,
    manifests: all.filter((path) => path.includes("/_manifests/revisions/")).length,
  };
}

describe.each(Object.entries(STORES))("on %s", (_, makeStore) => {
  const set = (file: string) => layOut(vector(file), makeStore());
  const collect = ({ driver }: Store, options: GcOptions): Promise<GcReport> => markAndSweep({}, driver, openRegistry(driver), options);
  const paths = async ({ driver }: Store) => [...(await contentOf(driver)).keys()];
  const counts = async (store: Store) => countsOf(await paths(store));
  const expectRun = async (store: Store, options: GcOptions, before: Counts, after: Counts) => {
    expect(await counts(store)).toEqual(before);
    const report = await collect(store, options);
    expect(await counts(store)).toEqual(after);
    expect(report.problems).toEqual([]);
    return report;
  };

  test("nothing to do", async () => {
    await expectRun(await set("nothing-to-do"), OFFLINE, { blobs: 14, manifests: 5 }, { blobs: 14, manifests: 5 });
  });

  test("retag", async () => {
    const store = await set("retag");
    const entries = async () => (await paths(store)).filter((path) => path.includes("/tags/test/index/"));
    expect(await entries()).toHaveLength(2);
    await expectRun(store, { ...UNTAGGED, dryRun: true }, { blobs: 9, manifests: 2 }, { blobs: 9, manifests: 2 });
    await expectRun(store, UNTAGGED, { blobs: 9, manifests: 2 }, { blobs: 5, manifests: 1 });
    expect(await entries()).toHaveLength(1);
  });

  test("no manifests", async () => {
    await expectRun(await set("no-manifests"), OFFLINE, { blobs: 3, manifests: 0 }, { blobs: 0, manifests: 0 });
  });

  test("revision deleted", async () => {
    await expectRun(await set("revision-deleted"), OFFLINE, { blobs: 10, manifests: 1 }, { blobs: 4, manifests: 1 });
  });

  test("shared layer", async () => {
    const store = await set("shared-layer");
    await collect(store, OFFLINE);
    const left = await contentOf(store.driver);
    const [manifest] = [...left].filter(([path, content]) => path.startsWith(`${ROOT}/blobs/`) && content.startsWith("{"));
    for (const [, digest] of manifest![1].matchAll(/"digest":"sha256:([0-9a-f]+)"/g)) {
      expect(left.has(`${ROOT}/blobs/sha256/${digest!.slice(0, 2)}/${digest!}/data`)).toBe(true);
    }
  });

  test("orphan", async () => {
    const { blobs } = await counts(await set("orphan"));
    expect(blobs).toBe(5);
    const store = await set("orphan");
    await collect(store, OFFLINE);
    expect((await counts(store)).blobs).toBe(4);
  });

  test("last tag gone", async () => {
    const store = await set("last-tag-gone");
    await collect(store, UNTAGGED);
    expect(await counts(store)).toEqual({ blobs: 0, manifests: 0 });
  });

  test("lists", async () => {
    const store = await set("lists");
    const report = await collect(store, UNTAGGED);
    expect(report.deleted).toMatchObject({ manifests: 6, blobs: 14 });
    expect(await counts(store)).toEqual({ blobs: 40 - 14, manifests: 15 - 6 });
  });

  test("list with a deleted child", async () => {
    const store = await set("list-with-a-deleted-child");
    const report = await collect(store, UNTAGGED);
    expect(report).toMatchObject({ status: "completed", problems: [], deleted: { blobs: 2, manifests: 0 } });
  });

  test("untyped children", async () => {
    const tagged = await set("untyped-children");
    const before = await counts(tagged);
    await expectRun(tagged, UNTAGGED, before, before);
    const untagged = await set("untyped-children-step-2");
    await collect(untagged, UNTAGGED);
    expect(await counts(untagged)).toEqual({ blobs: 0, manifests: 0 });
  });

  test("buildx cache", async () => {
    await expectRun(await set("buildx-cache"), UNTAGGED, { blobs: 10, manifests: 2 }, { blobs: 5, manifests: 1 });
  });

  test("nested", async () => {
    const store = await set("nested");
    const before = await counts(store);
    await expectRun(store, UNTAGGED, before, before);
  });

  test("twice linked", async () => {
    const store = await set("twice-linked");
    const before = await counts(store);
    await expectRun(store, UNTAGGED, before, { ...before, manifests: 1 });
  });

  test.each(["aaa-lists-what-only-zzz-has", "zzz-lists-what-only-aaa-has"])("child elsewhere: %s", async (order) => {
    const store = await set(`child-elsewhere-${order}`);
    const before = await counts(store);
    await expectRun(store, UNTAGGED, before, before);
  });

  test("signature", async () => {
    const tagged = await set("signature");
    const before = await counts(tagged);
    await expectRun(tagged, UNTAGGED, before, before);
    const untagged = await set("signature-step-2");
    expect((await collect(untagged, UNTAGGED)).deleted.manifests).toBe(3);
    expect(await counts(untagged)).toEqual({ blobs: 0, manifests: 0 });
  });

  test("layer links", async () => {
    const store = await set("layer-links");
    expect((await collect(store, UNTAGGED)).deleted).toMatchObject({ manifests: 1, layerLinks: 3 });
    expect(await paths(store)).toEqual([]);
  });

  test("nothing there", async () => {
    const report = await collect(makeStore(), UNTAGGED);
    expect(report).toMatchObject({ status: "completed", marked: { repositories: 0, blobs: 0 }, eligible: { blobs: 0 } });
  });

  test("metadata database", async () => {
    const store = await set("metadata-database");
    const before = await paths(store);
    const run = collect(store, OFFLINE);
    await expect(run).rejects.toMatchObject({ code: "DATABASE_IN_USE", report: { status: "refused" } });
    await expect(run).rejects.toThrow("database managed filesystem, cannot continue");
    expect(await paths(store)).toEqual(before);
  });

  test("wrong root", async () => {
    const store = await set("wrong-root");
    const before = await paths(store);
    await expect(collect(store, OFFLINE)).rejects.toMatchObject({ code: "EMPTY_MARK", report: { status: "refused" } });
    expect(await paths(store)).toEqual(before);
    expect((await collect(store, { ...OFFLINE, allowEmptyMark: true })).deleted.blobs).toBe(before.length);
  });

  test("siblings", async () => {
    const store = await set("siblings");
    const before = await paths(store);
    await collect(store, UNTAGGED);
    const gone = new Set(before.filter((path) => path.startsWith(`${ROOT}/repositories/foo/_`)));
    const left = (await paths(store)).filter((path) => path.startsWith(`${ROOT}/repositories/`));
    expect(new Set(left)).toEqual(new Set(before.filter((path) => path.startsWith(`${ROOT}/repositories/`) && !gone.has(path))));
  });

  test("paging", async () => {
    const store = makeStore();
    const repository = `${ROOT}/repositories/many`;
    for (let i = 0; i < 1001; i++) {
      const { digest, content } = manifest(i);
      await store.put(`${ROOT}/blobs/sha256/${digest.slice(0, 2)}/${digest}/data`, content);
      await store.put(`${repository}/_manifests/revisions/sha256/${digest}/link`, `sha256:${digest}`);
      await store.put(`${repository}/_manifests/tags/t${i}/current/link`, `sha256:${digest}`);
    }
    const before = await paths(store);
    const report = await collect(store, UNTAGGED);
    expect(report.marked).toEqual({ repositories: 1, tags: 1001, manifests: 1001, blobs: 1001 });
    expect(await paths(store)).toEqual(before);
  });

  test("everything deleted, again", async () => {
    const store = await set("everything-deleted-again");
    expect((await collect(store, UNTAGGED)).deleted.blobs).toBe(4);
    expect(await paths(store)).toEqual([]);
    expect(await collect(store, UNTAGGED)).toMatchObject({ status: "completed", eligible: { blobs: 0, manifests: 0 } });
  });
});

function manifest(i: number): { digest: string; content: string } {
  const content = JSON.stringify({ schemaVersion: 2, annotations: { seed: `${i}` } });
  return { digest: createHash("sha256").update(content).digest("hex"), content };
}
