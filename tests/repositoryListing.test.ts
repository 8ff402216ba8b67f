/** The listing of repositories on a store with directories: some ahead of whoever looks at them, and in an order of its own. */

import { type FileInfo, openRegistry, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { afterEach, beforeEach, expect, test } from "vitest";

const BASE = "/docker/registry/v2/repositories";

/** Directories below those of repositories, by the names that each has; a repository has `_manifests`. */
function driverOf(names: ReadonlyMap<string, readonly string[]>, broken?: string) {
  const told = { listed: [] as string[], open: 0, most: 0 };
  const driver: StorageDriver = {
    name: "slow",
    stat: (path) => Promise.reject(new PathNotFoundError(path, "slow")),
    async *list(path): AsyncIterable<readonly FileInfo[]> {
      told.listed.push(path);
      told.most = Math.max(told.most, ++told.open);
      await new Promise((resolve) => setTimeout(resolve, 1));
      told.open--;
      if (path === broken) throw new Error(`the disk of ${path} is gone`);
      yield (names.get(path.slice(BASE.length + 1)) ?? ["_manifests"]).map((name) => ({ path: `${path}/${name}`, isDirectory: true }));
    },
    reader: (path) => Promise.reject(new PathNotFoundError(path, "slow")),
    delete: () => Promise.reject(new Error("nothing goes")),
  };
  return { driver, told };
}

async function namesOf(driver: StorageDriver, most = Number.POSITIVE_INFINITY): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of openRegistry(driver).repositories()) if (names.push(name) === most) break;
  return names;
}

const unhandled: unknown[] = [];
const note = (error: unknown) => void unhandled.push(error);
beforeEach(() => process.on("unhandledRejection", note));
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off("unhandledRejection", note);
  expect(unhandled.splice(0)).toEqual([]);
});

const many = Array.from({ length: 100 }, (_, i) => `r${i}`);
const nested = new Map([
  ["", ["a", "team", "z"]],
  ["team", [...many, "_manifests"]],
  ["team/r7", ["_layers", "inner"]],
  ["z", ["_manifests", "below"]],
]);

test("each directory is listed once, each repository told once, however deep", async () => {
  const { driver, told } = driverOf(nested);
  const names = await namesOf(driver);
  expect(names.toSorted()).toEqual(["a", "team", ...many.map((name) => `team/${name}`), "team/r7/inner", "z", "z/below"].toSorted());
  expect(new Set(told.listed).size).toBe(told.listed.length);
  expect(told.listed.length).toBe(names.length + 1);
});

test("many are listed at once, and no more than some before their turn", async () => {
  const { driver, told } = driverOf(nested);
  await namesOf(driver);
  expect(told.most).toBeGreaterThan(8);
  expect(told.most).toBeLessThanOrEqual(17);
});

test("whoever stops has listed only some ahead", async () => {
  const { driver, told } = driverOf(new Map([["", many]]));
  expect(await namesOf(driver, 3)).toEqual(["r99", "r98", "r97"]);
  expect(told.listed.length).toBeLessThanOrEqual(1 + 3 + 16);
});

test("a directory that can't be listed is an error in its turn, and hides none before it", async () => {
  const { driver } = driverOf(new Map([["", many]]), `${BASE}/r90`);
  const names: string[] = [];
  const listing = (async () => {
    for await (const { name } of openRegistry(driver).repositories()) names.push(name);
  })();
  await expect(listing).rejects.toThrow("r90 is gone");
  expect(names).toEqual(["r99", "r98", "r97", "r96", "r95", "r94", "r93", "r92", "r91"]);
});

test("whoever stops waits for what is under way, and no listing goes further", async () => {
  const told = { pages: 0 };
  const { driver } = driverOf(new Map([["", ["wide", "z"]]]));
  const paged: StorageDriver = {
    ...driver,
    async *list(path, options) {
      if (path !== `${BASE}/wide`) {
        yield* driver.list(path, options);
        return;
      }
      for (let i = 0; i < 1000; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        told.pages++;
        yield [{ path: `${path}/r${i}`, isDirectory: true }];
      }
    },
  };
  expect(await namesOf(paged, 1)).toEqual(["z"]);
  const { pages } = told;
  expect(pages).toBeGreaterThan(0);
  expect(pages).toBeLessThan(10);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(told.pages).toBe(pages);
});
