/** What restore brings back, and what it must not: what is rotten, what a client removed meanwhile, what links to nothing; and what it says of it. */

import { type GcOptions, markAndSweep, openRegistry, type RestoreTarget, restore, type StorageDriver } from "oci-registry-gc";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { image, layer, linkOf, type Put, push, repo, revision, sha512 } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const GC = `${ROOT}/_gc`;
const LOCK = "/docker/registry/lockfiles/gc-in-progress";
const OPTIONS = { removeUntagged: true, maxDeleteRatio: 1 };
const MANIFEST = image(digestOf("layer one"));
const one = digestOf(MANIFEST);

const files = async (world: World) => [...(await contentOf(world.driver)).keys()];
const bringBack = (world: World, what: RestoreTarget = {}, driver: StorageDriver = world.driver, signal?: AbortSignal) =>
  restore({ clock: world.clock, signal }, driver, openRegistry(driver), what);

/** An old untagged image aside, and one in place that a tag names. */
async function aside(options: GcOptions = {}, more: (put: Put) => Promise<unknown> = async () => undefined) {
  const world = new World();
  const put: Put = (path, content) => world.put(path, content);
  world.now -= 60 * DAY;
  await push(put, "app", MANIFEST, ["layer one"]);
  await more(put);
  await push(put, "app", image(digestOf("live")), ["live"], "t");
  world.now += 60 * DAY;
  const { runId, quarantined } = await world.collect({ ...OPTIONS, ...options });
  expect(quarantined.blobs).toBeGreaterThanOrEqual(2);
  return { world, runId };
}

/** What a purge leaves that is stopped when it has removed the links, before it deletes any data. */
async function brokenPurge(world: World): Promise<void> {
  world.now += 8 * DAY;
  const control = new AbortController();
  const driver = new InterceptedDriver(world.driver, ({ method, paths }, proceed) => {
    if (method !== "deleteFiles" || !paths.some((path) => path.startsWith(GC))) return proceed();
    control.abort(new Error("stop"));
    throw new Error("cut off");
  });
  const stopped = markAndSweep({ clock: world.clock, signal: control.signal }, driver, openRegistry(driver), OPTIONS);
  await expect(stopped).rejects.toThrow("stop");
  expect(await files(world)).not.toContain(revision("app", one));
}

describe("restore brings back", () => {
  test("nothing rotten, and counts neither that nor what is there already", async () => {
    const { world, runId } = await aside();
    const rotten = `${GC}/${runId}/blobs/sha256/${one.slice(7)}/data`;
    await world.put(rotten, "rotten");
    await world.put(blobPath(digestOf("layer one")), "layer one");
    expect(await bringBack(world)).toMatchObject({ blobs: 0, bytes: 0, failures: [{ path: rotten, code: "DAMAGED" }] });
    expect(await files(world)).not.toContain(blobPath(one));
  });

  test("no revision link that a client removed meanwhile", async () => {
    const { world } = await aside();
    await world.driver.delete(revision("app", one));
    expect(await bringBack(world)).toMatchObject({ blobs: 2, links: 1, failures: [] });
    expect(await files(world)).not.toContain(revision("app", one));
  });

  test("with a blob the layer links of its other names", async () => {
    const other = layer("app", sha512("layer one"));
    const { world } = await aside({}, (put) => put(other, digestOf("layer one")));
    expect(await files(world)).not.toContain(other);
    await bringBack(world, { digest: digestOf("layer one") });
    expect(await files(world)).toContain(other);
  });

  test("no layer link that a client removed and no run took", async () => {
    const { world } = await aside({ removeLayerLinks: false });
    await world.driver.delete(layer("app", digestOf("layer one")));
    expect(await bringBack(world)).toMatchObject({ blobs: 2, links: 0, failures: [] });
  });

  test("no link that a broken purge removed to a manifest that does not come back: that would be damage", async () => {
    const { world, runId } = await aside();
    await brokenPurge(world);
    await world.put(`${GC}/${runId}/blobs/sha256/${one.slice(7)}/data`, "rotten");
    expect(await bringBack(world)).toMatchObject({ blobs: 1, failures: [{ code: "DAMAGED" }] });
    expect(await files(world)).not.toContain(revision("app", one));
  });

  test("no entry of a tag's index, but the revision and its signatures, where a broken purge removed all of these", async () => {
    const old = JSON.stringify({ schemaVersion: 1, name: "app", fsLayers: [{ blobSum: digestOf("layer one") }] });
    const signature = linkOf(`${revision("app", digestOf(old)).slice(0, -"/link".length)}/signatures`, digestOf("signature"));
    const entry = linkOf(`${repo("app")}/_manifests/tags/t/index`, digestOf(old));
    const { world } = await aside({}, async (put) => {
      await push(put, "app", old, ["layer one"], "t");
      await put(signature, digestOf("signature"));
      await put(blobPath(digestOf("signature")), "signature");
    });
    expect(await files(world)).toEqual(expect.arrayContaining([entry, signature]));
    await brokenPurge(world);
    const broken = await files(world);
    for (const path of [entry, signature]) expect(broken).not.toContain(path);
    await bringBack(world);
    expect(await files(world)).not.toContain(entry);
    expect(await files(world)).toEqual(expect.arrayContaining([revision("app", digestOf(old)), signature]));
  });
});

test("restore tells as missing what only links name, and what nothing names", async () => {
  const { world } = await aside();
  await world.put(layer("app", sha512("gone")), digestOf("gone"));
  for (const digest of [sha512("gone"), sha512("nowhere")])
    expect(await bringBack(world, { digest })).toMatchObject({ blobs: 0, missing: [digest] });
});

test("what restore brings back is noted as young before it is in its place: it keeps its old time there", async () => {
  const { world } = await aside();
  const noted: boolean[] = [];
  const driver = new InterceptedDriver(world.driver, async ({ method }, proceed) => {
    if (method === "move") noted.push((await files(world)).some((path) => path.endsWith("/restored.json")));
    return proceed();
  });
  await bringBack(world, {}, driver);
  expect(noted).toEqual([true, true]);
});

describe("of a journal that can't be read restore", () => {
  const damage = async (world: World, runId: string) => {
    const objects = (await files(world)).filter((path) => path.startsWith(`${GC}/${runId}/journal/`)).sort();
    await world.put(objects.at(-1) ?? "", "{");
  };

  test("writes no links, and says so", async () => {
    const { world, runId } = await aside();
    await damage(world, runId);
    expect(await bringBack(world)).toMatchObject({ blobs: 2, links: 0, failures: [{ path: `${GC}/${runId}`, code: "DAMAGED" }] });
  });

  test("says nothing where it was asked for another run", async () => {
    const { world, runId } = await aside();
    const put = (path: string, content: string) => world.put(path, content);
    world.now -= 60 * DAY;
    await push(put, "app", image(digestOf("layer two")), ["layer two"]);
    world.now += 60 * DAY;
    const other = await world.collect(OPTIONS);
    await damage(world, runId);
    expect(await bringBack(world, { runId: other.runId })).toMatchObject({ blobs: 2, failures: [] });
  });
});

test("who has lost the lock notes nothing as restored", async () => {
  const { world } = await aside();
  const driver = new InterceptedDriver(world.driver, async ({ method, paths: [path] }, proceed) => {
    const answer = await proceed();
    if (method === "getContent" && path?.includes("/journal/") === true) await world.put(LOCK, "another's");
    return answer;
  });
  await expect(bringBack(world, {}, driver)).rejects.toMatchObject({ code: "LOCKED" });
  expect((await files(world)).filter((path) => path.endsWith("restored.json"))).toEqual([]);
});

test("an abort while the last link is written is what restore ends with, and no failure of that link", async () => {
  const { world } = await aside();
  const control = new AbortController();
  const reason = new Error("stop");
  const driver = new InterceptedDriver(world.driver, ({ method, paths: [path] }, proceed) => {
    if (method !== "putContent" || path !== layer("app", digestOf("layer one"))) return proceed();
    control.abort(reason);
    throw new Error("cut off");
  });
  await expect(bringBack(world, {}, driver, control.signal)).rejects.toBe(reason);
});
