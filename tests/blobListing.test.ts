/** The listing of blobs on a store with directories: many prefixes at once, and few pages held. */

import { type BlobInfo, type FileInfo, openRegistry, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const BASE = "/docker/registry/v2/blobs";

/** Prefixes of so many pages each, by their number; a page has two blobs. */
function driverOf(pagesOf: (prefix: number) => number, fails?: { readonly prefix: number; readonly page: number }) {
  const told = { pages: 0, open: 0 };
  const hex = (prefix: number, page: number, i: number) =>
    `${prefix.toString(16).padStart(2, "0")}${page.toString(16).padStart(8, "0")}${i}`.padEnd(64, "0");
  const directories = (path: string, names: readonly string[]): FileInfo[] =>
    names.map((name) => ({ path: `${path}/${name}`, isDirectory: true }));
  const driver: StorageDriver = {
    name: "paged",
    stat: (path) => Promise.reject(new PathNotFoundError(path, "paged")),
    async *list(path) {
      if (path === BASE) yield directories(path, ["sha256"]);
      else if (path === `${BASE}/sha256`)
        yield directories(
          path,
          Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0")),
        );
      else {
        const prefix = Number.parseInt(path.slice(-2), 16);
        told.open++;
        try {
          for (let page = 0; page < pagesOf(prefix); page++) {
            await new Promise((resolve) => setImmediate(resolve));
            if (fails?.prefix === prefix && fails.page === page) throw new Error("the disk is gone");
            told.pages++;
            yield directories(path, [hex(prefix, page, 0), hex(prefix, page, 1)]);
          }
        } finally {
          told.open--;
        }
      }
    },
    reader: (path) => Promise.reject(new PathNotFoundError(path, "paged")),
    getContent: (path) => Promise.reject(new PathNotFoundError(path, "paged")),
    delete: () => Promise.reject(new Error("nothing goes")),
  };
  return { driver, told };
}

const unhandled: unknown[] = [];
const note = (error: unknown) => void unhandled.push(error);
beforeEach(() => process.on("unhandledRejection", note));
afterEach(() => {
  process.off("unhandledRejection", note);
  expect(unhandled.splice(0)).toEqual([]);
});

const later = () => new Promise((resolve) => setTimeout(resolve, 20));

describe("blobs", () => {
  test("are told once each, however many pages each prefix has", async () => {
    const pagesOf = (prefix: number) => (prefix % 7) * (prefix % 3);
    const { driver, told } = driverOf(pagesOf);
    const digests: string[] = [];
    for await (const page of openRegistry(driver).blobs()) digests.push(...page.map(({ digest }: BlobInfo) => digest));
    const pages = Array.from({ length: 256 }, (_, i) => pagesOf(i)).reduce((sum, each) => sum + each, 0);
    expect(digests).toHaveLength(pages * 2);
    expect(new Set(digests).size).toBe(digests.length);
    expect(told).toEqual({ pages, open: 0 });
  });

  test("are held by few pages, however many there are", async () => {
    const { driver, told } = driverOf(() => 20);
    let taken = 0;
    let most = 0;
    for await (const page of openRegistry(driver).blobs()) {
      taken += page.length / 2;
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, told.pages - taken);
    }
    expect(taken).toBe(256 * 20);
    expect(most).toBeGreaterThan(8);
    expect(most).toBeLessThanOrEqual(32);
  });

  test.each([0, 15, 16, 31, 255])("that can't be listed in prefix %i end the listing with the error", async (prefix) => {
    for (const page of [0, 2]) {
      const { driver, told } = driverOf(() => 3, { prefix, page });
      const pages: (readonly BlobInfo[])[] = [];
      const all = async () => {
        for await (const each of openRegistry(driver).blobs()) pages.push(each);
      };
      await expect(all()).rejects.toThrow("the disk is gone");
      await later();
      expect(told.open).toBe(0);
    }
  });

  test("of which no more are wanted leave no listing open", async () => {
    const { driver, told } = driverOf(() => 3, { prefix: 20, page: 0 });
    const pages = openRegistry(driver).blobs()[Symbol.asyncIterator]();
    expect((await pages.next()).value).toHaveLength(2);
    await pages.return?.();
    await later();
    expect(told.open).toBe(0);
  });
});

test("visits that take long to begin, since they start threads, hold the event loop one at a time", async () => {
  const { driver } = driverOf(() => 1);
  const { stat, list, getContent } = driver;
  let isSameTurn = false;
  const begunInOneTurn: boolean[] = [];
  const visiting: StorageDriver = {
    ...driver,
    manyOf: { stat, list, ...(getContent && { getContent }) },
    visitMany: async (paths) => {
      begunInOneTurn.push(isSameTurn);
      isSameTurn = true;
      setImmediate(() => {
        isSameTurn = false;
      });
      for (const began = performance.now(); performance.now() - began < 5; );
      return { answers: paths.map(() => undefined), calls: { stat: 0, list: 0, getContent: 0 } };
    },
  };
  for await (const page of openRegistry(visiting).packedBlobs?.() ?? []) expect(page.length).toBeGreaterThan(0);
  expect(begunInOneTurn.length).toBe(256 / 8);
  expect(begunInOneTurn.slice(0, 4)).toEqual([false, false, false, false]);
});
