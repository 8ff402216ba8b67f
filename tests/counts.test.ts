/**
 * What a run costs, in counts: on a small registry of the benchmark's own kind, so that a slower way shows before anyone measures
 * seconds. What is expected is counted in the tree itself.
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GcOptions, type GcReport, markAndSweep, memoryReferenceCache, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { CountingDriver, FlatDriver, RegistryBuilder } from "oci-registry-gc/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTree } from "../benchmarks/tree.js";

const SHAPE = {
  ...{ repositories: 6, tags: 0, manifests: 240, blobs: 1400, looseLinks: 30 },
  ...{ listEvery: 4, oldEvery: 5, bases: 12, commonBases: 8 },
};
const LINK_BYTES = 71;
const DRY: GcOptions = { dryRun: true, readOnly: true };

let root: string;
let tree: Tree;

/** What lies there. */
interface Tree {
  readonly revisions: number;
  /** Different manifests, however many repositories have them. */
  readonly manifests: number;
  readonly manifestBytes: number;
  readonly tags: number;
  /** Directories that a listing has to be made of. */
  readonly directories: number;
  readonly tagIndexes: number;
}

beforeAll(async () => {
  root = makeTree(join(await mkdtemp(join(tmpdir(), "counts-")), "tree"), SHAPE);
  tree = lookAt(join(root, "docker/registry/v2"));
});

afterAll(async () => {
  await rm(join(root, ".."), { recursive: true });
});

function lookAt(v2: string): Tree {
  const manifests = new Set<string>();
  const counts = { revisions: 0, tags: 0, tagIndexes: 0 };
  // What lies aside, and the root, to confirm that nothing does; then blobs: all, the algorithm, each beginning of a digest.
  let directories = 2 + 2 + readdirSync(join(v2, "blobs/sha256")).length;
  const open = [join(v2, "repositories")];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const names = readdirSync(path);
    directories++;
    for (const name of names) if (!name.startsWith("_")) open.push(join(path, name));
    if (!names.includes("_manifests")) continue;
    const revisions = readdirSync(join(path, "_manifests/revisions/sha256"));
    const tags = readdirSync(join(path, "_manifests/tags"));
    for (const hex of revisions) manifests.add(hex);
    counts.revisions += revisions.length;
    counts.tags += tags.length;
    // _manifests, revisions and tags with one algorithm, _layers with one, and _uploads where there are any.
    directories += 4 + 2 + Number(names.includes("_uploads"));
  }
  const sizeOf = (hex: string) => statSync(join(v2, "blobs/sha256", hex.slice(0, 2), hex, "data")).size;
  const manifestBytes = [...manifests].reduce((sum, hex) => sum + sizeOf(hex), 0);
  return { ...counts, manifests: manifests.size, manifestBytes, directories };
}

/** The run that is counted call by call, and the same as the driver has it, many calls in one. */
async function collect(options: GcOptions): Promise<{ report: GcReport; counting: CountingDriver; together: GcReport }> {
  const counting = new CountingDriver(new FilesystemDriver({ root }));
  const report = await markAndSweep({}, counting, openRegistry(counting), options);
  const driver = new FilesystemDriver({ root });
  return { report, counting, together: await markAndSweep({}, driver, openRegistry(driver), options) };
}

/** Only what a name can't tell is looked at: revision links, what is to go, and whether a database owns the registry. */
function statsOf({ eligible }: GcReport): number {
  return tree.revisions + eligible.blobs + eligible.layerLinks + eligible.tagIndexEntries + 1;
}

/** Whether signatures lie beside a revision a listing tells; who visits a repository looks at their place. */
function seenByVisits({ storageCalls: { list = 0, stat = 0, ...calls } }: GcReport): GcReport["storageCalls"] {
  return { ...calls, list: list - tree.revisions, stat: stat + tree.revisions };
}

describe("a dry run", () => {
  test("reads each manifest once and each tag once, lists each directory once, and looks at nothing that a name tells", async () => {
    const { report, counting, together } = await collect(DRY);
    expect(report.eligible).toMatchObject({ manifests: 0, layerLinks: SHAPE.looseLinks });
    expect(counting.calls("getContent")).toBe(tree.manifests + tree.tags);
    expect(counting.bytesRead).toBe(tree.manifestBytes + tree.tags * LINK_BYTES);
    expect(counting.calls("list")).toBe(tree.directories + tree.revisions);
    expect(counting.calls("stat")).toBe(statsOf(report));
    expect(counting.calls()).toBe(counting.calls("getContent") + counting.calls("list") + counting.calls("stat"));
    expect(together.storageCalls).toEqual(seenByVisits(report));
    expect(together.eligible).toEqual(report.eligible);
  });

  test("of untagged manifests lists the tags' indexes, too", async () => {
    const { report, counting, together } = await collect({ ...DRY, removeUntagged: true });
    expect(report.eligible.manifests).toBeGreaterThan(0);
    expect(counting.calls("getContent")).toBe(tree.manifests + tree.tags);
    expect(counting.bytesRead).toBe(tree.manifestBytes + tree.tags * LINK_BYTES);
    expect(counting.calls("stat")).toBe(statsOf(report));
    // Of each repository that loses something: its tags once more, and the index of each.
    expect(counting.calls("list")).toBe(
      tree.directories + tree.revisions + report.repositories.filter(({ manifests }) => manifests > 0).length + tree.tags,
    );
    expect(together.storageCalls).toEqual(seenByVisits(report));
  });

  test("of what an earlier one has read reads no manifest", async () => {
    const referenceCache = memoryReferenceCache();
    const first = await collect({ ...DRY, referenceCache: memoryReferenceCache() });
    expect(first.counting.calls("getContent")).toBe(tree.manifests + tree.tags);
    const filling = new FilesystemDriver({ root });
    await markAndSweep({}, filling, openRegistry(filling), { ...DRY, referenceCache });
    const { report, counting, together } = await collect({ ...DRY, referenceCache });
    expect(counting.calls("getContent")).toBe(tree.tags);
    expect(counting.bytesRead).toBe(tree.tags * LINK_BYTES);
    // It looks whether each is there, and as large as it was.
    expect(counting.calls("stat")).toBe(statsOf(report) + tree.manifests);
    expect(together.storageCalls).toEqual(seenByVisits(report));
    expect(report.eligible).toEqual(first.report.eligible);
  });
});

test("a run again on a store whose listings tell sizes asks nothing of any manifest", async () => {
  const driver = new FlatDriver({ now: () => 0 });
  const registry = new RegistryBuilder(driver);
  for (let i = 0; i < 20; i++) await registry.image("app", { tag: `v${i}` });
  const referenceCache = memoryReferenceCache();
  const run = async () => {
    const counting = new CountingDriver(driver);
    const report = await markAndSweep({}, counting, openRegistry(counting), { ...DRY, referenceCache });
    expect(report).toMatchObject({ status: "completed", problemCount: 0, marked: { manifests: 20 } });
    return counting;
  };
  const [first, again] = [await run(), await run()];
  expect(first.calls("reader")).toBe(40);
  expect(again.calls("reader")).toBe(20); // Tags: this store tells no MD5.
  expect(again.calls("stat")).toBe(first.calls("stat"));
});

test("the benchmark's tree is the same each time", () => {
  const again = readFileSync(join(root, "shape.json"), "utf8");
  expect(makeTree(root, SHAPE)).toBe(root);
  expect(readFileSync(join(root, "shape.json"), "utf8")).toBe(again);
});
