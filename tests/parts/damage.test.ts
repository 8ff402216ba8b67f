/** A run in parts that is refused for damage: what is needed and lies aside goes back first, as a single run's does, and nothing goes. */

import { type GcReport, listRuns, openRegistry } from "oci-registry-gc";
import type { PartedOptions } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { currentLink, layer, revision } from "../support/tree.js";
import { blobPath, digestOf, type World } from "../support/world.js";
import { collectParted, collectSingle, countsOf, image, lay, leftOf, watched } from "./attackers.js";

const OLD = image("old 1", "shared");

/** Somebody needs what lies aside. */
const need = (world: World) => world.put(currentLink("old", "again"), digestOf(OLD));

/** Damage, and the options under which a run is refused for it. */
const DAMAGES: readonly (readonly [string, PartedOptions, (world: World) => Promise<void>])[] = [
  [
    'any damage under onDamage "abort"',
    { onDamage: "abort" },
    async (world) => {
      await world.put(revision("damaged", digestOf("q")), "");
      await world.put(layer("damaged", digestOf("shared")), digestOf("shared"));
    },
  ],
  ["a repository of which nothing tells what it needs", {}, (world) => world.put(revision("damaged", digestOf("gone")), digestOf("gone"))],
];

/** Lays out two, collects both until they are refused, and answers with the one that was collected in parts. */
async function refused(make: () => Promise<World>, options: PartedOptions): Promise<{ world: World; report: GcReport }> {
  const refusal = async (work: Promise<GcReport>) => {
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "DAMAGED" });
    return (error as { report: GcReport }).report;
  };
  const [single, world] = [await make(), await make()];
  const expected = countsOf(await refusal(collectSingle(single, options)));
  const report = await refusal(collectParted(world, options));
  expect(countsOf(report)).toEqual(expected);
  expect(await leftOf(world)).toEqual(await leftOf(single));
  expect(await statesOf(world)).toEqual(await statesOf(single));
  return { world, report };
}

/** How far the runs have come that left something aside: one that was interrupted must not pass for settled. */
async function statesOf({ clock, driver }: World): Promise<string[]> {
  return (await listRuns({ clock }, driver, openRegistry(driver))).map(({ state }) => state).sort();
}

async function expectWhole(world: World): Promise<void> {
  const files = await world.files();
  for (const content of [OLD, "old 1", "shared"]) expect(files.get(blobPath(digestOf(content)))).toBe(content);
  expect(files.get(layer("old", digestOf("old 1")))).toBe(digestOf("old 1"));
}

describe.each(DAMAGES)("a run that is refused for %s", (_, options, damage) => {
  test("puts back at once what is needed", async () => {
    const make = async () => {
      const { world } = await lay();
      await need(world);
      await damage(world);
      return world;
    };
    const { world, report } = await refused(make, options);
    expect(report).toMatchObject({ status: "refused", returned: { blobs: 2 }, purged: { blobs: 0 }, deleted: { blobs: 0 } });
    await expectWhole(world);
  });

  test("puts back what came to be needed while it drained, and what it took itself", async () => {
    const before: string[][] = [];
    const make = async () => {
      const { world } = await lay();
      before.push([...(await world.files()).keys()]);
      world.meanwhile = async () => {
        await need(world);
        await damage(world);
      };
      return world;
    };
    const { world, report } = await refused(make, options);
    expect(report).toMatchObject({ returned: { blobs: 2 }, purged: { blobs: 0 }, deleted: { blobs: 0 }, quarantined: { blobs: 0 } });
    await expectWhole(world);
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(before.flat()));
  });

  test("puts back what an interrupted run took", async () => {
    const taken: string[] = [];
    const make = async () => {
      const { world } = await lay(false);
      let moves = 0;
      const dead = watched(world.driver, (method, path) => {
        if (method !== "move") return;
        if (++moves > 1) throw new Error("dead");
        taken.push(path);
      });
      await collectParted(world, {}, { driver: dead }).catch(() => undefined);
      await world.driver.delete("/docker/registry/lockfiles").catch(() => undefined);
      world.now += DAY;
      await damage(world);
      return world;
    };
    const { world, report } = await refused(make, { ...options, removeUntagged: false });
    expect(report).toMatchObject({ returned: { blobs: 1 }, purged: { blobs: 0 }, deleted: { blobs: 0 } });
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(taken));
  });
});

test.each([true, false])("damage that refuses a run lists all other damage, too: dry %s", async (dryRun) => {
  const make = async () => {
    const { world } = await lay();
    await world.put(revision("damaged", digestOf("gone")), digestOf("gone"));
    await world.driver.delete(blobPath(digestOf(image("both", "shared"))));
    return world;
  };
  const { report } = await refused(make, { dryRun });
  expect(new Set(report.problems.map(({ repository }) => repository))).toEqual(new Set(["damaged", "a", "b/c"]));
});
