/** What the parts of a run tell each other: the first that is told counts, what is not what was written is refused, and no failed look is an absence. */

import type { StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { InterceptedDriver } from "oci-registry-gc/testing";
import { beforeEach, describe, expect, test } from "vitest";
import type { PartOutput } from "../../src/parts/partAttempt.js";
import { PartStore } from "../../src/parts/partStore.js";
import { RunDocuments } from "../../src/parts/runDocuments.js";
import { contentOf } from "../support/stores.js";

const DIRECTORY = "/gc/a-run/parts";
const DAMAGED = { code: "PART_DAMAGED" };

let driver: MemoryDriver;
let store: PartStore;
const begin = async (by: StorageDriver, plan: unknown, runId = "a-run") =>
  new PartStore(await new RunDocuments(by, DIRECTORY, runId).begin(plan));
const known = (by: StorageDriver, runId: string, plan: string) => new PartStore(new RunDocuments(by, DIRECTORY, runId, plan));
const through = (by: StorageDriver) => new PartStore(store.documents.through(by));
const done = async () => (await store.documents.get("stage/0.done")) as PartOutput;
const put = (name: string, content: string | undefined) => driver.putContent(`${DIRECTORY}/${name}`, Buffer.from(content ?? ""));
const textOf = async (path: string) => (await contentOf(driver)).get(path) ?? "";
const open = (parts = 1) => store.open("stage", { kind: "mark", parts, input: {}, openedAt: 0 });
/** A part that left a list and a sorted run. */
async function make(result: unknown, part = 0): Promise<void> {
  const attempt = store.attempt("stage", part);
  await attempt.addToList("list", result);
  attempt.run("run").add(0, { digest: `sha256:${"a".repeat(64)}`, flags: 1, size: 1, time: 0 });
  await attempt.finish(result);
}

beforeEach(async () => {
  driver = new MemoryDriver();
  store = await begin(driver, { of: "the first" });
});

describe("the first counts", () => {
  test("of two plans", async () => {
    const second = await begin(driver, { of: "the second" });
    expect(second.documents.plan).toBe(store.documents.plan);
    expect(await second.documents.readPlan()).toEqual({ of: "the first" });
  });

  test("of two values that are made once", async () => {
    const both = await store.documents.once("lock", async () => {
      await store.documents.once("lock", async () => "first");
      return "second";
    });
    expect(both).toBe("first");
  });

  test("of two attempts at a part, each with files of its own", async () => {
    await open();
    await make("first");
    await make("second");
    const { outputs } = await store.close("stage", 1);
    expect(outputs).toMatchObject([{ result: "first" }]);
    const items: unknown[] = [];
    for await (const item of store.items(outputs[0]?.lists["list"] ?? [])) items.push(item);
    expect(items).toEqual(["first"]);
  });

  test("of who closes a stage and who breaks it off", async () => {
    await open();
    await make("made");
    await store.spoil("stage");
    await expect(store.close("stage", 1)).rejects.toMatchObject(DAMAGED);
    await expect(store.closed("stage")).rejects.toMatchObject(DAMAGED);
    expect(await store.openStages()).toEqual([]);
  });

  test("of those who begin a part", async () => {
    expect(await store.markBegun("stage", 0)).toBe(false);
    expect(await store.markBegun("stage", 0)).toBe(true);
  });
});

describe("is not believed:", () => {
  test("a plan that was put in the other's place, or is gone", async () => {
    const other = new MemoryDriver();
    await begin(other, { of: "another" });
    await put("plan", (await contentOf(other)).get(`${DIRECTORY}/plan`));
    await expect(store.documents.readPlan()).rejects.toMatchObject(DAMAGED);
    await driver.delete(`${DIRECTORY}/plan`);
    await expect(store.documents.readPlan()).rejects.toMatchObject(DAMAGED);
    expect(await store.documents.isOver()).toBe(true);
    expect(await new RunDocuments(driver, DIRECTORY, "a-run").find()).toBeUndefined();
  });

  test("what another run wrote, or one with another plan, or what was said of another part", async () => {
    await open();
    await expect(known(driver, "b-run", store.documents.plan).opening("stage")).rejects.toMatchObject(DAMAGED);
    await expect(known(driver, "a-run", "another").opening("stage")).rejects.toMatchObject(DAMAGED);
    await store.assign("stage", 0, ["all of it"]);
    await put("stage/1.in", await textOf(`${DIRECTORY}/stage/0.in`));
    await expect(store.assignment("stage", 1)).rejects.toMatchObject(DAMAGED);
  });

  test("a document of which a word is another, and one that is not there", async () => {
    await open(1);
    const text = await textOf(`${DIRECTORY}/stage.open`);
    await put("stage.open", text.replace('parts\\":1', 'parts\\":2'));
    await expect(store.opening("stage")).rejects.toMatchObject(DAMAGED);
    await expect(store.opening("none")).rejects.toMatchObject(DAMAGED);
  });

  test.each(["list", "run"] as const)("a stage of which a %s is cut short, or gone", async (kind) => {
    await open();
    await make("made");
    const output = await done();
    const path = (kind === "list" ? output.lists : output.runs)[kind]?.[0]?.path ?? "";
    await driver.putContent(path, Buffer.from((await textOf(path)).slice(1)));
    await expect(store.close("stage", 1)).rejects.toMatchObject({ ...DAMAGED, path });
    await driver.delete(path);
    await expect(store.close("stage", 1)).rejects.toMatchObject({ ...DAMAGED, path });
  });

  test("a list of which a word is another", async () => {
    await open();
    await make("made");
    const files = (await done()).lists["list"] ?? [];
    await driver.putContent(files[0]?.path ?? "", Buffer.from('["mode"]'));
    await expect(store.items(files)[Symbol.asyncIterator]().next()).rejects.toMatchObject(DAMAGED);
  });
});

test("a stage is closed where the store tells no sizes", async () => {
  const silent = new InterceptedDriver(driver, async <T>({ method }: { method: string }, proceed: () => Promise<T>) => {
    const answer = await proceed();
    return method === "stat" ? { ...answer, size: undefined } : answer;
  });
  await open();
  await make("made");
  expect((await through(silent).close("stage", 1)).outputs).toMatchObject([{ result: "made" }]);
});

test("a look that failed says neither that a run is over, nor that nothing was begun, done or closed", async () => {
  await open();
  const failing = new InterceptedDriver(driver, () => Promise.reject(new Error("no connection")));
  const blind = through(failing);
  const looks = [
    () => blind.documents.find(),
    () => blind.documents.isOver(),
    () => blind.markBegun("stage", 0),
    () => blind.isDone("stage", 0),
    () => blind.isClosed("stage"),
    () => blind.closed("stage"),
    () => blind.resultsSoFar("stage"),
    () => blind.documents.remove(),
  ];
  for (const look of looks) await expect(look()).rejects.toThrow("no connection");
});

test("a closing that could not be read is read again", async () => {
  await open();
  await make("made");
  await store.close("stage", 1);
  let isBroken = true;
  const again = through(new InterceptedDriver(driver, (_, proceed) => (isBroken ? Promise.reject(new Error("no connection")) : proceed())));
  await expect(again.outputs("stage")).rejects.toThrow("no connection");
  isBroken = false;
  expect(await again.outputs("stage")).toMatchObject([{ result: "made" }]);
});
