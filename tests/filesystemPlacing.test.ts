/** Files put in their places by the file system's driver: whose they are, what a link says elsewhere, disks that are full or know no second names. */

import { promises as fs } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { geteuid } from "node:process";
import { heal, markAndSweep, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { image, type Put, push } from "./support/tree.js";
import { blobPath, digestOf, ROOT } from "./support/world.js";

let folder = "";
let root = "";
let driver: FilesystemDriver;
const onDisk = (path: string) => join(root, path);
const bytes = (text: string) => Buffer.from(text);
const put: Put = (path, content) => driver.putContent(path, bytes(content));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "placing-"));
  root = join(folder, "root");
  await fs.mkdir(root);
  driver = new FilesystemDriver({ root });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** Fails as the system would, once or always, where the arguments match. */
function failing(call: "link" | "mkdir" | "unlink" | "stat", code: string, when: (path: string) => boolean = () => true) {
  const real = fs[call] as (...args: unknown[]) => Promise<unknown>;
  vi.spyOn(fs, call).mockImplementation((async (...args: unknown[]) => {
    if (when(String(args[0]))) throw Object.assign(new Error(`${code}: ${call}`), { code });
    return real(...args);
  }) as never);
}

const filesIn = async (directory: string) => (await fs.readdir(directory, { recursive: true })).sort();

describe.runIf(geteuid?.() === 0)("what root makes", () => {
  const owner = async (path: string) => {
    const { uid, gid } = await fs.lstat(onDisk(path));
    return [uid, gid];
  };
  beforeEach(() => fs.chown(root, 65534, 65533));

  test("belongs to whom the place belongs, new directories included", async () => {
    await put("/a/b/file", "x");
    for (const path of ["/a", "/a/b", "/a/b/file"]) expect(await owner(path), path).toEqual([65534, 65533]);
    await driver.putContent("/a/b/once", bytes("x"), { ifAbsent: true });
    expect(await owner("/a/b/once")).toEqual([65534, 65533]);
    await driver.move("/a/b/file", "/c/d/moved");
    for (const path of ["/c", "/c/d", "/c/d/moved"]) expect(await owner(path), path).toEqual([65534, 65533]);
  });

  test("in another's place belongs to whom that belonged", async () => {
    await put("/file", "x");
    await fs.chown(onDisk("/file"), 1234, 1235);
    await put("/file", "y");
    expect(await owner("/file")).toEqual([1234, 1235]);
  });

  test("as a copy belongs to whom the source belonged, with its mode and time", async () => {
    await put("/file", "x");
    await fs.chown(onDisk("/file"), 1234, 1235);
    await fs.chmod(onDisk("/file"), 0o640);
    await fs.utimes(onDisk("/file"), 1000, 1000);
    failing("link", "EXDEV", (path) => path === onDisk("/file"));
    await driver.move("/file", "/moved");
    expect(await owner("/moved")).toEqual([1234, 1235]);
    expect(await fs.stat(onDisk("/moved"))).toMatchObject({ mode: 0o100640, mtimeMs: 1_000_000 });
  });
});

/** A disk's times go in steps of some milliseconds: what was written in the last one counts as young. */
const pass = () => new Promise((resolve) => setTimeout(resolve, 20));

describe("symbolic links that are moved", () => {
  test.each(["../../store/bytes", "bytes-beside"])(
    "%s leads to the same from elsewhere, and says the same when it is back",
    async (target) => {
      await fs.mkdir(onDisk("/disk/deep"), { recursive: true });
      // A directory on the way is a link itself: as text its parent is another one.
      await fs.mkdir(onDisk("/blobs"));
      await fs.symlink("../disk/deep", onDisk("/blobs/ab"));
      await fs.mkdir(onDisk("/store"));
      await fs.writeFile(onDisk("/store/bytes"), "x");
      await fs.writeFile(onDisk("/disk/deep/bytes-beside"), "x");
      await fs.symlink(target, onDisk("/disk/deep/data"));
      await driver.move("/blobs/ab/data", "/aside/far/away/data");
      expect(await fs.readFile(onDisk("/aside/far/away/data"), "utf8")).toBe("x");
      await driver.move("/aside/far/away/data", "/blobs/ab/data");
      expect(await fs.readlink(onDisk("/blobs/ab/data"))).toBe(target);
    },
  );

  test("an absolute one says what it said", async () => {
    await fs.writeFile(join(folder, "bytes"), "x");
    await fs.symlink(join(folder, "bytes"), onDisk("/data"));
    await driver.move("/data", "/aside/data");
    expect(await fs.readlink(onDisk("/aside/data"))).toBe(join(folder, "bytes"));
  });
});

describe("a full disk", () => {
  // Node says ENOENT of a directory that can't be made for want of space.
  beforeEach(async () => {
    await put("/there", "x");
    failing("mkdir", "ENOENT", (path) => path.startsWith(onDisk("/new")));
  });

  test("is not an absence", async () => {
    await expect(driver.move("/there", "/new/place")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(put("/new/file", "x")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(await filesIn(root)).toEqual(["there"]);
  });

  test("what is not there is told as that all the same", async () => {
    await expect(driver.move("/nothing", "/new/place")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("heal says that it could not put back", async () => {
    vi.restoreAllMocks();
    const registry = openRegistry(driver);
    const doomed = image(digestOf("layer"));
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", doomed, ["layer"]);
    await pass();
    const options = { removeUntagged: true, gracePeriodMs: 0, drainMs: 0 };
    expect(await markAndSweep({}, driver, registry, options)).toMatchObject({ quarantined: { blobs: 2 } });
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await put(`${ROOT}/repositories/app/_manifests/tags/again/current/link`, digestOf(doomed));
    const place = onDisk(dirname(blobPath(digestOf("layer"))));
    await rm(place, { recursive: true, force: true });
    failing("mkdir", "ENOENT", (path) => path === place);
    await expect(heal({}, driver, registry, options)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    vi.restoreAllMocks();
    expect(await heal({}, driver, registry, options)).toMatchObject({ status: "completed" });
    expect(await fs.readFile(join(place, "data"), "utf8")).toBe("layer");
  });
});

describe("a file system without second names", () => {
  beforeEach(() => put("/there", "x"));

  test.each(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])(
    "that says %s moves by renaming, and never over another file",
    async (code) => {
      await put("/taken", "y");
      failing("link", code);
      await driver.move("/there", "/a/moved");
      expect(await fs.readFile(onDisk("/a/moved"), "utf8")).toBe("x");
      await expect(driver.move("/a/moved", "/taken")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      expect(await fs.readFile(onDisk("/taken"), "utf8")).toBe("y");
      expect(await filesIn(root)).toEqual(["a", "a/moved", "taken"]);
    },
  );

  test("can't write only where nothing is, and says so", async () => {
    failing("link", "ENOTSUP");
    await expect(driver.putContent("/new", bytes("x"), { ifAbsent: true })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect(await filesIn(root)).toEqual(["there"]);
  });

  test("copies from another disk", async () => {
    failing("link", "EXDEV", (path) => path === onDisk("/there"));
    const copyOnly = vi.mocked(fs.link).getMockImplementation() as (from: string, to: string) => Promise<void>;
    vi.mocked(fs.link).mockImplementation((async (from: string, to: string) => {
      if (from !== onDisk("/there")) throw Object.assign(new Error("EPERM"), { code: "EPERM" });
      return copyOnly(from, to);
    }) as never);
    await driver.move("/there", "/moved");
    expect(await filesIn(root)).toEqual(["moved"]);
  });

  test("is collected: at once, and by way of the quarantine", async () => {
    failing("link", "EPERM");
    const registry = openRegistry(driver);
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await push(put, "app", image(digestOf("layer")), ["layer"]);
    await pass();
    const sleep = async () => undefined;
    const ctx = { clock: { now: () => Date.now(), sleep } };
    const options = { removeUntagged: true, gracePeriodMs: 0, drainMs: 0 };
    expect(await markAndSweep(ctx, driver, registry, options)).toMatchObject({ quarantined: { blobs: 2 }, failures: [] });
    await push(put, "app", image(digestOf("more")), ["more"]);
    expect(await markAndSweep(ctx, driver, registry, { removeUntagged: true, readOnly: true })).toMatchObject({ deleted: { blobs: 2 } });
  });
});

describe("a copy from another disk that somebody killed", () => {
  const left = "/a/.moved.0f8fad5b-d9cb-469f-a165-70867728950e.tmp";
  const others = [
    "/a/.other.0f8fad5b-d9cb-469f-a165-70867728950e.tmp",
    "/a/.moved.tmp",
    "/a/moved.0f8fad5b-d9cb-469f-a165-70867728950e.tmp",
  ];

  test("leaves nothing once it is made again; what is not of it stays", async () => {
    for (const path of ["/there", left, ...others]) await put(path, "x");
    failing("link", "EXDEV", (path) => path === onDisk("/there"));
    await driver.move("/there", "/a/moved");
    expect(await filesIn(onDisk("/a"))).toEqual([...others.map((path) => path.slice(3)), "moved"].sort());
  });

  test("has a name by which it is known: it begins with that of its place", async () => {
    await put("/there", "x");
    const copyFile = vi.spyOn(fs, "copyFile");
    failing("link", "EXDEV", (path) => path === onDisk("/there"));
    await driver.move("/there", "/a/moved");
    expect(copyFile.mock.calls.map(([, to]) => String(to))).toEqual([expect.stringMatching(/\/a\/\.moved\.[0-9a-f-]{36}\.tmp$/)]);
  });
});

describe("a link that is taken away while its directory is listed", () => {
  const list = async () => {
    const names: string[] = [];
    for await (const page of driver.list("/a")) for (const { path } of page) names.push(path);
    return names.sort();
  };
  /** Somebody does this once the directory was read, right before the link is looked at. */
  const meanwhile = (what: () => Promise<unknown>) => {
    const real = fs.stat as (path: unknown) => Promise<unknown>;
    vi.spyOn(fs, "stat").mockImplementation((async (path: unknown) => {
      if (path === onDisk("/a/link")) await what();
      return real(path);
    }) as never);
  };
  beforeEach(async () => {
    await put("/a/file", "x");
    await put("/there", "x");
    await fs.symlink(onDisk("/there"), onDisk("/a/link"));
  });

  test("is gone, and the listing goes on", async () => {
    meanwhile(() => fs.rm(onDisk("/a/link"), { force: true }));
    expect(await list()).toEqual(["/a/file"]);
  });

  test("for something else, is that", async () => {
    meanwhile(async () => {
      await fs.rm(onDisk("/a/link"));
      await fs.mkdir(onDisk("/a/link"));
      throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
    });
    const found: unknown[] = [];
    for await (const page of driver.list("/a")) found.push(...page);
    expect(found).toContainEqual(expect.objectContaining({ path: "/a/link", isDirectory: true }));
  });

  test("and led back, too", async () => {
    await fs.rm(onDisk("/a/link"));
    await fs.symlink(onDisk("/a"), onDisk("/a/link"));
    const real = fs.realpath as (path: unknown) => Promise<unknown>;
    vi.spyOn(fs, "realpath").mockImplementation((async (path: unknown) => {
      await fs.rm(onDisk("/a/link"), { force: true });
      return real(path);
    }) as never);
    expect(await list()).toEqual(["/a/file"]);
  });

  test("but one that leads nowhere is an error still", async () => {
    await fs.rm(onDisk("/there"));
    await expect(list()).rejects.toMatchObject({ code: "DRIVER_ERROR", message: expect.stringContaining("leads nowhere") as string });
  });
});

test("a move whose source can't be dropped fails, and both stay: what was to come back is back", async () => {
  await put("/there", "x");
  failing("unlink", "EROFS", (path) => path === onDisk("/there"));
  failing("link", "EXDEV", (path) => path === onDisk("/there"));
  await expect(driver.move("/there", "/a/moved")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  expect(await filesIn(root)).toEqual(["a", "a/moved", "there"]);
});

test("what lies below a plain file can't be written, in the driver's own words", async () => {
  await put("/file", "x");
  await expect(put("/file/below", "y")).rejects.toMatchObject({ code: "DRIVER_ERROR", name: "DriverError" });
  await expect(driver.move("/file", "/file/below")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});

describe("a link to a directory that encloses its own path", () => {
  test("above the root is entered, once", async () => {
    const disk = join(folder, "disk");
    await fs.rename(root, join(folder, "moved"));
    await fs.mkdir(disk);
    await fs.rename(join(folder, "moved"), join(disk, "registry"));
    root = join(disk, "registry");
    driver = new FilesystemDriver({ root });
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    await fs.rename(onDisk(`${ROOT}/repositories/app`), join(disk, "app"));
    await fs.symlink(disk, onDisk(`${ROOT}/repositories/team`));
    await put(blobPath(digestOf("garbage")), "garbage");
    const report = await markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, readOnly: true });
    expect(report).toMatchObject({ status: "completed", problems: [], deleted: { blobs: 1, manifests: 0 }, marked: { tags: 1 } });
    expect(await fs.readFile(onDisk(blobPath(digestOf("live"))), "utf8")).toBe("live");
  });

  test("several of them come to an end", async () => {
    await push(put, "app", image(digestOf("live")), ["live"], "latest");
    for (const [i, to] of [root, onDisk("/docker"), onDisk(`${ROOT}/repositories`), folder].entries())
      await fs.symlink(to, onDisk(`${ROOT}/repositories/link${i}`));
    await put(blobPath(digestOf("garbage")), "garbage");
    const report = await markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, readOnly: true });
    expect(report).toMatchObject({ status: "completed", problems: [], deleted: { blobs: 1, manifests: 0 } });
  });
});
