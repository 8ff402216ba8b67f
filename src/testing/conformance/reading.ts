/** Checks of what gives content: `reader`, `getContent`. */

import { codeOf } from "../../errors.js";
import { everyByte, LARGE, sameBytes } from "./bytes.js";
import { type ConformanceCheck, type MakeCheck, readAll } from "./check.js";
import { ConformanceError, describeError, holds, outcomeOf, refuses, rejectsWith, same } from "./expecting.js";

export function readingChecks(check: MakeCheck): ConformanceCheck[] {
  return [...readerChecks(check), ...contentChecks(check)];
}

function readerChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("reader: gives the bytes that were written", [], async (place) => {
      for (const [name, bytes] of [
        ["every-byte", everyByte(256)],
        ["large", everyByte(LARGE)],
        ["lines", new TextEncoder().encode("a\r\nb\n\u0000ä\ufeff")],
      ] as const) {
        await place.write(name, bytes);
        sameBytes(await place.read(name), bytes, `the content of ${name}`);
      }
    }),
    check("reader: begins at its offset", [], async (place) => {
      const bytes = everyByte(100_000);
      await place.write("file", bytes);
      for (const offset of [0, 1, 50_000, 99_999, 100_000]) {
        sameBytes(await place.read("file", offset), bytes.slice(offset), `the content of 100000 bytes from offset ${offset}`);
      }
    }),
    check("reader: past the end there is nothing", [], async (place) => {
      await place.files("file");
      const outcome = await outcomeOf(() => place.read("file", 50));
      if ("value" in outcome) {
        same(outcome.value.length, 0, "bytes of a file of 4 bytes from offset 50");
        return;
      }
      if (codeOf(outcome.error) === "INVALID_OFFSET") return;
      throw new ConformanceError(`reading past the end: expected no bytes, or INVALID_OFFSET; got ${describeError(outcome.error)}`);
    }),
    check("reader: a negative offset is INVALID_OFFSET", [], async (place, driver) => {
      await place.files("file");
      for (const offset of [-1, -5]) {
        await rejectsWith("INVALID_OFFSET", `reader from offset ${offset}`, () => readAll(driver, place.at("file"), offset));
      }
    }),
    check("reader: what is absent is PATH_NOT_FOUND", [], async (place) => {
      await place.files("a/bc");
      for (const name of ["b", "a/b", "none/at/all"]) {
        await rejectsWith("PATH_NOT_FOUND", `reader of ${name}, where only a/bc is`, () => place.read(name));
      }
    }),
    check("reader: a directory has no content", [], async (place) => {
      await place.files("a/file");
      await refuses("reader of a directory", () => place.read("a"));
    }),
    check("reader: gives the bytes of the last write", [], async (place) => {
      for (const content of ["first", "second", "a third, and longer"]) {
        await place.write("file", content);
        same(await place.text("file"), content, "the content after it was written anew");
      }
    }),
    check("reader: an empty file is there, and empty", [], async (place, driver) => {
      await place.write("a/empty", "");
      same((await place.read("a/empty")).length, 0, "bytes of an empty file");
      same((await driver.stat(place.at("a/empty"))).size, 0, "the size that stat tells of an empty file");
      await place.settle();
      same(await place.names("a"), ["a/empty"], "list of a directory with an empty file");
      await driver.delete(place.at("a/empty"));
      await rejectsWith("PATH_NOT_FOUND", "stat of an empty file that was deleted", () => driver.stat(place.at("a/empty")));
    }),
  ];
}

function contentChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("getContent: gives the bytes that were written", ["getContent"], async (place, driver) => {
      for (const size of [0, 1, 256, LARGE]) {
        await place.write(`${size}`, everyByte(size));
        sameBytes(await driver.getContent(place.at(`${size}`)), everyByte(size), `the content of ${size} bytes`);
      }
    }),
    check("getContent: gives the bytes of the last write", ["getContent"], async (place, driver) => {
      for (const content of ["first", "second", "a third, and longer"]) {
        await place.write("file", content);
        same(new TextDecoder().decode(await driver.getContent(place.at("file"))), content, "the content after it was written anew");
      }
    }),
    check("getContent: never cuts silently at maxBytes", ["getContent"], async (place, driver) => {
      const bytes = everyByte(1000);
      await place.write("file", bytes);
      await place.write("empty", "");
      for (const maxBytes of [0, 1, 999, 1000, 1001]) {
        const content = await driver.getContent(place.at("file"), { maxBytes });
        const least = Math.min(maxBytes + 1, bytes.length);
        holds(content.length >= least, `of 1000 bytes with maxBytes ${maxBytes}: expected ${least} or more, got ${content.length}`);
        sameBytes(content, bytes.slice(0, content.length), `the content with maxBytes ${maxBytes}`);
      }
      same((await driver.getContent(place.at("empty"), { maxBytes: 0 })).length, 0, "bytes of an empty file with maxBytes 0");
    }),
    check("getContent: what is absent is PATH_NOT_FOUND", ["getContent"], async (place, driver) => {
      await place.files("a/bc");
      for (const name of ["b", "a/b", "none/at/all"]) {
        await rejectsWith("PATH_NOT_FOUND", `getContent of ${name}, where only a/bc is`, () => driver.getContent(place.at(name)));
      }
    }),
    check("getContent: a directory has no content", ["getContent"], async (place, driver) => {
      await place.files("a/file");
      await refuses("getContent of a directory", () => driver.getContent(place.at("a")));
    }),
  ];
}
