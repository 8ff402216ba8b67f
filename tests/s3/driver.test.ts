/** The S3 driver's own promises, on the stand-in: keys and prefixes, what listings tell, reads, writes, moves, deletes, errors. */

import { Agent } from "node:http";
import type { Readable } from "node:stream";
import type { FileInfo, StorageDriver } from "oci-registry-gc";
import { markAndSweep, openRegistry } from "oci-registry-gc";
import { S3Driver } from "oci-registry-gc/drivers/s3";
import { describe, expect, test } from "vitest";
import { clientOf, s3World, useStandIn } from "./s3Store.js";
import { fault, xml } from "./standIn.js";

useStandIn();

/** Matchers, of a type that says nothing. */
const containing = (text: string): unknown => expect.stringContaining(text);
const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const bytes = (text: string) => Buffer.from(text);

async function all(pages: AsyncIterable<readonly FileInfo[]>): Promise<FileInfo[]> {
  const infos: FileInfo[] = [];
  for await (const page of pages) infos.push(...page);
  return infos;
}

async function paths(pages: AsyncIterable<readonly FileInfo[]>): Promise<string[]> {
  return (await all(pages)).map(({ path }) => path).sort();
}

async function read(driver: StorageDriver, path: string, offset = 0): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await driver.reader(path, { offset })) as Readable) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}

describe("keys", () => {
  test.each([
    ["", ""],
    ["/", ""],
    ["pre", "pre/"],
    ["/pre", "pre/"],
    ["pre/", "pre/"],
    ["//pre/fix//", "pre/fix/"],
  ])("prefix %j puts %j before them", async (prefix, base) => {
    const { s3, driver } = s3World({ prefix });
    s3.put(`${base}a/b`, "x");
    s3.put(`${base}ab`, "y");
    if (base !== "") s3.put("a/beside", "z");
    expect(await paths(driver.list("/"))).toEqual(["/a", "/ab"]);
    expect(await paths(driver.walk("/"))).toEqual(["/a/b", "/ab"]);
    expect(await read(driver, "/a/b")).toBe("x");
    await driver.putContent("/c", bytes("new"));
    expect(s3.objects.has(`${base}c`)).toBe(true);
    await driver.delete("/a");
    expect([...s3.objects.keys()].sort()).toEqual([...(base === "" ? [] : ["a/beside"]), `${base}ab`, `${base}c`].sort());
  });

  test("a marker of the prefix itself is nothing below it", async () => {
    const { s3, driver } = s3World({ prefix: "pre" });
    s3.put("pre/", "");
    s3.put("pre/a", "x");
    expect(await paths(driver.list("/"))).toEqual(["/a"]);
    expect(await paths(driver.walk("/"))).toEqual(["/a"]);
  });

  const ODD = [
    "dir/",
    "dir//",
    "dir//x",
    "dir/a b",
    "dir/ä",
    "dir/\u0001",
    "dir/..",
    "dir/x/../y",
    "dir/100%",
    "dir/a+b",
    "dir/<&>",
    "dir/😀",
  ];

  test("that no path can name are told under no path's name, and left by every delete", async () => {
    const { s3, driver } = s3World();
    for (const key of ["dir/file", ...ODD, "dir/b/c"]) s3.put(key, "");
    const walked = await paths(driver.walk("/dir"));
    expect(walked.sort()).toEqual(["/dir/file", "/dir/b/c", ...ODD.map((key) => `/${key}`)].sort());
    const listed = await all(driver.list("/dir"));
    expect(
      listed
        .filter(({ path }) => /^(\/[\w.-]+)+$/.test(path) && !path.endsWith(".."))
        .map(({ path }) => path)
        .sort(),
    ).toEqual(["/dir/b", "/dir/file", "/dir/x"]);
    await driver.delete("/dir");
    expect([...s3.objects.keys()].sort()).toEqual([...ODD].sort());
    await expect(driver.delete("/dir")).rejects.toMatchObject({ code: "DRIVER_ERROR", message: containing("left 12 keys") });
    expect(s3.objects.size).toBe(ODD.length);
  });

  test("that no path can name count as unrecognized in a run, and stay", async () => {
    const { s3, driver } = s3World();
    const root = "docker/registry/v2";
    const digest = "a".repeat(64);
    const odd = [
      ...[`${root}/blobs/`, `${root}/blobs/sha256/`, `${root}/blobs/sha256/aa/${digest}/data/`, `${root}/blobs/sha256/aa/a b`],
      ...[`${root}/repositories/`, `${root}/repositories/app/`, `${root}/repositories/app/_manifests/`],
      ...[
        `${root}/repositories/app/_layers/sha256/${digest}/link/`,
        `${root}/repositories/app/_uploads/id/`,
        `${root}/repositories/ä/_layers/x`,
      ],
    ];
    for (const key of odd) s3.put(key, "", { time: 0 });
    s3.put(`${root}/repositories/app/_layers/sha256/${digest}/link`, `sha256:${digest}`, { time: 0 });
    s3.put(`${root}/blobs/sha256/aa/${digest}/data`, "garbage", { time: 0 });
    const report = await markAndSweep({}, driver, openRegistry(driver), {
      readOnly: true,
      removeUploadsOlderThanMs: 0,
      removeEmptyRepositories: true,
    });
    expect(report).toMatchObject({ status: "completed", unrecognized: odd.length, deleted: { blobs: 1 } });
    expect([...s3.objects.keys()].sort()).toEqual([...odd].sort());
  });
});

describe("what listings tell", () => {
  test("size, time, and the MD5 of what was written in one part", async () => {
    const { s3, driver } = s3World();
    s3.put("a/single", "hello", { time: 1_700_000_000_000 });
    s3.objects.set("a/parts", { ...s3.objects.get("a/single")!, etag: `"${"0".repeat(32)}-2"` });
    s3.objects.set("a/odd", { ...s3.objects.get("a/single")!, etag: '"other"' });
    s3.forgetOrder();
    const [odd, parts, single] = await all(driver.walk("/a"));
    expect(single).toMatchObject({ path: "/a/single", size: 5, modTime: new Date(1_700_000_000_000) });
    expect(Buffer.from(single!.md5!).toString("hex")).toBe("5d41402abc4b2a76b9719d911017c592");
    expect([parts!.md5, odd!.md5]).toEqual([undefined, undefined]);
    expect((await driver.stat("/a/single")).md5).toEqual(single!.md5);
    expect((await all(driver.list("/a"))).at(-1)).toEqual(single);
  });

  test("a file and a directory of one name are two things", async () => {
    const { s3, driver } = s3World();
    for (const key of ["a/b", "a/b/c", "a/b-c"]) s3.put(key, "x");
    const infos = await all(driver.list("/a"));
    expect(infos.map(({ path, isDirectory }) => `${path} ${isDirectory}`).sort()).toEqual(["/a/b false", "/a/b true", "/a/b-c false"]);
    await driver.delete("/a/b");
    expect([...s3.objects.keys()]).toEqual(["a/b-c"]);
  });

  test("stat finds a directory behind names that begin like it", async () => {
    const { s3, driver } = s3World();
    for (let i = 0; i < 50; i++) s3.put(`a/b-${i}`, "");
    await expect(driver.stat("/a/b")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    s3.put("a/b/c", "");
    expect(await driver.stat("/a/b")).toEqual({ path: "/a/b", isDirectory: true });
    expect(s3.count()).toBe(s3.count("ListObjectsV2"));
  });

  test("a common prefix that comes on two pages is one directory", async () => {
    const { s3, driver } = s3World();
    for (const key of ["d/a/1", "d/a/2", "d/b/1"]) s3.put(key, "");
    const page = (isTruncated: boolean, ...prefixes: string[]) =>
      xml(
        "ListBucketResult",
        `<IsTruncated>${isTruncated}</IsTruncated>${isTruncated ? "<NextContinuationToken>t</NextContinuationToken>" : ""}${prefixes.map((each) => `<CommonPrefixes><Prefix>${each}</Prefix></CommonPrefixes>`).join("")}`,
      );
    s3.interrupt = ({ query }) => (query.has("continuation-token") ? page(false, "d/a/", "d/b/") : page(true, "d/a/"));
    expect(await paths(driver.list("/d"))).toEqual(["/d/a", "/d/b"]);
  });

  test("an empty first look at a listing or a walk is not believed", async () => {
    const { s3, driver } = s3World();
    s3.put("a/b/c", "x");
    const empty = xml("ListBucketResult", "<IsTruncated>false</IsTruncated>");
    s3.interrupt = ({ nth }) => (nth === 0 ? empty : undefined);
    expect(await paths(driver.list("/a"))).toEqual(["/a/b"]);
    s3.resetCounts();
    expect(await paths(driver.walk("/a"))).toEqual(["/a/b/c"]);
    expect(s3.count()).toBe(2);
  });

  test("empty pages in the middle are no end", async () => {
    const { s3, driver } = s3World();
    const more = (token: string) =>
      xml("ListBucketResult", `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>`);
    s3.put("a/x", "");
    s3.interrupt = ({ nth, query }, truth) => {
      if (nth < 3) return more(`t${nth}`);
      query.delete("continuation-token");
      return truth();
    };
    expect(await paths(driver.walk("/a"))).toEqual(["/a/x"]);
  });
});

describe("reads", () => {
  test("ten thousand through a pool of four sockets, some cut short, some thrown away", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const { s3, driver } = s3World({}, { requestHandler: { httpAgent: agent } });
    s3.put("small", "x".repeat(71));
    s3.put("large", "x".repeat(200_000));
    let done = 0;
    const work = async () => {
      while (done < 10_000) {
        const n = done++;
        if (n % 100 === 1) (await driver.reader("/large")).destroy();
        else if (n % 100 === 2) expect(await driver.getContent("/large", { maxBytes: 10 })).not.toHaveLength(200_000);
        else if (n % 100 === 3) await expect(driver.getContent("/none")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
        else if (n % 100 === 4) expect(await read(driver, "/small", 71)).toBe("");
        else if (n % 100 === 5) expect(await read(driver, "/large", 199_990)).toHaveLength(10);
        else expect(await driver.getContent("/small")).toHaveLength(71);
      }
    };
    await Promise.all(Array.from({ length: 16 }, work));
    expect(s3.count("GetObject")).toBe(10_000);
    expect(s3.maxInFlight).toBeLessThanOrEqual(4);
    agent.destroy();
  });

  test("a body that ends early is read again, and given up at the end of the budget", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 1000 });
    s3.put("a", "content");
    s3.interrupt = ({ nth }, truth) => (nth === 0 ? { ...truth(), cutAt: 3 } : undefined);
    expect(Buffer.from(await driver.getContent("/a")).toString()).toBe("content");
    s3.interrupt = (_, truth) => ({ ...truth(), cutAt: 3 });
    await expect(driver.getContent("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/a" });
    await expect(read(driver, "/a")).rejects.toThrow();
  });

  test("a checksum in the answer changes nothing", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "content");
    s3.interrupt = (_, truth) => {
      const answer = truth();
      return { ...answer, headers: { ...answer.headers, "x-amz-checksum-crc32": "AAAAAA==" } };
    };
    expect(await read(driver, "/a")).toBe("content");
    expect(Buffer.from(await driver.getContent("/a")).toString()).toBe("content");
    expect(s3.requests.every(({ headers }) => headers["x-amz-checksum-mode"] === undefined)).toBe(true);
  });

  test("a store that knows no ranges is not believed", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "content");
    s3.interrupt = () => ({ status: 200, body: "content" });
    await expect(read(driver, "/a", 3)).rejects.toMatchObject({ code: "DRIVER_ERROR" });
  });

  test("a 404 without a code is an absence only where a listing says so too", async () => {
    const { s3, driver } = s3World();
    s3.put("there", "x");
    s3.interrupt = ({ operation }) => (operation === "GetObject" ? { status: 404, body: "not found" } : undefined);
    await expect(driver.getContent("/there")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(driver.reader("/there")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    await expect(driver.getContent("/none")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
    await expect(driver.reader("/none")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });

  test("an aborted signal ends a stream", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "x".repeat(1_000_000));
    const controller = new AbortController();
    const stream = await driver.reader("/a", { signal: controller.signal });
    controller.abort(new Error("stop"));
    await expect(async () => {
      for await (const chunk of stream) expect(chunk).toBeDefined();
    }).rejects.toThrow();
  });
});

describe("moves", () => {
  test("are two requests, once it is known that the store keeps a condition", async () => {
    const { s3, driver } = s3World();
    for (let i = 0; i < 21; i++) s3.put(`from/${i}`, `${i}`);
    await driver.move("/from/20", "/to/20");
    s3.resetCounts();
    await Promise.all(Array.from({ length: 20 }, (_, i) => driver.move(`/from/${i}`, `/to/${i}`)));
    expect(s3.counts).toEqual({ CopyObject: 20, DeleteObject: 20 });
    expect([...s3.objects].map(([key, { bytes: content }]) => `${key} ${content.toString()}`).sort()).toEqual(
      Array.from({ length: 21 }, (_, i) => `to/${i} ${i}`).sort(),
    );
  });

  test("of many at once, one finds that out, and the others wait", async () => {
    const { s3, driver } = s3World();
    for (let i = 0; i < 20; i++) s3.put(`from/${i}`, `${i}`);
    await Promise.all(Array.from({ length: 20 }, (_, i) => driver.move(`/from/${i}`, `/to/${i}`)));
    expect(s3.counts).toEqual({ ListObjectsV2: 1, CopyObject: 21, DeleteObject: 20 });
  });

  test.each([{ ignoresConditions: true }, { refusesConditions: 501 }, { refusesConditions: 400 }, { refusesConditions: 405 }] as const)(
    "never overwrite where a store %j",
    async (weak) => {
      const { s3, driver } = s3World();
      s3.weak = weak;
      for (const key of ["a", "b", "taken"]) s3.put(key, key);
      await driver.move("/a", "/moved");
      await expect(driver.move("/b", "/taken")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      expect(s3.objects.get("taken")!.bytes.toString()).toBe("taken");
      expect([...s3.objects.keys()].sort()).toEqual(["b", "moved", "taken"]);
    },
  );

  test("a 200 whose body is an error is an error: nothing is deleted", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 500 });
    s3.put("a", "x");
    for (const body of [fault(200, "InternalError").body!, `${String(fault(200, "AccessDenied").body)}\n`, ""]) {
      s3.interrupt = ({ operation }) => (operation === "CopyObject" ? { status: 200, body } : undefined);
      await expect(driver.move("/a", "/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      expect([...s3.objects.keys()]).toEqual(["a"]);
    }
  });

  test("such an error is tried again like any other", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "x");
    s3.interrupt = ({ operation, nth }) => (operation === "CopyObject" && nth === 0 ? fault(200, "SlowDown") : undefined);
    await driver.move("/a", "/b");
    expect([...s3.objects.keys()]).toEqual(["b"]);
  });

  test("a copy whose answer was lost is known again", async () => {
    const { s3, driver } = s3World();
    for (const key of ["a", "b"]) s3.put(key, key);
    await driver.move("/a", "/x");
    s3.resetCounts();
    s3.interrupt = ({ operation, nth }, truth) => {
      if (operation !== "CopyObject" || nth > 0) return undefined;
      truth();
      return fault(503, "ServiceUnavailable");
    };
    await driver.move("/b", "/y");
    expect([...s3.objects.keys()].sort()).toEqual(["x", "y"]);
  });

  describe.each([
    ["of parts", `"${"0".repeat(32)}-2"`, `"${"1".repeat(32)}-2"`],
    ["encrypted", `"${"0".repeat(32)}"`, `"${"1".repeat(32)}"`],
    ["untold", "", ""],
  ])("a copy whose answer was lost, of an object whose checksum is %s,", (_, theirs, copied) => {
    const lost = (content: string) => {
      const { s3, driver } = s3World({ retryBudgetMs: 1000 });
      s3.put("z", "z");
      s3.put("a", "a");
      s3.objects.set("a", { ...s3.objects.get("a")!, etag: theirs });
      s3.interrupt = ({ operation, key }, truth) => {
        if (operation !== "CopyObject" || key !== "b" || s3.objects.has("b")) return undefined;
        truth();
        s3.put("b", content);
        s3.objects.set("b", { ...s3.objects.get("b")!, etag: copied });
        return fault(503, "ServiceUnavailable");
      };
      return { s3, driver };
    };

    test("is known again by its content", async () => {
      const { s3, driver } = lost("a");
      await driver.move("/z", "/y");
      await driver.move("/a", "/b");
      expect([...s3.objects.keys()].sort()).toEqual(["b", "y"]);
    });

    test.each(["x", "longer"])("is none where somebody else has written %j there: both stay", async (other) => {
      const { s3, driver } = lost(other);
      await driver.move("/z", "/y");
      await expect(driver.move("/a", "/b")).rejects.toThrow("something is there");
      expect([...s3.objects.keys()].sort()).toEqual(["a", "b", "y"]);
    });
  });

  test("above 5 GiB they go in parts", async () => {
    const { s3, driver } = s3World();
    const size = 5 * 1024 ** 3 + 1;
    s3.put("large", "", { size });
    await driver.move("/large", "/moved/large");
    expect(s3.counts["UploadPartCopy"]).toBe(6);
    expect(s3.objects.get("moved/large")!.size).toBe(size);
    expect(s3.objects.has("large")).toBe(false);
    expect(s3.openUploads).toBe(0);
  });

  test("parts whose last answer was lost are known again, and only where the copy is there", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 1000 });
    const size = 6 * 1024 ** 3;
    const losing = (isDone: boolean) => {
      s3.resetCounts();
      s3.interrupt = ({ operation, nth }, truth) => {
        if (operation !== "CompleteMultipartUpload") return undefined;
        if (nth > 0) return fault(404, "NoSuchUpload");
        if (isDone) truth();
        return fault(503, "ServiceUnavailable");
      };
    };
    s3.put("large", "", { size });
    losing(false);
    await expect(driver.move("/large", "/moved")).rejects.toThrow("cannot move /large to /moved: the store knows its parts no more");
    expect([...s3.objects.keys()]).toEqual(["large"]);
    losing(true);
    await driver.move("/large", "/moved");
    expect([...s3.objects.keys()]).toEqual(["moved"]);
    expect(s3.objects.get("moved")!.size).toBe(size);
  });

  test("parts of a move that failed are not left behind, and the source stays", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 100 });
    s3.put("large", "", { size: 6 * 1024 ** 3 });
    s3.interrupt = ({ operation, nth }) => (operation === "UploadPartCopy" && nth === 3 ? fault(403, "AccessDenied") : undefined);
    await expect(driver.move("/large", "/moved")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(s3.openUploads).toBe(0);
    expect([...s3.objects.keys()]).toEqual(["large"]);
  });
});

describe("what goes wrong", () => {
  const CALLS: readonly (readonly [string, (driver: S3Driver, path: string) => Promise<unknown>])[] = [
    ["stat", (driver, path) => driver.stat(path)],
    ["list", (driver, path) => all(driver.list(path))],
    ["walk", (driver, path) => all(driver.walk(path))],
    ["reader", (driver, path) => driver.reader(path)],
    ["getContent", (driver, path) => driver.getContent(path)],
    ["delete", (driver, path) => driver.delete(path)],
    ["putContent", (driver, path) => driver.putContent(path, bytes("x"))],
    ["putContent ifAbsent", (driver, path) => driver.putContent(path, bytes("x"), { ifAbsent: true })],
    ["move", (driver, path) => driver.move(path, "/elsewhere")],
  ];

  test.each(CALLS)("%s: a bucket that is not there is no absence", async (_, call) => {
    const { s3 } = s3World();
    const driver = new S3Driver({ client: clientOf(s3), bucket: "nowhere" });
    await expect(call(driver, "/a")).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      path: "/a",
      message: matching(/no bucket "nowhere".*check the bucket's name/),
    });
    expect(s3.count("HeadObject")).toBe(0);
  });

  test.each([
    [403, "AccessDenied", /access to bucket "bucket" is denied.*permissions/],
    [403, "InvalidAccessKeyId", /credentials are not accepted for bucket "bucket"/],
    [403, "SignatureDoesNotMatch", /credentials are not accepted for bucket "bucket"/],
    [301, "PermanentRedirect", /bucket "bucket" is in another region, eu-west-1: make the client/],
    [400, "AuthorizationHeaderMalformed", /bucket "bucket" is in another region, eu-west-1: make the client/],
  ])("%s %s says what to do", async (status, code, message) => {
    const { s3, driver } = s3World();
    s3.interrupt = () => fault(status, code, code, { "x-amz-bucket-region": "eu-west-1" });
    for (const [, call] of CALLS)
      await expect(call(driver, "/a")).rejects.toMatchObject({ code: "DRIVER_ERROR", message: matching(message) });
    const failures = await driver.deleteFiles(["/a", "/b"]);
    expect(failures).toMatchObject([{ path: "/a", message: matching(message) }, { path: "/b" }]);
  });

  test("a run against a bucket that is not there says so once, and deletes nothing", async () => {
    const { s3 } = s3World();
    const driver = new S3Driver({ client: clientOf(s3), bucket: "nowhere" });
    await expect(markAndSweep({}, driver, openRegistry(driver), { readOnly: true })).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: containing('"nowhere"'),
    });
    expect(s3.count("DeleteObjects") + s3.count("DeleteObject")).toBe(0);
  });

  test("no credentials at all", async () => {
    const { s3 } = s3World();
    const missing = () => Promise.reject(Object.assign(new Error("Could not load"), { name: "CredentialsProviderError" }));
    const driver = new S3Driver({ client: clientOf(s3, { credentials: missing }), bucket: "bucket" });
    await expect(driver.stat("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR", message: containing("no credentials") });
  });

  test("a signal that has fired ends every call before any request", async () => {
    const { s3, driver } = s3World();
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(driver.stat("/a", { signal })).rejects.toBe(reason);
    await expect(all(driver.walk("/a", { signal }))).rejects.toBe(reason);
    await expect(driver.deleteFiles(["/a"], { signal })).rejects.toBe(reason);
    await expect(driver.putContent("/a", bytes(""), { ifAbsent: true, signal })).rejects.toBe(reason);
    await expect(driver.move("/a", "/b", { signal })).rejects.toBe(reason);
    expect(s3.count()).toBe(0);
  });

  test("a signal that fires ends a call under way with its reason", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "x");
    for (const call of [
      (signal: AbortSignal) => driver.stat("/a", { signal }),
      (signal: AbortSignal) => all(driver.walk("/", { signal })),
      (signal: AbortSignal) => driver.getContent("/a", { signal }),
      (signal: AbortSignal) => driver.deleteFiles(["/a"], { signal }),
      (signal: AbortSignal) => driver.putContent("/a", bytes("y"), { signal }),
    ]) {
      const controller = new AbortController();
      const reason = new Error("stop");
      s3.interrupt = () => {
        controller.abort(reason);
        return new Promise(() => undefined);
      };
      await expect(call(controller.signal)).rejects.toBe(reason);
    }
    expect(s3.objects.get("a")!.bytes.toString()).toBe("x");
  });

  test.each([
    { client: {} },
    { bucket: "" },
    { bucket: 7 },
    { prefix: 7 },
    { retryBudgetMs: -1 },
    { retryBudgetMs: Number.POSITIVE_INFINITY },
    { maxRequestsPerSecond: 0 },
    { maxInFlight: 0 },
    { maxInFlight: 1.5 },
  ])("%j is no option", (wrong) => {
    const { s3 } = s3World();
    expect(() => new S3Driver({ client: clientOf(s3), bucket: "bucket", ...wrong } as never)).toThrow(
      new RegExp(`option ${Object.keys(wrong)[0]} is .*expected`),
    );
  });
});
