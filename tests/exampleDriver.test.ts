/** The example of a driver of one's own: it keeps what drivers promise, is collected on, and is the one that docs/driver.md shows. */

import { readFileSync } from "node:fs";
import { markAndSweep, openRegistry } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { RegistryBuilder, snapshotOf, storageDriverConformance } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { type Row, type Table, TableDriver } from "../examples/driver/tableDriver.js";

/** A table as a database would keep one; selects are of a few rows, so that there is more than one page. */
class MemoryTable implements Table {
  readonly rows = new Map<string, Row>();

  async get(path: string): Promise<Row | undefined> {
    return this.rows.get(path);
  }

  async select(prefix: string, after: string): Promise<readonly Row[]> {
    const paths = [...this.rows.keys()].filter((path) => path.startsWith(prefix) && path > after).sort();
    return paths.slice(0, 100).map((path) => this.rows.get(path)!);
  }

  async remove(path: string, prefix: string): Promise<void> {
    for (const each of this.rows.keys()) if (each === path || each.startsWith(prefix)) this.rows.delete(each);
  }

  put = async (path: string, bytes: Uint8Array, writtenAt = new Date()): Promise<void> => {
    this.rows.set(path, { path, bytes, writtenAt });
  };
}

const table = new MemoryTable();
const driver = new TableDriver(table);
const checks = storageDriverConformance().filter(({ needs }) => needs.every((member) => member in driver));

test.each(checks.map((check) => [check.name, check] as const))("%s", async (_, check) => {
  await check.run({ driver, put: table.put });
  expect(table.rows.size).toBe(0);
});

test("a registry on it is collected", async () => {
  const memory = new MemoryDriver();
  const registry = new RegistryBuilder(memory);
  await registry.image("app", { tag: "latest" });
  const old = await registry.image("app");
  const own = new MemoryTable();
  for (const [path, { bytes }] of (await snapshotOf(memory)).files) await own.put(path, bytes, new Date(0));
  const target = new TableDriver(own);
  const report = await markAndSweep({}, target, openRegistry(target), { readOnly: true, removeUntagged: true });
  expect(report).toMatchObject({ status: "completed", deleted: { blobs: 1 + old.layers.length - 1 }, failures: [] });
  expect(own.rows.has(registry.paths.blob(old.digest))).toBe(false);
});

test("docs/driver.md shows it, in at most 60 lines", () => {
  const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
  const example = read("examples/driver/tableDriver.ts");
  expect(example.trimEnd().split("\n").length).toBeLessThanOrEqual(60);
  expect(read("docs/driver.md")).toContain(`\`\`\`ts\n${example}\`\`\``);
});
