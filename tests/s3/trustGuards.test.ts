/** What a store says that can't be: listings that don't advance or contradict each other, and moves to where something is. */

import type { FileInfo } from "oci-registry-gc";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MOST_IDLE_PAGES, Progress } from "../../src/drivers/s3/pages.js";
import { s3World, useStandIn } from "./s3Store.js";
import { fault, type S3Answer, xml } from "./standIn.js";

useStandIn();
afterEach(() => {
  vi.useRealTimers();
});

/** The paths of a listing; of one that never ends no more than the first thousand. */
async function paths(pages: AsyncIterable<readonly FileInfo[]>): Promise<string[]> {
  const found: string[] = [];
  for await (const page of pages) {
    found.push(...page.map(({ path }) => path));
    if (found.length > 1000) throw new Error("it does not end");
  }
  return found;
}

/** A page that is not the last, with a token that no other page has. */
function page(token: number, keys: readonly string[], prefixes: readonly string[] = []): S3Answer {
  const contents = keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`);
  const common = prefixes.map((prefix) => `<CommonPrefixes><Prefix>${prefix}</Prefix></CommonPrefixes>`);
  const more = `<IsTruncated>true</IsTruncated><NextContinuationToken>t${token}</NextContinuationToken>`;
  return xml("ListBucketResult", `${more}${contents.join("")}${common.join("")}`);
}

describe("a listing", () => {
  test("whose pages name the last key again, under ever new tokens, can't be trusted", async () => {
    const { s3, driver } = s3World();
    s3.interrupt = ({ nth }) => page(nth, ["a/x"]);
    await expect(paths(driver.walk("/a"))).rejects.toThrow(/can't be trusted/);
    s3.resetCounts();
    await expect(paths(driver.list("/a"))).rejects.toThrow(/can't be trusted/);
  });

  test("whose directories come round again, under ever new tokens, can't be trusted", async () => {
    const { s3, driver } = s3World();
    s3.interrupt = ({ nth }) => page(nth, [], ["a/x/", "a/y/"]);
    await expect(paths(driver.list("/a"))).rejects.toThrow(/can't be trusted/);
  });

  test("that tells nothing new under ever new tokens ends some time, and can't be trusted; one that goes on is", () => {
    const progress = () => new Progress({ prefix: "a/", path: "/a", signal: undefined }, "bucket");
    const told = { objects: [], isTruncated: true };
    const idle = progress();
    let token = 0;
    const following = (count: number, prefixes: (i: number) => string[]) => {
      for (let i = 0; i < count; i++) idle.check({ ...told, prefixes: prefixes(i), token: `t${token++}` });
    };
    following(MOST_IDLE_PAGES, () => []);
    following(1, () => ["a/x/"]);
    following(MOST_IDLE_PAGES, (i) => (i % 2 === 0 ? ["a/x/"] : []));
    expect(() => following(1, () => ["a/x/"])).toThrow(/told nothing new on 10000 pages in a row: it can't be trusted/);
    const going = progress();
    for (let i = 0; i < 2 * MOST_IDLE_PAGES; i++) {
      const prefixes = [`a/${String(Math.floor(i / 2)).padStart(6, "0")}/`];
      expect(going.check({ ...told, prefixes, token: `t${i}` })).toBe(`t${i}`);
    }
  });

  test("leaves out the marker of the directory that it is of", async () => {
    const { s3, driver } = s3World();
    for (const key of ["a/", "a/b/", "a/b/c"]) s3.put(key, "");
    expect(await paths(driver.list("/"))).toEqual(["/a"]);
    expect(await paths(driver.list("/a"))).toEqual(["/a/b"]);
    expect(await paths(driver.list("/a/b"))).toEqual(["/a/b/c"]);
    s3.put("empty/", "");
    expect(await paths(driver.list("/empty"))).toEqual([]);
  });

  test("that is empty, of a directory that another listing names, is an error", async () => {
    const { s3, driver } = s3World();
    s3.put("a/x", "");
    s3.interrupt = ({ query }) => (query.has("delimiter") ? xml("ListBucketResult", "<IsTruncated>false</IsTruncated>") : undefined);
    await expect(paths(driver.list("/a"))).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/a" });
  });
});

describe("a store that begins a listing with an empty page", () => {
  /** As buckets of versions do, and legal. */
  const emptyFirst = ({ s3 }: ReturnType<typeof s3World>) => {
    s3.interrupt = ({ operation, query }) => {
      if (operation !== "ListObjectsV2" || query.has("continuation-token")) return undefined;
      const prefix = query.get("prefix") ?? "";
      const token = Buffer.from(prefix.slice(0, -1)).toString("base64");
      return xml(
        "ListBucketResult",
        `<KeyCount>0</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`,
      );
    };
  };

  test("has what lies there: it moves it in parts, and goes over nothing", async () => {
    const world = s3World();
    world.s3.weak = { mostCopyBytes: 4 };
    world.s3.put("large", "a large one");
    world.s3.put("there", "theirs");
    emptyFirst(world);
    await expect(world.driver.move("/large", "/there")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(world.s3.objects.get("there")?.bytes.toString()).toBe("theirs");
    await world.driver.move("/large", "/away");
    expect([...world.s3.objects.keys()].sort()).toEqual(["away", "there"]);
  });
});

describe("a move", () => {
  test("of what is too large for one copy does not go over what is there", async () => {
    const { s3, driver } = s3World();
    s3.put("z", "z");
    await driver.move("/z", "/y");
    s3.put("large", "", { size: 6 * 1024 ** 3 });
    s3.put("there", "theirs");
    s3.interrupt = ({ operation }) =>
      operation === "CopyObject" ? fault(400, "InvalidRequest", "The copy source is larger than the maximum allowable size") : undefined;
    await expect(driver.move("/large", "/there")).rejects.toThrow("something is there");
    expect(s3.objects.get("there")!.bytes.toString()).toBe("theirs");
    expect(s3.objects.has("large")).toBe(true);
  });

  test("whose answer was lost is not known again by content that is shorter than it is said to be", async () => {
    const { s3, driver } = s3World();
    s3.put("z", "z");
    await driver.move("/z", "/y");
    s3.put("a", "a", { size: 5 });
    s3.interrupt = ({ operation }) => {
      if (operation !== "CopyObject" || s3.objects.has("b")) return undefined;
      s3.put("b", "a", { size: 5 });
      s3.objects.set("b", { ...s3.objects.get("b")!, etag: '"none"' });
      return fault(503, "ServiceUnavailable");
    };
    await expect(driver.move("/a", "/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect([...s3.objects.keys()].sort()).toEqual(["a", "b", "y"]);
  });

  test("in parts, whose end is answered with a 200 that tells no result, keeps its source", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 300 });
    s3.put("large", "", { size: 6 * 1024 ** 3 });
    s3.interrupt = ({ operation }) => (operation === "CompleteMultipartUpload" ? xml("Hello", "") : undefined);
    await expect(driver.move("/large", "/moved")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect([...s3.objects.keys()]).toEqual(["large"]);
  });

  test("takes the object that was meant where the prefix of the bucket looks encoded", async () => {
    const { s3, driver } = s3World({ prefix: "a%62" });
    s3.put("a%62/x", "meant");
    s3.put("ab/x", "another");
    await driver.move("/x", "/y");
    expect([...s3.objects].map(([key, { bytes }]) => `${key} ${bytes.toString()}`).sort()).toEqual(["a%62/y meant", "ab/x another"]);
  });
});

test("a directory of which a key can't be deleted is not deleted", async () => {
  const { s3, driver } = s3World();
  for (const key of ["d/a", "d/b"]) s3.put(key, "");
  s3.interrupt = ({ operation }) =>
    operation === "DeleteObjects"
      ? xml("DeleteResult", "<Deleted><Key>d/a</Key></Deleted><Error><Key>d/b</Key><Code>AccessDenied</Code></Error>")
      : undefined;
  await expect(driver.delete("/d")).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/d" });
});

test("a request that is never answered is tried again after a minute", async () => {
  const { s3, driver } = s3World();
  s3.put("a", "x");
  s3.interrupt = ({ nth }) => (nth === 0 ? new Promise(() => undefined) : undefined);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const read = driver.getContent("/a");
  while (s3.count() === 0) await new Promise((resolve) => setImmediate(resolve));
  vi.advanceTimersByTime(60_000);
  expect(await read).toHaveLength(1);
  expect(s3.count()).toBe(2);
});
