/** Stores whose listings show only after a minute what was written: what a run has just moved aside is brought back all the same. */

import type { StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, push } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, collectSingle, image } from "./attackers.js";

const LAG = 60_000;
const HOW = { single: collectSingle, parts: collectParted } as const;

/** What listings show late: everything, or only what lies aside. */
const LATE: Readonly<Record<string, RegExp>> = { everything: /^/, "what lies aside": /\/_gc\/[^/]+\/blobs/ };

class LateListings {
  readonly world = new World();
  readonly driver: StorageDriver;
  private readonly born = new Map<string, number>();

  constructor(late: RegExp) {
    const { driver } = this.world;
    const isShown = (path: string) => !late.test(path) || this.world.now - (this.born.get(path) ?? 0) >= LAG;
    this.driver = changed(driver, {
      putContent: async (path, bytes, options) => {
        const isWritten = await driver.putContent(path, bytes, options);
        this.note(path);
        return isWritten;
      },
      move: async (source, destination, options) => {
        await driver.move(source, destination, options);
        this.note(destination);
      },
      async *list(path, options) {
        for await (const page of driver.list(path, options)) {
          const shown = page.filter((info) => isShown(info.path));
          if (shown.length > 0) yield shown;
        }
      },
    });
  }

  private note(path: string): void {
    for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) if (!this.born.has(at)) this.born.set(at, this.world.now);
  }
}

async function lay(late: RegExp): Promise<LateListings> {
  const store = new LateListings(late);
  const { world } = store;
  const put = (path: string, content: string) => world.put(path, content);
  world.now -= 30 * DAY;
  await push(put, "app", image("old"), ["old"]);
  await push(put, "app", image("live"), ["live"], "latest");
  world.now += 30 * DAY;
  return store;
}

const options = { maxDeleteRatio: 1, drainMs: 120_000 };
const isAside = async ({ driver }: World, content: string) => !(await contentOf(driver)).has(blobPath(digestOf(content)));
const copies = async ({ driver }: World) => [...(await contentOf(driver)).keys()].filter((path) => /\/_gc\/.*\/data$/.test(path));

describe.each(["single", "parts"] as const)("%s", (how) => {
  describe.each(Object.entries(LATE))("%s is listed late", (_, late) => {
    test("a layer that is used again during the drain is back at the run's end", async () => {
      const { world, driver } = await lay(late);
      let isPushed = false;
      world.meanwhile = async () => {
        if (isPushed || !(await isAside(world, "old"))) return;
        isPushed = true;
        // Its client was told before that the layer is there: it writes none.
        await push((path, content) => world.put(path, content), "app", image("old", "live"), [], "again");
      };
      const report = await HOW[how](world, options, { driver });
      expect(isPushed).toBe(true);
      expect(report).toMatchObject({ status: "completed", problems: [], quarantined: { blobs: 1 }, restored: { blobs: 1 } });
      expect(await isAside(world, "old")).toBe(false);
      expect(await copies(world)).toHaveLength(1);
    });

    test("all is back that a run took which is cancelled during the drain", async () => {
      const { world, driver } = await lay(late);
      const before = await world.files();
      const control = new AbortController();
      const reason = new Error("cancelled");
      world.meanwhile = async () => {
        if (await isAside(world, "old")) control.abort(reason);
      };
      const ctx = { clock: world.clock, signal: control.signal };
      await expect(HOW[how](world, options, { driver, ctx })).rejects.toBe(reason);
      expect(reason).toMatchObject({ report: { quarantined: { blobs: 0 }, restored: { blobs: 2 } } });
      expect(await copies(world)).toEqual([]);
      for (const [path, content] of before) if (path.includes("/blobs/")) expect((await world.files()).get(path)).toBe(content);
    });
  });

  test("what a move that was killed left below _gc is removed", async () => {
    const world = new World();
    world.now -= 30 * DAY;
    await push((path, content) => world.put(path, content), "app", image("live"), ["live"], "latest");
    const left = `/docker/registry/v2/_gc/dead/blobs/sha256/${"a".repeat(64)}/.data.12345678-1234-1234-1234-123456789012.tmp`;
    await world.put(left, "half of it");
    world.now += 30 * DAY;
    await HOW[how](world, {});
    expect([...(await contentOf(world.driver)).keys()]).not.toContain(left);
  });
});
