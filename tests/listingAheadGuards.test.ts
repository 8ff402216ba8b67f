/** Looks that are made again, listings that are begun ahead, and names that are known: what is there is never told to be gone. */

import { type FileInfo, type LookOptions, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  allChildren,
  children,
  isDirectory,
  isGone,
  knownDirectories,
  ListingsAhead,
  lookAtPath,
  unlessGone,
  walkBelow,
} from "../src/registry/listing.js";

const gone = (path: string) => new PathNotFoundError(path, "told");
const dir = (path: string): FileInfo => ({ path, isDirectory: true });
const file = (path: string): FileInfo => ({ path, isDirectory: false });

/** A driver that lists what it is told to, and counts. */
function listing(pages: (path: string, nth: number) => Iterable<readonly FileInfo[]> | AsyncIterable<readonly FileInfo[]>) {
  const listed: string[] = [];
  const driver: StorageDriver = {
    name: "told",
    async *list(path) {
      listed.push(path);
      yield* pages(path, listed.filter((each) => each === path).length);
    },
    stat: (path) => Promise.reject(gone(path)),
    reader: (path) => Promise.reject(gone(path)),
    delete: () => Promise.resolve(),
  };
  return { driver, listed };
}

const unhandled: unknown[] = [];
const note = (error: unknown) => void unhandled.push(error);
beforeEach(() => process.on("unhandledRejection", note));
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.off("unhandledRejection", note);
  expect(unhandled.splice(0)).toEqual([]);
});

describe("what its parent names, and that can't be found,", () => {
  const named = () =>
    listing(function* (path) {
      if (path === "/a/b") throw gone(path);
      yield [dir("/a/b")];
    });

  test.each([0, 1, 4])("is looked at three times at once, and then as often as listings may lag: %i times", async (more) => {
    const asked: number[] = [];
    const options: LookOptions = { awaitListing: async (attempt) => asked.push(attempt) <= more };
    const { driver, listed } = named();
    await expect(allChildren(driver, "/a/b", options)).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/a/b" });
    expect(listed.filter((path) => path === "/a/b")).toHaveLength(3 + more);
    expect(asked).toEqual(Array.from({ length: more + 1 }, (_, i) => i));

    let looks = 0;
    asked.splice(0);
    const look = () => {
      looks++;
      return Promise.reject(gone("/a/b"));
    };
    await expect(unlessGone(named().driver, "/a/b", options, look)).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/a/b" });
    expect(looks).toBe(3 + more);
  });

  test.each([2, 3])("is there where look %i finds it", async (nth) => {
    const { driver } = listing(function* (path, count) {
      if (path === "/a/b" && count < nth) throw gone(path);
      yield path === "/a/b" ? [file("/a/b/c")] : [dir("/a/b")];
    });
    expect((await allChildren(driver, "/a/b", {})).map(({ name }) => name)).toEqual(["c"]);
    let looks = 0;
    const look = () => (++looks < nth ? Promise.reject(gone("/a/b")) : Promise.resolve("found"));
    expect(await unlessGone(named().driver, "/a/b", {}, look)).toBe("found");
  });

  test("is gone where the listing stops naming it meanwhile", async () => {
    const { driver } = listing(function* (path, count) {
      if (path === "/a/b") throw gone(path);
      yield count === 1 ? [dir("/a/b")] : [];
    });
    expect(await lookAtPath(driver, "/a/b", {})).toBeUndefined();
  });
});

test("a look that fails otherwise is that error, whatever a listing says", async () => {
  const { driver, listed } = listing(() => [[]]);
  await expect(unlessGone(driver, "/a/b", {}, () => Promise.reject(new Error("EIO")))).rejects.toThrow("EIO");
  expect(listed).toEqual([]);
});

describe("gone", () => {
  test("is what lies in a directory that is gone, up to the root; not where an ancestor is there", async () => {
    const { driver, listed } = listing(function* (path) {
      throw gone(path);
    });
    expect(await isGone(driver, "/a/b/c", {})).toBe(true);
    expect(listed).toEqual(["/a/b", "/a", "/"]);
    const half = listing(function* (path) {
      if (path === "/a/b") throw gone(path);
      yield [dir("/a/b")];
    });
    expect(await isGone(half.driver, "/a/b/c", {})).toBe(false);
  });

  test("is what would lie in a plain file, and not what lies in a directory that can't be listed", async () => {
    const inside = (info: FileInfo) =>
      listing(function* (path) {
        if (path === "/a/b") throw new Error("EIO");
        yield [info];
      }).driver;
    expect(await isGone(inside(file("/a/b")), "/a/b/c", {})).toBe(true);
    await expect(isGone(inside(dir("/a/b")), "/a/b/c", {})).rejects.toThrow("EIO");
    await expect(isGone(inside(dir("/a/other")), "/a/b/c", {})).rejects.toThrow("EIO");
  });

  test("is not what the last page names", async () => {
    const { driver } = listing(() => [[file("/a/x")], [], [file("/a/b")]]);
    expect(await isGone(driver, "/a/b", {})).toBe(false);
  });
});

describe("a directory that can't be listed", () => {
  const failing = (parent: () => Iterable<readonly FileInfo[]>) =>
    listing((path) => {
      if (path === "/a/b") throw new Error("EIO");
      return parent();
    }).driver;

  test.each([
    ["names nothing", () => []],
    ["names it a directory", () => [[dir("/a/b")]]],
    [
      "can't be listed either",
      () => {
        throw new Error("parent's");
      },
    ],
  ])("is an error where its parent %s: its own", async (_, parent) => {
    const damage: unknown[] = [];
    await expect(allChildren(failing(parent), "/a/b", { onDamage: (each) => damage.push(each) })).rejects.toThrow("EIO");
    expect(damage).toEqual([]);
  });

  test("is an error where it is the root", async () => {
    const { driver, listed } = listing(() => {
      throw new Error("EIO");
    });
    await expect(allChildren(driver, "/", {})).rejects.toThrow("EIO");
    expect(listed).toEqual(["/"]);
  });
});

describe("whether a path is a directory", () => {
  test.each([
    [dir("/a"), true],
    [file("/a"), false],
    [undefined, false],
  ])("%j: %s", async (info, expected) => {
    const { driver } = listing(() => []);
    driver.stat = () => (info === undefined ? Promise.reject(new Error("EIO")) : Promise.resolve(info));
    expect(await isDirectory(driver, "/a", {})).toBe(expected);
  });
});

test("a path that is looked at tells that it is a link", async () => {
  const { driver } = listing(() => []);
  driver.stat = async (path) => ({ ...dir(path), isLink: path === "/linked" });
  const linked: string[] = [];
  for (const path of ["/linked", "/plain"]) await lookAtPath(driver, path, { onLinkedDirectory: (each) => linked.push(each) });
  expect(linked).toEqual(["/linked"]);
});

test("a child of an empty name, or of several, is an error; one that no path can name is unrecognized", async () => {
  const unrecognized: string[] = [];
  const options: LookOptions = { onUnrecognized: (path) => unrecognized.push(path) };
  for (const wrong of ["/a/", "/a/b/c", "/ab", "/a"]) {
    await expect(allChildren(listing(() => [[file(wrong)]]).driver, "/a", options)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  }
  expect(unrecognized).toEqual([]);
  for await (const page of children(listing(() => [[file("/a/.."), file("/a/b")]]).driver, "/a", options)) {
    expect(page.map(({ name }) => name)).toEqual(["b"]);
  }
  expect(unrecognized).toEqual(["/a/.."]);
});

test("known directories are those that are directories and known; a file in the place of one is damage; the rest is unrecognized", async () => {
  const { driver } = listing(() => [[dir("/a/one"), file("/a/two"), dir("/a/other"), file("/a/notes")]]);
  const told: string[] = [];
  const names = await knownDirectories(driver, "/a", (name) => ["one", "two"].includes(name), {
    onUnrecognized: (path) => told.push(path),
    onDamage: ({ kind, path }) => told.push(`${kind} ${path}`),
  });
  expect(names).toEqual(["one"]);
  expect(told).toEqual(["/a/two", "misplaced-file /a/two", "/a/other", "/a/notes"]);
});

describe("listings that are begun ahead", () => {
  const broken = () =>
    listing(function* (path) {
      if (path === "/broken") throw new Error("EIO");
      yield [file(`${path}/x`)];
    });

  test("are begun once, taken once, and made anew for whoever takes them again", async () => {
    const { driver, listed } = broken();
    const ahead = new ListingsAhead(driver, {});
    void ahead.begin("/a");
    void ahead.begin("/a");
    expect((await ahead.take("/a")).map(({ name }) => name)).toEqual(["x"]);
    expect(listed).toEqual(["/a"]);
    await ahead.take("/a");
    expect(listed).toEqual(["/a", "/a"]);
    await ahead.end();
  });

  test("throw when they are taken, and end no process before", async () => {
    const ahead = new ListingsAhead(broken().driver, {});
    void ahead.begin("/broken");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(ahead.take("/broken")).rejects.toThrow("EIO");
    void ahead.begin("/broken");
    await expect(ahead.end()).resolves.toBeUndefined();
  });

  test("go no further when it is over, and are waited for", async () => {
    const told = { pages: 0, isDone: false };
    const { driver } = listing(async function* (path) {
      try {
        for (; told.pages < 1000; told.pages++) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          yield [file(`${path}/${told.pages}`)];
        }
      } finally {
        await new Promise((resolve) => setTimeout(resolve, 5));
        told.isDone = true;
      }
    });
    const ahead = new ListingsAhead(driver, {});
    void ahead.begin("/a");
    await ahead.end();
    expect(told.isDone).toBe(true);
    expect(told.pages).toBeLessThan(5);
  });
});

test("a walk is asked with the signal that it may be ended by", async () => {
  const { driver } = listing(() => []);
  const signals: unknown[] = [];
  driver.walk = async function* (_, options) {
    signals.push(options?.signal);
    yield [];
  };
  const { signal } = new AbortController();
  for await (const page of walkBelow(driver, "/a", { signal })) expect(page).toEqual([]);
  expect(signals).toEqual([signal]);
});
