/** A run's report, for people. */

import type { GcReport, Reason, SweepCounts } from "oci-registry-gc";
import { count, formatBytes, table } from "./format.js";

const REASONS: Readonly<Record<Reason, readonly [what: string, why: string]>> = {
  unreachable: ["blobs", "no kept manifest reaches them"],
  untagged: ["manifests", "nothing keeps them"],
  "index-entry-of-removed-manifest": ["tag index entries", "their manifest goes"],
  "layer-not-reached": ["layer links", "no kept manifest of their repository reaches the layer"],
  "upload-expired": ["uploads", "begun and not finished"],
  "repository-empty": ["repositories", "they hold nothing"],
};

/** Of longer lists the rest is counted. */
const LINES = 10;

export function renderReport(report: GcReport): string {
  const parts = [renderReasons(report), renderRepositories(report), renderProblems(report), renderFailures(report), summarize(report)];
  return parts.filter((part) => part !== "").join("\n\n");
}

/** The plan's numbers alone, for a run that ended early. */
export function renderPlan(report: GcReport): string {
  const { marked, eligible, kept, deleted } = report;
  const rows: [string, number, string][] = [
    ["repositories found", marked.repositories, ""],
    ["tags found", marked.tags, ""],
    ["blobs in use", marked.blobs, ""],
    ["blobs to go", eligible.blobs, formatBytes(eligible.bytes)],
    ["manifests to go", eligible.manifests, ""],
    ["blobs kept because they are young", kept.young, ""],
    ["blobs kept because their repository is damaged", kept.protected, ""],
  ];
  const known = rows.filter(([, n]) => n > 0);
  return [
    known.length === 0 ? "" : table(["Known by then", "Count", "Size"], known),
    renderProblems(report),
    Object.values(deleted).every((n) => n === 0) ? "Nothing was deleted." : `Deleted by then: ${listCounts(deleted)}.`,
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function renderReasons({ reasons, dryRun, status, quarantined }: GcReport): string {
  const rows = Object.entries(reasons).map(([reason, { count, bytes }]) => {
    const [what, why] = REASONS[reason as Reason];
    return [what, count, bytes > 0 ? formatBytes(bytes) : "", why];
  });
  const gone = quarantined.blobs > 0 ? "Gone or aside" : "Gone";
  return rows.length === 0 ? "" : table([!dryRun && status === "completed" ? gone : "To go", "Count", "Size", "Why"], rows);
}

function renderRepositories({ repositories }: GcReport): string {
  const rows = repositories
    .filter(({ manifests, layerLinks, tagIndexEntries, bytes }) => manifests + layerLinks + tagIndexEntries + bytes > 0)
    .map(({ name, manifests, layerLinks, tagIndexEntries, bytes }) => [name, manifests, layerLinks, tagIndexEntries, formatBytes(bytes)]);
  if (rows.length === 0) return "";
  const head = ["Repository", "Manifests", "Layer links", "Tag index entries", "Size"];
  return withRest(table(head, rows.slice(0, LINES)), rows.length, "repository", "repositories");
}

function renderProblems({ problems, problemCount }: GcReport): string {
  if (problemCount === 0) return "";
  const lines = problems.slice(0, LINES).map(({ kind, path, message }) => `  ${kind} at ${path}: ${message}`);
  return withRest(["Damage, whose repositories keep everything that they link:", ...lines].join("\n"), problemCount, "more problem");
}

function renderFailures({ failures, failureCount }: GcReport): string {
  if (failureCount === 0) return "";
  const lines = failures.slice(0, LINES).map(({ path, code, message }) => `  ${path}: ${message} (${code})`);
  return withRest(["Could not be deleted:", ...lines].join("\n"), failureCount, "more failure");
}

function withRest(text: string, total: number, singular: string, plural?: string): string {
  return total > LINES ? `${text}\n  ... and ${count(total - LINES, singular, plural)}` : text;
}

function summarize(report: GcReport): string {
  const { dryRun, eligible, deleted, kept, marked, unrecognized, durationsMs, quarantined, returned, purged } = report;
  const went = listCounts(dryRun ? eligible : deleted);
  const outcome = went === "" ? "Nothing to delete" : `${dryRun ? "Would delete" : "Deleted"} ${went}`;
  const time = durationsMs.total < 1000 ? `${durationsMs.total} ms` : `${(durationsMs.total / 1000).toFixed(1)} s`;
  return [
    `${outcome}; ${count(marked.blobs, "blob")} in use; ${time}.`,
    quarantined.blobs > 0 &&
      `Put aside ${count(quarantined.blobs, "blob")} (${formatBytes(quarantined.bytes)}): nothing of it is freed before a later run purges it. --list-runs shows it, --restore brings it back.`,
    returned.blobs > 0 && `Brought back, since something needs it: ${count(returned.blobs, "blob")}.`,
    purged.blobs > 0 && `Purged of earlier runs: ${listCounts(purged)}.`,
    kept.young > 0 &&
      `Kept because of the grace period: ${count(kept.young, "blob")} that nothing needs. --read-only takes them, if nothing writes.`,
    kept.protected > 0 && `Kept because their repository is damaged: ${count(kept.protected, "blob")}.`,
    unrecognized > 0 && `Left alone, since no registry wrote it: ${count(unrecognized, "file or directory", "files or directories")}.`,
    dryRun && "Nothing was changed: this was a dry run.",
  ]
    .filter((line) => line !== false)
    .join("\n");
}

function listCounts({ blobs, bytes, manifests, layerLinks, tagIndexEntries, uploads, repositories }: SweepCounts): string {
  return [
    blobs > 0 && `${count(blobs, "blob")} (${formatBytes(bytes)})`,
    manifests > 0 && count(manifests, "manifest"),
    layerLinks > 0 && count(layerLinks, "layer link"),
    tagIndexEntries > 0 && count(tagIndexEntries, "tag index entry", "tag index entries"),
    uploads > 0 && count(uploads, "upload"),
    repositories > 0 && count(repositories, "repository", "repositories"),
  ]
    .filter((part) => part !== false)
    .join(", ");
}
