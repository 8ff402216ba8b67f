/** A registry that goes on serving: whole pushes that re-use garbage, at every call of the collector. */

import type { GcOptions, StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import {
  type BuiltBlob,
  type BuiltManifest,
  type DriverCall,
  FlatDriver,
  InterceptedDriver,
  isChange,
  RegistryBuilder,
  snapshotOf,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { collect, missingFrom, runs } from "./pantry.js";
import { HOUR, NOW } from "./recipes.js";

interface World {
  readonly driver: StorageDriver;
  /** What is tagged: digests of the manifest and its layers. */
  readonly alive: Readonly<Record<string, readonly string[]>>;
  readonly old: {
    readonly layer: BuiltBlob;
    readonly untagged: BuiltManifest;
    readonly elsewhere: BuiltManifest;
    readonly index: BuiltManifest;
  };
}

/** A registry with garbage of every kind, a month old. */
async function makeWorld(isFlat: boolean): Promise<World> {
  let time = NOW - 30 * 24 * HOUR;
  const driver = isFlat ? new FlatDriver({ now: () => time }) : new MemoryDriver({ now: () => time });
  const builder = new RegistryBuilder(driver);
  const inFoo = await builder.image("foo", { tag: "latest", name: "alive" });
  await builder.upload("foo", "5f0c1a2b-0000-4000-8000-000000000000", { data: "x", startedAt: "2026-01-01T00:00:00Z", hashStates: 1 });
  const layer = await builder.layer("orphan");
  await builder.layerLink("foo", layer.digest);
  const untagged = await builder.image("foo", { name: "untagged" });
  const index = await builder.index("foo", [await builder.image("foo", { name: "child" })], { name: "untagged index" });
  const elsewhere = await builder.image("zoo", { name: "elsewhere" });
  const inZoo = await builder.image("zoo", { tag: "latest", name: "alive in the zoo" });
  time = NOW;
  const digests = ({ digest, layers }: BuiltManifest) => [digest, ...layers.map((each) => each.digest)];
  const alive = { "foo alive": digests(inFoo), "zoo alive": digests(inZoo) };
  return { driver, alive, old: { layer, untagged, elsewhere, index } };
}

/** What a registry does: data that is there is not written again, links always are. */
function registryOver(driver: StorageDriver, written = new Set<string>()): RegistryBuilder {
  const polite = new InterceptedDriver(driver, async ({ method, paths }, proceed) => {
    if (method === "putContent") written.add(paths[0]!);
    const isThere = method === "putContent" && paths[0]!.includes("/blobs/") && (await driver.stat(paths[0]!).then(Boolean, () => false));
    return isThere ? (true as Awaited<ReturnType<typeof proceed>>) : proceed();
  });
  return new RegistryBuilder(polite);
}

type Push = (registry: RegistryBuilder, old: World["old"]) => Promise<BuiltManifest>;

/** A client asks whether a layer is there, and uploads it where it isn't. */
const layersOf = async (registry: RegistryBuilder, ...names: string[]) => {
  const layers: BuiltBlob[] = [];
  for (const name of names) layers.push(await registry.layer(name));
  return layers;
};

/** A registry takes an index only where its children are; a client pushes those that aren't. */
async function child(registry: RegistryBuilder, { digest }: BuiltManifest, again: () => Promise<unknown>): Promise<void> {
  const { paths } = registry;
  const isThere = await Promise.all([paths.blob(digest), paths.revision("foo", digest)].map((path) => registry.content(path)));
  if (isThere.includes(undefined)) await again();
}

/** The repository that each push goes to, and what it does. */
const PUSHES: Readonly<Record<string, readonly [repository: string, push: Push]>> = {
  "a new image of an orphaned layer, tagged": [
    "foo",
    async (registry) => registry.image("foo", { name: "new", layers: await layersOf(registry, "orphan"), tag: "new" }),
  ],
  "a new image of an orphaned layer, by digest": [
    "foo",
    async (registry) => registry.image("foo", { name: "new", layers: await layersOf(registry, "orphan") }),
  ],
  "a new image of an untagged one's layers": [
    "foo",
    async (registry) =>
      registry.image("foo", { name: "new", layers: await layersOf(registry, "0 of untagged", "1 of untagged"), tag: "new" }),
  ],
  "an untagged image again, tagged": ["foo", (registry) => registry.image("foo", { name: "untagged", tag: "again" })],
  "an untagged image again, by digest": ["foo", (registry) => registry.image("foo", { name: "untagged" })],
  "an untagged image again, to a tag that is there": ["foo", (registry) => registry.image("foo", { name: "untagged", tag: "latest" })],
  "an index of an untagged image": [
    "foo",
    async (registry, { untagged }) => {
      await child(registry, untagged, () => registry.image("foo", { name: "untagged" }));
      return registry.index("foo", [untagged], { name: "new index", tag: "new" });
    },
  ],
  "an index of an untagged index": [
    "foo",
    async (registry, { index }) => {
      await child(registry, index, async () =>
        registry.index("foo", [await registry.image("foo", { name: "child" })], { name: "untagged index" }),
      );
      return registry.index("foo", [index], { name: "new index", tag: "new" });
    },
  ],
  "an image mounted from elsewhere": ["foo", (registry) => registry.image("foo", { name: "elsewhere", tag: "mounted" })],
  "an image to a repository that is new, before all": ["aaa", (registry) => registry.image("aaa", { name: "untagged", tag: "new" })],
  "an image to a repository that is new, after all": ["zzz", (registry) => registry.image("zzz", { name: "untagged", tag: "new" })],
};

/** One run, with a push before the n-th call; `undefined` where the run was over by then. */
async function runWith(isFlat: boolean, options: GcOptions, push: Push, at: number): Promise<string[] | undefined> {
  const { driver, old } = await makeWorld(isFlat);
  let count = 0;
  let pushed: BuiltManifest | undefined;
  const written = new Set<string>();
  const busy = new InterceptedDriver(driver, async (_, proceed) => {
    if (++count === at) pushed = await push(registryOver(driver, written), old);
    return proceed();
  });
  const { error } = await collect(busy, { removeUntagged: true, concurrency: 1, maxParallelManifestGets: 1, ...options });
  if (error !== undefined) throw error as Error;
  if (pushed === undefined) return undefined;
  const there = new Set((await snapshotOf(driver)).files.keys());
  return missingFrom(there, [...needsOf(old, pushed), ...written]);
}

/** The blobs without which a pull of what was pushed fails. */
function needsOf(old: World["old"], pushed: BuiltManifest): string[] {
  const { paths } = new RegistryBuilder(new MemoryDriver());
  const text = Buffer.from(pushed.bytes).toString();
  const children = [old.untagged, old.index].filter(({ digest }) => text.includes(digest));
  const all = [pushed, ...children].flatMap(({ digest, bytes, layers }) => [
    digest,
    ...layers.map((each) => each.digest),
    ...namedIn(bytes),
  ]);
  return [...new Set(all)].map((digest) => paths.blob(digest));
}

function namedIn(bytes: Uint8Array): string[] {
  return (
    Buffer.from(bytes)
      .toString()
      .match(/sha256:[0-9a-f]{64}/g) ?? []
  );
}

/** The calls of an undisturbed run. */
async function callsOf(isFlat: boolean, options: GcOptions): Promise<DriverCall[]> {
  const { driver } = await makeWorld(isFlat);
  const calls: DriverCall[] = [];
  const watched = new InterceptedDriver(driver, (call, proceed) => {
    calls.push(call);
    return proceed();
  });
  await collect(watched, { removeUntagged: true, concurrency: 1, maxParallelManifestGets: 1, ...options });
  return calls;
}

/** The last call before which a push to a repository is complete in time: the first that lists it in the second look. */
function lastMoment(calls: readonly DriverCall[], repository: string): number {
  const change = calls.findIndex(({ method, paths }) => isChange(method) && !paths.some((path) => path.includes("/lockfiles/")));
  const root = "/docker/registry/v2/repositories";
  const isListing = ({ method, paths: [path = ""], page }: DriverCall) =>
    page === 0 &&
    (method === "walk" ? path.startsWith(root) : method === "list" && (path === root || path.startsWith(`${root}/${repository}/`)));
  const listings = calls.slice(0, change).flatMap((call, i) => (isListing(call) ? [{ i, path: call.paths[0]! }] : []));
  const again = listings.filter(({ path }, k) => listings.slice(0, k).some((earlier) => earlier.path === path));
  expect(again.length).toBeGreaterThan(0);
  return again[0]!.i + 1;
}

/** All of them where calls are few, else a spread of them and the last; `RUNS` makes it denser. */
function moments(last: number, salt: number, most: number): number[] {
  const step = Math.max(1, Math.ceil(last / runs(most)));
  return Array.from({ length: last }, (_, i) => i + 1).filter((n) => n % step === salt % step || n === last);
}

describe.each([
  ["directories", false],
  ["a flat store", true],
])("on %s", (_, isFlat) => {
  test("in the degree grace, a push that is complete before its repository is listed again stays whole", async () => {
    const options: GcOptions = { quarantine: false };
    const calls = await callsOf(isFlat, options);
    for (const [i, [name, [repository, push]]] of Object.entries(PUSHES).entries()) {
      for (const n of moments(lastMoment(calls, repository), i, 25)) {
        expect({ name, n, missing: await runWith(isFlat, options, push, n) }).toEqual({ name, n, missing: [] });
      }
    }
  });

  test.each([0, 7 * 24 * HOUR])("with quarantine (purged after %i ms), a push at any call stays whole", async (quarantineMs) => {
    const options: GcOptions = { quarantineMs, drainMs: 1 };
    const calls = await callsOf(isFlat, options);
    for (const [i, [name, [, push]]] of Object.entries(PUSHES).entries()) {
      for (const n of moments(calls.length, i, 20)) {
        expect({ name, n, missing: await runWith(isFlat, options, push, n) }).toEqual({ name, n, missing: [] });
      }
    }
  });

  test.each([
    ["grace", { quarantine: false, removeUploadsOlderThanMs: 24 * HOUR }],
    ["quarantine", { drainMs: 1, removeUploadsOlderThanMs: 24 * HOUR }],
  ])("in the degree %s, clients who delete at any call stop nothing", async (_name, options) => {
    const calls = await callsOf(isFlat, options);
    for (const [name, disturb] of Object.entries(DELETIONS)) {
      for (const n of moments(calls.length, 0, 25)) {
        const { driver, old, alive } = await makeWorld(isFlat);
        let count = 0;
        const busy = new InterceptedDriver(driver, async (_call, proceed) => {
          if (++count === n) await disturb(new RegistryBuilder(driver), { ...old, alive });
          return proceed();
        });
        const { error, report } = await collect(busy, { removeUntagged: true, concurrency: 1, maxParallelManifestGets: 1, ...options });
        expect({ name, n, error, status: report?.status }).toEqual({ name, n, error: undefined, status: "completed" });
        const { paths } = new RegistryBuilder(driver);
        const there = new Set((await snapshotOf(driver)).files.keys());
        const lived = ["zoo alive", ...(name.includes("alive") ? [] : ["foo alive"])].flatMap((who) => alive[who]!);
        expect({
          name,
          n,
          missing: missingFrom(
            there,
            lived.map((digest) => paths.blob(digest)),
          ),
        }).toEqual({ name, n, missing: [] });
      }
    }
  });
});

type Disturb = (registry: RegistryBuilder, old: World["old"] & { readonly alive: World["alive"] }) => Promise<unknown>;

const DELETIONS: Readonly<Record<string, Disturb>> = {
  "the tag of the alive": (registry) => registry.deleteTag("foo", "latest"),
  "the alive manifest": (registry, { alive }) => registry.deleteManifest("foo", { digest: alive["foo alive"]![0]! }),
  "an untagged manifest": (registry, { untagged }) => registry.deleteManifest("foo", untagged),
  "the upload": (registry) => registry.remove(registry.paths.upload("foo", "5f0c1a2b-0000-4000-8000-000000000000")),
};
