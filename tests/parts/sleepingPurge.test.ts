/** A purge that falls asleep in the call that removes a revision link, and wakes when the image is alive again: the next runs mend it. */

import { openRegistry, type StorageDriver } from "oci-registry-gc";
import { runPart } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { CHILD, child, collectParted, collectSingle, INDEX, image } from "./attackers.js";

const HOUR = DAY / 24;

const HOW = { single: collectSingle, parts: collectParted } as const;
type How = keyof typeof HOW;

/** An untagged image that lies aside since eight days. */
async function aside(): Promise<World> {
  const world = new World();
  const put = (path: string, content: string) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", CHILD, ["layer"]);
  await push(put, "app", image("live"), ["live"], "latest");
  world.now += 60 * DAY;
  expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 2 } });
  world.now += 8 * DAY;
  return world;
}

/** A driver that freezes where the child's revision link is to be removed, and never returns from it. */
function sleeper(driver: StorageDriver): {
  readonly driver: StorageDriver;
  readonly isAsleep: Promise<void>;
  readonly wake: () => Promise<void>;
} {
  const told = { asleep: () => {}, wake: () => {}, woken: () => {} };
  const isAsleep = new Promise<void>((resolve) => (told.asleep = resolve));
  const isAwake = new Promise<void>((resolve) => (told.wake = resolve));
  const isDone = new Promise<void>((resolve) => (told.woken = resolve));
  const frozen = new InterceptedDriver(driver, async ({ method, paths: [path] }, proceed) => {
    if (method !== "delete" || path !== revision("app", child)) return proceed();
    told.asleep();
    await isAwake;
    await proceed();
    told.woken();
    return new Promise<never>(() => undefined);
  });
  const wake = () => {
    told.wake();
    return isDone;
  };
  return { driver: frozen, isAsleep, wake };
}

/** A client pushes the image again, and a tagged index over it; then the sleeper's removal goes through. */
async function pushAndWake(world: World, wake: () => Promise<void>): Promise<void> {
  const put = (path: string, content: string) => world.put(path, content);
  await push(put, "app", CHILD, ["layer"]);
  await push(put, "app", INDEX, [], "multi");
  await wake();
  expect((await world.files()).has(revision("app", child))).toBe(false);
}

async function expectAlive(world: World): Promise<void> {
  const needed = [revision("app", child), blobPath(child), blobPath(digestOf("layer"))];
  expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(needed));
}

const live = async (world: World, how: How) => {
  for (let i = 0; i < 3; i++) {
    world.now += 9 * DAY;
    await HOW[how](world, { maxDeleteRatio: 1 });
  }
};

describe.each(["single", "parts"] as const)("%s", (how) => {
  test("a purge that another run took over: a run within a day writes the link anew", async () => {
    const world = await aside();
    const { driver, isAsleep, wake } = sleeper(world.driver);
    void collectSingle(world, { maxDeleteRatio: 1 }, { driver }).catch(() => undefined);
    await isAsleep;
    world.now += HOUR;
    expect(await HOW[how](world, { maxDeleteRatio: 1 })).toMatchObject({ purged: { blobs: 2 } });
    await pushAndWake(world, wake);
    world.now += 12 * HOUR;
    await HOW[how](world, { maxDeleteRatio: 1 });
    await expectAlive(world);
    await live(world, how);
    await expectAlive(world);
  });

  test("a worker whose part another made: a run within a day writes the link anew", async () => {
    const world = await aside();
    const { driver, isAsleep, wake } = sleeper(world.driver);
    const report = await collectParted(
      world,
      { maxDeleteRatio: 1 },
      {
        make: async (worker, job) => {
          if (job.stage === "purge.unlink") {
            void runPart({ ...worker, driver, registry: openRegistry(driver) }, job).catch(() => undefined);
            await isAsleep;
          }
          await runPart(worker, job);
        },
      },
    );
    expect(report).toMatchObject({ purged: { blobs: 2 } });
    await pushAndWake(world, wake);
    world.now += 12 * HOUR;
    await HOW[how](world, { maxDeleteRatio: 1 });
    await expectAlive(world);
    await live(world, how);
    await expectAlive(world);
  });

  test("a purge that died more than a day ago writes nothing anew that a client deletes", async () => {
    const world = await aside();
    const { driver, isAsleep } = sleeper(world.driver);
    void collectSingle(world, { maxDeleteRatio: 1 }, { driver }).catch(() => undefined);
    await isAsleep;
    // So that nothing is purged, and the purge is not brought to an end by the next.
    await world.put("/docker/registry/v2/_gc/other/journal/000000.jsonl", "damaged");
    world.now += HOUR;
    await push((path, content) => world.put(path, content), "app", CHILD, ["layer"], "again");
    for (let day = 0; day < 2; day++) {
      await HOW[how](world, { maxDeleteRatio: 1 });
      world.now += DAY;
    }
    await world.driver.delete(revision("app", child));
    await world.driver.delete(`${repo("app")}/_manifests/tags/again`);
    await HOW[how](world, { maxDeleteRatio: 1 });
    expect((await world.files()).has(revision("app", child))).toBe(false);
  });
});

test("a part that one worker made alone leaves a purge that is over: a link that a client deletes stays deleted", async () => {
  const world = await aside();
  expect(await collectParted(world, { maxDeleteRatio: 1 })).toMatchObject({ purged: { blobs: 2 } });
  await push((path, content) => world.put(path, content), "app", CHILD, ["layer"]);
  await world.driver.delete(revision("app", child));
  world.now += HOUR;
  await collectParted(world, { maxDeleteRatio: 1 });
  expect((await world.files()).has(revision("app", child))).toBe(false);
});
