/** A report's numbers in the order in which they are shown; the terminal and the page show the same. */

import type { GcReport, RepositoryCounts, SweepCounts } from "../index.js";
import { printable } from "./printable.js";
import { PHASES, reasonWords, wordFor } from "./words.js";

/** Something that is to go, or went, and why. */
export interface ReasonRow {
  readonly what: string;
  readonly why: string;
  readonly count: number;
  readonly bytes: number;
}

/** The reasons, the heaviest first. */
export function reasonRows({ reasons }: GcReport): readonly ReasonRow[] {
  return Object.entries(reasons)
    .map(([reason, sum]) => ({ ...reasonWords(reason), ...sum }))
    .sort((a, b) => b.bytes - a.bytes || b.count - a.count);
}

/** The repositories that anything goes from. */
export function touchedRepositories({ repositories }: GcReport): readonly RepositoryCounts[] {
  return repositories.filter(({ manifests, layerLinks, tagIndexEntries, bytes }) => manifests + layerLinks + tagIndexEntries + bytes > 0);
}

/** Where blobs stand at the end of a run. */
export type Standing = "used" | "young" | "protected" | "deleted" | "aside" | "back" | "left" | "failed";

/** How many blobs stand there, and why. */
export interface StandingRow {
  readonly standing: Standing;
  readonly label: string;
  readonly why: string;
  readonly blobs: number;
  /** Absent where a report does not say it. */
  readonly bytes?: number;
}

/** Every blob that the run saw, by what became of it. Adds up to all of them. */
export function standings(report: GcReport): readonly StandingRow[] {
  const { marked, kept, deleted, quarantined, restored } = report;
  const rows: StandingRow[] = [
    { standing: "used", label: "blobs in use", why: "a kept manifest reaches them", blobs: marked.blobs },
    {
      standing: "young",
      label: "blobs kept: young",
      why: "nothing needs them yet: they are younger than the grace period",
      blobs: kept.young,
    },
    {
      standing: "protected",
      label: "blobs kept: damage",
      why: "a damaged repository links them, and may need them",
      blobs: kept.protected,
    },
    { standing: "deleted", label: "blobs deleted", why: "no kept manifest reached them", ...pick(deleted) },
    { standing: "aside", label: "blobs put aside", why: "no kept manifest reached them; a later run deletes them", ...pick(quarantined) },
    { standing: "back", label: "blobs put back", why: "they went aside, and turned out to be needed", ...pick(restored) },
    { ...leftWords(report), ...left(report) },
  ];
  return rows.filter(({ blobs }) => blobs > 0);
}

/** What the plan names and the run did not touch. */
function left({ eligible, deleted, quarantined, restored }: GcReport): { blobs: number; bytes: number } {
  return {
    blobs: Math.max(0, eligible.blobs - deleted.blobs - quarantined.blobs - restored.blobs),
    bytes: Math.max(0, eligible.bytes - deleted.bytes - quarantined.bytes - restored.bytes),
  };
}

function leftWords({ dryRun, status }: GcReport): { standing: Standing; label: string; why: string } {
  const tried = !dryRun && status === "completed-with-failures";
  if (tried) return { standing: "failed", label: "blobs not deleted", why: "for what is listed under failures" };
  return { standing: "left", label: "blobs to go", why: "no kept manifest reaches them" };
}

function pick({ blobs, bytes }: { readonly blobs: number; readonly bytes: number }): { blobs: number; bytes: number } {
  return { blobs, bytes };
}

/** One line of the account: a kind of thing, and how many of it were planned, deleted and so on. */
export interface AccountRow {
  readonly kind: keyof SweepCounts;
  readonly label: string;
  readonly numbers: readonly (number | undefined)[];
}

const KINDS: readonly (readonly [kind: keyof SweepCounts, label: string])[] = [
  ["blobs", "blobs"],
  ["bytes", "their size"],
  ["manifests", "manifests"],
  ["layerLinks", "layer links"],
  ["tagIndexEntries", "tag index entries"],
  ["uploads", "uploads"],
  ["repositories", "repositories"],
];

const PLAN = "To go";

/** Plan and outcome, by kind: rows and columns that hold anything. A plan alone is told by its reasons already. */
export function account(report: GcReport): { readonly head: readonly string[]; readonly rows: readonly AccountRow[] } {
  const all: readonly (readonly [string, Partial<SweepCounts>])[] = [
    [PLAN, report.eligible],
    ["Deleted", report.deleted],
    ["Put aside", report.quarantined],
    ["Put back", report.restored],
    ["Returned", report.returned],
    ["Purged", report.purged],
  ];
  const columns = all.filter(([, counts]) => Object.values(counts).some((n) => n > 0));
  if (columns.every(([name]) => name === PLAN)) return { head: [], rows: [] };
  const rows = KINDS.map(([kind, label]) => ({ kind, label, numbers: columns.map(([, counts]) => counts[kind]) }));
  return { head: columns.map(([name]) => name), rows: rows.filter(({ numbers }) => numbers.some((n) => n !== undefined && n > 0)) };
}

/** A phase in a picture of the run: where it begins, and how long it is. */
export interface Span {
  readonly name: string;
  readonly what: string;
  readonly beginMs: number;
  readonly ms: number;
}

/**
 * The phases one after the other, and what was spent beside them. A report has the sum of each phase, not when it began: a phase
 * that was entered twice is one span here.
 */
export function spans({ durationsMs }: GcReport): { readonly spans: readonly Span[]; readonly totalMs: number } {
  const known = new Set(Object.keys(PHASES));
  const later = Object.keys(durationsMs).filter((name) => !known.has(name) && name !== "total");
  const sums = durationsMs as Readonly<Record<string, number | undefined>>;
  const found: Span[] = [];
  let beginMs = 0;
  for (const name of [...known, ...later]) {
    const ms = sums[name] ?? 0;
    if (ms > 0) found.push({ name: printable(name), what: known.has(name) ? wordFor(PHASES, name) : "", beginMs, ms });
    beginMs += ms;
  }
  const rest = durationsMs.total - beginMs;
  if (rest > 0) found.push({ name: "other", what: "locks, guards, the plan, and hooks between the phases", beginMs, ms: rest });
  return { spans: found, totalMs: Math.max(durationsMs.total, beginMs) };
}

/** Calls to the storage by method, the most first. */
export function calls({ storageCalls }: GcReport): {
  readonly rows: readonly (readonly [name: string, n: number])[];
  readonly total: number;
} {
  const rows = Object.entries(storageCalls)
    .map(([name, n]) => [printable(name), n] as const)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return { rows, total: rows.reduce((sum, [, n]) => sum + n, 0) };
}
