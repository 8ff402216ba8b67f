/** Checks of what a driver refuses at its door: what is no path, and signals that were aborted. */

import type { AbortOptions, StorageDriver } from "../../driver.js";
import { all, type ConformanceCheck, type MakeCheck, type OptionalMember, type Place } from "./check.js";
import { holds, rejectsAs, rejectsWith, same, show } from "./expecting.js";

/** One call of each member, at a path. */
interface Call {
  readonly member: OptionalMember | "stat" | "list" | "reader" | "delete";
  readonly changes: boolean;
  readonly call: (driver: Required<StorageDriver>, path: string, place: Place, options: AbortOptions) => Promise<unknown>;
}

const CALLS: readonly Call[] = [
  { member: "stat", changes: false, call: async (driver, path, _, options) => driver.stat(path, options) },
  { member: "list", changes: false, call: async (driver, path, _, options) => all(driver.list(path, options)) },
  { member: "reader", changes: false, call: async (driver, path, _, options) => driver.reader(path, options) },
  { member: "delete", changes: true, call: async (driver, path, _, options) => driver.delete(path, options) },
  { member: "getContent", changes: false, call: async (driver, path, _, options) => driver.getContent(path, options) },
  { member: "walk", changes: false, call: async (driver, path, _, options) => all(driver.walk(path, options)) },
  { member: "deleteFiles", changes: true, call: async (driver, path, _, options) => driver.deleteFiles([path], options) },
  {
    member: "pruneDirectories",
    changes: true,
    call: async (driver, path, place, options) => driver.pruneDirectories([path], { ...options, upTo: place.root }),
  },
  { member: "putContent", changes: true, call: async (driver, path, _, options) => driver.putContent(path, new Uint8Array([1]), options) },
  { member: "move", changes: true, call: async (driver, path, place, options) => driver.move(path, place.at("moved"), options) },
];

/**
 * Not one of these can be taken for a path outside of the place: a driver that believes them must do no harm. Whether `.` and `..` are
 * names is a driver's own business: what is asked of a driver never holds them.
 */
const WRONG_BELOW = ["a/", "/a", "a//b", "a b", "ä", "a\n", "a\0", "a\\b", "a:b", "a%2fb"];
/** For look-ups only. */
const WRONG_ANYWHERE = ["", "a", "a/b", "./a", "//"];

export function doorChecks(check: MakeCheck): ConformanceCheck[] {
  return [
    check("name: is something to show", [], async (_, driver) => {
      holds(typeof driver.name === "string" && driver.name !== "", `expected name to be a string, got ${show(driver.name)}`);
    }),
    ...CALLS.flatMap((each) => [pathCheck(check, each), signalCheck(check, each)]),
    check("move: a destination that is no path is INVALID_PATH, and the source stays", ["move"], async (place, driver) => {
      await place.files("source");
      for (const name of ["a/", "a b", "a//b"]) {
        await rejectsWith("INVALID_PATH", `move to ${JSON.stringify(name)}`, () =>
          driver.move(place.at("source"), `${place.root}/${name}`),
        );
      }
      same(await place.text("source"), "source", "the content of the source");
    }),
  ];
}

function pathCheck(check: MakeCheck, { member, changes, call }: Call): ConformanceCheck {
  return check(`${member}: what is no path is INVALID_PATH`, needsOf(member), async (place, driver) => {
    await place.files("a/b");
    const below = [...WRONG_BELOW.map((name) => `${place.root}/${name}`), `${place.root.slice(1)}/a`];
    for (const path of changes ? below : [...below, ...WRONG_ANYWHERE]) {
      await rejectsWith("INVALID_PATH", `${member} of ${JSON.stringify(path)}`, () => call(allOf(driver), path, place, {}));
    }
  });
}

function signalCheck(check: MakeCheck, { member, call }: Call): ConformanceCheck {
  return check(`${member}: a signal that is aborted already rejects, and nothing is done`, needsOf(member), async (place, driver) => {
    await place.files("file", "dir/empty/file");
    await driver.delete(place.at("dir/empty/file"));
    const before = await isThere(place, "dir/empty");
    const reason = new Error("the signal's reason");
    const options = { signal: AbortSignal.abort(reason) };
    for (const name of ["file", "dir/empty", "none"]) {
      await rejectsAs(reason, `${member} of ${name}`, () => call(allOf(driver), place.at(name), place, options));
    }
    same(await place.text("file"), "file", "the content of a file after calls that were aborted");
    for (const name of ["moved", "none"]) same(await isThere(place, name), false, `whether ${name} is there after calls that were aborted`);
    same(await isThere(place, "dir/empty"), before, "whether an empty directory is there, before and after calls that were aborted");
  });
}

async function isThere(place: Place, name: string): Promise<boolean> {
  return (await place.find(name)) !== undefined;
}

function needsOf(member: Call["member"]): OptionalMember[] {
  return member === "stat" || member === "list" || member === "reader" || member === "delete" ? [] : [member];
}

/** A call uses one member only, and its check has seen that it is there. */
function allOf(driver: StorageDriver): Required<StorageDriver> {
  return driver as Required<StorageDriver>;
}
