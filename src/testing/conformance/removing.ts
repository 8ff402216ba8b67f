/** Checks of what removes: `delete`, `deleteFiles`, `pruneDirectories`. */

import type { Failure } from "../../driver.js";
import { type ConformanceCheck, type MakeCheck, type Place } from "./check.js";
import { holds, outcomeOf, rejectsWith, same, sameSet, show } from "./expecting.js";

export function removingChecks(check: MakeCheck): ConformanceCheck[] {
  return [...deleteChecks(check), ...bulkChecks(check), ...pruneChecks(check)];
}

function deleteChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("delete: removes a file, and stat and reader see it", [], async (place, driver) => {
      await place.files("a/file", "a/other");
      await driver.delete(place.at("a/file"));
      await rejectsWith("PATH_NOT_FOUND", "stat of a file that was deleted", () => driver.stat(place.at("a/file")));
      await rejectsWith("PATH_NOT_FOUND", "reader of a file that was deleted", () => place.read("a/file"));
      await stays(place, "a/other");
    }),
    check("delete: removes all below", [], async (place, driver) => {
      const files = ["a/b", "a/c/d", "a/c/e/f/g"];
      await place.files(...files, "other");
      await driver.delete(place.at("a"));
      for (const name of ["a", ...files]) {
        await rejectsWith("PATH_NOT_FOUND", `stat of ${name}, after a was deleted`, () => driver.stat(place.at(name)));
      }
      await place.settle();
      sameSet(await place.names(""), ["other"], "list of the directory that was deleted from");
    }),
    check("delete: what stands beside the path stays, also what begins like it", [], async (place, driver) => {
      const beside = ["a/bc", "a/b.d", "a/b-d", "a/b0/x", "a/a/b/c", "b"];
      await place.files("a/b/c", ...beside, "f", "fg", "f.d/x");
      await driver.delete(place.at("a/b"));
      await driver.delete(place.at("f"));
      await stays(place, ...beside, "fg", "f.d/x");
    }),
    check("delete: what is absent is PATH_NOT_FOUND, and nothing goes", [], async (place, driver) => {
      await place.files("a/bc", "a/de/f");
      for (const name of ["none", "a/b", "a/d", "none/at/all"]) {
        await rejectsWith("PATH_NOT_FOUND", `delete of ${name}, where a/bc and a/de/f are`, () => driver.delete(place.at(name)));
      }
      await stays(place, "a/bc", "a/de/f");
    }),
    check("delete: removes more than a thousand", [], async (place, driver) => {
      await place.files(...Array.from({ length: 1001 }, (_, i) => `many/${i}`), "other");
      await driver.delete(place.at("many"));
      await rejectsWith("PATH_NOT_FOUND", "stat of a directory that was deleted", () => driver.stat(place.at("many")));
      await stays(place, "other");
    }),
  ];
}

function bulkChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("deleteFiles: removes exactly these files", ["deleteFiles"], async (place, driver) => {
      await place.files("a/b", "a/bc", "a/b.d", "c/d/e", "c/d/f");
      await place.write("empty", "");
      const failures = await driver.deleteFiles([place.at("a/b"), place.at("c/d/e"), place.at("empty")]);
      same(failures, [], "deleteFiles of three files");
      await areGone(place, "a/b", "c/d/e", "empty");
      await stays(place, "a/bc", "a/b.d", "c/d/f");
    }),
    check("deleteFiles: an absent one counts as removed", ["deleteFiles"], async (place, driver) => {
      await place.files("a/bc", "file");
      const failures = await driver.deleteFiles(["a/b", "none/at/all", "file", "file", "none"].map((name) => place.at(name)));
      same(failures, [], "deleteFiles, where four of five paths are absent, or told again");
      await areGone(place, "file");
      await stays(place, "a/bc");
    }),
    check("deleteFiles: a directory is left, with all in it", ["deleteFiles"], async (place, driver) => {
      await place.files("dir/deep/x", "file");
      const failures = await driver.deleteFiles([place.at("dir"), place.at("file"), place.at("dir/deep")]);
      await stays(place, "dir/deep/x");
      await areGone(place, "file");
      for (const failure of failures) {
        holds(failure.path.startsWith(place.at("dir")), `deleteFiles: expected none but directories to be left, got ${show(failure)}`);
        holds(isFailure(failure), `deleteFiles: expected failures with path, code and message, got ${show(failure)}`);
      }
    }),
    check("deleteFiles: takes more than a thousand", ["deleteFiles"], async (place, driver) => {
      const names = Array.from({ length: 1001 }, (_, i) => `many/${i}`);
      await place.files(...names, "many/other");
      const failures = await driver.deleteFiles([...names, "absent"].map((name) => place.at(name)));
      same(failures, [], "deleteFiles of 1001 files, and one that is absent");
      await place.settle();
      sameSet(await place.names("many"), ["many/other"], "list of what is left");
    }),
    check("deleteFiles: an empty list is nothing to do", ["deleteFiles"], async (place, driver) => {
      await place.files("file");
      same(await driver.deleteFiles([]), [], "deleteFiles of no path");
      await stays(place, "file");
    }),
  ];
}

function pruneChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("pruneDirectories: removes empty directories, then their empty parents", ["pruneDirectories"], async (place, driver) => {
      await place.files("r/a/b/c/file", "r/a/x/file");
      await driver.delete(place.at("r/a/b/c/file"));
      await driver.pruneDirectories([place.at("r/a/b/c")], { upTo: place.at("r") });
      await areGone(place, "r/a/b/c", "r/a/b");
      await stays(place, "r/a/x/file");
    }),
    check("pruneDirectories: never removes what holds anything", ["pruneDirectories"], async (place, driver) => {
      await place.files("r/full/file", "r/deep/er/file", "r/file");
      await place.write("r/zero/empty", "");
      const asked = ["r/full", "r/deep", "r/deep/er", "r/zero", "r/file", "r/none", "r/none/at/all"];
      await driver.pruneDirectories(
        asked.map((name) => place.at(name)),
        { upTo: place.at("r") },
      );
      await stays(place, "r/full/file", "r/deep/er/file", "r/file");
      same((await driver.stat(place.at("r/zero/empty"))).size, 0, "an empty file in a directory that was to be pruned");
    }),
    check("pruneDirectories: stops below upTo", ["pruneDirectories"], async (place, driver) => {
      await place.files("r/k/d/file");
      await driver.delete(place.at("r/k/d/file"));
      const before = await outcomeOf(() => driver.stat(place.at("r/k")));
      await driver.pruneDirectories([place.at("r/k"), place.at("r/k/d")], { upTo: place.at("r/k") });
      await areGone(place, "r/k/d");
      const after = await outcomeOf(() => driver.stat(place.at("r/k")));
      holds("error" in before || "value" in after, "expected upTo itself to stay; it is gone");
    }),
  ];
}

/** Files whose content is their name are there still. */
async function stays(place: Place, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const outcome = await outcomeOf(() => place.text(name));
    holds("value" in outcome, `expected ${name} to stay; it is gone, or can't be read`);
    same(outcome.value, name, `the content of ${name}, which was to stay`);
  }
}

async function areGone(place: Place, ...names: readonly string[]): Promise<void> {
  for (const name of names) await rejectsWith("PATH_NOT_FOUND", `stat of ${name}, which was removed`, () => place.stat(name));
}

function isFailure(value: Failure): boolean {
  return [value.path, value.code, value.message].every((each) => typeof each === "string");
}
