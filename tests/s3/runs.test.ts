/** Whole runs on the stand-in: online ones with their quarantine, under a store that is overrun, and what they cost. */

import { type GcOptions, markAndSweep, openRegistry, purge, restore } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, MONTH_AGO } from "../support/stores.js";
import { allVectors, vector } from "../support/vectors.js";
import { s3World, useStandIn } from "./s3Store.js";
import { fault, type Weaknesses } from "./standIn.js";

useStandIn();

const OPTIONS: GcOptions = { removeUntagged: true, drainMs: 1 };

function setUp(file: string, weak: Weaknesses = {}) {
  const world = s3World();
  world.s3.weak = weak;
  for (const [path, content] of Object.entries(vector(file).files)) world.s3.put(path.slice(1), Buffer.from(content), { time: MONTH_AGO });
  return { ...world, registry: openRegistry(world.driver) };
}

describe.each<[string, Weaknesses]>([
  ["S3", {}],
  ["a store without conditions", { refusesConditions: 501 }],
  ["a store that calls conditions wrong", { refusesConditions: 400 }],
  ["a store that ignores conditions", { ignoresConditions: true }],
  ["a store that wants Content-MD5 and no other checksum", { needsContentMd5: true, refusesChecksums: true }],
  ["a store without DeleteObjects", { hasNoDeleteObjects: true }],
  ["a store with pages of ten", { pageSize: 10 }],
])("an online run on %s", (_, weak) => {
  test("puts aside what is garbage; all of it comes back, or goes for good", async () => {
    const { driver, registry } = setUp("lists", weak);
    const before = await contentOf(driver);
    const report = await markAndSweep({}, driver, registry, OPTIONS);
    expect(report).toMatchObject({ status: "completed", safety: "quarantine", failures: [] });
    expect(report.quarantined.blobs).toBe(report.eligible.blobs);
    expect(report.quarantined.blobs).toBeGreaterThan(0);

    await restore({}, driver, registry);
    const restored = await contentOf(driver);
    for (const [path, content] of before) if (path.includes("/blobs/")) expect(restored.get(path)).toBe(content);

    const again = await markAndSweep({}, driver, registry, { ...OPTIONS, gracePeriodMs: 0 });
    expect(again.status).toBe("completed");
    const purged = await purge({}, driver, registry, { ...OPTIONS, gracePeriodMs: 0, quarantineMs: 0 });
    expect(purged).toMatchObject({ failures: [] });
    expect((await markAndSweep({}, driver, registry, { ...OPTIONS, readOnly: true, gracePeriodMs: DAY })).failures).toEqual([]);
  });
});

test("a store that puts every third request off changes nothing about what goes", async () => {
  for (const { name, files, options, expected } of allVectors().slice(0, 12)) {
    const { s3, driver } = s3World();
    for (const key of [...s3.objects.keys()]) s3.objects.delete(key);
    s3.forgetOrder();
    for (const [path, content] of Object.entries(files)) s3.put(path.slice(1), Buffer.from(content), { time: MONTH_AGO });
    let n = 0;
    s3.interrupt = () => (n++ % 3 === 1 ? fault(503, "SlowDown") : undefined);
    await markAndSweep({}, driver, openRegistry(driver), options).catch((error: unknown) =>
      expect(error).toMatchObject({ code: expected.code }),
    );
    s3.interrupt = () => undefined;
    const removed = new Set(expected.removed);
    const left = Object.keys(files).filter((path) => !removed.has(path));
    expect([...s3.objects.keys()].map((key) => `/${key}`).sort(), name).toEqual(left.sort());
  }
});

test("a run asks by no HEAD, lists each prefix once, and reads each manifest once", async () => {
  const { s3, driver, registry } = setUp("lists");
  s3.resetCounts();
  await markAndSweep({}, driver, registry, { ...OPTIONS, readOnly: true, dryRun: true });
  const lists = s3.requests.filter(({ operation }) => operation === "ListObjectsV2").map(({ query }) => query.get("prefix"));
  expect(lists.filter((prefix) => prefix?.endsWith("/blobs/") === true)).toHaveLength(1);
  expect(lists.filter((prefix) => prefix?.endsWith("/repositories/") === true)).toHaveLength(1);
  const reads = s3.requests.filter(({ operation, key }) => operation === "GetObject" && key.includes("/blobs/")).map(({ key }) => key);
  expect(new Set(reads).size).toBe(reads.length);
  expect(s3.count("HeadObject")).toBe(0);
});

test("a report says that a bucket keeps versions", async () => {
  const { driver, registry } = setUp("retag", { isVersioned: true });
  const report = await markAndSweep({}, driver, registry, { readOnly: true, removeUntagged: true });
  expect(report.remarks).toEqual([expect.stringMatching(/keeps versions/)]);
});
