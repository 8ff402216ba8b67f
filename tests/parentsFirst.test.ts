/** What a revision needs whose link can't be removed stays, however it leads there: by layer links, by other digests, round in a circle. */

import { markAndSweep, openRegistry, purge, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collectParted } from "./parts/attackers.js";
import { DAY } from "./support/stores.js";
import { currentLink, IMAGE, image, layer, linkOf, type Put, push, repo, revision, sha512, unable } from "./support/tree.js";
import { blobPath, digestOf, World } from "./support/world.js";

const CHILD = image(digestOf("one"), digestOf("two"));
const INDEX = "application/vnd.oci.image.index.v1+json";

const index = (children: readonly string[], more: object = {}) =>
  JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: children.map((digest) => ({ mediaType: IMAGE, digest })), ...more });
const about = (digest: string) => ({ subject: { mediaType: INDEX, digest } });

const TOP = index([digestOf(CHILD)]);
const MIDDLE = index([digestOf(CHILD)], { annotations: { is: "the middle" } });

/** A manifest that a layer link serves. */
async function serve(put: Put, content: string, digest = digestOf(content)): Promise<void> {
  await put(blobPath(digestOf(content)), content);
  await put(layer("app", digest), digestOf(content));
}

/** How the image hangs on what can't be removed, which is answered: by digests, the one to be tagged first. */
const WAYS: Readonly<Record<string, (put: Put) => Promise<readonly string[]>>> = {
  named: async (put) => [await push(put, "app", TOP, [])],
  "through a layer-linked index": async (put) => {
    await serve(put, MIDDLE);
    return [await push(put, "app", index([digestOf(MIDDLE)]), [])];
  },
  "through two layer-linked indexes": async (put) => {
    await serve(put, MIDDLE);
    await serve(put, index([digestOf(MIDDLE)]));
    return [await push(put, "app", index([digestOf(index([digestOf(MIDDLE)]))]), [])];
  },
  "named by sha512": async (put) => {
    await put(linkOf(`${repo("app")}/_layers`, sha512(CHILD)), digestOf(CHILD));
    return [await push(put, "app", index([sha512(CHILD)]), [])];
  },
  "behind a circle of a name and a subject": async (put) => {
    const top = await push(put, "app", TOP, []);
    return [top, await push(put, "app", index([top], about(top)), [])];
  },
  "behind a circle, at its other end": async (put) => {
    await push(put, "app", MIDDLE, []);
    const top = await push(put, "app", index([digestOf(MIDDLE)]), []);
    return [await push(put, "app", index([top, digestOf(MIDDLE)], about(digestOf(MIDDLE))), []), top, digestOf(MIDDLE)];
  },
  "as a referrer of what a layer link serves": async (put) => {
    await serve(put, MIDDLE);
    const child = await push(put, "app", index([digestOf(CHILD)], about(digestOf(MIDDLE))), []);
    expect(child).not.toBe(digestOf(MIDDLE));
    return [await push(put, "app", index([digestOf(MIDDLE)], { annotations: { is: "the top" } }), [])];
  },
};

type Degree = (world: World, driver: StorageDriver) => Promise<unknown>;

const DEGREES: Readonly<Record<string, Degree>> = {
  "a sweep": ({ clock }, driver) => markAndSweep({ clock }, driver, openRegistry(driver), { readOnly: true, removeUntagged: true }),
  "a purge": async (world, driver) => {
    await world.collect({ quarantineMs: DAY });
    world.now += 2 * DAY;
    return markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY });
  },
  "a sweep in parts": (world, driver) => collectParted(world, { readOnly: true, removeUntagged: true }, { driver }),
};

test("where a layer-linked manifest below garbage can't be read, nothing goes: what goes first is not known", async () => {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  const now = world.now;
  world.now -= 60 * DAY;
  await push(put, "app", image(digestOf("live")), ["live"], "latest");
  await push(put, "app", CHILD, ["one", "two"]);
  for (const name of ["a", "z"]) await push(put, name, image(digestOf(name)), [name]);
  await serve(put, MIDDLE);
  await push(put, "app", index([digestOf(MIDDLE)]), []);
  world.now = now;
  let isBroken = true;
  const driver = new InterceptedDriver(world.driver, ({ method, paths }, proceed) => {
    if (isBroken && method === "getContent" && paths[0]?.includes(digestOf(MIDDLE).slice(7)) === true) throw new Error("EIO");
    return proceed();
  });
  const collect = () =>
    markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY, maxDeleteRatio: 1 });
  const before = await world.files();
  await expect(collect()).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await world.files()).toEqual(before);

  isBroken = false;
  expect(await collect()).toMatchObject({ status: "completed", quarantined: { manifests: 4, blobs: 9 } });
  world.now += 2 * DAY;
  isBroken = true;
  const aside = await world.files();
  const ended = purge({ clock: world.clock }, driver, openRegistry(driver), { removeUntagged: true, quarantineMs: DAY });
  await expect(ended).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await world.files()).toEqual(aside);

  isBroken = false;
  expect(await collect()).toMatchObject({ status: "completed", purged: { manifests: 4, blobs: 9 } });
});

describe.each(Object.entries(DEGREES))("%s", (_, collect) => {
  test.each(Object.entries(WAYS))("keeps what is %s", async (_, lay) => {
    const world = new World();
    const now = world.now;
    const put: Put = (path, content) => world.put(path, content);
    world.now -= 60 * DAY;
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    for (let i = 0; i < 8; i++) await push(put, "app", image(digestOf(`other ${i}`)), [`other ${i}`], `v${i}`);
    await push(put, "app", CHILD, ["one", "two"]);
    const stuck = await lay(put);
    world.now = now;

    const report = await collect(world, unable(world.driver, ...stuck.map((digest) => revision("app", digest))));
    expect(report).toMatchObject({ status: "completed-with-failures" });
    const needed = [revision("app", digestOf(CHILD)), ...[digestOf(CHILD), digestOf("one"), digestOf("two"), ...stuck].map(blobPath)];
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(needed));

    // Tagged, since it was served all along, it is whole after the next run.
    await put(currentLink("app", "again"), stuck[0]!);
    expect(await world.collect({ readOnly: true })).toMatchObject({ problems: [] });
    expect([...(await world.files()).keys()]).toEqual(expect.arrayContaining(needed.filter((path) => !path.endsWith("/link"))));
  });
});
