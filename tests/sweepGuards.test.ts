/** In a sweep: what a stuck link keeps, which chapter comes first, and what is left alone where registries write. */

import { createWriteBarrier, type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { DAY } from "./support/stores.js";
import { changed, image, layer, linkOf, push, repo, revision, unable } from "./support/tree.js";
import { blobPath, digestOf, World } from "./support/world.js";

const collect = (world: World, driver: StorageDriver, options: GcOptions): Promise<GcReport> =>
  markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, maxDeleteRatio: 1, ...options });

async function lay(fill: (put: (path: string, content: string) => Promise<void>) => Promise<unknown>): Promise<World> {
  const world = new World();
  const now = world.now;
  world.now -= 60 * DAY;
  const put = (path: string, content: string) => world.put(path, content);
  await push(put, "app", image(digestOf("live")), ["live"], "latest");
  await fill(put);
  world.now = now;
  return world;
}

const OLD = image(digestOf("old"));
const old = digestOf(OLD);
const paths = async (world: World) => [...(await world.files()).keys()];

describe("a sweep", () => {
  test.each<GcOptions>([{ readOnly: true }, { quarantine: false }])(
    "whose tag index entry is stuck keeps the manifest's link, and a later run finishes the job: %j",
    async (options) => {
      const world = await lay(async (put) => {
        await push(put, "app", OLD, ["old"], "t");
        await push(put, "app", image(digestOf("new")), ["new"], "t");
      });
      const entry = linkOf(`${repo("app")}/_manifests/tags/t/index`, old);
      expect(await collect(world, unable(world.driver, entry), options)).toMatchObject({ status: "completed-with-failures" });
      expect(await paths(world)).toEqual(expect.arrayContaining([entry, revision("app", old), blobPath(old), blobPath(digestOf("old"))]));
      await collect(world, world.driver, options);
      for (const path of [entry, revision("app", old), blobPath(old)]) expect(await paths(world)).not.toContain(path);
    },
  );

  test.each<GcOptions>([{ readOnly: true }, { quarantine: false }])(
    "removes links before what they lead to, class by class: %j",
    async (options) => {
      const world = await lay(async (put) => {
        await push(put, "app", OLD, ["old"], "t");
        await push(put, "app", image(digestOf("new")), ["new"], "t");
      });
      const gone: string[] = [];
      const driver = new InterceptedDriver(world.driver, (call, proceed) => {
        if (call.method === "delete" || call.method === "deleteFiles") gone.push(...call.paths);
        return proceed();
      });
      await collect(world, driver, options);
      const kinds = gone
        .filter((path) => !path.includes("/lockfiles/"))
        .map((path) => {
          if (path.includes("/tags/")) return 0;
          if (path.includes("/revisions/")) return 1;
          return path.includes("/_layers/") ? 2 : 3;
        });
      expect(new Set(kinds)).toEqual(new Set([0, 1, 2, 3]));
      expect(kinds).toEqual([...kinds].sort());
    },
  );

  test("where registries write prunes no directory", async () => {
    const world = await lay((put) => push(put, "app", OLD, ["old"]));
    let pruned = 0;
    const driver = changed(world.driver as StorageDriver, {
      pruneDirectories: async (directories, options) => {
        if (directories.some((path) => path.includes("/repositories/") || path.includes("/v2/blobs/"))) pruned++;
        await world.driver.pruneDirectories(directories, options);
      },
    });
    expect(await collect(world, driver, { quarantine: false })).toMatchObject({ deleted: { blobs: 2 } });
    expect(pruned).toBe(0);
  });

  test("in the degree grace leaves another repository's link to what a stuck revision keeps alive", async () => {
    const world = await lay(async (put) => {
      await push(put, "app", OLD, ["old"]);
      await put(layer("other", digestOf("old")), digestOf("old"));
    });
    await collect(world, unable(world.driver, revision("app", old)), { quarantine: false });
    expect(await paths(world)).toEqual(
      expect.arrayContaining([
        revision("app", old),
        blobPath(digestOf("old")),
        layer("app", digestOf("old")),
        layer("other", digestOf("old")),
      ]),
    );
  });

  test.each<GcOptions>([{ readOnly: true }, { quarantine: false }])(
    "that asks a barrier stops, too, once the run has lost its lock: no blob goes (%j)",
    async (options) => {
      const world = await lay((put) => push(put, "app", OLD, ["old"]));
      let isStolen = false;
      const driver = new InterceptedDriver(world.driver, async (call, proceed) => {
        const answer = await proceed();
        if (["delete", "deleteFiles"].includes(call.method) && call.paths[0] === revision("app", old)) {
          isStolen = true;
          await world.put("/docker/registry/lockfiles/gc-in-progress", '{"runId":"another"}');
        }
        return answer;
      });
      const barrier = createWriteBarrier({ now: () => world.now });
      await expect(collect(world, driver, { ...options, barrier })).rejects.toMatchObject({ code: "LOCKED" });
      expect(isStolen).toBe(true);
      expect(await paths(world)).toEqual(expect.arrayContaining([blobPath(old), blobPath(digestOf("old"))]));
    },
  );
});
