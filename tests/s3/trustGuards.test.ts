/** What a store says that can't be: listings that don't advance or contradict each other, and moves to where something is. */

import type { FileInfo } from "oci-registry-gc";
import { afterEach, describe, expect, test, vi } from "vitest";
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

  test("that is empty, of a directory that another listing names, is an error", async () => {
    const { s3, driver } = s3World();
    s3.put("a/x", "");
    s3.interrupt = ({ query }) => (query.has("delimiter") ? xml("ListBucketResult", "<IsTruncated>false</IsTruncated>") : undefined);
    await expect(paths(driver.list("/a"))).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/a" });
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
