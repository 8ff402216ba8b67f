/** A sweep in parts of which a link can't be removed: everything that its manifest reaches stays, in the chapters that others make, too. */

import { type PartedOptions, runPart } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { IMAGE, layer, linkOf, push, repo, revision, unable } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, collectSingle, countsOf, image, leftOf, type Make } from "./attackers.js";

const CHILD = image("l 1", "l 2");
const TOP = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: IMAGE, digest: digestOf(CHILD) }] });
const OTHER = image("l 3");

const FORMER = linkOf(`${repo("a")}/_manifests/tags/old/index`, digestOf(TOP));

/** Untagged: an index with its image, and another image. */
async function lay(isAliveElsewhere: boolean): Promise<World> {
  const world = new World();
  const now = world.now;
  const put = (path: string, content: string) => world.put(path, content);
  world.now = now - 60 * DAY;
  await push(put, "kept", image("x"), ["x"], "latest");
  for (const name of isAliveElsewhere ? ["a", "kept"] : ["a"]) {
    await push(put, name, CHILD, ["l 1", "l 2"]);
    await push(put, name, TOP, [], name === "kept" ? "top" : undefined);
  }
  await push(put, "a", OTHER, ["l 3"]);
  // A tag that named the index once.
  await put(FORMER, digestOf(TOP));
  await push(put, "a", image("now"), ["now"], "old");
  world.now = now;
  return world;
}

const twice: Make = async (worker, job) => {
  await Promise.all([runPart(worker, job), runPart(worker, job)]);
  await runPart(worker, job);
};

const STUCK = [
  ["its revision link", revision("a", digestOf(TOP))],
  ["a tag index entry of it", FORMER],
] as const;

describe.each(STUCK)("of an index, %s can't be removed", (_, stuck) => {
  test.each<readonly [string, boolean, PartedOptions, Make | undefined]>([
    ["", false, { readOnly: true }, undefined],
    [", though each part is made more than once", false, { readOnly: true }, twice],
    [", though all of that is alive elsewhere", true, { readOnly: true }, undefined],
    [' in the degree "grace"', false, { quarantine: false }, undefined],
  ])("and what it reaches stays with its layer links%s", async (__, isAliveElsewhere, options, make = runPart) => {
    const [single, parted] = [await lay(isAliveElsewhere), await lay(isAliveElsewhere)];
    const chosen = { maxDeleteRatio: 1, ...options };
    const driver = unable(parted.driver, stuck);
    const expected = await collectSingle(single, chosen, { driver: unable(single.driver, stuck) });
    const report = await collectParted(parted, chosen, { driver, make });

    const files = await parted.files();
    for (const content of ["l 1", "l 2"]) expect(files.has(layer("a", digestOf(content))), content).toBe(true);
    for (const content of ["l 1", "l 2", CHILD, TOP]) expect(files.has(blobPath(digestOf(content))), content).toBe(true);
    for (const manifest of [CHILD, TOP]) expect(files.has(revision("a", digestOf(manifest)))).toBe(true);
    expect(files.has(revision("a", digestOf(OTHER)))).toBe(false);
    expect(await leftOf(parted)).toEqual(await leftOf(single));
    expect(countsOf(report)).toEqual(countsOf(expected));
    expect(report.status).toBe("completed-with-failures");
  });
});
