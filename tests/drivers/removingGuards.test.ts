/** Removals by threads that break or come too late: nothing is told as gone that is there, and nothing more goes after an abort. */

import { promises as fs } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FileWorkers } from "../../src/drivers/filesystem/fileWorkers.js";
import { removeEmptyDirectories, removeFiles } from "../../src/drivers/filesystem/removing.js";
import { Root } from "../../src/drivers/filesystem/root.js";
import { failing } from "../support/failingDisk.js";

/** More than goes to a thread in one message. */
const MANY = Array.from({ length: 200 }, (_, i) => `/${i}`);

let root: Root;
beforeEach(async () => {
  root = new Root(await mkdtemp(join(tmpdir(), "removing-")), "filesystem");
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root.directory, { recursive: true });
});

const left = async () => (await fs.readdir(root.directory)).length;
const lay = (make: (file: string) => Promise<unknown>) => Promise.all(MANY.map((path) => make(root.onDisk(path))));
const files = () => lay((file) => fs.writeFile(file, "x"));
const directories = () => lay((file) => fs.mkdir(file));

/** Threads that answer this. */
const answering = (ask: () => Uint8Array | undefined) => {
  const asked = vi.fn(async () => ask());
  return { asked, workers: { ask: asked } as unknown as FileWorkers };
};

test("what a broken thread was to remove is removed all the same", async () => {
  const { workers } = answering(() => undefined);
  await files();
  expect(await removeFiles(root, workers, MANY, {})).toEqual([]);
  expect(await left()).toBe(0);
  await directories();
  await removeEmptyDirectories(root, workers, MANY, { upTo: "/" });
  expect(await left()).toBe(0);
});

test("a thread that ends while it is asked answers nothing: nobody waits for it for ever", { timeout: 5000 }, async () => {
  const ends = "() => () => process.exit()";
  expect(await new FileWorkers(root.directory).ask("visit", ["/a"], 1, ends, new Int32Array(1))).toBeUndefined();
});

test("after an abort no file is removed any more, by threads or singly, and each is told", async () => {
  const control = new AbortController();
  const { asked, workers } = answering(() => {
    control.abort();
    return new Uint8Array(MANY.length);
  });
  await files();
  const failures = await removeFiles(root, workers, MANY, { signal: control.signal });
  expect(failures.map(({ code }) => code)).toEqual(MANY.map(() => "ABORTED"));
  expect(await left()).toBe(MANY.length);
  expect(asked).toHaveBeenCalledTimes(1);
});

test("after an abort no more directories are removed", async () => {
  const control = new AbortController();
  const reason = new Error("stop");
  const { asked, workers } = answering(() => {
    control.abort(reason);
    return new Uint8Array(MANY.length).fill(2);
  });
  const pruned = removeEmptyDirectories(root, workers, MANY, { upTo: "/", signal: control.signal });
  await expect(pruned).rejects.toBe(reason);
  expect(asked).toHaveBeenCalledTimes(1);
});

test("a directory that can't be removed is told; one that holds something stays", async () => {
  const { workers } = answering(() => undefined);
  await fs.mkdir(root.onDisk("/full/of"), { recursive: true });
  await removeEmptyDirectories(root, workers, ["/full"], { upTo: "/" });
  expect(await left()).toBe(1);
  failing("rmdir", "EIO");
  await expect(removeEmptyDirectories(root, workers, ["/full"], { upTo: "/" })).rejects.toMatchObject({ code: "DRIVER_ERROR" });
});
