/** A run that deletes later: aside, drain, look, put back; and later the purge. */

import { type DeletedItem, type GcOptions, listRuns, markAndSweep, openRegistry, restore } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const OPTIONS: GcOptions = { removeUntagged: true };

const zero = { manifests: 0, blobs: 0, bytes: 0 };

describe("a run that quarantines", () => {
  test("moves data aside, leaves revision links and index entries, and deletes nothing but layer links", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const told: DeletedItem[] = [];
    const report = await world.collect({ onDeleted: (items) => void told.push(...items) });
    expect(report).toMatchObject({
      status: "completed",
      safety: "quarantine",
      eligible: { blobs: 4, manifests: 1, layerLinks: 3, tagIndexEntries: 1 },
      deleted: { blobs: 0, manifests: 0, layerLinks: 3, tagIndexEntries: 0, bytes: 0 },
      quarantined: { blobs: 4, manifests: 1, bytes: report.eligible.bytes },
      restored: zero,
      returned: zero,
    });
    expect(world.slept.reduce((a, b) => a + b)).toBe(120_000);
    const after = await world.files();
    const gone = [...before.keys()].filter((path) => !after.has(path));
    expect(gone.filter((path) => path.includes("/blobs/"))).toHaveLength(4);
    expect(gone.filter((path) => path.includes("/_layers/"))).toHaveLength(3);
    expect(gone).toHaveLength(7);
    expect(await world.aside()).toHaveLength(4);
    expect(told.filter(({ how }) => how === "aside").map(({ kind }) => kind)).toEqual(["blob", "blob", "blob", "blob"]);
    expect((await contentOf(world.driver)).has("/docker/registry/lockfiles/gc-in-progress")).toBe(false);
  });

  test("a later run purges, after a drain and a look of its own", async () => {
    const world = await new World().load("retag");
    const first = await world.collect();
    world.now += 7 * DAY - 1000;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0, manifests: 0 }, purged: { blobs: 0 } });
    expect(await world.aside()).toHaveLength(4);
    world.now += DAY;
    const second = await world.collect();
    expect(second).toMatchObject({
      eligible: { blobs: 0 },
      deleted: { blobs: 0 },
      purged: { blobs: 4, manifests: 1, tagIndexEntries: 1, bytes: first.quarantined.bytes },
    });
    expect(await world.aside()).toEqual([]);
    const offline = await new World().load("retag");
    await offline.collect({ readOnly: true });
    expect(await world.files()).toEqual(await offline.files());
    world.now += 2 * DAY;
    await world.collect();
    expect([...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/_gc/"))).toEqual([]);
  });

  test("quarantineMs: 0 purges in the same run, counted as deleted", async () => {
    const world = await new World().load("retag");
    const report = await world.collect({ quarantineMs: 0 });
    expect(report).toMatchObject({ deleted: report.eligible, quarantined: zero, purged: { blobs: 0, manifests: 0 } });
    const offline = await new World().load("retag");
    await offline.collect({ readOnly: true });
    expect(await world.files()).toEqual(await offline.files());
  });

  test("a push that completes during the drain brings everything back, with its layer links", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const link = [...before.keys()].find((path) => path.includes("/revisions/") && !isTagged(before, path))!;
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(link, before.get(link)!);
    };
    const report = await world.collect();
    expect(report).toMatchObject({ restored: { blobs: 4, manifests: 1 }, quarantined: zero });
    expect(await world.files()).toEqual(before);
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0 } });
  });

  test("a mount during the drain keeps its blob", async () => {
    const world = await new World().load("orphan");
    const orphan = digestOf("orphan");
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(`${ROOT}/repositories/other/_layers/sha256/${orphan.slice(7)}/link`, orphan);
    };
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ restored: { blobs: 1 }, quarantined: zero });
    expect((await world.files()).has(blobPath(orphan))).toBe(true);
  });

  test("an abort in the drain puts everything back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const controller = new AbortController();
    world.meanwhile = async () => controller.abort(new Error("stop"));
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, world.driver, openRegistry(world.driver), OPTIONS);
    await expect(run).rejects.toMatchObject({ message: "stop", report: { status: "aborted", restored: { blobs: 4 }, quarantined: zero } });
    expect(await world.files()).toEqual(before);
    expect((await contentOf(world.driver)).has("/docker/registry/lockfiles/gc-in-progress")).toBe(false);
  });

  test("a dry run sees what lies aside, and plans nothing again", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const everything = await contentOf(world.driver);
    expect(await world.collect({ dryRun: true })).toMatchObject({ problemCount: 0, eligible: { blobs: 0, manifests: 0, layerLinks: 0 } });
    expect(await contentOf(world.driver)).toEqual(everything);
  });

  test("a tag that is put on what lies aside brings it back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    const link = [...before.keys()].find((path) => path.includes("/revisions/") && !isTagged(before, path))!;
    const repository = link.slice(0, link.indexOf("/_manifests"));
    await world.put(`${repository}/_manifests/tags/again/current/link`, before.get(link)!);
    expect(await world.heal()).toMatchObject({ returned: { blobs: 4, manifests: 1 }, problemCount: 0 });
    for (const [path, content] of before) expect((await world.files()).get(path)).toBe(content);
  });

  test("without removeUntagged every revision is needed, and comes back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ returned: { blobs: 4 } });
    expect(await world.files()).toEqual(before);
  });

  test("readOnly deletes at once, and what lies aside counts as present", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const report = await world.collect({ readOnly: true });
    expect(report).toMatchObject({ safety: "quiesced", problemCount: 0, eligible: { blobs: 0, manifests: 0 } });
  });
});

describe("restore, listRuns, purge", () => {
  test("restore brings everything back, and it counts as young", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const { runId } = await world.collect();
    const ctx = { clock: world.clock };
    expect(await listRuns(ctx, world.driver, openRegistry(world.driver))).toMatchObject([{ runId, state: "settled", blobs: 4, links: 3 }]);
    const report = await restore(ctx, world.driver, openRegistry(world.driver));
    expect(report).toMatchObject({ blobs: 4, links: 3, missing: [], failures: [] });
    expect(await world.files()).toEqual(before);
    expect(await listRuns(ctx, world.driver, openRegistry(world.driver))).toEqual([]);
    world.now += DAY / 2;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0 } });
    world.now += DAY;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 4 } });
  });

  test("restore of a digest brings back that manifest and all that it names", async () => {
    const world = await new World().load("lists");
    await world.collect();
    const ctx = { clock: world.clock };
    const manifest = [...(await contentOf(world.driver))].find(
      ([path, content]) => path.includes("/_gc/") && content.includes('"layers"'),
    )![1];
    const report = await restore(ctx, world.driver, openRegistry(world.driver), { digest: digestOf(manifest) });
    expect(report).toMatchObject({ blobs: 3, links: 2, missing: [] });
    for (const [, digest] of manifest.matchAll(/"digest":"(sha256:[0-9a-f]+)"/g))
      expect((await world.files()).has(blobPath(digest!))).toBe(true);
  });

  test("restore says what is missing, and refuses a run that is not there", async () => {
    const world = await new World().load("retag");
    const ctx = { clock: world.clock };
    const digest = digestOf("nowhere");
    expect(await restore(ctx, world.driver, openRegistry(world.driver), { digest })).toMatchObject({ blobs: 0, missing: [digest] });
    await expect(restore(ctx, world.driver, openRegistry(world.driver), { runId: "none" })).rejects.toThrow("there is no run");
    await expect(restore(ctx, world.driver, openRegistry(world.driver), { digest: "x" })).rejects.toMatchObject({ code: "INVALID_DIGEST" });
  });

  test("purge deletes earlier what is told to be old enough", async () => {
    const world = await new World().load("retag");
    await world.collect();
    expect(await world.purge()).toMatchObject({ purged: { blobs: 0 } });
    expect(await world.purge({ quarantineMs: 1000 })).toMatchObject({ purged: { blobs: 4, manifests: 1 } });
    expect(await world.aside()).toEqual([]);
  });
});

function isTagged(files: ReadonlyMap<string, string>, revision: string): boolean {
  return [...files].some(([path, content]) => path.includes("/current/link") && content === files.get(revision));
}
