/** Signatures of schema 1 manifests stay with whatever stays: else the next run would delete them. */

import { createWriteBarrier, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { RegistryBuilder } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collectParted } from "./parts/attackers.js";
import { DAY } from "./support/stores.js";
import { changed, currentLink, revision, unable } from "./support/tree.js";
import { blobPath, World } from "./support/world.js";

type Degree = (world: World, driver: StorageDriver) => Promise<unknown>;

const DEGREES: Readonly<Record<string, Degree>> = {
  readOnly: ({ clock }, driver) => markAndSweep({ clock }, driver, openRegistry(driver), { readOnly: true, removeUntagged: true }),
  "readOnly where nothing can be written": ({ clock }, driver) => {
    const readable = changed(driver, { putContent: undefined as never });
    return markAndSweep({ clock }, readable, openRegistry(readable), { readOnly: true, removeUntagged: true });
  },
  grace: ({ clock }, driver) => markAndSweep({ clock }, driver, openRegistry(driver), { quarantine: false, removeUntagged: true }),
  purge: async (world, driver) => {
    await world.collect({ quarantineMs: DAY });
    world.now += 2 * DAY;
    return markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY });
  },
  parts: (world, driver) => collectParted(world, { readOnly: true, removeUntagged: true }, { driver }),
};

async function lay(below: "itself" | "an index") {
  const world = new World();
  const builder = new RegistryBuilder(world.driver);
  world.now -= 60 * DAY;
  for (let i = 0; i < 4; i++) await builder.image("a", { tag: `t${i}` });
  const signed = await builder.image("a", { format: "schema1" });
  const signature = await builder.signature("a", signed);
  const top = below === "itself" ? signed : await builder.index("a", [signed]);
  world.now += 60 * DAY;
  return { world, signed, signature, top, link: builder.paths.signature("a", signed.digest, signature.digest) };
}

describe.each(Object.entries(DEGREES))("%s", (_, collect) => {
  test.each(["itself", "an index"] as const)("a manifest of which %s can't be removed keeps its signature", async (below) => {
    const { world, signed, signature, top, link } = await lay(below);
    await collect(world, unable(world.driver, revision("a", top.digest)));
    const needed = [revision("a", signed.digest), link, blobPath(signature.digest), blobPath(signed.digest)];
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(needed));

    await world.put(currentLink("a", "again"), top.digest);
    await world.collect({ readOnly: true });
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(needed));

    // Untagged again, and removable, all of it goes.
    await world.driver.delete(currentLink("a", "again").slice(0, -"/current/link".length));
    await world.collect({ readOnly: true });
    const left = [...(await world.files()).keys()];
    for (const path of needed) expect(left).not.toContain(path);
  });
});

test("what a barrier protects keeps its children's signatures", async () => {
  const { world, top, link, signature } = await lay("an index");
  const barrier = createWriteBarrier({ now: () => world.now });
  await barrier.protect(top.digest);
  expect(await world.collect({ readOnly: true, barrier })).toMatchObject({ status: "completed", deleted: { manifests: 0 } });
  expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining([link, blobPath(signature.digest)]));
});
