/** A report as a page: one file, which asks nothing of any network and runs no script. */

import type { GcReport } from "../index.js";
import { requireReport } from "./check.js";
import { type StandingRow, standings } from "./facts.js";
import { type Html, html } from "./html.js";
import { count, duration, moment, size, whole } from "./numbers.js";
import { section } from "./parts.js";
import { accountSection, blobSection, reasonSection, repositorySection } from "./renderBytes.js";
import { failureSection, problemSection } from "./renderTrouble.js";
import { callSection, timeSection } from "./renderWork.js";
import { headline, statusTone, story } from "./story.js";
import { STYLE } from "./style.js";
import { problemsTitle, SAFETY, STATUS, wordFor } from "./words.js";

/** Whatever should slip through: nothing is loaded and nothing runs. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const SECTIONS = [
  ...[words, blobSection, reasonSection, repositorySection, accountSection],
  ...[problemSection, failureSection, timeSection, callSection],
];

/**
 * A report as a whole HTML page: where the bytes were by repository and by reason, what is kept and why, damage, failures, the time
 * of each phase as a picture, and the calls to the storage. Light or dark as the reader's system is; it loads nothing and runs no script.
 *
 * @param report - What `markAndSweep`, `heal` or `purge` gave, or an error carried; also one that was JSON in between.
 * @returns The page's text, to be stored or served as `text/html; charset=utf-8`.
 * @throws TypeError that names what is wrong, where it is no report of a run.
 */
export function renderReport(report: GcReport): string {
  requireReport(report);
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>Registry garbage collection: ${wordFor(STATUS, report.status)}${report.dryRun && " (dry run)"}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${header(report)}${tiles(report)}
${SECTIONS.map((part) => part(report))}<footer><p>Made by oci-registry-gc from the report of run <code>${report.runId}</code>.
A blob that any kept manifest reaches is never deleted.</p></footer>
</main>
</body>
</html>
`.toString();
}

function header(report: GcReport): Html {
  const { status, dryRun, driver, safety, startedAt, durationsMs, runId } = report;
  const tone = statusTone(status);
  return html`<header>
<div class="row"><h1>Registry garbage collection</h1><span class="badge ${tone}">${wordFor(STATUS, status)}</span>
${dryRun && html`<span class="badge note">dry run</span>`}</div>
<p class="lead">${headline(report)}</p>
<dl class="about">
<div><dt>Began</dt><dd>${time(startedAt)}</dd></div>
<div><dt>Took</dt><dd>${duration(durationsMs.total)}</dd></div>
<div><dt>Storage</dt><dd>${driver}</dd></div>
<div><dt>Run</dt><dd><code>${runId}</code></dd></div>
<div><dt>Safety</dt><dd>${wordFor(SAFETY, safety)}</dd></div>
</dl>
</header>
`;
}

/** What is to be said in words: what became of things, and what to do. */
function words(report: GcReport): Html | undefined {
  const sentences = story(report).map(({ tone, text }) => html`<li class="say-${tone}">${text}</li>\n`);
  return sentences.length > 0 ? section("story", "What happened, and what to do", html`<ul class="story">${sentences}</ul>`) : undefined;
}

function time(iso: string): Html {
  const text = moment(iso);
  return text === undefined ? html`${iso}` : html`<time datetime="${iso}">${text}</time>`;
}

interface Tile {
  readonly tint: string;
  readonly label: string;
  readonly big: string;
  readonly small: string;
}

/** The numbers that most readers come for. */
function tiles(report: GcReport): Html {
  const { marked, kept, problemCount, failureCount } = report;
  const holders = `${count(marked.manifests, "manifest")} in ${count(marked.repositories, "repository", "repositories")}`;
  const unneeded = kept.young + kept.protected;
  const all: readonly (Tile | false)[] = [
    ...gone(report),
    {
      tint: "used",
      label: "In use",
      big: whole(marked.blobs),
      small: `${marked.blobs === 1 ? "blob" : "blobs"}, of ${holders}`,
    },
    unneeded > 0 && {
      tint: kept.protected > 0 ? "protected" : "young",
      label: "Kept, not needed",
      big: whole(unneeded),
      small: [kept.young > 0 && `${whole(kept.young)} young`, kept.protected > 0 && `${whole(kept.protected)} for damage`]
        .filter((part) => part !== false)
        .join(", "),
    },
    problemCount > 0 && { tint: "young", label: problemsTitle(report), big: whole(problemCount), small: "listed below, with what to do" },
    failureCount > 0 &&
      left(report) === undefined && { tint: "failed", label: "Failures", big: whole(failureCount), small: "tried again by the next run" },
  ];
  const shown = all.filter((tile) => tile !== false);
  return html`<dl class="tiles">
${shown.map(tileOf)}</dl>`;
}

function tileOf({ tint, label, big, small }: Tile): Html {
  return html`<div class="tile tint-${tint}"><dt>${label}</dt><dd class="big">${amount(big)}</dd><dd class="small">${small}</dd></div>
`;
}

/** A number, its unit smaller. */
function amount(text: string): Html {
  const [n = "", unit] = text.split(" ");
  return html`${n}${unit !== undefined && html`<span class="unit"> ${unit}</span>`}`;
}

/** What was freed, what will be, and what would be. */
function gone(report: GcReport): readonly Tile[] {
  const { dryRun, deleted, purged, quarantined } = report;
  const freed = deleted.blobs + purged.blobs;
  const rest = left(report);
  const rows: readonly (Tile | false)[] = [
    !dryRun && { tint: "deleted", label: "Freed", big: size(deleted.bytes + purged.bytes), small: count(freed, "blob") },
    quarantined.blobs > 0 && {
      tint: "aside",
      label: "Put aside",
      big: size(quarantined.bytes),
      small: `${count(quarantined.blobs, "blob")}, freed by a later run`,
    },
    (dryRun || rest !== undefined) && {
      tint: rest?.standing ?? "left",
      label: leftLabel(report),
      big: size(rest?.bytes ?? 0),
      small: count(rest?.blobs ?? 0, "blob"),
    },
  ];
  return rows.filter((row) => row !== false);
}

/** What the plan names and the run did not touch. */
function left(report: GcReport): StandingRow | undefined {
  return standings(report).find(({ standing }) => standing === "left" || standing === "failed");
}

function leftLabel({ dryRun, status }: GcReport): string {
  if (dryRun) return "Would go";
  return status === "completed-with-failures" ? "Could not be deleted" : "Planned, not deleted";
}
