/** The options of a run, checked once at the door, and its defaults. */

import { isRecord, property, requireMembers, show } from "./arguments.js";
import { DAY_MS } from "./clock.js";
import type { GcOptions } from "./options.js";

/** The options of a run, with every default filled in. */
export interface Settings extends GcOptions {
  readonly dryRun: boolean;
  readonly removeUntagged: boolean;
  readonly maxParallelManifestGets: number;
  readonly concurrency: number;
  readonly readOnly: boolean;
  readonly gracePeriodMs: number;
  readonly referrers: "keep-with-subject" | "ignore";
  readonly onDamage: "protect" | "abort";
  readonly removeLayerLinks: boolean;
  readonly removeEmptyRepositories: boolean;
  readonly maxDeleteRatio: number;
  readonly allowEmptyMark: boolean;
  readonly quarantine: boolean;
  readonly quarantineMs: number;
  readonly drainMs: number;
}

/**
 * The options with their defaults.
 *
 * @throws TypeError that names the option, its value and what is allowed.
 */
export function checkOptions(options: GcOptions): Settings {
  const given = givenOptions(options);
  const readOnly = given.readOnly === true;
  const settings = { ...DEFAULTS, readOnly, gracePeriodMs: readOnly ? 0 : DAY_MS, ...(given as Partial<Settings>) };
  return { ...settings, maxParallelManifestGets: Math.max(1, Math.floor(settings.maxParallelManifestGets)) };
}

/**
 * Those options that are given, inherited ones and getters, too: a `dryRun` must never be passed over.
 *
 * @throws TypeError as {@link checkOptions}.
 */
export function givenOptions(options: GcOptions): GcOptions {
  requireMembers("options", options, {});
  if (!isRecord(options)) throw new TypeError(`options must be an object, got ${show(options)}`);
  const given: Record<string, unknown> = {};
  for (const name of [...Object.keys(options), ...Object.keys(CHECKS)]) {
    const value = property(options, name);
    checkOption(name, value);
    if (value !== undefined) given[name] = value;
  }
  return given;
}

const DEFAULTS = {
  dryRun: false,
  removeUntagged: false,
  maxParallelManifestGets: 16,
  concurrency: 16,
  referrers: "keep-with-subject",
  onDamage: "protect",
  removeLayerLinks: true,
  removeEmptyRepositories: false,
  maxDeleteRatio: 0.5,
  allowEmptyMark: false,
  quarantine: true,
  quarantineMs: 7 * DAY_MS,
  drainMs: 120_000,
} as const;

/** @throws TypeError that names the option, its value and what is allowed. */
export function checkOption(name: string, value: unknown): void {
  if (!Object.hasOwn(CHECKS, name)) throw new TypeError(`there is no option ${show(name)}; there are ${Object.keys(CHECKS).join(", ")}`);
  const check = CHECKS[name as keyof GcOptions];
  if (value !== undefined && !check.holds(value)) throw new TypeError(`option ${name} is ${show(value)}; expected ${check.expected}`);
}

interface Check {
  readonly expected: string;
  holds(value: unknown): boolean;
}

const flag: Check = { expected: "true or false", holds: (value) => typeof value === "boolean" };
const hook: Check = { expected: "a function", holds: (value) => typeof value === "function" };
const milliseconds: Check = {
  expected: "a number of milliseconds, 0 or more",
  holds: (value) => typeof value === "number" && value >= 0,
};
const oneOf = (...values: readonly string[]): Check => ({
  expected: values.map((value) => show(value)).join(" or "),
  holds: (value) => typeof value === "string" && values.includes(value),
});

const CHECKS: Readonly<Record<keyof GcOptions, Check>> = {
  dryRun: flag,
  removeUntagged: flag,
  maxParallelManifestGets: {
    expected: "a number; below 1 counts as 1",
    holds: (value) => typeof value === "number" && !Number.isNaN(value) && value !== Number.POSITIVE_INFINITY,
  },
  concurrency: { expected: "a whole number, 1 or more", holds: (value) => Number.isSafeInteger(value) && (value as number) >= 1 },
  readOnly: flag,
  gracePeriodMs: milliseconds,
  referrers: oneOf("keep-with-subject", "ignore"),
  onDamage: oneOf("protect", "abort"),
  removeLayerLinks: flag,
  removeUploadsOlderThanMs: milliseconds,
  removeEmptyRepositories: flag,
  maxDeleteRatio: {
    expected: "a number from 0 to 1",
    holds: (value) => typeof value === "number" && value >= 0 && value <= 1,
  },
  allowEmptyMark: flag,
  keep: hook,
  onDeleted: hook,
  onItem: hook,
  onProgress: hook,
  quarantine: flag,
  quarantineMs: milliseconds,
  drainMs: { expected: "a finite number of milliseconds, 0 or more", holds: (value) => Number.isFinite(value) && (value as number) >= 0 },
  referenceCache: {
    expected: "an object with the functions get and set",
    holds: (value) => typeof property(value, "get") === "function" && typeof property(value, "set") === "function",
  },
  barrier: {
    expected: "what createWriteBarrier() gives",
    holds: (value) => typeof property(value, "protect") === "function" && typeof property(value, "removing") === "function",
  },
};
