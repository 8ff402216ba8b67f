/** At the edges of what is garbage: uploads with names that are none, links to what is gone, rows of the report, what goes meanwhile. */

import { type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, MONTH_AGO, memoryStore, STORES, type Store } from "./support/stores.js";
import { changed, image, layer, push, repo, revision } from "./support/tree.js";
import { blobPath, digestOf } from "./support/world.js";

const collect = (driver: StorageDriver, options: GcOptions): Promise<GcReport> =>
  markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, maxDeleteRatio: 1, ...options });

const pathsOf = async ({ driver }: Store) => [...(await contentOf(driver)).keys()];
const pushLive = (store: Store) => push(store.put, "app", image(digestOf("live")), ["live"], "latest");

describe.each(Object.entries(STORES))("%s", (_, makeStore) => {
  test("an upload that has a file whose name is none is of no known age, and stays", async () => {
    const store = makeStore();
    await pushLive(store);
    const upload = `${repo("app")}/_uploads`;
    await store.put(`${upload}/with/startedat`, new Date(MONTH_AGO).toISOString());
    await store.put(`${upload}/without/startedat`, new Date(MONTH_AGO).toISOString());
    // What no path of ours can name no test can write: the listing names it.
    const odd = { path: `${upload}/with/odd name`, isDirectory: false, size: 1, modTime: new Date() };
    const { walk } = store.driver;
    const driver = changed(store.driver, {
      async *list(path, options) {
        yield* store.driver.list(path, options);
        if (path === `${upload}/with`) yield [odd];
      },
      ...(walk && {
        async *walk(path: string) {
          yield* walk.call(store.driver, path);
          if (odd.path.startsWith(`${path}/`)) yield [odd];
        },
      }),
    });
    const report = await collect(driver, { readOnly: true, removeUploadsOlderThanMs: DAY });
    expect(report).toMatchObject({ deleted: { uploads: 1 } });
    const left = await pathsOf(store);
    expect(left).toContain(`${upload}/with/startedat`);
    expect(left).not.toContain(`${upload}/without/startedat`);
  });

  test.each(["", "hashstates/sha256/"])("what a store puts in the place of an upload's directory dates nothing: %j", async (marker) => {
    const store = makeStore();
    await pushLive(store);
    const upload = `${repo("app")}/_uploads/one`;
    await store.put(`${upload}/startedat`, new Date(MONTH_AGO).toISOString());
    const { walk } = store.driver;
    const marked = {
      async *walk(path: string) {
        yield* walk?.call(store.driver, path) ?? [];
        const info = { path: `${upload}/${marker}`, isDirectory: false, size: 0, modTime: new Date(MONTH_AGO) };
        if (info.path.startsWith(`${path}/`)) yield [info];
      },
    };
    const driver = changed(store.driver, walk === undefined ? {} : marked);
    expect(await collect(driver, { readOnly: true, removeUploadsOlderThanMs: DAY })).toMatchObject({ deleted: { uploads: 1 } });
  });

  test("in the degree grace a link to a blob that is gone goes, though a damaged repository names it, too", async () => {
    const store = makeStore();
    await pushLive(store);
    const gone = digestOf("gone");
    for (const name of ["app", "damaged"]) await store.put(layer(name, gone), gone);
    await store.put(revision("damaged", digestOf("missing")), digestOf("missing"));
    const report = await collect(store.driver, { quarantine: false });
    expect(report).toMatchObject({ safety: "grace", eligible: { layerLinks: 1 }, deleted: { layerLinks: 1 } });
    const left = await pathsOf(store);
    expect(left).not.toContain(layer("app", gone));
    expect(left).toContain(layer("damaged", gone));
  });

  test.each([true, false])("a blob counts in the repository that linked it; removeLayerLinks: %s", async (removeLayerLinks) => {
    const store = makeStore();
    await pushLive(store);
    const content = "x".repeat(1000);
    await store.put(blobPath(digestOf(content)), content);
    await store.put(layer("app", digestOf(content)), digestOf(content));
    const report = await collect(store.driver, { readOnly: true, removeLayerLinks });
    expect(report.deleted).toMatchObject({ blobs: 1, bytes: 1000, layerLinks: removeLayerLinks ? 1 : 0 });
    expect(report.repositories).toEqual([
      { name: "app", manifests: 0, layerLinks: removeLayerLinks ? 1 : 0, tagIndexEntries: 0, bytes: 1000 },
    ]);
  });
});

describe("a revision that goes with its manifest while a look reads it", () => {
  const old = image(digestOf("old"));

  test.each<GcOptions>([{ dryRun: true }, { quarantine: false }, { onDamage: "abort", readOnly: true }])(
    "is none any more, and no damage: %j",
    async (options) => {
      const store = memoryStore();
      await pushLive(store);
      await push(store.put, "app", old, ["old"]);
      let isDone = false;
      const driver = new InterceptedDriver(store.driver, async ({ method, paths }, proceed) => {
        if (!isDone && method === "getContent" && paths[0] === blobPath(digestOf(old))) {
          isDone = true;
          await store.driver.delete(revision("app", digestOf(old)).slice(0, -"/link".length));
          await store.driver.delete(blobPath(digestOf(old)).slice(0, -"/data".length));
        }
        return proceed();
      });
      const report = await collect(driver, options);
      expect(isDone).toBe(true);
      expect(report).toMatchObject({ status: "completed", problems: [], marked: { manifests: 1 } });
    },
  );

  test("stays damage where its link is there", async () => {
    const store = memoryStore();
    await pushLive(store);
    await push(store.put, "app", old, ["old"]);
    await store.driver.delete(blobPath(digestOf(old)).slice(0, -"/data".length));
    const report = await collect(store.driver, { readOnly: true });
    expect(report).toMatchObject({ problems: [{ kind: "missing-manifest" }], deleted: { blobs: 0, layerLinks: 0 } });
  });
});

test("a lock of which the storage tells no time is not said to be alive, and the message tells what to do", async () => {
  const store = memoryStore();
  await pushLive(store);
  const lock = "/docker/registry/lockfiles/gc-in-progress";
  await store.put(lock, JSON.stringify({ runId: "of-a-run-that-died", host: "a", pid: 1, startedAt: "2026-01-01T00:00:00.000Z" }));
  const driver = changed(store.driver, {
    async stat(path, options) {
      return { ...(await store.driver.stat(path, options)), modTime: undefined };
    },
  });
  await expect(collect(driver, { readOnly: true })).rejects.toMatchObject({
    code: "LOCKED",
    message: expect.stringMatching(/this storage tells no times.*remove \/docker\/registry\/lockfiles\/gc-in-progress$/) as string,
  });
});
