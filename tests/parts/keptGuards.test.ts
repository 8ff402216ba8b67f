/** What keeps something in a single run keeps it in one that is made in parts: notes, broken purges, shared directories, needs that nobody knows. */

import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { markAndSweep, openRegistry, restore } from "oci-registry-gc";
import { runPart } from "oci-registry-gc/parts";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { contentOf, DAY, filesystemStore } from "../support/stores.js";
import { currentLink, layer, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, image } from "./attackers.js";
import { collectInProcess } from "./inProcess.js";

const ONE = image("layer one");
const one = digestOf(ONE);

async function old(fill: (put: (path: string, content: string) => Promise<void>) => Promise<unknown>): Promise<World> {
  const world = new World();
  world.now -= 60 * DAY;
  await push((path, content) => world.put(path, content), "app", image("live"), ["live"], "t");
  await fill((path, content) => world.put(path, content));
  world.now += 60 * DAY;
  return world;
}

test("a blob that was restored lately stays, though nothing links it", async () => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 1 } });
  await restore({ clock: world.clock }, world.driver, openRegistry(world.driver));
  expect(await collectParted(world, { maxDeleteRatio: 1 })).toMatchObject({ eligible: { blobs: 0 } });
  expect([...(await world.files()).keys()]).toContain(blobPath(digestOf("orphan")));
});

test("a revision link that a purge removed before it died is written anew where its manifest is back", async () => {
  const world = await old((put) => push(put, "app", ONE, ["layer one"]));
  await world.collect({ maxDeleteRatio: 1 });
  world.now += 8 * DAY;
  let isDead = false;
  const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
    if (isDead) throw new Error("dead");
    if (method !== "delete" || path !== revision("app", one)) return proceed();
    await push((at, content) => world.put(at, content), "app", ONE, ["layer one"]);
    const answer = await proceed();
    isDead = true;
    return answer;
  });
  const options = { removeUntagged: true, maxDeleteRatio: 1 };
  await expect(markAndSweep({ clock: world.clock }, driver, openRegistry(driver), options)).rejects.toThrow();
  expect(isDead).toBe(true);
  world.now += 10 * 60_000;
  await collectParted(world, { maxDeleteRatio: 1 });
  expect([...(await world.files()).keys()]).toEqual(
    expect.arrayContaining([revision("app", one), blobPath(one), blobPath(digestOf("layer one"))]),
  );
});

test("revisions that repositories share through a symbolic link stay where a tag of either names them", async () => {
  const store = filesystemStore();
  await push(store.put, "a", image("x"), ["x"], "latest");
  await push(store.put, "b", image("y"), ["y"], "latest");
  const revisions = `${repo("b")}/_manifests/revisions`;
  await store.driver.delete(revisions);
  await push(store.put, "a", image("y"), ["y"]);
  await symlink(join(store.folder, `${repo("a")}/_manifests/revisions`), join(store.folder, revisions));
  const before = [...(await contentOf(store.driver)).keys()].filter((path) => path.includes("/revisions/"));
  await collectInProcess(store.driver, { removeUntagged: true, readOnly: true });
  const after = [...(await contentOf(store.driver)).keys()];
  expect(after).toEqual(expect.arrayContaining(before));
});

test("a repository of which nothing tells what it needs lets nothing go anywhere", async () => {
  const lost = digestOf("a manifest that is lost");
  const world = await old(async (put) => {
    await push(put, "app", ONE, ["layer one"]);
    await put(blobPath(lost), '{"schemaVersion":2,"layers":[');
    await put(revision("unknown", lost), lost);
  });
  const before = await world.files();
  for (const options of [{}, { readOnly: true }]) {
    await expect(collectParted(world, { maxDeleteRatio: 1, ...options })).rejects.toMatchObject({ code: "DAMAGED" });
    expect(await world.files()).toEqual(before);
  }
});

test("an old blob stays by the layer link that a push in flight wrote, and one aside comes back by it", async () => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  await world.put(layer("pushing", digestOf("orphan")), digestOf("orphan"));
  expect(await collectParted(world, { maxDeleteRatio: 1 })).toMatchObject({ eligible: { blobs: 0, layerLinks: 0 } });

  const other = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  other.meanwhile = async () => {
    other.meanwhile = async () => undefined;
    await other.put(layer("pushing", digestOf("orphan")), digestOf("orphan"));
  };
  expect(await collectParted(other, { maxDeleteRatio: 1 })).toMatchObject({ restored: { blobs: 1 }, quarantined: { blobs: 0 } });
});

test("a repository of which only the last look finds that nothing tells what it needs lets nothing be purged", async () => {
  const lost = digestOf("a manifest that is lost");
  const world = await old((put) => push(put, "app", ONE, ["layer one"]));
  await world.collect({ maxDeleteRatio: 1 });
  world.now += 8 * DAY;
  world.meanwhile = async () => {
    world.meanwhile = async () => undefined;
    await world.put(blobPath(lost), '{"schemaVersion":2,"layers":[');
    await world.put(revision("unknown", lost), lost);
  };
  await expect(collectParted(world, { maxDeleteRatio: 1 })).rejects.toMatchObject({ code: "DAMAGED" });
  expect(await world.aside()).toHaveLength(2);
});

test.each(["a mount", "damage, under abort,"])("in the degree grace the second look sees %s that came after the first", async (what) => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  let isDone = false;
  const run = collectParted(
    world,
    { maxDeleteRatio: 1, quarantine: false, ...(what === "a mount" ? {} : { onDamage: "abort" }) },
    {
      make: async (worker, job) => {
        if (job.stage === "mark.plan" && !isDone) {
          isDone = true;
          if (what === "a mount") await world.put(layer("pushing", digestOf("orphan")), digestOf("orphan"));
          else await world.put(currentLink("app", "t"), "nonsense");
        }
        await runPart(worker, job);
      },
    },
  );
  if (what === "a mount") expect(await run).toMatchObject({ safety: "grace", deleted: { blobs: 0 } });
  else await expect(run).rejects.toMatchObject({ code: "DAMAGED" });
  expect(isDone).toBe(true);
  expect([...(await world.files()).keys()]).toContain(blobPath(digestOf("orphan")));
});
