/** What the file system's driver writes lasts through a loss of power; and what it could not look at, nobody takes for absent. */

import { promises as fs } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { before, failing, watchDisk } from "../support/failingDisk.js";

let root = "";
let driver: FilesystemDriver;
const onDisk = (path: string) => join(root, path);
const put = (path: string, content: string) => driver.putContent(path, Buffer.from(content));
const textOf = (path: string) => fs.readFile(onDisk(path), "utf8");
const nameOf = (file: string) => (file.endsWith(".tmp") ? "temporary" : file.slice(root.length));

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "disk-"));
  driver = new FilesystemDriver({ root });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});

test("what can't be written below a file is no file that is there already", async () => {
  await put("/file", "x");
  for (const path of ["/file/below", "/file/far/below"])
    await expect(driver.putContent(path, Buffer.from("x"), { ifAbsent: true })).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});

describe("a loss of power takes", () => {
  test("no file that was written: it is on the disk before it has its name, and its name before that is told", async () => {
    await fs.mkdir(onDisk("/a"));
    const done = watchDisk(nameOf);
    await put("/a/file", "x");
    expect(done).toEqual(["sync temporary", "rename temporary", "sync /a"]);
  });

  test("nothing that is moved: its new name lasts before its old one goes", async () => {
    await put("/from/file", "x");
    const done = watchDisk(nameOf);
    await driver.move("/from/file", "/to/file");
    expect(done).toEqual(["link /from/file", "sync /to", "unlink /from/file"]);
  });

  test("nothing that comes from another disk: it is on this one, name and all, before it goes from there", async () => {
    await put("/from/file", "x");
    const done = watchDisk(nameOf);
    failing("link", "EXDEV", (path) => path === onDisk("/from/file"));
    await driver.move("/from/file", "/to/file");
    expect(done).toEqual(["sync temporary", "link temporary", "unlink temporary", "sync /to", "unlink /from/file"]);
  });
});

describe("a directory that can't be synced", () => {
  const isDirectory = (path: string) => path === onDisk("/a");
  beforeEach(() => put("/a/file", "x"));

  test("fails a write, and a move, of which the source stays", async () => {
    failing("open", "EIO", isDirectory);
    await expect(put("/a/other", "x")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(driver.move("/a/file", "/a/moved")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(await textOf("/a/file")).toBe("x");
  });

  test.each(["EINVAL", "EISDIR", "EPERM", "ENOTSUP"])("since there they never are (%s) fails nothing", async (code) => {
    failing("open", code, isDirectory);
    await put("/a/other", "x");
    await driver.move("/a/file", "/a/moved");
    expect(await textOf("/a/moved")).toBe("x");
  });
});

describe("a move overwrites nothing", () => {
  beforeEach(async () => {
    await put("/source", "x");
    await put("/taken", "y");
  });
  afterEach(async () => expect([await textOf("/source"), await textOf("/taken")]).toEqual(["x", "y"]));

  test("that is in the place of a copy from another disk", async () => {
    failing("link", "EXDEV", (path) => path === onDisk("/source"));
    await expect(driver.move("/source", "/taken")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("that it could not look at, where there are no second names", async () => {
    failing("link", "EPERM");
    failing("lstat", "EIO", (path) => path === onDisk("/taken"));
    await expect(driver.move("/source", "/taken")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });
});

test("what somebody else moves at the same moment is not there: that is no failure of the disk", async () => {
  await put("/source", "x");
  before("link", () => fs.rm(onDisk("/source")));
  await expect(driver.move("/source", "/a/moved")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
});

test("a file that grows while it is read is not cut off where it ended", async () => {
  await put("/file", "0123456789");
  const open = fs.open;
  vi.spyOn(fs, "open").mockImplementation(async (...args) => {
    const handle = await open(...args);
    const size = 3;
    return Object.assign(handle, { stat: async () => ({ size }) });
  });
  expect(Buffer.from(await driver.getContent("/file")).toString()).toBe("0123456789");
});

test("a link that was taken away while its directory was listed, and that nobody can look at since, does not shorten the listing", async () => {
  const link = onDisk("/a/link");
  await put("/a/file", "x");
  await fs.symlink(onDisk("/a/file"), link);
  before(
    "stat",
    () => fs.rm(link),
    (path) => path === link,
  );
  failing("lstat", "EACCES", (path) => path === link);
  const list = async () => {
    for await (const page of driver.list("/a")) expect(page.map(({ path }) => path)).toContain("/a/link");
  };
  await expect(list()).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});

test("under a root that leads through .., threads remove nothing but what single calls would", async () => {
  for (const path of ["/elsewhere/deep/file", "/elsewhere/root/file", "/root/file"]) await put(path, path);
  await fs.symlink(onDisk("/elsewhere/deep"), onDisk("/link"));
  const through = new FilesystemDriver({ root: `${root}/link/../root` });
  expect(await through.deleteFiles(["/file"])).toEqual([]);
  await expect(textOf("/root/file")).rejects.toMatchObject({ code: "ENOENT" });
  expect(await textOf("/elsewhere/root/file")).toBe("/elsewhere/root/file");
});

test.each(["", "a", "/a/"])("directories are pruned up to no %j, which is no path", async (upTo) => {
  await fs.mkdir(onDisk("/a/b"), { recursive: true });
  const memory = new MemoryDriver();
  for (const each of [driver, memory])
    await expect(each.pruneDirectories(["/a/b"], { upTo })).rejects.toMatchObject({ code: "INVALID_PATH" });
  expect((await driver.stat("/a/b")).isDirectory).toBe(true);
});
