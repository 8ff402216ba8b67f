/** Listings and looks that can't be right: what is said not to be there is believed only where a listing of its parent agrees. */

import { type FileInfo, type StorageDriver } from "oci-registry-gc";
import { expect, test } from "vitest";
import { children, isGone, lookAtPath, walkBelow } from "../src/registry/listing.js";

const gone = (path: string) => Object.assign(new Error(`nothing at ${path}`), { code: "PATH_NOT_FOUND" });
const dir = (path: string): FileInfo => ({ path, isDirectory: true });

/** A driver that lists what it is told to. */
const listing = (pages: (path: string) => AsyncIterable<readonly FileInfo[]>): StorageDriver => ({
  name: "told",
  list: pages,
  stat: async (path) => {
    throw gone(path);
  },
  reader: async (path) => {
    throw gone(path);
  },
  delete: async () => undefined,
});

async function all(driver: StorageDriver, path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const page of children(driver, path, {})) names.push(...page.map(({ name }) => name));
  return names;
}

test("a directory that its parent names, and that is said not to be there, is an error; where none names it, it is gone", async () => {
  const told = (isNamed: boolean) =>
    listing(async function* (path) {
      if (path === "/a/b") throw gone(path);
      yield isNamed ? [dir("/a/b")] : [dir("/a/c")];
    });
  await expect(all(told(true), "/a/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await all(told(false), "/a/b")).toEqual([]);
  await expect(lookAtPath(told(true), "/a/b", {})).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await lookAtPath(told(false), "/a/b", {})).toBeUndefined();
});

test("a listing that ends in the middle, as if nothing were there, is an error, and tells nothing twice", async () => {
  let listings = 0;
  const driver = listing(async function* (path) {
    if (path !== "/a/b") {
      yield [dir("/a/b")];
      return;
    }
    listings++;
    yield [dir("/a/b/one")];
    throw gone(path);
  });
  const names: string[] = [];
  const read = async () => {
    for await (const page of children(driver, "/a/b", { awaitListing: async (attempt) => attempt < 2 }))
      names.push(...page.map(({ name }) => name));
  };
  await expect(read()).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect({ names, listings }).toEqual({ names: ["one"], listings: 1 });
});

test("a parent that can't be listed does not say that anything is gone", async () => {
  const driver = listing(async function* (path) {
    yield [];
    throw path === "/" || path === "/a" ? new Error("EIO") : gone(path);
  });
  await expect(isGone(driver, "/a/b", {})).rejects.toThrow("EIO");
  await expect(lookAtPath(driver, "/a/b", {})).rejects.toThrow("EIO");
  await expect(all(driver, "/a/b")).rejects.toThrow();
});

test.each(["/a/bc", "/a/b/c/d", "/x", "/a/b/", "/a/b"])("a listing that names %s, which is no direct child, is an error", async (path) => {
  const driver = listing(async function* () {
    yield [dir("/a/b/fine"), dir(path)];
  });
  await expect(all(driver, "/a/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});

test.each([[false], [false, true]])(
  "where a listing fails, what its parent names is a stray only if it is no directory, too: %j",
  async (...named) => {
    const driver = listing(async function* (path) {
      if (path === "/a/b") throw new Error("EIO");
      yield named.map((isDirectory) => ({ path: "/a/b", isDirectory }));
    });
    const kinds: string[] = [];
    const read = async () => {
      for await (const page of children(driver, "/a/b", { onDamage: ({ kind }) => kinds.push(kind) })) expect(page).toEqual([]);
    };
    if (named.includes(true)) await expect(read()).rejects.toThrow("EIO");
    else await read();
    expect(kinds).toEqual(named.includes(true) ? [] : ["misplaced-file"]);
  },
);

test("directories that are links are told: others may share them", async () => {
  const driver = listing(async function* () {
    yield [dir("/a/plain"), { ...dir("/a/linked"), isLink: true }, { path: "/a/file", isDirectory: false, isLink: true }];
  });
  const linked: string[] = [];
  for await (const page of children(driver, "/a", { onLinkedDirectory: (path) => linked.push(path) })) expect(page).toHaveLength(3);
  expect(linked).toEqual(["/a/linked"]);
});

test.each(["/a/bc", "/a", "/x/b/c"])("a walk that names %s, which does not lie below, is an error", async (path) => {
  const driver = listing(async function* () {
    yield [];
  });
  driver.walk = async function* () {
    yield [{ path: "/a/b/c", isDirectory: false }];
    yield [{ path, isDirectory: false }];
  };
  const read = async () => {
    for await (const page of walkBelow(driver, "/a/b", {})) expect(page).toHaveLength(1);
  };
  await expect(read()).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});
