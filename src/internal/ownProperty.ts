import { isObject } from "../errors.js";

/** A property of a parsed value, `undefined` where it has none of its own. */
export function ownProperty(value: unknown, name: string): unknown {
  if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
