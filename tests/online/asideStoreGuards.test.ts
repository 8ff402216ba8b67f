/** What lies aside is known whole: each copy by its run, each link by open journals only, and nothing that is damaged is believed. */

import type { StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { describe, expect, test } from "vitest";
import { DigestIndex } from "../../src/digestIndex.js";
import { AsideStore } from "../../src/online/asideStore.js";
import { Journal, type JournalRecord } from "../../src/online/journal.js";
import { changed } from "../support/tree.js";
import { digestOf } from "../support/world.js";

const copyPath = (runId: string, content: string) => `/_gc/${runId}/blobs/${digestOf(content).replace(":", "/")}/data`;
const blob = (content: string, isManifest = false, size = content.length): JournalRecord => ({
  ...{ kind: "blob", digest: digestOf(content), size, isManifest },
});
const link = (kind: "manifest" | "layerLink", repository: string, content: string, taken?: boolean): JournalRecord => ({
  ...{ kind, repository, digest: digestOf(content), target: digestOf(content), path: `/${repository}/link`, time: 1 },
  ...(taken !== undefined && { taken }),
});

class World {
  readonly driver = new MemoryDriver({ now: () => 1000 });
  readonly digests = new DigestIndex();
  readonly unrecognized: string[] = [];

  async put(path: string, content = "x"): Promise<this> {
    await this.driver.putContent(path, Buffer.from(content));
    return this;
  }

  async journal(runId: string, ...records: readonly JournalRecord[]): Promise<this> {
    const journal = new Journal(runId, this.driver, `/_gc/${runId}/journal`);
    for (const record of [{ kind: "begun", at: 1 } as const, ...records]) await journal.write([record]);
    return this;
  }

  open(driver: StorageDriver = this.driver): Promise<AsideStore> {
    const options = { journalDriver: driver, onUnrecognized: (path: string) => void this.unrecognized.push(path) };
    return AsideStore.open(driver, "/_gc", this.digests, options);
  }

  number(content: string): number {
    return this.digests.find(digestOf(content));
  }
}

describe("copies", () => {
  test("are told by their journals what they are, each by its own run's", async () => {
    const world = new World();
    await world.put(copyPath("run-1", "m"), "m");
    await world.put(copyPath("run-2", "m"), "m");
    await world.journal("run-1", blob("m", true));
    await world.journal("run-2", blob("m", false));
    const store = await world.open();
    const copies = store.copies.get(world.number("m"))!;
    expect(copies.map(({ runId, isManifest }) => `${runId} ${isManifest}`).toSorted()).toEqual(["run-1 true", "run-2 false"]);
    expect([...store.busyRuns()].toSorted()).toEqual(["run-1", "run-2"]);
  });

  test("without a size in the listing have the journal's, and keep the listing's where there is one", async () => {
    const world = new World();
    await world.put(copyPath("run-1", "a"), "a");
    await world.journal("run-1", blob("a", false, 77));
    const sizeOf = async (driver?: StorageDriver) => (await world.open(driver)).copies.get(world.number("a"))?.[0]?.size;
    expect(await sizeOf()).toBe(1);
    const sizeless = changed(world.driver, {
      async *list(path: string) {
        for await (const page of world.driver.list(path)) yield page.map((info) => ({ ...info, size: undefined }));
      },
    });
    expect(await sizeOf(sizeless)).toBe(77);
  });

  test("of runs that have no journal are copies all the same, and their runs are read", async () => {
    const world = new World();
    await world.put(copyPath("run-1", "a"), "a");
    const store = await world.open();
    expect(store.isAside(world.number("a"))).toBe(true);
    expect([...store.runs]).toEqual(["run-1"]);
    expect([...store.journals.keys()]).toEqual(["run-1"]);
    expect(store.leftovers).toEqual([]);
  });

  test("are gone when the last is", async () => {
    const world = new World();
    await world.put(copyPath("run-1", "a"), "a");
    await world.put(copyPath("run-2", "a"), "a");
    const store = await world.open();
    const number = world.number("a");
    const [one, two] = store.copies.get(number)!;
    store.removeCopy(number, one!);
    expect(store.isAside(number)).toBe(true);
    expect(store.copies.get(number)).toEqual([two]);
    store.removeCopy(number, two!);
    expect(store.isAside(number)).toBe(false);
    expect(store.busyRuns().size).toBe(0);
  });

  test.each(["sha256", "sha512"])("are sound only where they hold what their %s digest says, to the last byte", async (algorithm) => {
    const { createHash } = await import("node:crypto");
    const digest = `${algorithm}:${createHash(algorithm).update("content").digest("hex")}`;
    const world = new World();
    const soundOf = async (content: string) => {
      const path = `/_gc/run-1/blobs/${digest.replace(":", "/")}/data`;
      await world.put(path, content);
      const store = await world.open();
      const number = world.digests.find(digest);
      return store.isSound(world.driver, number, store.copies.get(number)![0]!);
    };
    expect(await soundOf("content")).toBe(true);
    for (const content of ["conten", "contents", "Content", ""]) expect(await soundOf(content)).toBe(false);
  });

  test("are read where one is there, whichever; where the first is gone by now, the second", async () => {
    const world = new World();
    await world.put(copyPath("run-1", "m"), "m");
    await world.put(copyPath("run-2", "m"), "m");
    const store = await world.open();
    const number = world.number("m");
    const [one] = store.copies.get(number)!;
    await world.driver.delete(one!.path);
    expect(String(Buffer.from((await store.readManifest(number, { maxBytes: 10 }))!))).toBe("m");
    const failing = changed(world.driver, { getContent: () => Promise.reject(new Error("EIO")) });
    const other = await world.open(changed(failing, { getContent: world.driver.getContent.bind(world.driver) }));
    expect(await other.readManifest(number, { maxBytes: 10 })).toBeDefined();
    await expect((await world.open(failing)).readManifest(number, { maxBytes: 10 })).rejects.toThrow("EIO");
  });

  test("that came since the listing are found in any run's place, and in no other's", async () => {
    const world = new World();
    const store = await world.open();
    const number = world.digests.add(digestOf("m"));
    expect(await store.readLate(number, { maxBytes: 10 })).toBeUndefined();
    await world.put(copyPath("not.a.run", "m"), "foreign");
    await world.put(copyPath("run-1", "other"), "other");
    expect(await store.readLate(number, { maxBytes: 10 })).toBeUndefined();
    await world.put(copyPath("run-2", "m"), "m");
    expect(Buffer.from((await store.readLate(number, { maxBytes: 10 }))!).toString()).toBe("m");
  });
});

describe("what is none of ours", () => {
  test.each([
    "/_gc/notes",
    "/_gc/run-1/other/file",
    "/_gc/run-1/journal/000001.txt",
    "/_gc/run-1/blobs/sha256/abc/data",
    "/_gc/not.a.run/restored.json",
  ])("is told, and kept out: %s", async (path) => {
    const world = await new World().put(path);
    const store = await world.open();
    expect(world.unrecognized).toEqual([path]);
    expect(store.copies.size + store.journals.size + store.notes.length).toBe(0);
  });

  test.each(["{", "{}", '"sha256:1"'])("is a note that says %s", async (text) => {
    const world = await new World().put("/_gc/run-1/restored.json", text);
    expect((await world.open()).notes).toEqual([]);
    expect(world.unrecognized).toEqual(["/_gc/run-1/restored.json"]);
  });

  test("is nothing of a run's: its parts, what was broken off in a write, its note", async () => {
    const world = new World();
    await world.put("/_gc/run-1/parts/any");
    await world.put("/_gc/run-1/blobs/sha256/.data.01234567-0123-0123-0123-0123456789ab.tmp");
    await world.put("/_gc/run-1/restored.json", JSON.stringify([digestOf("a")]));
    const store = await world.open();
    expect(world.unrecognized).toEqual([]);
    expect([...store.partsOf]).toEqual(["run-1"]);
    expect(store.temporaries).toHaveLength(1);
    expect(store.notes).toHaveLength(1);
  });
});

describe("notes of what was restored", () => {
  const noted = async (modTime: Date | undefined) => {
    const world = await new World().put("/_gc/run-1/restored.json", JSON.stringify([digestOf("a")]));
    const driver = changed(world.driver, {
      stat: async (path, options) => ({ ...(await world.driver.stat(path, options)), modTime }),
    });
    return world.open(driver);
  };

  test.each([
    [999, true],
    [1000, false],
    [1001, false],
  ])("count where they are younger than %i: %j", async (since, counts) => {
    const store = await noted(new Date(1000));
    expect(store.wasRestored(digestOf("a"))).toBe(false);
    store.honourNotes(since);
    expect(store.wasRestored(digestOf("a"))).toBe(counts);
    expect(store.wasRestored(digestOf("b"))).toBe(false);
  });

  test("count where nobody tells their time", async () => {
    const store = await noted(undefined);
    store.honourNotes(1e15);
    expect(store.wasRestored(digestOf("a"))).toBe(true);
  });
});

describe("links", () => {
  test("are named by open journals, by kind, repository and digest", async () => {
    const world = await new World().journal("run-1", link("manifest", "app", "m"), link("layerLink", "app", "l", true));
    const store = await world.open();
    expect(store.linksNamed("manifest", "app", digestOf("m"))).toHaveLength(1);
    expect(store.linksNamed("layerLink", "app", digestOf("l"))).toHaveLength(1);
    expect(store.linksNamed("layerLink", "app", digestOf("m"))).toEqual([]);
    expect(store.linksNamed("manifest", "other", digestOf("m"))).toEqual([]);
    expect(store.linksNamed("manifest", "app", digestOf("l"))).toEqual([]);
    expect(store.layerLinksTakenFrom("app")).toMatchObject([{ runId: "run-1", link: { digest: digestOf("l") } }]);
    expect(store.namesRepository("app")).toBe(true);
    expect(store.namesRepository("other")).toBe(false);
  });

  test("are not named by closed ones, unless they are taken: then they are known, and name nothing", async () => {
    const world = await new World().journal(
      "run-1",
      link("manifest", "app", "m"),
      link("layerLink", "other", "seen", false),
      link("layerLink", "third", "l", true),
      { kind: "purged", at: 3 },
    );
    const store = await world.open();
    expect(store.linksNamed("manifest", "app", digestOf("m"))).toEqual([]);
    expect(store.linksNamed("layerLink", "third", digestOf("l"))).toEqual([]);
    expect(store.layerLinksTakenFrom("other")).toEqual([]);
    expect(store.layerLinksTakenFrom("third")).toHaveLength(1);
    expect(["app", "other", "third"].filter((name) => store.namesRepository(name))).toEqual(["third"]);
  });

  test("are not named by a damaged journal, which is known as such", async () => {
    const world = await new World().journal("run-1", link("manifest", "app", "m"), link("layerLink", "app", "l", true));
    await world.driver.delete("/_gc/run-1/journal/000001.jsonl");
    const store = await world.open();
    expect(store.journals.get("run-1")?.damage).toBeDefined();
    expect(store.namesRepository("app")).toBe(false);
    expect(store.linksNamed("layerLink", "app", digestOf("l"))).toEqual([]);
    expect(store.layerLinksTakenFrom("app")).toEqual([]);
  });
});

test("a journal without its beginning is a leftover where nothing else of its run lies aside", async () => {
  const world = await new World().journal("run-1", blob("a"));
  await world.driver.delete("/_gc/run-1/journal/000000.jsonl");
  const left = await world.open();
  expect(left.leftovers.map(({ runId }) => runId)).toEqual(["run-1"]);
  expect(left.journals.size).toBe(0);
  await world.put(copyPath("run-1", "a"), "a");
  const kept = await world.open();
  expect(kept.leftovers).toEqual([]);
  expect(kept.journals.get("run-1")?.damage).toBeDefined();
});

test("directories that somebody emptied are known", async () => {
  const world = await new World().put("/_gc/run-1/blobs/x");
  await world.driver.deleteFiles(["/_gc/run-1/blobs/x"]);
  expect((await world.open()).emptied).toEqual(["/_gc/run-1/blobs"]);
});

test("journals are read by the driver that an abort stops, and written by the one that none does", async () => {
  const world = await (await new World().put(copyPath("run-1", "a"))).journal("run-1", blob("a"));
  const written: string[] = [];
  const journalDriver = changed(world.driver, {
    getContent: () => Promise.reject(new Error("read by the wrong one")),
    putContent: async (path) => {
      written.push(path);
      return true;
    },
  });
  const store = await AsideStore.open(world.driver, "/_gc", world.digests, { journalDriver });
  const journal = store.journals.get("run-1");
  expect(journal?.damage).toBeUndefined();
  await journal?.write([{ kind: "settled", at: 2 }]);
  expect(written).toHaveLength(1);
});
