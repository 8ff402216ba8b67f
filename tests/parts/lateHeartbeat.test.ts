/** A heartbeat that is under way when its run ends: nobody must find the lock of a run that is over. */

import { setTimeout } from "node:timers/promises";
import { openRegistry } from "oci-registry-gc";
import { collectInParts, runPart, Suspension } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { contentOf } from "../support/stores.js";
import type { World } from "../support/world.js";
import { collectParted, gate, lay } from "./attackers.js";

const LOCK = "/docker/registry/lockfiles/gc-in-progress";

/** A driver for whom a heartbeat falls due once `isLast` was answered, and waits for `released`. */
async function slowHeart(isLast: (method: string, path: string) => boolean, released: Promise<unknown>) {
  const { world } = await lay(false);
  let isDue = false;
  let held = 0;
  const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path = ""] }, proceed) => {
    if (isDue && held === 0 && method === "putContent" && path === LOCK) {
      held++;
      await released;
    }
    if (isDue || !isLast(method, path)) return proceed();
    const answer = proceed();
    await Promise.allSettled([answer]);
    isDue = true;
    world.now += 31_000;
    return answer;
  });
  return { world, driver, isHeld: () => held === 1 };
}

async function lockOf({ driver }: World): Promise<unknown> {
  return (await contentOf(driver)).get(LOCK);
}

test("a worker's, while he says that his part is done", async () => {
  const over = gate();
  let hasDeleted = false;
  // The last that he looks at before he says so.
  const isLast = (method: string, path: string) => {
    hasDeleted ||= method.startsWith("delete");
    return hasDeleted && method === "stat" && path.endsWith("sweep.blobs.closed");
  };
  const { world, driver, isHeld } = await slowHeart(isLast, Promise.race([over.opened, setTimeout(500)]));
  const slow = { driver, registry: openRegistry(driver), ctx: { clock: world.clock } };
  const { status } = await collectParted(
    world,
    { readOnly: true },
    { shards: 1, make: (worker, job) => runPart(job.stage === "sweep.blobs" ? slow : worker, job) },
  );
  over.open();
  await setTimeout(20);
  expect({ status, isHeld: isHeld(), lock: await lockOf(world) }).toEqual({ status: "completed", isHeld: true, lock: undefined });
});

test("that of who led the run, and let go of it", async () => {
  const [over, suspended] = [gate(), gate()];
  let isSweeping = false;
  // His look at the lock before he opens the last stage.
  const isLast = (_: string, path: string) => {
    isSweeping ||= path.endsWith("sweep.blobs.closed");
    return isSweeping && path === LOCK;
  };
  const { world, driver, isHeld } = await slowHeart(isLast, over.opened);
  const { clock } = world;
  const options = { readOnly: true, removeUntagged: true, drainMs: 1000 };
  const runId = "led-by-two";
  const letGo = collectInParts({ clock }, driver, openRegistry(driver), options, {
    ...{ runId, shards: 2 },
    async execute(jobs) {
      for (const job of jobs) {
        if (job.stage === "sweep.blobs") throw new Suspension("another goes on");
        await runPart({ driver, registry: openRegistry(driver), ctx: { clock } }, job);
      }
    },
  }).catch((error: unknown) => error);
  void letGo.finally(suspended.open);
  await Promise.race([suspended.opened, setTimeout(500)]);
  const { status } = await collectParted(world, options, { runId, shards: 2 });
  over.open();
  expect(await letGo).toBeInstanceOf(Suspension);
  await setTimeout(20);
  expect({ status, isHeld: isHeld(), lock: await lockOf(world) }).toEqual({ status: "completed", isHeld: true, lock: undefined });
});
