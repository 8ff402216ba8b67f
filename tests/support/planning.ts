/** The first half of a run alone: inventory, look and plan over a registry in memory, and what they would take. */

import { type GcOptions, type Namespace, openRegistry, type StorageDriver } from "oci-registry-gc";
import { refuseDamage } from "../../src/guards.js";
import { takeInventory } from "../../src/inventory.js";
import { lookAtRegistry } from "../../src/look.js";
import { AsideStore } from "../../src/online/asideStore.js";
import { makePlan, type Plan } from "../../src/plan.js";
import { Run } from "../../src/run.js";
import { DAY } from "./stores.js";
import { layer, push } from "./tree.js";
import { blobPath, digestOf, ROOT, World } from "./world.js";

export const ONLINE: GcOptions = { removeUntagged: true };
export const QUIET: GcOptions = { removeUntagged: true, readOnly: true };

/** Everything in it was written a month ago. */
export async function oldWorld(fill: (world: World) => Promise<unknown>): Promise<World> {
  const world = new World();
  await fill(world);
  world.now += 30 * DAY;
  return world;
}

export const pushTo = (world: World, name: string, manifest: string, layers: readonly string[] = [], tag?: string) =>
  push((path, content) => world.put(path, content), name, manifest, layers, tag);
export const orphan = (world: World, content: string) => world.put(blobPath(digestOf(content)), content);
export const link = (world: World, name: string, content: string) => world.put(layer(name, digestOf(content)), digestOf(content));
export const index = (...manifests: readonly string[]) =>
  JSON.stringify({ schemaVersion: 2, manifests: manifests.map((digest) => ({ digest, mediaType: "x/not-told" })) });

/** The five members that a driver must have: on such a store nothing can be put aside. */
export const least = ({ driver }: World): StorageDriver => ({
  name: "least",
  stat: (path, options) => driver.stat(path, options),
  list: (path, options) => driver.list(path, options),
  reader: (path, options) => driver.reader(path, options),
  delete: (path, options) => driver.delete(path, options),
});

export interface Surroundings {
  readonly driver?: StorageDriver;
  readonly registry?: Namespace;
  /** What the run comes to know before its first look. */
  readonly before?: (run: Run) => void;
  /** What happens between the look and the plan. */
  readonly between?: (run: Run) => void;
  /** Repositories that come first, in this order. */
  readonly first?: readonly string[];
}

/** A run's first plan, by everything that comes before it. */
export async function planOf(
  world: World,
  options: GcOptions,
  { driver = world.driver, registry, before, between, first = [] }: Surroundings = {},
) {
  const run = Run.begin({ clock: world.clock }, driver, registry ?? openRegistry(driver), options);
  before?.(run);
  await takeInventory(run);
  const found = await lookAtRegistry(run, "mark");
  refuseDamage(run);
  between?.(run);
  const ahead = first.flatMap((name) => found.looks.filter(({ repository }) => repository.name === name));
  const plan = await makePlan(run, [...new Set([...ahead, ...found.looks])]);
  return { run, found, plan };
}

/** The contents of the blobs that are to go. */
export function doomed(run: Run, { blobs }: Plan, contents: readonly string[]): string[] {
  const digests = new Set(blobs.map((number) => run.digests.digest(number)));
  return contents.filter((content) => digests.has(digestOf(content)));
}

/** What is to go from a repository: digests. */
export function taken(run: Run, { repositories }: Plan, name: string) {
  const plan = repositories.find(({ look }) => look.repository.name === name);
  const digests = (numbers: readonly number[] = []) => numbers.map((number) => run.digests.digest(number)).sort();
  return { manifests: digests(plan?.manifests), layerLinks: digests(plan?.layerLinks) };
}

export const NOTHING = { manifests: [], layerLinks: [] };

export function asideOf(run: Run, { driver }: World): AsideStore {
  const aside = new AsideStore(driver, `${ROOT}/_gc`, run.digests);
  run.aside = aside;
  return aside;
}

/** A second look and a second plan, as runs make them while others write. */
export async function planAgain({ run, found, plan }: Awaited<ReturnType<typeof planOf>>) {
  const again = await lookAtRegistry(run, "look", found);
  return { run, found: again, plan: await makePlan(run, again.looks, plan) };
}
