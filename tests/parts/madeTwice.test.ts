/** A part of a purge that two workers make at once: nothing is lost. */

import { openRegistry, type StorageDriver } from "oci-registry-gc";
import { runPart } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { type Put, push, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { CHILD, child, collectParted, gate, INDEX, image } from "./attackers.js";

/** An old untagged image, which runs put aside from now on. */
async function garbage() {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", CHILD, ["layer"]);
  await push(put, "app", image("live"), ["live"], "latest");
  world.now += 60 * DAY;
  return { world, put };
}

test("two that begin to unlink at once: a link that one removes late, and dies, is written anew by the other", async () => {
  const { world, put } = await garbage();
  await world.collect({ maxDeleteRatio: 1 });
  world.now += 8 * DAY;
  const [bothLooked, oneGone] = [gate(), gate()];
  const isBegun = (path: string | undefined) => path?.endsWith("purge.unlink/0.begun") === true;
  let looks = 0;
  const driverOf = (worker: number): StorageDriver =>
    new InterceptedDriver(world.driver, async ({ method, paths }, proceed) => {
      const [path] = paths;
      if (isBegun(path) && method === "putContent" && worker === 2) await oneGone.opened;
      if (isBegun(path) && method !== "putContent" && looks < 2) {
        if (++looks === 2) bothLooked.open();
        const answer = proceed();
        await Promise.allSettled([answer]);
        await bothLooked.opened;
        return answer;
      }
      if (worker !== 1 || method !== "delete" || path !== revision("app", child)) return proceed();
      // A client pushes it again, below an index that a tag names, before the link goes.
      await push(put, "app", CHILD, ["layer"]);
      await push(put, "app", INDEX, [], "multi");
      await proceed();
      oneGone.open();
      return new Promise(() => undefined);
    });
  const { status } = await collectParted(
    world,
    { maxDeleteRatio: 1 },
    {
      shards: 1,
      make: async (worker, job) => {
        if (job.stage !== "purge.unlink") return runPart(worker, job);
        const make = (number: number) => {
          const driver = driverOf(number);
          return runPart({ ...worker, driver, registry: openRegistry(driver) }, job);
        };
        make(1).catch(() => undefined);
        await make(2);
      },
    },
  );
  expect(status).toBe("completed");
  expect(looks).toBe(2);
  for (let week = 0; week < 3; week++) {
    const files = await world.files();
    for (const path of [revision("app", child), blobPath(child), blobPath(digestOf("layer"))]) expect([...files.keys()]).toContain(path);
    world.now += 7 * DAY;
    await world.collect({ maxDeleteRatio: 1 });
  }
});
