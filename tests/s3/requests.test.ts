/** What a collection asks an object store for, phase by phase: nothing that a listing has told already. */

import { type GcOptions, type GcReport, heal, markAndSweep, openRegistry } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { MONTH_AGO } from "../support/stores.js";
import { currentLink, image, layer, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf } from "../support/world.js";
import { type S3World, s3World, useStandIn } from "./s3Store.js";

useStandIn();

const MANIFESTS = 6;
const REPOSITORIES = 3;
const kindOf = (key: string) => {
  if (key.includes("/lockfiles/")) return "lock";
  if (key.includes("/_gc/")) return "aside";
  return key.includes("/blobs/") ? "blob" : "link";
};

function world(): S3World & { put(path: string, content: string): Promise<void> } {
  const made = s3World();
  const put = (path: string, content: string) => Promise.resolve(made.s3.put(path.slice(1), Buffer.from(content), { time: MONTH_AGO }));
  return { ...made, put };
}

/** Every repository has every manifest; of each two one is tagged. */
async function stocked() {
  const made = world();
  for (let r = 0; r < REPOSITORIES; r++) {
    for (let m = 0; m < MANIFESTS; m++) {
      await push(made.put, `r${r}`, image(digestOf(`layer ${m}`)), [`layer ${m}`], m % 2 === 0 ? `t${m}` : undefined);
    }
  }
  return made;
}

async function collect({ driver, s3, clock }: S3World, options: GcOptions, run = markAndSweep) {
  s3.requests.length = 0;
  const report: GcReport = await run({ clock }, driver, openRegistry(driver), { removeUntagged: true, drainMs: 10, ...options });
  const reads = new Map<string, number>();
  const operations: Record<string, number> = {};
  for (const { operation, key } of s3.requests) {
    operations[operation] = (operations[operation] ?? 0) + 1;
    if (operation === "GetObject") reads.set(key, (reads.get(key) ?? 0) + 1);
  }
  const kinds: Record<string, number> = {};
  for (const [key, times] of reads) kinds[kindOf(key)] = (kinds[kindOf(key)] ?? 0) + times;
  return { report, operations, reads, kinds };
}

describe("requests", () => {
  test("read each manifest once, and no link: a tag is known by its MD5", async () => {
    const { operations, kinds, report } = await collect(await stocked(), { readOnly: true, dryRun: true });
    expect(report).toMatchObject({ marked: { tags: (REPOSITORIES * MANIFESTS) / 2 }, eligible: { blobs: MANIFESTS } });
    expect(kinds).toEqual({ blob: MANIFESTS });
    // Blobs, repositories, the database's lock, and what lies aside: that there is nothing is asked twice, as of any prefix.
    expect(operations).toEqual({ GetObject: MANIFESTS, ListObjectsV2: 5 });
  });

  test("of a real run are these, deletes by the thousand, and what the lock costs", async () => {
    const { operations, kinds } = await collect(await stocked(), { readOnly: true });
    expect(kinds["blob"]).toBe(MANIFESTS);
    expect(kinds["link"]).toBeUndefined();
    // Revision links, layer links, blobs: each class is complete before the next.
    expect(operations["DeleteObjects"]).toBe(3);
    expect(operations["HeadObject"]).toBeUndefined();
  });

  test("of an online run read no manifest twice, however often it looks", async () => {
    const made = await stocked();
    const { report, reads, kinds } = await collect(made, {});
    expect(report.quarantined.blobs).toBe(MANIFESTS);
    expect(kinds["link"]).toBeUndefined();
    expect([...reads].filter(([key, times]) => kindOf(key) === "blob" && times > 1)).toEqual([]);
    const healing = await collect(made, {}, heal);
    expect([...healing.reads].filter(([key, times]) => kindOf(key) !== "lock" && times > 1)).toEqual([]);
  });

  test("read a current link whose MD5 none of the digests has, and a revision or layer link whose MD5 is not its digest's", async () => {
    const made = world();
    const manifest = image(digestOf("layer"));
    await push(made.put, "r", manifest, ["layer"], "whole");
    await push(made.put, "bad", image(digestOf("other")), ["other"], "t");
    // As long as a digest, and another: what it names may be what is needed.
    await made.put(layer("bad", digestOf("other")), digestOf("hidden"));
    await made.put(blobPath(digestOf("hidden")), "hidden");
    await made.put(currentLink("r", "dangling"), digestOf("nothing"));
    const { report, reads } = await collect(made, { readOnly: true });
    expect([...reads.keys()].filter((key) => kindOf(key) === "link").sort()).toEqual(
      [layer("bad", digestOf("other")), currentLink("r", "dangling")].map((path) => path.slice(1)).sort(),
    );
    expect(report.problems.map(({ kind }) => kind).sort()).toEqual(["dangling-tag", "mismatched-link"]);
    expect(made.s3.objects.has(blobPath(digestOf("hidden")).slice(1))).toBe(true);
  });

  test("a tag whose index was lost is known by the repository's revisions", async () => {
    const made = world();
    await push(made.put, "r", image(digestOf("layer")), ["layer"], "t");
    const index = `${repo("r")}/_manifests/tags/t/index`;
    await made.driver.delete(index);
    const { report, kinds } = await collect(made, { readOnly: true });
    expect(kinds).toEqual({ blob: 1, lock: expect.any(Number) as number });
    expect(report.problems).toEqual([]);
    const keys = [...made.s3.objects.keys()];
    expect(keys).toContain(revision("r", digestOf(image(digestOf("layer")))).slice(1));
    expect(keys).toContain(blobPath(digestOf("layer")).slice(1));
  });
});
