/** Checks of what writes: `putContent`, `move`, and the times that writes leave. */

import { setTimeout as sleep } from "node:timers/promises";
import { types } from "node:util";
import { codeOf } from "../../errors.js";
import { everyByte, LARGE, sameBytes } from "./bytes.js";
import type { ConformanceCheck, DriverWith, MakeCheck, Place } from "./check.js";
import { ConformanceError, describeError, holds, outcomeOf, refusesWhatIsThere, rejectsWith, same } from "./expecting.js";

/** Longer than the coarsest clock of a store that matters: whole seconds. */
const TICK_MS = 1100;
/** Writers at once. */
const WRITERS = 20;

export function writingChecks(check: MakeCheck): ConformanceCheck[] {
  return [...timeChecks(check), ...putChecks(check), ...ifAbsentChecks(check), ...moveChecks(check)];
}

function timeChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("modTime: is that of the last write, and moves forward", [], async (place) => {
      await place.write("old", "old");
      await place.write("again", "old");
      const [old, first] = [await timeOf(place, "old"), await timeOf(place, "again")];
      holds(
        first >= old,
        `of two files that were written one after the other: expected the later to be no older, got one ${old - first} ms older`,
      );
      await sleep(TICK_MS);
      await place.write("again", "new");
      const second = await timeOf(place, "again");
      holds(
        second > first,
        `a file that was written anew ${TICK_MS} ms later: expected a later modTime, got one ${second - first} ms later`,
      );
      same(await timeOf(place, "old"), old, "the modTime of a file that nobody has touched");
    }),
  ];
}

function putChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("putContent: writes a whole file, with the directories that it needs", ["putContent"], async (place, driver) => {
      await driver.putContent(place.at("a/b/c/file"), bytesOf("content"));
      await driver.putContent(place.at("empty"), bytesOf(""));
      same(await place.text("a/b/c/file"), "content", "the content");
      same((await driver.stat(place.at("empty"))).size, 0, "the size of an empty file");
      await place.settle();
      same(await place.names("a/b/c"), ["a/b/c/file"], "list of the directory that was written to");
    }),
    check("putContent: replaces the whole content", ["putContent"], async (place, driver) => {
      for (const content of ["first", "", "a longer one", "short"]) {
        await driver.putContent(place.at("file"), bytesOf(content));
        same(await place.text("file"), content, "the content after it was written anew");
      }
    }),
    check("putContent: readers see the old content or the new, whole", ["putContent"], async (place, driver) => {
      const [old, fresh] = ["o".repeat(200_000), "n".repeat(300_000)];
      await driver.putContent(place.at("file"), bytesOf(old));
      for (let round = 0; round < 10; round++) {
        const writing = driver.putContent(place.at("file"), bytesOf(round % 2 === 0 ? fresh : old));
        const seen = await Promise.all(Array.from({ length: 4 }, () => outcomeOf(() => place.text("file"))));
        await writing;
        for (const each of seen) {
          if ("error" in each) throw new ConformanceError(`a reader during a write: expected content, got ${describeError(each.error)}`);
          holds(
            each.value === old || each.value === fresh,
            `a reader during a write: expected ${old.length} or ${fresh.length} bytes, all of one write, got ${each.value.length}`,
          );
        }
      }
    }),
  ];
}

function ifAbsentChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("putContent: with ifAbsent it writes once and says so, or is UNSUPPORTED", ["putContent"], async (place, driver) => {
      const wrote = await putIfAbsent(place, driver, "a/lock", "first");
      if (wrote === undefined) return;
      same(wrote, true, "the answer where nothing is");
      same(await putIfAbsent(place, driver, "a/lock", "second"), false, "the answer where something is");
      same(await place.text("a/lock"), "first", "the content after a second write with ifAbsent");
      await driver.delete(place.at("a/lock"));
      same(await putIfAbsent(place, driver, "a/lock", "third"), true, "the answer where something was, and is gone");
      same(await place.text("a/lock"), "third", "the content after the write where something was, and is gone");
    }),
    check("putContent: with ifAbsent it leaves an empty file as it is", ["putContent"], async (place, driver) => {
      await place.write("empty", "");
      const wrote = await putIfAbsent(place, driver, "empty", "new");
      same(wrote ?? false, false, "the answer where an empty file is");
      same(await place.text("empty"), "", "the content of the empty file");
    }),
    check("putContent: of many with ifAbsent at once, one writes", ["putContent"], async (place, driver) => {
      const writers = Array.from({ length: WRITERS }, (_, i) => `writer ${i}`);
      const answers = await Promise.all(writers.map((writer) => putIfAbsent(place, driver, "lock", writer)));
      if (answers.every((answer) => answer === undefined)) return;
      const winners = writers.filter((_, i) => answers[i] === true);
      same(winners.length, 1, `of ${WRITERS} that wrote at once, those that were told that they did`);
      same(await place.text("lock"), winners[0], "the content that is there");
    }),
  ];
}

function moveChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("move: brings the content, and the source is gone", ["move"], async (place, driver) => {
      await place.files("from/file", "from/file.b");
      await place.write("from/empty", "");
      await place.write("from/large", everyByte(LARGE));
      await driver.move(place.at("from/file"), place.at("to/some/file"));
      await driver.move(place.at("from/empty"), place.at("empty"));
      await driver.move(place.at("from/large"), place.at("large"));
      same(await place.text("to/some/file"), "from/file", "the content at the destination");
      sameBytes(await place.read("large"), everyByte(LARGE), "the content of a large file at the destination");
      same((await place.stat("empty")).size, 0, "the size of an empty file at the destination");
      for (const name of ["from/file", "from/empty", "from/large"]) {
        await rejectsWith("PATH_NOT_FOUND", `stat of ${name}, which was moved`, () => place.stat(name));
      }
      same(await place.text("from/file.b"), "from/file.b", "what stood beside the source");
    }),
    check("move: never overwrites, and loses nothing", ["move"], async (place, driver) => {
      await place.files("source", "taken");
      await place.write("empty", "");
      await refusesWhatIsThere("move to where a file is", () => driver.move(place.at("source"), place.at("taken")));
      await refusesWhatIsThere("move to where an empty file is", () => driver.move(place.at("source"), place.at("empty")));
      same(await place.text("taken"), "taken", "the content of the file that was in the way");
      same(await place.text("empty"), "", "the content of the empty file that was in the way");
      same(await place.text("source"), "source", "the content of the source");
    }),
    check("move: an absent source is PATH_NOT_FOUND", ["move"], async (place, driver) => {
      await place.files("a/bc");
      for (const name of ["none", "a/b"]) {
        await rejectsWith("PATH_NOT_FOUND", `move of ${name}`, () => driver.move(place.at(name), place.at("to")));
      }
      await rejectsWith("PATH_NOT_FOUND", "stat of where nothing was moved to", () => place.stat("to"));
    }),
  ];
}

/** Milliseconds since 1970. */
async function timeOf(place: Place, name: string): Promise<number> {
  const { modTime } = await place.stat(name);
  holds(types.isDate(modTime) && !Number.isNaN(modTime.getTime()), `stat of a file: expected modTime to be a Date, got ${String(modTime)}`);
  return modTime.getTime();
}

/** What the store answers; `undefined` where it says that it can't. */
async function putIfAbsent(place: Place, driver: DriverWith<"putContent">, name: string, content: string): Promise<boolean | undefined> {
  const outcome = await outcomeOf(() => driver.putContent(place.at(name), bytesOf(content), { ifAbsent: true }));
  if ("value" in outcome) return outcome.value;
  if (codeOf(outcome.error) === "UNSUPPORTED") return undefined;
  throw new ConformanceError(`putContent with ifAbsent: expected an answer, or UNSUPPORTED; got ${describeError(outcome.error)}`, {
    cause: outcome.error,
  });
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
