/** What the drivers of this house do beyond the promises that tests/conformance.test.ts checks; then what only a file system has. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { FileInfo, StorageDriver } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { describe, expect, test } from "vitest";
import { s3Store, useStandIn } from "./s3/s3Store.js";
import { filesystemStore, flatStore, memoryStore } from "./support/stores.js";

const bytes = (text: string) => Buffer.from(text);

useStandIn();

async function all(pages: AsyncIterable<readonly FileInfo[]>): Promise<FileInfo[]> {
  const infos: FileInfo[] = [];
  for await (const page of pages) infos.push(...page);
  return infos;
}

async function names(driver: StorageDriver, path: string): Promise<string[]> {
  return (await all(driver.list(path))).map((info) => info.path).sort();
}

async function read(driver: StorageDriver, path: string, offset = 0): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await driver.reader(path, { offset })) as Readable) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}

describe.each([
  ["memory", memoryStore],
  ["filesystem", filesystemStore],
  ["flat", flatStore],
  ["s3", s3Store],
])("%s", (_, makeStore) => {
  const setUp = async (...paths: string[]) => {
    const { driver } = makeStore();
    for (const path of paths) await driver.putContent!(path, bytes(path));
    return driver;
  };

  test("stat tells files from directories, and a mere prefix from both", async () => {
    const driver = await setUp("/a/bc");
    expect(await driver.stat("/a/bc")).toMatchObject({ path: "/a/bc", isDirectory: false, size: 5 });
    expect((await driver.stat("/a/bc")).modTime).toBeInstanceOf(Date);
    expect(await driver.stat("/a")).toMatchObject({ path: "/a", isDirectory: true });
    await expect(driver.stat("/a/b")).rejects.toMatchObject({ code: "PATH_NOT_FOUND", path: "/a/b", driverName: driver.name });
    await expect(driver.stat("/a/bc/d")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("list names direct children only", async () => {
    const driver = await setUp("/a/b/c", "/a/bc", "/a/b.d", "/ab/x");
    expect(await names(driver, "/a")).toEqual(["/a/b", "/a/b.d", "/a/bc"]);
    expect(await names(driver, "/")).toEqual(["/a", "/ab"]);
    await expect(names(driver, "/a/x")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(names(driver, "/a/bc")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("reader begins at its offset", async () => {
    const driver = await setUp("/file");
    expect(await read(driver, "/file")).toBe("/file");
    expect(await read(driver, "/file", 2)).toBe("ile");
    expect(await read(driver, "/file", 5)).toBe("");
    expect(await read(driver, "/file", 50)).toBe("");
    await expect(driver.reader("/file", { offset: -1 })).rejects.toMatchObject({ code: "INVALID_OFFSET" });
    await expect(driver.reader("/file", { offset: 0.5 })).rejects.toMatchObject({ code: "INVALID_OFFSET" });
    await expect(driver.reader("/none")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("getContent is never cut silently", async () => {
    const driver = await setUp("/file", "/dir/x");
    await driver.putContent!("/empty", new Uint8Array());
    if (driver.getContent === undefined) return;
    expect(Buffer.from(await driver.getContent("/file")).toString()).toBe("/file");
    expect((await driver.getContent("/file", { maxBytes: 5 })).length).toBe(5);
    expect((await driver.getContent("/file", { maxBytes: 4 })).length).toBe(5);
    expect((await driver.getContent("/file", { maxBytes: 2 })).length).toBeGreaterThanOrEqual(3);
    expect((await driver.getContent("/empty", { maxBytes: 0 })).length).toBe(0);
    await expect(driver.getContent("/none")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.getContent("/dir")).rejects.not.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("delete takes all below, and nothing beside", async () => {
    const driver = await setUp("/a/b/c", "/a/b/d/e", "/a/bc", "/a/b.x");
    await driver.delete("/a/b");
    expect(await names(driver, "/a")).toEqual(["/a/b.x", "/a/bc"]);
    await expect(driver.delete("/a/b")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await driver.delete("/a/bc");
    expect(await names(driver, "/a")).toEqual(["/a/b.x"]);
    await expect(driver.delete("/")).rejects.toMatchObject({ code: "INVALID_PATH" });
  });

  test("deleteFiles removes exactly these files", async () => {
    const driver = await setUp("/a/b", "/a/bc", "/dir/x");
    const failures = await driver.deleteFiles!(["/a/b", "/a/absent", "/none/at/all", "/dir"]);
    expect(failures.every(({ path }) => path === "/dir")).toBe(true);
    expect(await names(driver, "/a")).toEqual(["/a/bc"]);
    expect(await names(driver, "/dir")).toEqual(["/dir/x"]);
    expect(await driver.deleteFiles!([])).toEqual([]);
  });

  test("putContent replaces, and with ifAbsent it doesn't", async () => {
    const driver = await setUp("/file");
    expect(await driver.putContent!("/file", bytes("new"), { ifAbsent: true })).toBe(false);
    expect(await read(driver, "/file")).toBe("/file");
    expect(await driver.putContent!("/deep/er/file", bytes("x"), { ifAbsent: true })).toBe(true);
    await driver.putContent!("/file", bytes("new"));
    expect(await read(driver, "/file")).toBe("new");
    expect(await names(driver, "/")).toEqual(["/deep", "/file"]);
  });

  test("move brings a file to where nothing is, with its time", async () => {
    const driver = await setUp("/from/file", "/taken");
    const { modTime } = await driver.stat("/from/file");
    await driver.move!("/from/file", "/to/some/file");
    expect(await read(driver, "/to/some/file")).toBe("/from/file");
    if (driver.name !== "s3") expect((await driver.stat("/to/some/file")).modTime).toEqual(modTime);
    await expect(driver.stat("/from/file")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.move!("/from/file", "/x")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.move!("/from/file", "/new/x")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.stat("/new")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.move!("/to/some/file", "/taken")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(await read(driver, "/taken")).toBe("/taken");
    expect(await read(driver, "/to/some/file")).toBe("/from/file");
  });

  test("pruneDirectories takes empty directories and their empty parents, below a limit", async () => {
    const driver = await setUp("/r/a/b/c/file", "/r/a/x/file", "/r/k/file");
    if (driver.pruneDirectories === undefined) return;
    await driver.deleteFiles!(["/r/a/b/c/file", "/r/k/file"]);
    await driver.pruneDirectories(["/r/a/b/c", "/r/a/x", "/r/gone/too"], { upTo: "/r" });
    expect(await names(driver, "/r/a")).toEqual(["/r/a/x"]);
    await driver.pruneDirectories(["/r/k"], { upTo: "/r/k" });
    expect(await names(driver, "/r")).toEqual(["/r/a", "/r/k"]);
    await driver.pruneDirectories(["/r/k"], { upTo: "/r" });
    expect(await names(driver, "/r")).toEqual(["/r/a"]);
  });

  test.each(["", "a", "a/b", "/a/", "//a", "/a//b", "/a b", "/a/../b", "/a/.", "/..", "/ä", "/a\n", "/a\0"])(
    "%j is no path",
    async (path) => {
      const driver = await setUp("/a/b");
      const invalid = { code: "INVALID_PATH" };
      await expect(driver.stat(path)).rejects.toMatchObject(invalid);
      await expect(names(driver, path)).rejects.toMatchObject(invalid);
      await expect(driver.reader(path)).rejects.toMatchObject(invalid);
      await expect(driver.delete(path)).rejects.toMatchObject(invalid);
      await expect(driver.putContent!(path, bytes(""))).rejects.toMatchObject(invalid);
      await expect(driver.move!(path, "/x")).rejects.toMatchObject(invalid);
      await expect(driver.move!("/a/b", path)).rejects.toMatchObject(invalid);
      await expect(driver.deleteFiles!(["/a/b", path])).rejects.toMatchObject(invalid);
      if (driver.getContent) await expect(driver.getContent(path)).rejects.toMatchObject(invalid);
      if (driver.pruneDirectories) await expect(driver.pruneDirectories([path], { upTo: "/" })).rejects.toMatchObject(invalid);
      if (driver.walk) await expect(all(driver.walk(path))).rejects.toMatchObject(invalid);
      expect(await names(driver, "/a")).toEqual(["/a/b"]);
    },
  );

  test.skipIf(process.platform === "win32")("a pipe that nobody writes to is empty, however it is read", async () => {
    const { driver, folder } = filesystemStore();
    mkdirSync(join(folder, "d"));
    execFileSync("mkfifo", [join(folder, "d/pipe")]);
    expect(await read(driver, "/d/pipe")).toBe("");
    expect(await driver.getContent?.("/d/pipe")).toHaveLength(0);
  });

  test("a listing stops in the middle", async () => {
    const driver = await setUp(...Array.from({ length: 2500 }, (__, i) => `/many/${i}`));
    const controller = new AbortController();
    const run = async () => {
      for await (const page of driver.list("/many", { signal: controller.signal }))
        if (page.length > 0) controller.abort(new Error("enough"));
    };
    await expect(run()).rejects.toThrow("enough");
  });
});

test("MemoryDriver: what is put in or taken out is a copy, and times come from now", async () => {
  const driver = new MemoryDriver({ now: () => 1_000 });
  const content = bytes("abc");
  await driver.putContent("/a", content);
  content[0] = 120;
  const out = await driver.getContent("/a");
  out[1] = 120;
  expect(Buffer.from(await driver.getContent("/a")).toString()).toBe("abc");
  expect((await driver.stat("/a")).modTime?.getTime()).toBe(1_000);
});

test.each([undefined, {}, { root: "" }, { root: 7 }])("FilesystemDriver needs a root, not %j", (options) => {
  expect(() => new FilesystemDriver(options as { root: string })).toThrow(TypeError);
});

describe("a file system's own", () => {
  const setUp = () => {
    const { driver, folder } = filesystemStore();
    const at = (path: string) => join(folder, path);
    return {
      driver,
      at,
      mkdir: (path: string) => mkdirSync(at(path), { recursive: true }),
      link: (to: string, path: string) => symlinkSync(to, at(path)),
    };
  };

  test("symbolic links are followed for reading and listing", async () => {
    const { driver, at, mkdir, link } = setUp();
    mkdir("/disk/deep");
    mkdir("/a");
    writeFileSync(at("/disk/deep/file"), "x");
    link("../disk", "/a/linked");
    expect(await all(driver.list("/a"))).toMatchObject([{ path: "/a/linked", isDirectory: true }]);
    expect(await names(driver, "/a/linked/deep")).toEqual(["/a/linked/deep/file"]);
    expect(await read(driver, "/a/linked/deep/file")).toBe("x");
  });

  test("one that leads nowhere is a look-up that failed, wherever it stands", async () => {
    const { driver, mkdir, link } = setUp();
    mkdir("/a");
    link("/not/mounted", "/a/gone");
    const failed = { code: "DRIVER_ERROR" };
    await expect(names(driver, "/a")).rejects.toMatchObject(failed);
    for (const path of ["/a/gone", "/a/gone/below", "/a/gone/below/it"]) {
      await expect(driver.stat(path)).rejects.toMatchObject(failed);
      await expect(driver.reader(path)).rejects.toMatchObject(failed);
      await expect(driver.getContent!(path)).rejects.toMatchObject(failed);
      await expect(names(driver, path)).rejects.toMatchObject(failed);
    }
    expect(await driver.deleteFiles!(["/a/gone/below"])).toHaveLength(1);
    await expect(driver.stat("/a/other")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("circles end", async () => {
    const { driver, mkdir, link } = setUp();
    mkdir("/a/b");
    mkdir("/x");
    link("..", "/a/b/up");
    link(".", "/a/self");
    link("../x", "/a/x");
    link("../a", "/x/a");
    const seen: string[] = [];
    const open = ["/"];
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      seen.push(path);
      expect(seen.length).toBeLessThan(50);
      for (const info of await all(driver.list(path))) if (info.isDirectory) open.push(info.path);
    }
    expect(seen).toContain("/a/x");
    expect(seen).not.toContain("/a/b/up");
    link("loop", "/loop");
    await expect(driver.stat("/loop")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("removing a link removes the link, and no removal goes through one", async () => {
    const { driver, at, mkdir, link } = setUp();
    mkdir("/disk");
    mkdir("/a/inside");
    writeFileSync(at("/disk/file"), "x");
    link("../disk", "/a/linked");
    link("../../disk", "/a/inside/linked");
    link("../disk/file", "/a/file");
    expect(await driver.deleteFiles!(["/a/file"])).toEqual([]);
    await driver.delete("/a/linked");
    await driver.delete("/a");
    expect(existsSync(at("/a"))).toBe(false);
    expect(readFileSync(at("/disk/file"), "utf8")).toBe("x");
  });

  test("a root that leads nowhere is no empty store", async () => {
    const { at, link } = setUp();
    link("/not/mounted", "/root");
    const driver = new FilesystemDriver({ root: at("/root") });
    await expect(names(driver, "/docker")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(names(new FilesystemDriver({ root: at("/absent") }), "/docker")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("pruning leaves links and files alone", async () => {
    const { driver, at, mkdir, link } = setUp();
    mkdir("/r/a");
    mkdir("/empty");
    link("../empty", "/r/link");
    await driver.pruneDirectories!(["/r/link", "/r/a"], { upTo: "/r" });
    expect(existsSync(at("/r/link"))).toBe(true);
    expect(existsSync(at("/empty"))).toBe(true);
    expect(existsSync(at("/r/a"))).toBe(false);
  });

  test("a write leaves nothing but the file, and a move keeps its time", async () => {
    const { driver, at } = setUp();
    await driver.putContent!("/a/file", bytes("x"));
    expect(await names(driver, "/a")).toEqual(["/a/file"]);
    const old = new Date(Date.now() - 86_400_000);
    utimesSync(at("/a/file"), old, old);
    await driver.move!("/a/file", "/b/file");
    expect(Math.abs(statSync(at("/b/file")).mtimeMs - old.getTime())).toBeLessThan(1000);
  });
});
