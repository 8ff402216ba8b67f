/** Whether something is a run's report: it may come from a file, or from another version of the library. */

import type { GcReport } from "../index.js";

type Members = Readonly<Record<string, unknown>>;

const COUNTS = ["manifests", "blobs", "bytes", "layerLinks", "tagIndexEntries", "uploads", "repositories"];
const ASIDE = ["manifests", "blobs", "bytes"];

/** Members that are objects of numbers, and the numbers that they must have. */
const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  durationsMs: ["total"],
  marked: ["repositories", "tags", "manifests", "blobs"],
  eligible: COUNTS,
  deleted: COUNTS,
  kept: ["young", "protected"],
  quarantined: ASIDE,
  restored: ASIDE,
  returned: ASIDE,
  purged: COUNTS,
  storageCalls: [],
};

/** Members that are lists, and what each of their items must have. */
const LISTS: Readonly<Record<string, { readonly texts: readonly string[]; readonly numbers: readonly string[] }>> = {
  repositories: { texts: ["name"], numbers: ["manifests", "layerLinks", "tagIndexEntries", "bytes"] },
  problems: { texts: ["kind", "path", "message"], numbers: [] },
  failures: { texts: ["path", "code", "message"], numbers: [] },
};

/**
 * Lets reports pass.
 *
 * @throws TypeError that names the member that is wrong.
 */
export function requireReport(value: unknown): asserts value is GcReport {
  refusePromise(value);
  const report = membersOf("", value);
  const version = report["schemaVersion"];
  if (version !== 1) fail("schemaVersion", version, "1, the only one that this version of oci-registry-gc can show");
  for (const name of ["runId", "status", "driver", "safety", "startedAt", "finishedAt"]) requireText(name, report[name]);
  if (typeof report["dryRun"] !== "boolean") fail("dryRun", report["dryRun"], "true or false");
  for (const name of ["unrecognized", "problemCount", "failureCount"]) requireNumber(name, report[name]);
  for (const [name, required] of Object.entries(NUMBERS)) requireNumbers(name, membersOf(name, report[name]), required);
  const { remarks = [] } = report;
  if (!Array.isArray(remarks)) fail("remarks", remarks, "a list");
  for (const [i, remark] of remarks.entries()) requireText(`remarks[${i}]`, remark);
  for (const [reason, sum] of Object.entries(membersOf("reasons", report["reasons"]))) {
    const name = `reasons.${reason}`;
    requireNumbers(name, membersOf(name, sum), ["count", "bytes"]);
  }
  for (const [name, { texts, numbers }] of Object.entries(LISTS)) {
    const list = report[name];
    if (!Array.isArray(list)) fail(name, list, "a list");
    for (const [i, each] of list.entries()) {
      const item = membersOf(`${name}[${i}]`, each);
      for (const text of texts) requireText(`${name}[${i}].${text}`, item[text]);
      for (const number of numbers) requireNumber(`${name}[${i}].${number}`, item[number]);
    }
  }
}

/** All that are there must be numbers, and those that are required must be there. */
function requireNumbers(name: string, members: Members, required: readonly string[]): void {
  for (const each of required) requireNumber(`${name}.${each}`, members[each]);
  for (const [each, value] of Object.entries(members)) if (value !== undefined) requireNumber(`${name}.${each}`, value);
}

function requireNumber(name: string, value: unknown): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) fail(name, value, "a number, 0 or more");
}

function requireText(name: string, value: unknown): void {
  if (typeof value !== "string") fail(name, value, "a string");
}

function membersOf(name: string, value: unknown): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(name, value, "an object");
  return value as Members;
}

function fail(name: string, value: unknown, expected: string): never {
  const subject = name === "" ? "it" : name;
  throw new TypeError(`this is no report of a run: ${subject} is ${show(value)}; expected ${expected}`);
}

function show(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (value === null) return "null";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" ? JSON.stringify(value) : `a ${typeof value}`;
}

function refusePromise(value: unknown): void {
  if (value instanceof Promise) throw new TypeError("this is a promise, no report of a run: await markAndSweep(...) first");
}
