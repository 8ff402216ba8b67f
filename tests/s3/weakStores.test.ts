/** Stores that take less than S3 does: the driver finds out by itself, once, and goes on. */

import { describe, expect, test } from "vitest";
import { s3World, useStandIn } from "./s3Store.js";
import { fault } from "./standIn.js";

useStandIn();

const many = (count: number) => Array.from({ length: count }, (_, i) => `/d/${i}`);

describe("deletes", () => {
  const setUp = (count: number) => {
    const world = s3World();
    for (const path of many(count)) world.s3.put(path.slice(1), "");
    world.s3.put("d/beside", "");
    return world;
  };

  test.each([
    [0, 0],
    [1, 1],
    [1000, 1],
    [1001, 2],
    [2500, 3],
  ])("%d keys are %d requests", async (keys, requests) => {
    const { s3, driver } = setUp(keys);
    expect(await driver.deleteFiles(many(keys))).toEqual([]);
    expect([...s3.objects.keys()]).toEqual(["d/beside"]);
    expect(s3.count()).toBe(requests);
    expect(s3.count("DeleteObjects")).toBe(requests);
  });

  test("the same path twice is one key", async () => {
    const { s3, driver } = setUp(2);
    expect(await driver.deleteFiles(["/d/0", "/d/0", "/d/1"])).toEqual([]);
    expect(s3.count()).toBe(1);
  });

  test("are halved where the store refuses as many, and stay so", async () => {
    const { s3, driver } = setUp(1000);
    s3.weak = { mostDeletes: 300 };
    expect(await driver.deleteFiles(many(1000))).toEqual([]);
    // 1000 and 500 are refused; 250 are taken.
    expect(s3.count("DeleteObjects")).toBe(6);
    for (const path of many(500)) s3.put(path.slice(1), "");
    s3.resetCounts();
    expect(await driver.deleteFiles(many(500))).toEqual([]);
    expect(s3.count("DeleteObjects")).toBe(2);
    expect([...s3.objects.keys()]).toEqual(["d/beside"]);
  });

  test("a single key that is refused is a failure, and no endless halving", async () => {
    const { s3, driver } = setUp(4);
    s3.interrupt = () => fault(400, "MalformedXML");
    expect(await driver.deleteFiles(many(4))).toHaveLength(4);
    expect(s3.count()).toBeLessThan(10);
  });

  test.each([501, 405])("go one by one where there is no DeleteObjects (%d)", async (status) => {
    const { s3, driver } = setUp(40);
    s3.interrupt = ({ operation }) =>
      operation === "DeleteObjects" ? fault(status, status === 501 ? "NotImplemented" : "MethodNotAllowed") : undefined;
    expect(await driver.deleteFiles(many(40))).toEqual([]);
    const tried = s3.count("DeleteObjects");
    expect(tried).toBeLessThanOrEqual(2);
    expect(s3.count("DeleteObject")).toBe(40);
    await driver.deleteFiles(["/d/0"]);
    expect(s3.count("DeleteObjects")).toBe(tried);
  });

  test("one by one, what fails is told, and the rest goes", async () => {
    const { s3, driver } = setUp(3);
    s3.weak = { hasNoDeleteObjects: true };
    s3.interrupt = ({ operation, key }) => (operation === "DeleteObject" && key === "d/1" ? fault(403, "AccessDenied") : undefined);
    expect(await driver.deleteFiles(many(3))).toMatchObject([{ path: "/d/1" }]);
    expect([...s3.objects.keys()].sort()).toEqual(["d/1", "d/beside"]);
  });
});

test.each(["deleteFiles", "delete"] as const)("%s in a bucket that keeps versions: the driver has a remark to make", async (method) => {
  const { s3, driver } = s3World();
  s3.put("a", "x");
  s3.put("b", "x");
  await driver.deleteFiles(["/b"]);
  expect(driver.remarks).toEqual([]);
  s3.weak = { isVersioned: true };
  await (method === "delete" ? driver.delete("/a") : driver.deleteFiles(["/a"]));
  expect(driver.remarks).toEqual([expect.stringMatching(/bucket "bucket" keeps versions.*lifecycle rule/)]);
});

describe("checksums", () => {
  test.each([{ needsContentMd5: true }, { refusesChecksums: true }, { needsContentMd5: true, refusesChecksums: true }])(
    "%j: found out once, for all calls",
    async (weak) => {
      const { s3, driver } = s3World();
      s3.weak = weak;
      await driver.putContent("/a", Buffer.from("x"));
      await driver.putContent("/b", Buffer.from("x"), { ifAbsent: true });
      expect(await driver.deleteFiles(["/a"])).toEqual([]);
      s3.resetCounts();
      await driver.putContent("/a", Buffer.from("x"));
      expect(await driver.putContent("/c", Buffer.from("x"), { ifAbsent: true })).toBe(true);
      expect(Buffer.from(await driver.getContent("/c")).toString()).toBe("x");
      expect(await driver.deleteFiles(["/a", "/b", "/c"])).toEqual([]);
      expect(s3.counts).toEqual({ PutObject: 2, GetObject: 1, DeleteObjects: 1 });
      expect(s3.objects.size).toBe(0);
    },
  );

  test("of the client's own kind where the store takes them", async () => {
    const { s3, driver } = s3World();
    await driver.putContent("/a", Buffer.from("x"));
    await driver.deleteFiles(["/a"]);
    expect(s3.requests.map(({ headers }) => [headers["x-amz-checksum-crc32"] !== undefined, headers["content-md5"]])).toEqual([
      [true, undefined],
      [true, undefined],
    ]);
  });

  test("a store that only lacks DeleteObjects keeps the client's own", async () => {
    const { s3, driver } = s3World();
    s3.weak = { hasNoDeleteObjects: true };
    await driver.deleteFiles(["/a"]);
    await driver.putContent("/a", Buffer.from("x"));
    expect(s3.requests.at(-1)!.headers["x-amz-checksum-crc32"]).toBeDefined();
  });
});

describe("writes where nothing is", () => {
  test("are one request, once it is known that the store keeps the condition", async () => {
    const { s3, driver } = s3World();
    expect(await driver.putContent("/a", Buffer.from("x"), { ifAbsent: true })).toBe(true);
    expect(s3.counts).toEqual({ ListObjectsV2: 1, PutObject: 2 });
    s3.resetCounts();
    expect(await driver.putContent("/a", Buffer.from("y"), { ifAbsent: true })).toBe(false);
    expect(await driver.putContent("/b", Buffer.from("y"), { ifAbsent: true })).toBe(true);
    expect(s3.counts).toEqual({ PutObject: 2 });
    expect(s3.objects.get("a")!.bytes.toString()).toBe("x");
  });

  test.each([{ ignoresConditions: true }, { refusesConditions: 501 }, { refusesConditions: 400 }, { refusesConditions: 405 }] as const)(
    "are refused where a store %j, and leave nothing",
    async (weak) => {
      const { s3, driver } = s3World();
      s3.weak = weak;
      const unsupported = { code: "UNSUPPORTED", message: expect.stringContaining('"bucket"') as unknown };
      s3.put("there", "theirs");
      expect(await driver.putContent("/there", Buffer.from("x"), { ifAbsent: true })).toBe(false);
      await expect(driver.putContent("/a", Buffer.from("x"), { ifAbsent: true })).rejects.toMatchObject(unsupported);
      await expect(driver.putContent("/there", Buffer.from("x"), { ifAbsent: true })).rejects.toMatchObject(unsupported);
      expect([...s3.objects].map(([key, { bytes }]) => `${key} ${bytes.toString()}`)).toEqual(["there theirs"]);
      expect(await driver.putContent("/a", Buffer.from("x"))).toBe(true);
    },
  );

  test("an answer that was lost is found again by the content, and only by that", async () => {
    const { s3, driver } = s3World();
    await driver.putContent("/known", Buffer.from("x"), { ifAbsent: true });
    s3.resetCounts();
    s3.interrupt = ({ operation, nth }, truth) => {
      if (operation !== "PutObject" || nth > 0) return undefined;
      truth();
      return fault(503, "SlowDown");
    };
    expect(await driver.putContent("/a", Buffer.from("mine"), { ifAbsent: true })).toBe(true);
    s3.resetCounts();
    s3.interrupt = ({ operation, nth }) => {
      if (operation !== "PutObject" || nth > 0) return undefined;
      s3.put("b", "theirs");
      return fault(503, "SlowDown");
    };
    expect(await driver.putContent("/b", Buffer.from("mine"), { ifAbsent: true })).toBe(false);
    expect(s3.objects.get("b")!.bytes.toString()).toBe("theirs");
  });
});
