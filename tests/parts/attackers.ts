/** A small registry with something of everything, and drivers of workers that die, sleep or are late. */

import { type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import type { PartedOptions, PartJob, PartWorker } from "oci-registry-gc/parts";
import { contentOf, DAY } from "../support/stores.js";
import { image as imageOf, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectInProcess, type InProcess } from "./inProcess.js";

export const PARTS = /\/_gc\/[^/]+\/parts\//;

/** An image over layers of these contents. */
export const image = (...layers: readonly string[]) => imageOf(...layers.map(digestOf));

/** An image of one layer, and an index over it. */
export const CHILD = image("layer");
export const child = digestOf(CHILD);
export const INDEX = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: child }],
});

/** What an option set is called, and what it is. */
export const DEGREES: readonly (readonly [string, PartedOptions])[] = [
  ["quiesced", { readOnly: true, removeEmptyRepositories: true }],
  ["grace", { quarantine: false }],
  ["quarantine", {}],
  ["quarantine that is purged at once", { quarantineMs: 0 }],
];

export interface Laid {
  readonly world: World;
  /** Files that must be there, whatever happens. */
  readonly live: readonly string[];
}

/**
 * Tagged and untagged images that share layers, a manifest that is doomed in one repository and alive in another, a referrer, a stray, an
 * orphan; and, where wanted, something that a run put aside long ago.
 */
export async function lay(hasAside = true): Promise<Laid> {
  const world = new World();
  const now = world.now;
  const put = (path: string, content: string) => world.put(path, content);
  world.now = now - 60 * DAY;
  if (hasAside) {
    await push(put, "old", image("old 1", "shared"), ["old 1", "shared"], "gone");
    await world.driver.delete(`${repo("old")}/_manifests/tags/gone`);
    world.now = now - 20 * DAY;
    await world.collect();
    world.now = now - 60 * DAY;
  }
  await push(put, "a", image("shared", "live"), ["shared", "live"], "latest");
  await push(put, "a", image("dead 1", "shared"), ["dead 1", "shared"]);
  await push(put, "b/c", image("both", "shared"), ["both", "shared"], "kept");
  await push(put, "a", image("both", "shared"), ["both", "shared"]);
  await push(put, "b", image("dead 2", "dead 1"), ["dead 2", "dead 1"]);
  await put(blobPath(digestOf("orphan")), "orphan");
  world.now = now;
  const files = await world.files();
  const manifests: readonly (readonly [string, readonly string[]])[] = [
    [image("shared", "live"), ["shared", "live"]],
    [image("both", "shared"), ["both", "shared"]],
  ];
  const live = manifests.flatMap(([manifest, layers]) => [manifest, ...layers].map((content) => blobPath(digestOf(content))));
  live.push(revision("a", digestOf(image("shared", "live"))), revision("b/c", digestOf(image("both", "shared"))));
  live.push(...[...files.keys()].filter((path) => path.endsWith("/current/link")));
  return { world, live: [...new Set(live)] };
}

export function collectParted(world: World, options: PartedOptions, how: InProcess & { driver?: StorageDriver } = {}): Promise<GcReport> {
  const { driver = world.driver, ...rest } = how;
  return collectInProcess(driver, { removeUntagged: true, drainMs: 1000, ...options }, { ctx: { clock: world.clock }, shards: 2, ...rest });
}

export function collectSingle(
  world: World,
  options: PartedOptions,
  { driver = world.driver, ctx = { clock: world.clock } }: Pick<InProcess, "ctx"> & { readonly driver?: StorageDriver } = {},
): Promise<GcReport> {
  return markAndSweep(ctx, driver, openRegistry(driver), { removeUntagged: true, drainMs: 1000, ...options });
}

/** What a run comes to. */
export function countsOf({ status, marked, eligible, deleted, kept, quarantined, restored, returned, purged, problemCount }: GcReport) {
  return { status, marked, eligible, deleted, kept, quarantined, restored, returned, purged, problemCount };
}

/** Everything that lies on the storage, but for what runs tell of themselves. */
export async function leftOf(world: World): Promise<string[]> {
  const paths = [...(await contentOf(world.driver)).keys()].filter((path) => !path.includes("/journal/") && !PARTS.test(path));
  return paths.map((path) => path.replace(/_gc\/[^/]+\//, "_gc/RUN/")).sort();
}

/** What lies below some run's `parts`. */
export async function partFiles(world: World): Promise<string[]> {
  return [...(await contentOf(world.driver)).keys()].filter((path) => PARTS.test(path));
}

/** Told before each call of a driver. */
export type Before = (method: string, path: string) => Promise<void> | void;

/** A driver that tells of each call before it is made. */
export function watched(driver: StorageDriver, before: Before): StorageDriver {
  return new Proxy(driver, {
    get(target, member) {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== "function" || typeof member !== "string") return value;
      if (member === "list") {
        return async function* (path: string, options: object) {
          await before(member, path);
          yield* target.list(path, options);
        };
      }
      return async (...parameters: unknown[]) => {
        const [path] = parameters;
        await before(member, Array.isArray(path) ? String(path[0]) : String(path));
        return Reflect.apply(value, target, parameters) as unknown;
      };
    },
  });
}

/** The driver of a process that dies before its n-th call; and how many calls there were. */
export function dying(driver: StorageDriver, n: number): { readonly driver: StorageDriver; readonly calls: () => number } {
  let calls = 0;
  const mortal = watched(driver, () => {
    if (++calls >= n) throw new Error("dead");
  });
  return { driver: mortal, calls: () => calls };
}

export type Make = (worker: PartWorker, job: PartJob) => Promise<void>;

/** What somebody waits for until another opens it. */
export function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open: () => open(), opened };
}
