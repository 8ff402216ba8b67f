/** Answers of drivers in JavaScript: what is none is a TypeError, and what nobody knows is undefined. */

import type { FileInfo } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { bytesIn, checkPage, fileInfoIn, fileInfosIn, pagesIn, sizeIn, streamIn } from "../src/internal/driverAnswers.js";

const TIME = new Date(1_700_000_000_000);
const MD5 = new Uint8Array(16);
const file = (more: object = {}) => ({ path: "/a", isDirectory: false, ...more }) as FileInfo;

/** What is no file's description, in any place. */
const NONE: readonly unknown[] = [
  undefined,
  null,
  "/a",
  7,
  {},
  { path: "/a" },
  file({ isDirectory: "no" }),
  file({ isDirectory: null }),
  file({ modTime: "2026-01-01" }),
  file({ modTime: 1_700_000_000_000 }),
  file({ md5: "0123" }),
];

describe("what is at a path", () => {
  test("is told of the path that was asked for, with all that is known", () => {
    const answer = file({ path: "/other", size: 3, modTime: TIME, md5: MD5, isLink: true, more: 1 });
    expect(fileInfoIn("/a", answer)).toEqual({ path: "/a", isDirectory: false, size: 3, modTime: TIME, md5: MD5, isLink: true });
  });

  test.each([undefined, null, new Date(Number.NaN)])("has no time where that is %s", (modTime) => {
    expect(fileInfoIn("/a", file({ modTime })).modTime).toBeUndefined();
  });

  test("has no MD5 where that is null", () => expect(fileInfoIn("/a", file({ md5: null })).md5).toBeUndefined());

  test.each(NONE)("is not %j", (answer) => expect(() => fileInfoIn("/a", answer as FileInfo)).toThrow(TypeError));

  test("is taken of many answers only where it is about that path", () => {
    const answers = [file(), file({ path: "/elsewhere" }), ...NONE, file({ path: "/z" })] as FileInfo[];
    const paths = ["/a", "/b", ...NONE.map(() => "/a"), "/z"];
    expect(fileInfosIn(paths, answers)).toEqual([answers[0], undefined, ...NONE.map(() => undefined), answers.at(-1)]);
  });
});

test.each([
  [0, 0],
  [5, 5],
  [-1, undefined],
  [0.5, undefined],
  [Number.NaN, undefined],
  [Number.POSITIVE_INFINITY, undefined],
  [2 ** 53, undefined],
  ["5", undefined],
  [null, undefined],
  [undefined, undefined],
  [5n, undefined],
])("a size of %s is %s", (size, bytes) => expect(sizeIn(size)).toBe(bytes));

describe("a page", () => {
  const check = (method: string, page: unknown) => () => checkPage(method, page as FileInfo[]);

  test.each(["list", "walk"])("of %s is an array of descriptions", (method) => {
    expect(check(method, [file(), file({ modTime: TIME, md5: MD5 })])).not.toThrow();
    expect(check(method, [])).not.toThrow();
    for (const page of [undefined, null, "page", {}, new Set([file()])]) expect(check(method, page)).toThrow(TypeError);
    for (const each of NONE.filter((none) => method === "list" || JSON.stringify(none) !== '{"path":"/a"}')) {
      expect(check(method, [file(), each])).toThrow(TypeError);
    }
    expect(check(method, [{ isDirectory: false }])).toThrow(TypeError);
  });

  test("of a walk need not say that what it names are files; a listing must", () => {
    expect(check("walk", [{ path: "/a" }])).not.toThrow();
    expect(check("list", [{ path: "/a" }])).toThrow(TypeError);
  });
});

test.each([undefined, null, "bytes", [1, 2], {}, new ArrayBuffer(1), new DataView(new ArrayBuffer(1))])("bytes are not %s", (answer) => {
  expect(() => bytesIn(answer as Uint8Array)).toThrow(/getContent must give bytes/);
});

test("bytes are", () => {
  for (const bytes of [new Uint8Array(1), Buffer.from("a")]) expect(bytesIn(bytes)).toBe(bytes);
});

test("a stream is what can be piped or read", () => {
  const web = new Blob(["a"]).stream();
  expect(streamIn(web)).toBe(web);
  for (const none of [undefined, null, "text", Buffer.from("a"), {}, Promise.resolve(web)]) expect(() => streamIn(none)).toThrow(TypeError);
});

test("pages are an async iterable; of a promise instead, the failure ends no process", async () => {
  const pages = (async function* () {
    yield [];
  })();
  expect(pagesIn("list", pages)).toBe(pages);
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  process.on("unhandledRejection", note);
  for (const none of [undefined, null, [[]], {}, Promise.reject(new Error("EIO"))]) {
    expect(() => pagesIn("list", none as never)).toThrow(/list must give an async iterable of pages/);
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});
