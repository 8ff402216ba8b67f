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

/** Whether a value is an object with members of its own making: what a collection or a promise holds would pass unnoticed. */
export function isRecord(value: unknown): value is object {
  return isObject(value) && !(Symbol.iterator in value) && typeof property(value, "then") !== "function";
}

/**
 * Options of which an unknown one can't be passed over: another root would be worked on than was meant.
 *
 * @throws TypeError
 */
export function requireOptions(what: string, options: unknown, names: readonly string[]): void {
  const expected = `expected { ${names.join(", ")} }`;
  if (!isRecord(options)) throw new TypeError(`the options of ${what} are ${show(options)}; ${expected}`);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`the options of ${what} have ${show(unknown)}; ${expected}`);
}

/** A value, as a message shows it. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (!isObject(value)) return String(value);
  if (Array.isArray(value)) return "an array";
  return isRecord(value) ? "an object" : `a ${Object.prototype.toString.call(value).slice("[object ".length, -1)}`;
}
