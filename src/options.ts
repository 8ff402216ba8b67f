/** What a caller may say: the options of a run, checked once at the door. */

import type { MeterProvider, TracerProvider } from "@opentelemetry/api";
import type { Clock } from "./clock.js";
import type { StorageDriver } from "./driver.js";
import { isObject } from "./errors.js";
import type { Logger } from "./logger.js";
import type { Namespace } from "./namespace.js";
import type { ReferenceCache } from "./referenceCache.js";
import type { WriteBarrier } from "./writeBarrier.js";

/** What surrounds a run. Every field is optional. */
export interface GcContext {
  /**
   * After it fires no further removal starts, calls in flight settle, and the promise rejects with the signal's reason, the
   * partial report attached as `error.report` where the reason is an object.
   */
  readonly signal?: AbortSignal | undefined;
  /** Silent when absent. One that throws never breaks a run. */
  readonly logger?: Logger | undefined;
  /** OpenTelemetry providers; the global ones when absent. */
  readonly tracerProvider?: TracerProvider | undefined;
  readonly meterProvider?: MeterProvider | undefined;
  /** The real one when absent. */
  readonly clock?: Clock | undefined;
}

/** The kinds of things that a run removes. */
export type ItemKind = "manifest" | "blob" | "layerLink" | "tagIndexEntry" | "upload" | "repository";

/** Why something is to go; `onItem` and a report's `reasons` share these words. */
export type Reason =
  | "unreachable"
  | "untagged"
  | "index-entry-of-removed-manifest"
  | "layer-not-reached"
  | "upload-expired"
  | "repository-empty";

/** A planned deletion. */
export interface PlannedItem {
  readonly kind: ItemKind;
  readonly path: string;
  readonly repository?: string | undefined;
  readonly digest?: string | undefined;
  readonly bytes?: number | undefined;
  readonly reason: Reason;
}

/** Something that has become unavailable, confirmed. */
export interface DeletedItem {
  readonly kind: ItemKind;
  readonly path: string;
  readonly repository?: string | undefined;
  readonly digest?: string | undefined;
  readonly how: "deleted" | "aside";
}

/** The phases of a run, as `onProgress`, spans and `durationsMs` name them. */
export type Phase = "inventory" | "mark" | "look" | "sweep" | "drain" | "purge";

export interface Progress {
  readonly phase: Phase;
  /** Blobs in `inventory`, repositories in `mark` and `look`, items in `sweep` and `purge`, milliseconds in `drain`. */
  readonly done: number;
  readonly total?: number | undefined;
  readonly bytes?: number | undefined;
}

/** What `keep` decides by. */
export interface ManifestInfo {
  readonly repository: string;
  readonly digest: string;
  /** Of the document itself; absent where it says none. */
  readonly mediaType?: string | undefined;
  readonly artifactType?: string | undefined;
  readonly configMediaType?: string | undefined;
  /** The digest of the manifest that this one is about. */
  readonly subject?: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Bytes of the document. */
  readonly size: number;
  /** When the repository got it, by the storage's clock, where that is known. */
  readonly modTime?: Date | undefined;
}

export interface GcOptions {
  /** Plan everything, change nothing: not one mutating call. Default `false`. */
  readonly dryRun?: boolean | undefined;
  /** Also remove manifests that nothing keeps. Default `false`. */
  readonly removeUntagged?: boolean | undefined;
  /** Manifest reads in flight. Default 16; values below 1 count as 1. */
  readonly maxParallelManifestGets?: number | undefined;
  /** All other storage calls in flight. Default 16. */
  readonly concurrency?: number | undefined;
  /** The caller guarantees that nothing writes to the registry during the run. Turns the online protections off. Default `false`. */
  readonly readOnly?: boolean | undefined;
  /** Milliseconds. What is younger is kept, and so is all that it reaches. Default a day, with `readOnly` 0. */
  readonly gracePeriodMs?: number | undefined;
  /** Whether an untagged manifest whose `subject` is kept is kept too. Default `"keep-with-subject"`. */
  readonly referrers?: "keep-with-subject" | "ignore" | undefined;
  /** Damaged content: keep everything that its repository links and go on, or delete nothing anywhere. Default `"protect"`. */
  readonly onDamage?: "protect" | "abort" | undefined;
  /** Remove a repository's links to layers that its kept manifests no longer reach. Default `true`. */
  readonly removeLayerLinks?: boolean | undefined;
  /** Milliseconds. Remove upload sessions that showed no sign of life for longer. Default: off. */
  readonly removeUploadsOlderThanMs?: number | undefined;
  /** Remove repositories that hold nothing any more; `readOnly` runs only. Default `false`. */
  readonly removeEmptyRepositories?: boolean | undefined;
  /** Refuse a plan that would delete more than this share of the blobs, from 100 blobs up. Default 0.5; 1 switches it off. */
  readonly maxDeleteRatio?: number | undefined;
  /** Allow a plan that would delete blobs although no repository was found. Default `false`. */
  readonly allowEmptyMark?: boolean | undefined;
  /** `true` keeps a manifest and all that it reaches; asked of each that nothing else keeps. A throw ends the run before any delete. */
  readonly keep?: ((manifest: ManifestInfo) => boolean | Promise<boolean>) | undefined;
  /** Told in batches what has become unavailable, and awaited. A throw is tried again, then reported, never fatal. */
  readonly onDeleted?: ((items: readonly DeletedItem[]) => void | Promise<void>) | undefined;
  /** Told every planned deletion and its reason, once the plan stands. A throw ends the run before any delete. */
  readonly onItem?: ((item: PlannedItem) => void | Promise<void>) | undefined;
  /** Online: put garbage aside first, and delete it in a later run. Default `true`, where the driver has `putContent` and `move`. */
  readonly quarantine?: boolean | undefined;
  /** Milliseconds. How long things lie aside before a run deletes them. Default 7 days. */
  readonly quarantineMs?: number | undefined;
  /** Milliseconds. Longer than any request takes between its check and its write, and longer than listings lag. Default 120,000. */
  readonly drainMs?: number | undefined;
  /** Of a registry in this process: what it is about to promise stays. */
  readonly barrier?: WriteBarrier | undefined;
  /**
   * Remembers between runs what each manifest names: `memoryReferenceCache()`, or `fileReferenceCache(path)` of the filesystem driver.
   * A manifest that is remembered and that the inventory lists is not read again; one that rotted since is noticed by a run without it.
   */
  readonly referenceCache?: ReferenceCache | undefined;
  /** Told about ten times a second how far the run is. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

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

const DAY_MS = 86_400_000;

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
  if (Array.isArray(options)) throw new TypeError("options must be an object, got an array");
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
    holds: (value) => isObject(value) && "protect" in value && "removing" in value,
  },
};

/**
 * Checks that a driver and a registry are what they must be, before the first call.
 *
 * @throws TypeError that names the member that is missing.
 */
export function checkParts(ctx: GcContext, driver: StorageDriver, registry: Namespace): void {
  requireMembers("ctx", ctx, {});
  const { signal, logger, clock, tracerProvider, meterProvider } = ctx;
  if (signal !== undefined) requireMembers("ctx.signal", signal, { aborted: "boolean", addEventListener: "function" });
  if (logger !== undefined && typeof logger !== "function") requireMembers("ctx.logger", logger, {});
  if (clock !== undefined) requireMembers("ctx.clock", clock, { now: "function", sleep: "function" });
  if (tracerProvider !== undefined) requireMembers("ctx.tracerProvider", tracerProvider, { getTracer: "function" });
  if (meterProvider !== undefined) requireMembers("ctx.meterProvider", meterProvider, { getMeter: "function" });
  checkDriver(driver);
  requireMembers("registry", registry, { repositories: "function", blobs: "function" });
}

/** @throws TypeError that names the member that is missing. */
export function checkDriver(driver: StorageDriver): void {
  requireMembers("driver", driver, { name: "string", stat: "function", list: "function", reader: "function", delete: "function" });
}

function property(value: unknown, name: string): unknown {
  return isObject(value) ? (Reflect.get(value, name) as unknown) : undefined;
}

function requireMembers(what: string, value: unknown, members: Readonly<Record<string, "string" | "boolean" | "function">>): void {
  if (!isObject(value)) throw new TypeError(`${what} must be an object, got ${show(value)}`);
  for (const [name, type] of Object.entries(members)) {
    const actual = typeof property(value, name);
    if (actual !== type) throw new TypeError(`${what}.${name} must be a ${type}, got ${actual}`);
  }
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  return isObject(value) ? "an object" : String(value);
}
