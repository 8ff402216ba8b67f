/** A journal of which something is missing is not believed: what it no longer names would count as needed by nobody. */

import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { describe, expect, test } from "vitest";
import { DigestIndex } from "../../src/digestIndex.js";
import { AsideStore } from "../../src/online/asideStore.js";
import { Journal, type JournalRecord } from "../../src/online/journal.js";
import { changed } from "../support/tree.js";
import { digestOf } from "../support/world.js";

const DIRECTORY = "/_gc/a-run/journal";
const objectAt = (number: number) => `${DIRECTORY}/00000${number}.jsonl`;
const blob = (content: string): JournalRecord => ({ kind: "blob", digest: digestOf(content), size: 1, isManifest: false });

/** A journal of three objects. */
async function written(first: JournalRecord = { kind: "begun", at: 1 }): Promise<MemoryDriver> {
  const driver = new MemoryDriver();
  const journal = new Journal("a-run", driver, DIRECTORY);
  await journal.write([first]);
  await journal.write([blob("a"), blob("b")]);
  await journal.write([{ kind: "settled", at: 2 }]);
  return driver;
}

const read = (driver: Parameters<typeof Journal.read>[1]) => Journal.read("a-run", driver, DIRECTORY, {});

describe("a journal", () => {
  test("that is whole is believed", async () => {
    expect(await read(await written())).toMatchObject({ damage: undefined, isOpen: true, isHeadless: false, settledAt: 2 });
  });

  test.each([0, 1])("whose object %i is gone is not, and the others are", async (number) => {
    const driver = await written();
    await driver.delete(objectAt(number));
    const journal = await read(driver);
    expect(journal.damage).toMatch(/is missing/);
    expect(journal).toMatchObject({ isOpen: false, isInterrupted: false, isHeadless: number === 0 });
  });

  test.each([0, 1, 2])("whose object %i is listed, and can't be found, is not, and is nobody's leftover", async (number) => {
    const driver = await written();
    await driver.delete(objectAt(number));
    const files = [0, 1, 2].map((each) => ({ path: objectAt(each), isDirectory: false }));
    const lagging = changed(driver, {
      async *list() {
        yield files;
      },
    });
    const journal = await read(lagging);
    expect(journal.damage).toBeDefined();
    expect(journal).toMatchObject({ isOpen: false, isHeadless: false });
  });

  test.each<JournalRecord>([
    { kind: "settled", at: Number.NaN },
    { kind: "purging", at: Number.POSITIVE_INFINITY },
    {
      kind: "manifest",
      repository: "app",
      digest: digestOf("m"),
      target: digestOf("m"),
      path: "/link",
      time: Number.NaN,
    },
  ])("takes no record that could not be read again: %j", async (record) => {
    const driver = await written();
    const journal = await read(driver);
    await expect(journal.write([blob("c"), record])).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: expect.stringMatching(/000003\.jsonl is not written: .* ctx\.clock and from the driver's stat/) as string,
    });
    await journal.write([blob("d")]);
    const after = await read(driver);
    expect(after).toMatchObject({ damage: undefined, settledAt: 2 });
    expect(after.blobs).toHaveLength(3);
  });

  test("that has no beginning is not", async () => {
    expect((await read(await written(blob("c")))).damage).toMatch(/no beginning/);
  });

  test("whose removal is broken off has no beginning any more, and tells of nothing", async () => {
    const driver = await written();
    let deletes = 0;
    const dying = changed(driver, {
      delete: async (path, options) => {
        if (++deletes > 1) throw new Error("dead");
        await driver.delete(path, options);
      },
    });
    const journal = await read(dying);
    await expect(journal.remove()).rejects.toThrow("dead");
    expect(await read(driver)).toMatchObject({ isHeadless: true, isOpen: false });
  });

  test("of which an object could not be written has no gap", async () => {
    const driver = new MemoryDriver();
    let writes = 0;
    const failing = changed(driver, {
      putContent: async (path, bytes, options) => {
        if (++writes === 2) throw new Error("no");
        return driver.putContent(path, bytes, options);
      },
    });
    const journal = new Journal("a-run", failing, DIRECTORY);
    await journal.write([{ kind: "begun", at: 1 }]);
    await expect(journal.write([blob("a")])).rejects.toThrow("no");
    await journal.write([blob("b")]);
    expect(await read(driver)).toMatchObject({ damage: undefined, blobs: [blob("b")] });
  });
});

describe("what lies aside", () => {
  const opened = (driver: MemoryDriver) => AsideStore.open(driver, "/_gc", new DigestIndex(), { journalDriver: driver });

  test("and whose journal has lost its beginning is not taken for what a removal left", async () => {
    const driver = await written();
    await driver.delete(objectAt(0));
    await driver.putContent(`/_gc/a-run/blobs/${digestOf("a").replace(":", "/")}/data`, Buffer.from("a"));
    const store = await opened(driver);
    expect(store.leftovers).toEqual([]);
    expect(store.journals.get("a-run")?.damage).toBeDefined();
  });

  test("and whose journal is closed: a layer link that it took may still be taken by a sleeper", async () => {
    const driver = await written();
    const journal = await read(driver);
    const link: JournalRecord = {
      kind: "layerLink",
      ...{ repository: "app", digest: digestOf("a"), target: digestOf("a"), path: "/app/link", time: 1, taken: true },
    };
    await journal.write([link, { kind: "purged", at: 3 }]);
    const store = await opened(driver);
    expect(store.journals.get("a-run")?.isOpen).toBe(false);
    expect(store.layerLinksTakenFrom("app")).toHaveLength(1);
    expect(store.namesRepository("app")).toBe(true);
  });
});
