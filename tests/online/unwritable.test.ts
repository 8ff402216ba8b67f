/** A driver that can't write, where something lies aside: it has no lock, and what a client pushes meanwhile it can't write anew. */

import { heal, markAndSweep, openRegistry, purge, restore, type StorageDriver } from "oci-registry-gc";
import { beforeEach, describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, image, push } from "../support/tree.js";
import { digestOf, World } from "../support/world.js";

const RUNS: Readonly<Record<string, (world: World, driver: StorageDriver) => Promise<unknown>>> = {
  grace: ({ clock }, driver) => markAndSweep({ clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY }),
  readOnly: ({ clock }, driver) =>
    markAndSweep({ clock }, driver, openRegistry(driver), { readOnly: true, removeUntagged: true, quarantineMs: DAY }),
  heal: ({ clock }, driver) => heal({ clock }, driver, openRegistry(driver), { removeUntagged: true }),
  purge: ({ clock }, driver) => purge({ clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY }),
  restore: ({ clock }, driver) => restore({ clock }, driver, openRegistry(driver)),
};

let world: World;
let unwritable: StorageDriver;
beforeEach(async () => {
  world = new World();
  unwritable = changed(world.driver, { putContent: undefined as never });
  world.now -= 60 * DAY;
  const put = (path: string, content: string) => world.put(path, content);
  await push(put, "a", image(digestOf("kept")), ["kept"], "latest");
  await push(put, "a", image(digestOf("untagged")), ["untagged"]);
  world.now += 60 * DAY;
});

describe.each(Object.entries(RUNS))("%s", (name, run) => {
  test("is refused, and changes nothing", async () => {
    await world.collect({ removeUntagged: true, quarantineMs: DAY });
    world.now += 2 * DAY;
    const before = await contentOf(world.driver);
    expect([...before.keys()].some((path) => path.includes("/_gc/"))).toBe(true);
    const refused = {
      code: "UNSUPPORTED",
      message: expect.stringMatching(/put something aside.*has no putContent.*Use a driver/) as string,
    };
    await expect(run(world, unwritable)).rejects.toMatchObject(refused);
    expect(await contentOf(world.driver)).toEqual(before);
  });

  test("goes on where nothing lies aside", async () => {
    const before = await world.files();
    await expect(run(world, unwritable)).resolves.toBeDefined();
    const collects = name === "grace" || name === "readOnly";
    expect(before.size - (await world.files()).size).toBe(collects ? 4 : 0);
  });
});

test("a dry run only looks", async () => {
  await world.collect({ removeUntagged: true, quarantineMs: DAY });
  const options = { dryRun: true, removeUntagged: true };
  const report = await markAndSweep({ clock: world.clock }, unwritable, openRegistry(unwritable), options);
  expect(report.status).toBe("completed");
});
