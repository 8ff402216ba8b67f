/** What callers hand over, looked at before it is used. */

import { isObject } from "./errors.js";

/** A property of an argument, an inherited one or a getter, too. */
export function property(value: unknown, name: string): unknown {
  return isObject(value) ? (Reflect.get(value, name) as unknown) : undefined;
}

/** @throws TypeError that names the member that is missing. */
export function requireMembers(what: string, value: unknown, members: Readonly<Record<string, "string" | "boolean" | "function">>): void {
  if (!isObject(value)) throw new TypeError(`${what} must be an object, got ${show(value)}`);
  for (const [name, type] of Object.entries(members)) {
    const actual = typeof property(value, name);
    if (actual !== type) throw new TypeError(`${what}.${name} must be a ${type}, got ${actual}`);
  }
}

/** A value, as a message shows it. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  return isObject(value) ? "an object" : String(value);
}
