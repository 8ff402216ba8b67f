/** Stores whose listings go on naming for a minute what is gone: who drains waits for them, and nobody believes them. */

import { type AbortOptions, type FileInfo, type GcOptions, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, currentLink, image, type Put, push, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";

const LAG = 60_000;
const OLD = image(digestOf("old"));
const TAG = currentLink("app", "old").slice(0, -"/current/link".length);

/** A store in which listings lag behind what is deleted by `remove`; `lagMs`: for so long. */
class Lagging {
  readonly world = new World();
  readonly driver: StorageDriver;
  private readonly gone: (FileInfo & { readonly until: number })[] = [];

  constructor(private readonly lagMs: number) {
    const { driver } = this.world;
    const ghosts = (path: string) =>
      this.gone.filter((each) => each.until > this.world.now && each.path.slice(0, each.path.lastIndexOf("/")) === path);
    this.driver = changed(driver, {
      list: (path, options) => listedWith(driver, path, ghosts(path), options),
    });
  }

  async remove(path: string): Promise<void> {
    const { driver, now } = this.world;
    this.gone.push({ path, isDirectory: true, until: now + this.lagMs });
    const open = [path];
    for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
      for await (const page of driver.list(directory)) {
        for (const info of page) {
          this.gone.push({ ...info, until: now + this.lagMs });
          if (info.isDirectory) open.push(info.path);
        }
      }
    }
    await driver.delete(path);
  }

  collect(options: GcOptions) {
    const { clock } = this.world;
    return markAndSweep({ clock }, this.driver, openRegistry(this.driver), { removeUntagged: true, maxDeleteRatio: 1, ...options });
  }
}

async function* listedWith(driver: StorageDriver, path: string, ghosts: readonly FileInfo[], options?: AbortOptions) {
  if (ghosts.length > 0) yield ghosts;
  try {
    yield* driver.list(path, options);
  } catch (error) {
    if (ghosts.length === 0) throw error;
  }
}

async function lay(lagMs = LAG): Promise<Lagging> {
  const lagging = new Lagging(lagMs);
  const { world } = lagging;
  const put: Put = (path, content) => world.put(path, content);
  const { now } = world;
  world.now -= 30 * DAY;
  await push(put, "app", OLD, ["old"], "old");
  await push(put, "app", image(digestOf("live")), ["live"], "latest");
  world.now = now;
  return lagging;
}

const isThere = async ({ world }: Lagging) => (await world.files()).has(blobPath(digestOf(OLD)));

describe("a tag that was deleted, and that listings still name,", () => {
  test.each([1000, 30_000, 59_000])("%i ms before a run does not end it: its image goes aside", async (before) => {
    const lagging = await lay();
    await lagging.remove(TAG);
    lagging.world.now += before;
    expect(await lagging.collect({})).toMatchObject({ status: "completed", problems: [], quarantined: { manifests: 1, blobs: 2 } });
    expect(await isThere(lagging)).toBe(false);
  });

  test("during the drain brings nothing back", async () => {
    const lagging = await lay();
    const { world } = lagging;
    const orphan = image(digestOf("orphan"));
    const { now } = world;
    world.now -= 30 * DAY;
    await push((path, content) => world.put(path, content), "app", orphan, ["orphan"]);
    world.now = now;
    world.meanwhile = async () => {
      if (world.slept.length === 4) await lagging.remove(TAG);
    };
    const report = await lagging.collect({});
    expect(world.slept.length).toBeGreaterThan(4);
    expect(report).toMatchObject({ status: "completed", problems: [], quarantined: { manifests: 1, blobs: 2 }, restored: { blobs: 0 } });
    expect((await world.files()).has(revision("app", digestOf(orphan)))).toBe(true);
  });

  test.each<GcOptions>([{ drainMs: 0 }, { readOnly: true }, { dryRun: true }, { quarantine: false }])(
    "ends a run that drains for nothing, at once and with nothing gone: %j",
    async (options) => {
      const lagging = await lay();
      await lagging.remove(TAG);
      const before = await contentOf(lagging.world.driver);
      await expect(lagging.collect(options)).rejects.toMatchObject({ code: "DRIVER_ERROR", report: { deleted: { blobs: 0 } } });
      expect(lagging.world.slept).toEqual([]);
      expect(await contentOf(lagging.world.driver)).toEqual(before);
    },
  );

  test("for ever could not be looked at: the run ends when it has waited as long as it drains, with its lock in its hands", async () => {
    const lagging = await lay(1e12);
    await lagging.remove(TAG);
    const before = await contentOf(lagging.world.driver);
    const { now } = lagging.world;
    await expect(lagging.collect({})).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(lagging.world.slept.reduce((sum, ms) => sum + ms, 0)).toBe(120_000);
    expect(lagging.world.now - now).toBe(120_000);
    expect(await contentOf(lagging.world.driver)).toEqual(before);
  });
});
