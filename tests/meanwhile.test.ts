/** What happens to a repository while a look reads it: what is damaged by then is, and what only looked so for a moment is not. */

import {
  type GcOptions,
  type GcReport,
  listRuns,
  markAndSweep,
  type Namespace,
  openRegistry,
  type Repository,
  type StorageDriver,
} from "oci-registry-gc";
import { type DriverCall, InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, flatStore, memoryStore, STORES } from "./support/stores.js";
import { changed, currentLink, image, push } from "./support/tree.js";
import { blobPath, digestOf, World } from "./support/world.js";

const collect = (driver: StorageDriver, options: GcOptions): Promise<GcReport> =>
  markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, maxDeleteRatio: 1, ...options });

describe.each(Object.entries(STORES))("a tag on %s", (_, makeStore) => {
  const manifest = image(digestOf("a layer"));

  async function collectWhile(meanwhile: (driver: StorageDriver) => Promise<unknown>) {
    const store = makeStore();
    await push(store.put, "app", manifest, ["a layer"], "t");
    await push(store.put, "app", image(digestOf("another")), ["another"], "u");
    let isDone = false;
    const driver = new InterceptedDriver(store.driver, async ({ method, paths }, proceed) => {
      if (!isDone && (method === "getContent" || method === "reader") && paths[0] === currentLink("app", "t")) {
        isDone = true;
        await meanwhile(store.driver);
      }
      return proceed();
    });
    const report = await collect(driver, { readOnly: true });
    return { report, files: [...(await contentOf(store.driver)).keys()] };
  }

  test("that loses its current link while it is read is damaged, and keeps its image", async () => {
    const { report, files } = await collectWhile((driver) => driver.delete(currentLink("app", "t")));
    expect(report.problems).toMatchObject([{ kind: "missing-current-link", repository: "app" }]);
    expect(report.deleted).toMatchObject({ manifests: 0, blobs: 0, tagIndexEntries: 0 });
    expect(files).toEqual(expect.arrayContaining([blobPath(digestOf(manifest)), blobPath(digestOf("a layer"))]));
  });

  test("that goes as a whole is gone", async () => {
    const { report } = await collectWhile((driver) => driver.delete(currentLink("app", "t").slice(0, -"/current/link".length)));
    expect(report).toMatchObject({ status: "completed", problems: [], deleted: { manifests: 1, blobs: 2 } });
  });
});

describe.each([
  ["directories", memoryStore],
  ["a flat store", flatStore],
])("a repository that is pushed to all the time, online, on %s", (_, makeStore) => {
  /** Right before each of these calls, counted from 1, a push that is done in one go. */
  async function collectWith(pushes: readonly number[], tags: readonly string[]) {
    const store = makeStore();
    await push(store.put, "app", image(digestOf("old")), ["old"], "t");
    await store.put(blobPath(digestOf("an orphan")), "an orphan");
    let [calls, done] = [0, 0];
    const driver = new InterceptedDriver(store.driver, async (_call: DriverCall, proceed) => {
      if (pushes.includes(++calls)) {
        const layer = `pushed ${done}`;
        await push(store.put, "app", image(digestOf(layer)), [layer], tags[done++ % tags.length]);
      }
      return proceed();
    });
    const report = await collect(driver, { dryRun: true, onDamage: "abort" });
    return { problems: report.problems, calls };
  }

  test.each([[["t"]], [["t", "u"]]])("is not damaged: what one reading sees, the next one must see, too (tags %j)", async (tags) => {
    const { calls } = await collectWith([], tags);
    for (let first = 1; first <= calls; first++) {
      for (let second = first + 1; second <= calls + 20; second++) {
        const { problems } = await collectWith([first, second], tags);
        expect({ first, second, problems }).toEqual({ first, second, problems: [] });
      }
    }
  });

  test("is read again a few times, and no more: then it is believed, which is the safe side", async () => {
    // Not before every call: a reading makes some for each revision, and would never end.
    const every = Array.from({ length: 5000 }, (_, i) => 2 * (i + 1));
    await expect(collectWith(every, ["t", "u", "v"])).rejects.toMatchObject({ code: "DAMAGED" });
  });
});

test("a repository that a namespace tells in two halves of one name needs what either names", async () => {
  const store = memoryStore();
  await push(store.put, "app", image(digestOf("one")), ["one"], "t");
  await push(store.put, "app", image(digestOf("two")), ["two"], "u");
  const registry = openRegistry(store.driver);
  const half = (repository: Repository, manifest: string) =>
    changed<Repository>(repository, {
      async *revisions(options) {
        for await (const page of repository.revisions(options)) yield page.filter(({ digest }) => digest === digestOf(manifest));
      },
      async *tags(options) {
        for await (const page of repository.tags(options)) yield page.filter(({ digest }) => digest === digestOf(manifest));
      },
      async *layerLinks() {
        yield [];
      },
    });
  const halves = changed<Namespace>(registry, {
    async *repositories(options) {
      for await (const repository of registry.repositories(options)) {
        yield half(repository, image(digestOf("one")));
        yield half(repository, image(digestOf("two")));
      }
    },
  });
  const before = await contentOf(store.driver);
  await markAndSweep({}, store.driver, halves, { readOnly: true });
  const files = [...(await contentOf(store.driver)).keys()];
  expect([...before.keys()].filter((path) => path.includes("/blobs/") && !files.includes(path))).toEqual([]);
});

test.each(["first", "last"])(
  "a journal of which only the %s object can't be found is damaged: nothing is purged, nothing written over",
  async (which) => {
    const world = await new World().load("retag");
    await world.collect();
    world.now += 8 * DAY;
    const journals = [...(await contentOf(world.driver))].filter(([path]) => path.includes("/journal/"));
    expect(journals.length).toBeGreaterThan(1);
    const hidden = journals.at(which === "first" ? 0 : -1)![0];
    const lagging = new InterceptedDriver(world.driver, ({ method, paths }, proceed) => {
      if (method !== "list" && paths[0] === hidden) throw Object.assign(new Error("no such file"), { code: "PATH_NOT_FOUND" });
      return proceed();
    });
    const dataIn = async () => [...(await contentOf(world.driver)).keys()].filter((path) => path.endsWith("/data")).length;
    const data = await dataIn();
    const report = await markAndSweep({ clock: world.clock }, lagging, openRegistry(lagging), { removeUntagged: true, drainMs: 0 });
    expect(report).toMatchObject({ purged: { blobs: 0 }, problems: [{ kind: "damaged-journal" }] });
    expect(await dataIn()).toBe(data);
    const after = await contentOf(world.driver);
    for (const [path, content] of journals) expect(after.get(path)).toBe(content);
  },
);

test("a journal that is gone, and that listings go on to name, is gone", async () => {
  const world = await new World().load("retag");
  expect((await world.collect()).quarantined.blobs).toBeGreaterThan(0);
  world.now += 8 * DAY;
  await world.collect();
  const journals = [...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/journal/"));
  expect(journals.length).toBeGreaterThan(0);
  const gone = new InterceptedDriver(world.driver, ({ method, paths }, proceed) => {
    if (method !== "list" && method !== "walk" && journals.includes(paths[0] ?? ""))
      throw Object.assign(new Error("no such file"), { code: "PATH_NOT_FOUND" });
    return proceed();
  });
  expect(await listRuns({ clock: world.clock }, gone, openRegistry(gone))).toEqual([]);
  const report = await markAndSweep({ clock: world.clock }, gone, openRegistry(gone), { removeUntagged: true, drainMs: 0 });
  expect(report.status).toBe("completed");
});
