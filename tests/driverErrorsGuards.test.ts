/** What a driver throws: only what a driver can know is believed, and an absence only where there can be one. */

import { DriverError, InvalidPathError, LockedError, PathNotFoundError, UnsupportedError } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { toDriverError } from "../src/internal/driverErrors.js";

const told = (error: unknown, method = "stat", signal?: AbortSignal) => toDriverError("x", method, "/a", error, signal);

describe("an aborted run", () => {
  const reason = new Error("stop");
  const signal = AbortSignal.abort(reason);

  test("gets its own reason, as it is", () => {
    expect(told(reason, "stat", signal)).toBe(reason);
    const absent = Object.assign(new Error("gone"), { code: "PATH_NOT_FOUND" });
    expect(told(absent, "walk", AbortSignal.abort(absent))).toBe(absent);
  });

  test("gets no other error as it is; and one that runs gets no reason", () => {
    expect(told(new Error("EIO"), "stat", signal)).toMatchObject({ code: "DRIVER_ERROR", message: "x: stat of /a failed: EIO" });
    expect(told(reason, "stat", new AbortController().signal)).toMatchObject({ code: "DRIVER_ERROR" });
  });
});

describe("an absence", () => {
  const absent = Object.assign(new Error("nothing there"), { code: "PATH_NOT_FOUND" });

  test.each(["stat", "list", "reader", "getContent", "delete", "move", "reading"])("is one for %s, whoever's error it is", (method) => {
    expect(told(absent, method)).toBe(absent);
  });

  test.each(["walk", "putContent"])("is a failed call for %s: there is none", (method) => {
    expect(told(absent, method)).toMatchObject({ code: "DRIVER_ERROR", cause: absent });
    expect(told(new PathNotFoundError("/a", "x"), method)).toBeInstanceOf(DriverError);
  });

  test.each([
    [Object.assign(new Error("x"), { code: "ENOENT" }), true],
    [new Error("No such key"), true],
    [new Error("the object was not found"), true],
    [new Error("could not be found"), true],
    [new Error("it does not exist"), true],
    [new Error("knot founded"), false],
    [new Error("EIO"), false],
  ])("in words of its own is none, and the driver is told how to say it: %s %s", (error, isHint) => {
    const failed = told(error) as DriverError;
    expect(failed.code).toBe("DRIVER_ERROR");
    expect(failed.message.includes("PATH_NOT_FOUND")).toBe(isHint);
  });
});

describe("an error of this package", () => {
  test.each([new DriverError("no", { driverName: "x" }), new UnsupportedError("no"), new InvalidPathError("/a", "x")])(
    "that a driver may throw is left as it is: %s",
    (error) => expect(told(error)).toBe(error),
  );

  test("that is none of a driver's is a failed call: it knows nothing of locks", () => {
    expect(told(new LockedError("locked"))).toMatchObject({ code: "DRIVER_ERROR" });
  });

  test.each(["DRIVER_ERROR", "INVALID_PATH", "LOCKED"])("is known by its brand, and not by its code alone: %s", (code) => {
    const foreign = Object.assign(new Error("foreign"), { code });
    expect(told(foreign)).toMatchObject({ code: "DRIVER_ERROR", message: "x: stat of /a failed: foreign", cause: foreign });
  });

  test("that says it is unsupported says so by its code, too", () => {
    const foreign = Object.assign(new Error("read-only"), { code: "UNSUPPORTED" });
    expect(told(foreign, "putContent")).toMatchObject({ code: "UNSUPPORTED", message: "x: putContent of /a failed: read-only" });
  });
});
