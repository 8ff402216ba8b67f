/** The stores that tests run on: the two drivers that ship, a flat one with `walk`, and a driver of the least that the contract asks for. */

import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StorageDriver } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FlatDriver } from "oci-registry-gc/testing";
import { afterEach } from "vitest";

export const DAY = 86_400_000;
export const MONTH_AGO = Date.now() - 30 * DAY;

export interface Store {
  readonly driver: StorageDriver;
  /** Whether an empty directory is something. */
  readonly hasDirectories: boolean;
  put(path: string, content: string | Uint8Array, time?: number): Promise<void>;
  makeDirectory(path: string): Promise<void>;
}

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function memoryStore(): Store {
  let at: number | undefined;
  const driver = new MemoryDriver({ now: () => at ?? Date.now() });
  return {
    driver,
    hasDirectories: true,
    async put(path, content, time = MONTH_AGO) {
      at = time;
      const written = driver.putContent(path, Buffer.from(content));
      at = undefined;
      await written;
    },
    async makeDirectory(path) {
      await driver.putContent(`${path}/x`, new Uint8Array());
      await driver.deleteFiles([`${path}/x`]);
    },
  };
}

/** The five required members and nothing else. */
export function leastStore(): Store {
  const { driver, ...store } = memoryStore();
  const least: StorageDriver = {
    name: "least",
    stat: (path, options) => driver.stat(path, options),
    list: (path, options) => driver.list(path, options),
    reader: (path, options) => driver.reader(path, options),
    delete: (path, options) => driver.delete(path, options),
  };
  return { ...store, driver: least };
}

export function flatStore(): Store {
  let at: number | undefined;
  const driver = new FlatDriver({ now: () => at ?? Date.now(), pageSize: 10 });
  return {
    driver,
    hasDirectories: false,
    async put(path, content, time = MONTH_AGO) {
      at = time;
      const written = driver.putContent(path, Buffer.from(content));
      at = undefined;
      await written;
    },
    async makeDirectory() {
      // There are none.
    },
  };
}

export function filesystemStore(): Store & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-"));
  folders.push(folder);
  const driver = new FilesystemDriver({ root: folder });
  return {
    driver,
    folder,
    hasDirectories: true,
    async put(path, content, time = MONTH_AGO) {
      await driver.putContent(path, Buffer.from(content));
      await utimes(join(folder, path), new Date(time), new Date(time));
    },
    async makeDirectory(path) {
      await mkdir(join(folder, path), { recursive: true });
    },
  };
}

export const STORES: Readonly<Record<string, () => Store>> = {
  memory: memoryStore,
  filesystem: filesystemStore,
  flat: flatStore,
  least: leastStore,
};

/** Every file of a store, path -> content. */
export async function contentOf(driver: StorageDriver, path = "/"): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  try {
    for await (const page of driver.list(path)) {
      for (const info of page) {
        if (info.isDirectory) for (const [file, content] of await contentOf(driver, info.path)) files.set(file, content);
        else files.set(info.path, await textOf(driver, info.path));
      }
    }
  } catch (error) {
    if ((error as { code?: string }).code !== "PATH_NOT_FOUND") throw error;
  }
  return files;
}

async function textOf(driver: StorageDriver, path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await driver.reader(path, { offset: 0 })) as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("latin1");
}
