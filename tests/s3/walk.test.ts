/** Walks of many pages: what they cost, how they are parted, and what makes them fail rather than fall short. */

import { createHash } from "node:crypto";
import type { FileInfo } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { s3World, useStandIn } from "./s3Store.js";
import { fault, type S3Answer, type S3StandIn, xml } from "./standIn.js";

useStandIn();

/** Requests that a walk may make beyond its pages. */
const ALLOWANCE = 100;

async function walked(pages: AsyncIterable<readonly FileInfo[]>): Promise<string[]> {
  const paths: string[] = [];
  for await (const page of pages) for (const { path } of page) paths.push(path);
  return paths;
}

const hex = (n: number | string) => createHash("sha256").update(`${n}`).digest("hex");

function blobs(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `blobs/sha256/${hex(i).slice(0, 2)}/${hex(i)}/data`);
}

function repository(name: string, links: number): string[] {
  const revisions = Array.from({ length: links }, (_, i) => `repositories/${name}/_manifests/revisions/sha256/${hex(`${name} ${i}`)}/link`);
  const layers = Array.from({ length: links }, (_, i) => `repositories/${name}/_layers/sha256/${hex(`${name} layer ${i}`)}/link`);
  const tags = Array.from({ length: links / 10 }, (_, i) => `repositories/${name}/_manifests/tags/v${i}/current/link`);
  return [...revisions, ...layers, ...tags];
}

/** Small pages stand for large listings. */
const PAGE = 100;

const STORES: Readonly<Record<string, readonly string[]>> = {
  "blobs by their hashes": blobs(20_000),
  "many repositories alike": Array.from({ length: 200 }, (_, i) => repository(`team-${i % 7}/app-${i}`, 50)).flat(),
  "one repository that holds nearly all": [...repository("a", 10), ...repository("monster", 10_000), ...repository("z", 10)],
  "names that say nothing": Array.from({ length: 12_000 }, (_, i) => `flat/file number ${i}`),
  "deep and narrow": Array.from({ length: 12_000 }, (_, i) => `a/b/c/d/e/f/g/h/${i % 10}/${i}`),
  "names beyond ASCII": Array.from({ length: 3000 }, (_, i) => `u/${["ä", "€", "\ud83d\ude00", "\uffee", "z"][i % 5]}${i % 100}/${i}`),
};

describe.each(Object.entries(STORES))("%s", (_, keys) => {
  const setUp = (options = {}) => {
    const world = s3World(options);
    for (const key of keys) world.s3.put(key, "");
    world.s3.weak = { pageSize: PAGE };
    return world;
  };

  test("every key comes once, for its pages and the allowance", async () => {
    const { s3, driver } = setUp();
    const found = await walked(driver.walk("/"));
    expect(found.length).toBe(keys.length);
    expect(new Set(found)).toEqual(new Set(keys.map((key) => `/${key}`)));
    expect(s3.count()).toBe(s3.count("ListObjectsV2"));
    expect(s3.count()).toBeLessThanOrEqual(Math.ceil(keys.length / PAGE) + ALLOWANCE);
  });

  test("a store that does not know where to begin is read from the beginning, or refused", async () => {
    const { s3, driver } = setUp();
    s3.weak = { pageSize: PAGE, ignoresStartAfter: true };
    const found = await walked(driver.walk("/")).catch((error: unknown) => error);
    if (Array.isArray(found)) expect(new Set(found)).toEqual(new Set(keys.map((key) => `/${key}`)));
    else expect(found).toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("one request at a time reads it too", async () => {
    const { s3, driver } = setUp({ maxInFlight: 1 });
    expect((await walked(driver.walk("/"))).length).toBe(keys.length);
    expect(s3.maxInFlight).toBe(1);
    expect(s3.count()).toBe(Math.ceil(keys.length / PAGE));
  });
});

describe("what a walk costs", () => {
  test.each([1, 999, 1000, 1001, 5000, 9999, 10_000])("of %d keys, not one request more than its pages", async (count) => {
    const { s3, driver } = s3World();
    for (const key of blobs(count)) s3.put(key, "");
    expect((await walked(driver.walk("/blobs"))).length).toBe(count);
    expect(s3.count()).toBe(Math.ceil(count / 1000));
  });

  test.each(Object.entries(STORES).filter(([name]) => name !== "names that say nothing"))(
    "%s: with 16 at once, far fewer rounds than pages",
    async (_, keys) => {
      const { s3, driver } = s3World();
      for (const key of keys) s3.put(key, "");
      s3.weak = { pageSize: PAGE };
      // Time in rounds: each answers all requests that are there.
      let rounds = 0;
      let waiting: (() => void)[] = [];
      const round = () => {
        rounds++;
        for (const go of waiting.splice(0)) go();
      };
      let timer: NodeJS.Timeout | undefined;
      s3.interrupt = async () => {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          clearTimeout(timer);
          timer = setTimeout(round, 10);
        });
        return undefined;
      };
      await walked(driver.walk("/"));
      waiting = [];
      expect(s3.maxInFlight).toBeLessThanOrEqual(16);
      console.log(_, keys.length / PAGE, s3.count(), rounds);
      expect(rounds).toBeLessThan(0.3 * (keys.length / PAGE) + 15);
    },
  );

  test("a reader that is slow holds the walk up: little is in memory", async () => {
    const { s3, driver } = s3World();
    for (const key of STORES["blobs by their hashes"]!) s3.put(key, "");
    s3.weak = { pageSize: PAGE };
    let pages = 0;
    let furthest = 0;
    for await (const page of driver.walk("/blobs")) {
      expect(page.length).toBeGreaterThan(0);
      pages++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      furthest = Math.max(furthest, s3.count() - pages);
    }
    expect(furthest).toBeLessThan(100);
  });

  test("a reader that stops early stops the walk", async () => {
    const { s3, driver } = s3World();
    for (const key of STORES["blobs by their hashes"]!) s3.put(key, "");
    s3.weak = { pageSize: PAGE };
    let pages = 0;
    for await (const page of driver.walk("/blobs")) if (page.length > 0 && ++pages === 20) break;
    // Until nothing is asked any more: of a walk that goes on that is the end of all keys.
    for (let before = -1; before !== s3.count(); ) {
      before = s3.count();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(s3.count()).toBeLessThan(80);
  });
});

describe("a walk fails, and is never short", () => {
  const setUp = () => {
    const world = s3World({ retryBudgetMs: 300 });
    for (const key of blobs(3000)) world.s3.put(key, "");
    world.s3.weak = { pageSize: PAGE };
    return world;
  };
  const without = (answer: S3Answer, pattern: RegExp, instead = ""): S3Answer => ({
    ...answer,
    body: String(answer.body).replace(pattern, instead),
  });

  test.each<[string, number, (s3: S3StandIn, truth: () => S3Answer) => S3Answer]>([
    ["a continuation token is lost", 3, (_, truth) => without(truth(), /<NextContinuationToken>.*<\/NextContinuationToken>/)],
    [
      "a continuation token is empty",
      3,
      (_, truth) =>
        without(truth(), /<NextContinuationToken>.*<\/NextContinuationToken>/, "<NextContinuationToken></NextContinuationToken>"),
    ],
    ["the listing has no right to itself any more", 3, () => fault(403, "AccessDenied")],
    ["the store fails for good", 15, () => fault(500, "InternalError")],
    ["a page is cut off", 4, (_, truth) => ({ ...truth(), cutAt: 500 })],
    ["a page is cut off, and says it is whole", 4, (_, truth) => without(truth(), /<Contents>[^]*$/)],
    ["a page has fewer keys than it says", 4, (_, truth) => without(truth(), /<Contents>.*?<\/Contents>/)],
    ["a page is an error", 4, () => ({ status: 200, body: `${String(fault(200, "InternalError").body)}\n` })],
    ["a page is no listing", 4, () => xml("Hello", "")],
    ["a page is empty text", 4, () => ({ status: 200, body: "" })],
    ["a page names keys from elsewhere", 4, (_, truth) => without(truth(), /<Key>blobs/g, "<Key>other")],
  ])("where %s", async (_, from, answer) => {
    const { s3, driver } = setUp();
    s3.interrupt = ({ nth }, truth) => (nth >= from ? answer(s3, truth) : undefined);
    await expect(walked(driver.walk("/blobs"))).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/blobs" });
  });

  test.each([1, 4, 15])("where page %i says that it is the last, and gives a token: nothing is left out", async (wrong) => {
    const { s3, driver } = setUp();
    s3.interrupt = ({ nth }, truth) =>
      nth === wrong ? without(truth(), /<IsTruncated>true<\/IsTruncated>/, "<IsTruncated>false</IsTruncated>") : undefined;
    expect(await walked(driver.walk("/blobs"))).toHaveLength(3000);
  });

  test("where the last page gives a token: what that leads to tells", async () => {
    const { s3, driver } = setUp();
    const last = "<IsTruncated>false</IsTruncated><NextContinuationToken>more</NextContinuationToken>";
    s3.interrupt = ({ query }, truth) =>
      query.get("continuation-token") === "more"
        ? xml("ListBucketResult", last)
        : without(truth(), /<IsTruncated>false<\/IsTruncated>/, last);
    expect(await walked(driver.walk("/blobs"))).toHaveLength(3000);
  });

  test("where the same page comes again", async () => {
    const { s3, driver } = setUp();
    let page: S3Answer | undefined;
    s3.interrupt = ({ nth }, truth) => {
      if (nth >= 3) page ??= truth();
      return page;
    };
    await expect(walked(driver.walk("/blobs"))).rejects.toThrow(/can't be trusted/);
    expect(s3.count()).toBeLessThan(10);
  });

  test("where empty pages go round in a circle", async () => {
    const { s3, driver } = setUp();
    s3.interrupt = ({ nth }) =>
      xml("ListBucketResult", `<IsTruncated>true</IsTruncated><NextContinuationToken>t${nth % 3}</NextContinuationToken>`);
    await expect(walked(driver.walk("/blobs"))).rejects.toThrow(/same continuation token/);
    expect(s3.count()).toBeLessThan(10);
  });

  test("where keys come out of order", async () => {
    const { s3, driver } = setUp();
    s3.interrupt = (_, truth) => {
      const answer = truth();
      const contents = String(answer.body).match(/<Contents>.*?<\/Contents>/g) ?? [];
      return { ...answer, body: String(answer.body).replace(/<Contents>.*<\/Contents>/, contents.reverse().join("")) };
    };
    await expect(walked(driver.walk("/blobs"))).rejects.toThrow(/can't be trusted/);
  });

  test("a listing by directories too", async () => {
    const { s3, driver } = setUp();
    s3.interrupt = ({ nth }, truth) => (nth === 1 ? without(truth(), /<NextContinuationToken>.*<\/NextContinuationToken>/) : undefined);
    await expect(walked(driver.list("/blobs/sha256"))).rejects.toThrow(/can't be trusted/);
  });

  test("and nothing goes on behind it", async () => {
    const { s3, driver } = setUp();
    s3.interrupt = ({ nth }) => (nth === 20 ? fault(403, "AccessDenied") : undefined);
    await expect(walked(driver.walk("/blobs"))).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const then = s3.count();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(s3.count()).toBe(then);
  });
});
