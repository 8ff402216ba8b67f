/** What a run in parts must not take for granted: a wrapper's pieces, its own journal, and that nobody goes on with it after a crash. */

import { randomUUID } from "node:crypto";
import { type Namespace, openRegistry } from "oci-registry-gc";
import { collectInParts, type PartJob, runPart } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { contentOf } from "../support/stores.js";
import { push } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, countsOf, image, lay, watched } from "./attackers.js";

describe("a namespace that wraps another", () => {
  test("is not told by the other's pieces: what it adds would be taken for garbage", async () => {
    const world = new World();
    const now = world.now;
    world.now = now - 60 * 86_400_000;
    await push((path, content) => world.put(path, content), "a", image("x"), ["x"], "latest");
    const added = image("added");
    await world.put(blobPath(digestOf(added)), added);
    await world.put(blobPath(digestOf("added")), "added");
    world.now = now;
    const before = await world.files();
    const { driver, clock } = world;
    const inner = openRegistry(driver);
    const wrapped: Namespace = {
      ...inner,
      async *repositories(options) {
        yield* inner.repositories(options);
        // Another root's repository would come here.
      },
    };
    const execute = async (jobs: readonly PartJob[]) => {
      for (const job of jobs) await runPart({ driver, registry: wrapped, ctx: { clock } }, job);
    };
    const running = collectInParts({ clock }, driver, wrapped, { readOnly: true, removeUntagged: true, maxDeleteRatio: 1 }, { execute });
    await expect(running).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect(await world.files()).toEqual(before);
  });
});

test("nothing is moved on the strength of a journal that can't be read", async () => {
  const { world } = await lay(false);
  const before = await world.files();
  let isSpoiled = false;
  const running = collectParted(
    world,
    {},
    {
      make: async (worker, job) => {
        if (job.stage === "aside.blobs" && !isSpoiled) {
          isSpoiled = true;
          const [journal = ""] = [...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/journal/"));
          const content = (await contentOf(world.driver)).get(journal) ?? "";
          await world.put(journal, content.slice(0, content.lastIndexOf('{"kind":"end"')));
        }
        await runPart(worker, job);
      },
    },
  );
  await expect(running).rejects.toMatchObject({ code: "PART_DAMAGED" });
  const after = await world.files();
  for (const [path, content] of before) expect(after.get(path)).toBe(content);
});

test("a leader that dies after it went on with an interrupted run, and is called again, counts what that brought back", async () => {
  const laid = async () => {
    const { world } = await lay(false);
    // A run that dies right after it has moved: what it moved is needed again.
    let moves = 0;
    const dead = watched(world.driver, (method) => {
      if (method === "move") moves++;
      if (moves > 1) throw new Error("dead");
    });
    await collectParted(world, {}, { driver: dead }).catch(() => undefined);
    await world.driver.delete("/docker/registry/lockfiles").catch(() => undefined);
    return world;
  };
  const expected = countsOf(await collectParted(await laid(), { removeUntagged: false }));
  expect(expected.returned.blobs).toBeGreaterThan(0);

  const world = await laid();
  const runId = randomUUID();
  let isDead = false;
  const mortal = watched(world.driver, (method, path) => {
    if (!isDead && method === "putContent" && path.endsWith("/inventory.open")) isDead = true;
    if (isDead && !path.includes("/parts/")) throw new Error("dead");
    if (isDead) throw new Error("dead");
  });
  await expect(collectParted(world, { removeUntagged: false }, { driver: mortal, runId })).rejects.toThrow("dead");
  const report = await collectParted(world, { removeUntagged: false }, { runId });
  expect(report.runId).toBe(runId);
  expect(countsOf(report)).toEqual(expected);
});
