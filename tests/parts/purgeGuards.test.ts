/** A purge in parts: what a worker that died left undone is mended by who makes its part again, and what was pushed meanwhile is looked for. */

import { openRegistry } from "oci-registry-gc";
import { runPart } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { layer, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, image } from "./attackers.js";

const ONE = image("layer one");
const one = digestOf(ONE);

/** Two untagged images that lie aside since eight days. */
async function aside(): Promise<World> {
  const world = new World();
  const put = (path: string, content: string) => world.put(path, content);
  world.now -= 60 * DAY;
  for (const content of ["layer one", "layer two"]) await push(put, "app", image(content), [content]);
  await push(put, "app", image("live"), ["live"], "t");
  world.now += 60 * DAY;
  expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 4 } });
  world.now += 8 * DAY;
  return world;
}

test("a revision link that a worker removed who then died is written anew where its manifest was pushed again", async () => {
  const world = await aside();
  let isDead = false;
  const mortal = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
    if (isDead) throw new Error("dead");
    if (method !== "delete" || path !== revision("app", one)) return proceed();
    await push((at, content) => world.put(at, content), "app", ONE, ["layer one"]);
    const answer = await proceed();
    isDead = true;
    return answer;
  });
  await collectParted(
    world,
    { maxDeleteRatio: 1 },
    {
      make: async (worker, job) => {
        if (job.stage === "purge.unlink") {
          await runPart({ ...worker, driver: mortal, registry: openRegistry(mortal) }, job).catch(() => undefined);
        }
        await runPart(worker, job);
      },
    },
  );
  expect(isDead).toBe(true);
  expect([...(await world.files()).keys()]).toEqual(
    expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]),
  );
});

test("where a link is left, what was pushed beside it since is found, and what that needs comes back or stays", async () => {
  const world = await aside();
  const fresh = image("layer two", "layer three");
  let isPushed = false;
  await collectParted(
    world,
    { maxDeleteRatio: 1 },
    {
      make: async (worker, job) => {
        if (job.stage === "purge.unlink" && !isPushed) {
          isPushed = true;
          // By a registry that remembers what was there: it writes neither the manifest's data nor the layer's.
          await world.put(revision("app", one), one);
          await push((path, content) => world.put(path, content), "app", fresh, ["layer three"], "fresh");
        }
        await runPart(worker, job);
      },
    },
  );
  expect(isPushed).toBe(true);
  // Both images can be pulled by the end of the run: their layer links are there, too.
  expect([...(await world.files()).keys()]).toEqual(
    expect.arrayContaining(["layer one", "layer two"].map((content) => layer("app", digestOf(content)))),
  );
  const everything = [...(await contentOf(world.driver)).values()];
  expect(everything).toEqual(expect.arrayContaining([ONE, "layer one", "layer two"]));
  expect(await world.heal()).toMatchObject({ problems: [] });
  expect([...(await world.files()).keys()]).toEqual(
    expect.arrayContaining(["layer one", "layer two"].map((content) => blobPath(digestOf(content)))),
  );
});

test("where a link is left, and its repository is damaged by now, nothing is deleted under abort", async () => {
  const world = await aside();
  const unknown = digestOf("a manifest that is lost");
  const run = collectParted(
    world,
    { maxDeleteRatio: 1, onDamage: "abort" },
    {
      make: async (worker, job) => {
        if (job.stage === "purge.unlink") {
          await world.put(revision("app", one), one);
          await world.driver.delete(`${repo("app")}/_layers`).catch(() => undefined);
          await world.put(blobPath(unknown), '{"schemaVersion":2,"layers":[');
          await world.put(revision("app", unknown), unknown);
        }
        await runPart(worker, job);
      },
    },
  );
  await expect(run).rejects.toMatchObject({ code: "DAMAGED" });
  expect([...(await contentOf(world.driver)).values()]).toEqual(
    expect.arrayContaining([ONE, "layer one", image("layer two"), "layer two"]),
  );
});
