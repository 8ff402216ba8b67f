/** Attacks on time, memory and the stack. */

import { createHash, randomBytes } from "node:crypto";
import { DigestSet, markAndSweep, openRegistry, type StorageDriver, Vacuum } from "oci-registry-gc";
import { FlatDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { memoryStore } from "../support/stores.js";
import { linkOf, repo } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const hexOf = (n: number) => createHash("sha256").update(String(n)).digest("hex");

async function seconds(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

describe("large arrays", () => {
  test("an online run takes 130,000 layer links of one repository", async () => {
    const now = Date.now();
    const old = now - 30 * 86_400_000;
    let at = old;
    const driver = new FlatDriver({ now: () => at });
    const put = (path: string, content: string) => driver.putContent(path, Buffer.from(content));
    const manifest = JSON.stringify({ schemaVersion: 2, layers: [] });
    await put(blobPath(digestOf(manifest)), manifest);
    await put(linkOf(`${repo("r")}/_manifests/revisions`, digestOf(manifest)), digestOf(manifest));
    await put(`${repo("r")}/_manifests/tags/x/current/link`, digestOf(manifest));
    for (let i = 0; i < 130_000; i++) await put(linkOf(`${repo("r")}/_layers`, `sha256:${hexOf(i)}`), `sha256:${hexOf(i)}`);
    at = now;
    const never = Object.assign(Object.create(driver) as FlatDriver, {});
    // The flat driver's own stat and delete look through all keys for a path that is absent; these links are there.
    const fast: StorageDriver = Object.assign(never, { delete: async (path: string) => void driver.objects.delete(path) });
    const run = markAndSweep({ clock: { now: () => at, sleep: async () => undefined } }, fast, openRegistry(fast), {
      removeUntagged: true,
    });
    const report = await run;
    expect(report.eligible.layerLinks).toBe(130_000);
    expect(report.deleted.layerLinks).toBe(130_000);
  });

  test("Vacuum.removeManifests takes 130,000 index entries that a driver lists in one page", async () => {
    const { driver } = memoryStore();
    const digest = digestOf("x");
    const tags = Array.from({ length: 130_000 }, (_, i) => `t${i}`);
    const base = `${repo("r")}/_manifests/tags`;
    const least: StorageDriver = {
      name: "one page",
      reader: (path) => driver.reader(path),
      delete: async () => undefined,
      deleteFiles: async () => [],
      stat: async (path) => ({ path, isDirectory: false, size: 71, modTime: new Date(0) }),
      async *list(path) {
        if (path === base) yield tags.map((tag) => ({ path: `${base}/${tag}`, isDirectory: true }));
        else yield [{ path: `${path}/${digest.slice(7)}`, isDirectory: true }];
      },
    };
    expect(await new Vacuum(least).removeManifests([{ repository: "r", digest }])).toMatchObject({ removed: 1, failures: [] });
  });
});

describe("hostile names", () => {
  /** Digests with one and the same hash: the last word undoes what the others did. As src/packedTable.ts mixes them. */
  function colliding(count: number): string[] {
    const words = new Uint32Array(8);
    const digests: string[] = [];
    for (let n = 0; n < count; n++) {
      let hash = 0;
      const bytes = randomBytes(28);
      for (let i = 0; i < 7; i++) {
        words[i] = bytes.readUInt32LE(i * 4);
        hash = Math.imul(hash ^ words[i]!, 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      words[7] = hash ^ 0x1234567;
      digests.push(`sha256:${[...words].map((word) => word.toString(16).padStart(8, "0")).join("")}`);
    }
    return digests;
  }

  test("digests that were made to collide take no more time than others", async () => {
    const random = (count: number) => Array.from({ length: count }, () => `sha256:${randomBytes(32).toString("hex")}`);
    const fill = (digests: readonly string[]) => () => new DigestSet(digests);
    await seconds(fill(random(20_000)));
    const usual = await seconds(fill(random(20_000)));
    const hostile = await seconds(fill(colliding(20_000)));
    expect(hostile).toBeLessThan(usual * 20 + 0.2);
  });
});

describe("quadratic time", () => {
  test("the purge of four times as many blobs takes no sixteen times as long", async () => {
    const time = async (count: number) => {
      const world = new World();
      world.now -= 30 * 86_400_000;
      await world.put(`${repo("r")}/_layers/x`, "");
      for (let i = 0; i < count; i++) await world.put(`${ROOT}/blobs/sha256/${hexOf(i).slice(0, 2)}/${hexOf(i)}/data`, "x");
      world.now += 30 * 86_400_000;
      await world.collect({ maxDeleteRatio: 1 });
      world.now += 8 * 86_400_000;
      return seconds(() => world.purge());
    };
    await time(500);
    const [small, large] = [await time(7500), await time(30_000)];
    expect(large / small, `${small} s, ${large} s`).toBeLessThan(10);
  });
});
