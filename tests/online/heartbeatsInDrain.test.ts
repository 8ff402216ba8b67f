/** The lock is kept alive through a drain by a clock whose sleep takes no time at all, and one heartbeat that fails costs nothing. */

import { markAndSweep, openRegistry } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { image } from "../parts/attackers.js";
import { DAY } from "../support/stores.js";
import { type Put, push } from "../support/tree.js";
import { World } from "../support/world.js";

const LOCK = "/docker/registry/lockfiles/gc-in-progress";

/** A run that puts something aside, of which such writes of the lock fail. */
async function drainWith(isFailing: (write: number) => boolean = () => false) {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", image("live"), ["live"], "latest");
  await push(put, "app", image("dead"), ["dead"]);
  world.now += 60 * DAY;
  const begun = world.now;
  const seconds: number[] = [];
  const driver = new InterceptedDriver(world.driver, ({ method, paths: [path] }, proceed) => {
    if (method !== "putContent" || path !== LOCK) return proceed();
    seconds.push((world.now - begun) / 1000);
    return isFailing(seconds.length - 1) ? Promise.reject(new Error("503")) : proceed();
  });
  const clock = {
    now: () => world.now,
    sleep: async (ms: number) => {
      world.now += ms;
    },
  };
  const { status, quarantined } = await markAndSweep({ clock }, driver, openRegistry(driver), { removeUntagged: true, maxDeleteRatio: 1 });
  return { status, manifests: quarantined.manifests, seconds };
}

test("it is written every half minute", async () => {
  expect(await drainWith()).toEqual({ status: "completed", manifests: 1, seconds: [0, 30, 60, 90, 120] });
});

test.each([1, 2, 3, 4])("heartbeat %i fails, and is tried again", async (failing) => {
  const { status, manifests, seconds } = await drainWith((write) => write === failing);
  expect({ status, manifests }).toEqual({ status: "completed", manifests: 1 });
  expect(Math.max(...seconds.slice(1).map((second, i) => second - (seconds[i] ?? 0)))).toBeLessThanOrEqual(30);
});

test("where all fail for a minute the run ends, and tells why they did", async () => {
  const error: unknown = await drainWith((write) => write > 0).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: "LOCKED",
    cause: { message: expect.stringContaining("503") as string },
    report: { status: "aborted" },
  });
});
