/** A look at the registry: what is gone by the time that it is read was not seen. */

import { explain, type GcOptions, markAndSweep, type Namespace, openRegistry, type Repository } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { contentOf, DAY, filesystemStore, memoryStore } from "./support/stores.js";
import { changed, currentLink, image, layer, linkOf, push, repo, revision, sha512 } from "./support/tree.js";
import { blobPath, digestOf, ROOT, World } from "./support/world.js";

test("where the last repository goes as it is to be looked at, there is none: its blobs are not taken for garbage", async () => {
  const { driver: inner, put } = memoryStore();
  await push(put, "app", image(digestOf("a layer")), ["a layer"], "t");
  const blobs = [...(await contentOf(inner)).keys()].filter((path) => path.includes("/blobs/"));
  let isGone = false;
  const driver = new InterceptedDriver(inner, async ({ paths }, proceed) => {
    if (!isGone && paths[0]?.startsWith(`${repo("app")}/_`) === true) {
      isGone = true;
      await inner.delete(repo("app"));
    }
    return proceed();
  });
  const options = { removeUntagged: true, readOnly: true, maxDeleteRatio: 1 };
  await expect(markAndSweep({}, driver, openRegistry(driver), options)).rejects.toMatchObject({ code: "EMPTY_MARK" });
  expect(isGone).toBe(true);
  expect([...(await contentOf(inner)).keys()].sort()).toEqual(blobs.sort());
});

async function old(fill: (put: (path: string, content: string) => Promise<void>) => Promise<unknown>): Promise<World> {
  const world = new World();
  const now = world.now;
  world.now -= 60 * DAY;
  const put = (path: string, content: string) => world.put(path, content);
  await push(put, "app", image(digestOf("live")), ["live"], "t");
  await fill(put);
  world.now = now;
  return world;
}

test("in the degree grace damage, under abort, that only the second look sees lets nothing go", async () => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  let looks = 0;
  const driver = new InterceptedDriver(world.driver, async ({ method, paths, page }, proceed) => {
    if (method === "list" && paths[0] === `${ROOT}/repositories` && page === 0 && ++looks === 2)
      await world.put(currentLink("app", "t"), "nonsense");
    return proceed();
  });
  const options: GcOptions = { removeUntagged: true, maxDeleteRatio: 1, quarantine: false, onDamage: "abort" };
  await expect(markAndSweep({ clock: world.clock }, driver, openRegistry(driver), options)).rejects.toMatchObject({ code: "DAMAGED" });
  expect(looks).toBe(2);
  expect([...(await world.files()).keys()]).toContain(blobPath(digestOf("orphan")));
});

test("nothing is explained where a run would refuse, since nobody knows what a repository needs", async () => {
  const lost = digestOf("a manifest that is lost");
  const world = await old(async (put) => {
    await put(blobPath(digestOf("orphan")), "orphan");
    await put(blobPath(lost), '{"schemaVersion":2,"layers":[');
    await put(revision("unknown", lost), lost);
  });
  const asked = explain({ clock: world.clock }, world.driver, openRegistry(world.driver), digestOf("orphan"), { removeUntagged: true });
  await expect(asked).rejects.toMatchObject({ code: "DAMAGED" });
});

test("the signature of an old manifest that a tag names, and that is no revision any more, stays", async () => {
  const manifest = JSON.stringify({ schemaVersion: 1, name: "app", fsLayers: [{ blobSum: digestOf("live") }] });
  const digest = digestOf(manifest);
  const signature = linkOf(`${revision("app", digest).slice(0, -"/link".length)}/signatures`, digestOf("signature"));
  const world = await old(async (put) => {
    await push(put, "app", manifest, ["live"], "old");
    await put(signature, digestOf("signature"));
    await put(blobPath(digestOf("signature")), "signature");
  });
  await world.driver.delete(revision("app", digest));
  await world.collect({ readOnly: true, maxDeleteRatio: 1 });
  expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining([blobPath(digest), blobPath(digestOf("signature"))]));
});

test("a tag that a namespace of somebody else's tells without a digest protects its repository", async () => {
  const world = await old((put) => push(put, "app", image(digestOf("more")), ["more"]));
  const registry = openRegistry(world.driver);
  const tagless = changed<Namespace>(registry, {
    async *repositories(options) {
      for await (const repository of registry.repositories(options))
        yield changed<Repository>(repository, {
          async *tags() {
            yield [{ name: "t", path: currentLink("app", "t"), digest: undefined }];
          },
        });
    },
  });
  const options = { removeUntagged: true, readOnly: true, maxDeleteRatio: 1 };
  const report = await markAndSweep({ clock: world.clock }, world.driver, tagless, options);
  expect(report.problems).toMatchObject([{ kind: "missing-current-link", repository: "app" }]);
  expect(report.deleted).toMatchObject({ manifests: 0, blobs: 0 });
});

test("a namespace that answers for fewer layer links than it was asked for is asked for each", async () => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  await world.put(layer("pushing", digestOf("orphan")), digestOf("orphan"));
  world.now += 1000;
  const registry = openRegistry(world.driver);
  let asked = 0;
  const short = changed<Namespace>(registry, {
    async *repositories(options) {
      for await (const repository of registry.repositories(options)) {
        const { lookAtLayerLink } = repository;
        const members = {
          manyOf: { lookAtLayerLink },
          lookAtLayerLinks: async () => {
            asked++;
            return [];
          },
        };
        yield new Proxy(repository, {
          get: (target, member) => (member in members ? members[member as keyof typeof members] : (Reflect.get(target, member) as unknown)),
        });
      }
    },
  });
  const options = { removeUntagged: true, quarantine: false, maxDeleteRatio: 1 };
  await markAndSweep({ clock: world.clock }, world.driver, short, options);
  expect(asked).toBeGreaterThan(0);
  expect([...(await world.files()).keys()]).toEqual(
    expect.arrayContaining([blobPath(digestOf("orphan")), layer("pushing", digestOf("orphan"))]),
  );
});

test.each(["first", "second"])(
  "an abort ends the run whose namespace never answers, in the %s look",
  async (which) => {
    const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
    const registry = openRegistry(world.driver);
    const control = new AbortController();
    let looks = 0;
    const silent = changed<Namespace>(registry, {
      async *repositories(options) {
        if (++looks === (which === "first" ? 1 : 2)) {
          setTimeout(() => control.abort(new Error("stop")), 10);
          await new Promise(() => undefined);
        }
        yield* registry.repositories(options);
      },
    });
    const options = { removeUntagged: true, quarantine: false, maxDeleteRatio: 1 };
    const run = markAndSweep({ clock: world.clock, signal: control.signal }, world.driver, silent, options);
    await expect(run).rejects.toThrow("stop");
  },
  5000,
);

test("a tag that names what only a layer link serves keeps it, with all that it names", async () => {
  const manifest = image(digestOf("served"));
  const world = await old(async (put) => {
    await push(put, "app", manifest, ["served"], "old");
    await put(layer("app", digestOf(manifest)), digestOf(manifest));
  });
  await world.driver.delete(revision("app", digestOf(manifest)));
  await world.collect({ readOnly: true, maxDeleteRatio: 1 });
  const kept = [blobPath(digestOf(manifest)), blobPath(digestOf("served")), layer("app", digestOf("served"))];
  expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(kept));
});

test("an old blob stays by the young layer link of its sha512 name", async () => {
  const world = await old((put) => put(blobPath(digestOf("orphan")), "orphan"));
  await world.put(layer("pushing", sha512("orphan")), digestOf("orphan"));
  world.now += 1000;
  await world.collect({ quarantine: false, maxDeleteRatio: 1 });
  expect([...(await world.files()).keys()]).toContain(blobPath(digestOf("orphan")));
});

test("a wrapper's tags count, though its registry can tell all of a repository at once", async () => {
  const store = filesystemStore();
  const more = image(digestOf("more"));
  await push(store.put, "app", image(digestOf("live")), ["live"], "t");
  await push(store.put, "app", more, ["more"]);
  const registry = openRegistry(store.driver);
  const tagging = changed<Namespace>(registry, {
    async *repositories(options) {
      for await (const repository of registry.repositories(options))
        yield changed<Repository>(repository, {
          async *tags(asked) {
            yield* repository.tags(asked);
            yield [{ name: "kept", path: currentLink("app", "kept"), digest: digestOf(more) }];
          },
        });
    },
  });
  await markAndSweep({}, store.driver, tagging, { removeUntagged: true, readOnly: true, maxDeleteRatio: 1 });
  expect([...(await contentOf(store.driver)).keys()]).toContain(blobPath(digestOf(more)));
});
