/** Checks of what tells what is there: `stat`, `list`, `walk`. */

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { types } from "node:util";
import type { FileInfo, StorageDriver } from "../../driver.js";
import { codeOf } from "../../errors.js";
import { all, type ConformanceCheck, type MakeCheck, type Place } from "./check.js";
import { describeError, holds, outcomeOf, rejectsWith, same, sameSet } from "./expecting.js";

/** More than any store tells on one page. */
const MANY = 1001;
/** Names that begin alike, in files and in directories; `a/b` is the one that others begin like. */
const ALIKE = ["a/b/c", "a/bc", "a/b-d", "a/b.d", "a/b0/x", "a-b", "a.b/x", "ab/x"];
/** Every kind of character that a path may have. */
const ODD_NAMES = [".hidden", "_under", "-dash", "trailing.", "two..dots", "UPPER", "0", "__proto__", "constructor", "f".repeat(128)];
/** Longer than what {@link isNear} takes for the same time, and a second more for stores that tell whole seconds. */
const APART_MS = 2200;

export function listingChecks(check: MakeCheck): ConformanceCheck[] {
  return [...statChecks(check), ...listChecks(check), ...walkChecks(check), ...freshChecks(check)];
}

function statChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("stat: tells a file, with its size and time", [], async (place, driver) => {
      await place.write("a/file", "12345");
      const info = await driver.stat(place.at("a/file"));
      same({ path: info.path, isDirectory: info.isDirectory, size: info.size }, fileAt(place.at("a/file"), 5), "stat of a file");
      holds(isTime(info.modTime), `stat of a file: expected modTime to be a Date, got ${String(info.modTime)}`);
    }),
    check("stat: tells a directory", [], async (place, driver) => {
      await place.files("a/b/file");
      for (const path of [place.at("a"), place.at("a/b")]) {
        const { path: told, isDirectory } = await driver.stat(path);
        same({ path: told, isDirectory }, { path, isDirectory: true }, "stat of a directory");
      }
    }),
    check("stat: what is absent is PATH_NOT_FOUND", [], async (place, driver) => {
      await place.files("a/file");
      for (const name of ["b", "a/b", "none/at/all", "a/file/below"]) {
        await rejectsWith("PATH_NOT_FOUND", `stat of ${name}, where only a/file is`, () => driver.stat(place.at(name)));
      }
    }),
    check("stat: a mere prefix of a name is absent", [], async (place, driver) => {
      await place.files("a/bc", "a/de/f");
      for (const name of ["a/b", "a/d"]) {
        await rejectsWith("PATH_NOT_FOUND", `stat of ${name}, where a/bc and a/de/f are`, () => driver.stat(place.at(name)));
      }
    }),
  ];
}

function listChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("list: names the direct children, each once", [], async (place, driver) => {
      await place.files("a/file", "a/dir/file", "a/dir/more", "a/dir/deep/er/file", "b");
      const kinds = (await all(driver.list(place.at("a")))).map((info) => `${place.nameOf(info)} ${kindOf(info)}`);
      sameSet(kinds, ["a/file file", "a/dir directory"], "list of a directory with a file and a directory");
      sameSet(await place.names(""), ["a", "b"], "list of a directory with one of each");
    }),
    check("list: names that begin alike are told apart", [], async (place) => {
      await place.files(...ALIKE);
      sameSet(await place.names(""), ["a", "a-b", "a.b", "ab"], "list of the directory above");
      sameSet(await place.names("a"), ["a/b", "a/bc", "a/b-d", "a/b.d", "a/b0"], "list of a");
      sameSet(await place.names("a/b"), ["a/b/c"], "list of a/b");
    }),
    check("list: every name that a path may have", [], async (place) => {
      await place.files(...ODD_NAMES);
      sameSet(await place.names(""), ODD_NAMES, "list of odd names");
      for (const name of ODD_NAMES) same(await place.text(name), name, `the content of ${name}`);
    }),
    check("list: what is absent is PATH_NOT_FOUND", [], async (place, driver) => {
      await place.files("a/bc/file");
      for (const name of ["b", "a/b", "none/at/all"]) {
        await rejectsWith("PATH_NOT_FOUND", `list of ${name}, where only a/bc/file is`, () => all(driver.list(place.at(name))));
      }
    }),
    check("list: of a file is no absence", [], async (place, driver) => {
      await place.files("file");
      const outcome = await outcomeOf(() => all(driver.list(place.at("file"))));
      if (!("error" in outcome)) {
        same(outcome.value, [], "list of a file");
        return;
      }
      holds(codeOf(outcome.error) !== "PATH_NOT_FOUND", "list of a file: expected another error, got PATH_NOT_FOUND, although it is there");
    }),
    check("list: a directory that was emptied is an empty listing, or absent", [], async (place, driver) => {
      await place.files("a/file");
      await driver.delete(place.at("a/file"));
      await place.settle();
      const outcome = await outcomeOf(() => place.names("a"));
      if (!("error" in outcome)) {
        same(outcome.value, [], "list of a directory that was emptied");
        return;
      }
      await rejectsWith("PATH_NOT_FOUND", "list of a directory that was emptied", () => Promise.reject(outcome.error));
    }),
    check("list: goes on past a thousand, each once", [], async (place) => {
      const files = numbered("many/");
      await place.files(...files);
      sameSet(await place.names("many"), files, `list of ${MANY} files`);
      sameSet(await place.names(""), ["many"], "list of the directory above");
    }),
    check("list: goes on past a thousand directories, each once", [], async (place) => {
      const directories = numbered("many/");
      await place.files(...directories.flatMap((each) => `${each}/file`), "many/1/more");
      sameSet(await place.names("many"), directories, `list of ${MANY} directories`);
    }),
    check("list: sizes, times and checksums are right where it tells them", [], async (place, driver) => {
      await place.write("a/file", "12345");
      await place.write("a/empty", "");
      await place.settle();
      const stats = [await driver.stat(place.at("a/file")), await driver.stat(place.at("a/empty"))];
      for (const info of await all(driver.list(place.at("a")))) {
        const stat = stats.find(({ path }) => path === info.path);
        const content = info.path === place.at("a/file") ? "12345" : "";
        if (info.size !== undefined) same(info.size, content.length, `the size that list tells of ${place.nameOf(info)}`);
        if (info.modTime !== undefined)
          holds(isNear(info.modTime, stat?.modTime), `list: expected the time of stat, got ${String(info.modTime)}`);
        isChecksumRight(info, content);
      }
    }),
  ];
}

function walkChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("walk: names every file below, with size and time, and no directory", ["walk"], async (place, driver) => {
      await place.files("a/file", "a/dir/file", "a/dir/deep/er/file", "b");
      const infos = await all(driver.walk(place.at("")));
      sameSet(
        infos.map((info) => place.nameOf(info)),
        ["a/file", "a/dir/file", "a/dir/deep/er/file", "b"],
        "walk",
      );
      for (const info of infos) {
        const name = place.nameOf(info);
        same({ isDirectory: info.isDirectory, size: info.size }, { isDirectory: false, size: name.length }, `what walk tells of ${name}`);
        holds(isTime(info.modTime), `walk: expected modTime of ${name} to be a Date, got ${String(info.modTime)}`);
        const { modTime } = await driver.stat(info.path);
        holds(isNear(info.modTime, modTime), `walk: expected the time of stat for ${name}, got ${String(info.modTime)}`);
        isChecksumRight(info, name);
      }
    }),
    check("walk: names that begin alike are told apart", ["walk"], async (place, driver) => {
      await place.files(...ALIKE);
      const walked = async (name: string) => (await all(driver.walk(place.at(name)))).map((info) => place.nameOf(info));
      sameSet(await walked(""), ALIKE, "walk of all");
      sameSet(
        await walked("a"),
        ALIKE.filter((name) => name.startsWith("a/")),
        "walk of a",
      );
      sameSet(await walked("a/b"), ["a/b/c"], "walk of a/b");
    }),
    check("walk: nothing below is an empty listing", ["walk"], async (place, driver) => {
      await place.files("a/bc", "a/de/f");
      for (const name of ["none", "a/b", "a/bc", "a/d"]) same(await all(driver.walk(place.at(name))), [], `walk of ${name}`);
    }),
    check("walk: goes on past a thousand, each once", ["walk"], async (place, driver) => {
      const files = [...numbered("many/"), "many/1.deep/er", "more/file"];
      await place.files(...files);
      const infos = await all(driver.walk(place.at("")));
      sameSet(
        infos.map((info) => place.nameOf(info)),
        files,
        `walk of ${files.length} files`,
      );
    }),
    check("walk: empty files are files", ["walk"], async (place, driver) => {
      await place.write("a/empty", "");
      await place.settle();
      const infos = await all(driver.walk(place.at("a")));
      same(
        infos.map(({ path, isDirectory, size }) => ({ path, isDirectory, size })),
        [fileAt(place.at("a/empty"), 0)],
        "walk",
      );
    }),
  ];
}

/** A blob that is pushed again is written over: who tells what was there before has a collector take it for old, and remove it. */
function freshChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("list: tells of a file that was written anew what it is now", [], async (place, driver) => {
      await toldAnew(place, driver, async () => all(driver.list(place.at("a"))));
    }),
    check("walk: tells of a file that was written anew what it is now", ["walk"], async (place, driver) => {
      await toldAnew(place, driver, async () => all(driver.walk(place.at(""))));
    }),
    check("list: a signal that is aborted between two pages never shortens it", [], async (place, driver) => {
      const files = numbered("many/");
      await place.files(...files);
      await neverShort(place, files, (signal) => driver.list(place.at("many"), { signal }));
    }),
    check("walk: a signal that is aborted between two pages never shortens it", ["walk"], async (place, driver) => {
      const files = numbered("many/");
      await place.files(...files);
      await neverShort(place, files, (signal) => driver.walk(place.at(""), { signal }));
    }),
  ];
}

/** Asked before and after: a driver may remember. */
async function toldAnew(place: Place, driver: StorageDriver, ask: () => Promise<FileInfo[]>): Promise<void> {
  const path = place.at("a/file");
  await place.write("a/file", "old");
  await place.settle();
  await ask();
  await driver.stat(path);
  await sleep(APART_MS);
  const content = "a newer one";
  await place.write("a/file", content);
  await place.settle();
  const stat = await driver.stat(path);
  same(stat.size, content.length, "the size that stat tells of a file that was written anew");
  const infos = await ask();
  same(
    infos.map((info) => info.path),
    [path],
    "a listing of one file",
  );
  for (const info of infos) {
    if (info.size !== undefined) same(info.size, content.length, "the size that a listing tells of a file that was written anew");
    if (info.modTime !== undefined)
      holds(
        isNear(info.modTime, stat.modTime),
        `a file that was written anew: expected the time that stat tells, ${String(stat.modTime)}, got ${String(info.modTime)}`,
      );
    isChecksumRight(info, content);
  }
}

async function neverShort(
  place: Place,
  files: readonly string[],
  list: (signal: AbortSignal) => AsyncIterable<readonly FileInfo[]>,
): Promise<void> {
  const reason = new Error("the signal's reason");
  const controller = new AbortController();
  const outcome = await outcomeOf(async () => {
    const infos: FileInfo[] = [];
    for await (const page of list(controller.signal)) {
      for (const info of page) infos.push(info);
      controller.abort(reason);
    }
    return infos;
  });
  if ("value" in outcome) {
    sameSet(
      outcome.value.map((info) => place.nameOf(info)),
      files,
      "a listing whose signal was aborted after the first page",
    );
    return;
  }
  const { error } = outcome;
  holds(error === reason, `a listing whose signal was aborted: expected the signal's reason, or all of it; got ${describeError(error)}`);
}

function numbered(start: string): string[] {
  return Array.from({ length: MANY }, (_, i) => `${start}${i}`);
}

function fileAt(path: string, size: number): FileInfo {
  return { path, isDirectory: false, size };
}

function kindOf({ isDirectory }: FileInfo): string {
  return isDirectory ? "directory" : "file";
}

function isTime(time: unknown): time is Date {
  return types.isDate(time) && !Number.isNaN(time.getTime());
}

/** Stores tell the same time in more or fewer digits. */
function isNear(one: Date | undefined, other: Date | undefined): boolean {
  return isTime(one) && isTime(other) && Math.abs(one.getTime() - other.getTime()) <= 1000;
}

function isChecksumRight({ path, md5 }: FileInfo, content: string): void {
  if (!md5) return;
  const right = createHash("md5").update(content).digest("hex");
  same(Buffer.from(md5).toString("hex"), right, `the md5 that a listing tells of ${path}`);
}
