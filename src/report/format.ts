/** A report as text for a terminal. */

import type { GcReport } from "../index.js";
import { requireReport } from "./check.js";
import { type Column, columns, wrap } from "./columns.js";
import { account, calls, reasonRows, spans, standings, touchedRepositories } from "./facts.js";
import { count, duration, moment, share, size, whole } from "./numbers.js";
import { type Paint, painter } from "./paint.js";
import { printable } from "./printable.js";
import { headline, type Sentence, statusTone, story, type Tone } from "./story.js";
import { kindWords, problemsHint, problemsTitle, SAFETY, STATUS, wordFor } from "./words.js";

/** How text is laid out. */
export interface FormatOptions {
  /** Characters in a line; paths are never broken. Default 80, at least 40. */
  readonly width?: number | undefined;
  /** Colours, as ANSI escape sequences. Default `false`: plain text. */
  readonly color?: boolean | undefined;
}

interface Look {
  readonly width: number;
  readonly paint: Paint;
}

/** Of longer lists the rest is counted. */
const LINES = 10;

const NARROWEST = 40;
const WIDTH = 80;

/**
 * A report as text for people: what went and why, what is kept and why, damage, failures, and in its last lines the run in short.
 *
 * @param report - What `markAndSweep`, `heal` or `purge` gave, or an error carried; also one that was JSON in between.
 * @returns Lines without a line break at the end; without escape sequences, unless `color` is `true`.
 * @throws TypeError that names what is wrong, where it is no report of a run.
 */
export function formatReport(report: GcReport, options: FormatOptions = {}): string {
  requireReport(report);
  const { width = WIDTH, color = false } = options;
  const look = { width: Math.max(NARROWEST, Math.floor(width) || WIDTH), paint: painter(color) };
  const sections = [title, plan, repositories, blobs, outcome, problems, failures, time, storage, summary];
  return sections
    .map((section) => section(report, look).join("\n"))
    .filter((text) => text !== "")
    .join("\n\n");
}

function title(report: GcReport, { width, paint }: Look): string[] {
  const { status, dryRun, driver, safety, startedAt, runId } = report;
  const words = wordFor(STATUS, status);
  const begin = moment(startedAt) ?? printable(startedAt);
  return [
    `${paint.strong("Registry garbage collection")}${dryRun ? ", dry run" : ""}: ${paint.tone(statusTone(status), words)}`,
    paint.faint(`  Run ${printable(runId)}`),
    ...wrap(`On ${printable(driver)}, began ${begin}`, width, "  ").map(paint.faint),
    ...wrap(`Safety: ${wordFor(SAFETY, safety)}`, width, "  ").map(paint.faint),
  ];
}

function plan(report: GcReport, look: Look): string[] {
  const { dryRun, status, quarantined } = report;
  const gone = quarantined.blobs > 0 ? "Gone or aside" : "Gone";
  const head = [left(!dryRun && status === "completed" ? gone : "To go"), right("Count"), right("Size"), left("Why")];
  const rows = reasonRows(report).map(({ what, why, count, bytes }) => [what, whole(count), bytes > 0 ? size(bytes) : "", why]);
  return table(head, rows, look);
}

function repositories(report: GcReport, look: Look): string[] {
  const all = touchedRepositories(report);
  const head = [left("Repository"), right("Size"), right("Manifests"), right("Layer links"), right("Tag entries")];
  const rows = all
    .slice(0, LINES)
    .map(({ name, bytes, manifests, layerLinks, tagIndexEntries }) => [
      printable(name),
      size(bytes),
      whole(manifests),
      whole(layerLinks),
      whole(tagIndexEntries),
    ]);
  return withRest(table(head, rows, look), all.length, "more repository", "more repositories");
}

function blobs(report: GcReport, look: Look): string[] {
  const head = [left("Blobs"), right("Count"), right("Size"), left("Why")];
  const rows = standings(report).map(({ label, blobs, bytes, why }) => [label, whole(blobs), bytes === undefined ? "" : size(bytes), why]);
  return table(head, rows, look);
}

/** Plan and outcome beside each other. */
function outcome(report: GcReport, look: Look): string[] {
  const { head, rows } = account(report);
  const cells = rows.map(({ kind, label, numbers }) => [
    label,
    ...numbers.map((n) => (n === undefined ? "-" : kind === "bytes" ? size(n) : whole(n))),
  ]);
  return table([left("Plan and outcome"), ...head.map(right)], cells, look);
}

function problems(report: GcReport, { width, paint }: Look): string[] {
  const { problems, problemCount } = report;
  if (problemCount === 0) return [];
  const shown = problems.slice(0, LINES);
  const kinds = [...new Set(shown.map(({ kind }) => kind))];
  const lines = shown.flatMap(({ kind, path, message }) => [
    `  ${paint.tone("warning", printable(kind))} at ${printable(path)}:`,
    ...wrap(printable(message), width, "    "),
  ]);
  const advice = kinds.flatMap((kind) => {
    const words = kindWords(kind);
    return words === undefined ? [] : wrap(`${kind}: ${words.what}. ${words.todo}`, width, "  ", "    ");
  });
  const heading = [problemsTitle(report), problemsHint(report)].filter((part) => part !== undefined).join(". ");
  const list = withRest([...wrap(heading, width).map(paint.strong), ...lines], problemCount, "more problem");
  return [...list, ...advice];
}

function failures({ failures, failureCount }: GcReport, { paint }: Look): string[] {
  if (failureCount === 0) return [];
  const lines = failures
    .slice(0, LINES)
    .map(({ path, code, message }) => `  ${printable(path)}: ${printable(message)} ${paint.faint(`(${printable(code)})`)}`);
  return withRest([paint.tone("bad", "Could not be deleted:"), ...lines], failureCount, "more failure");
}

function time(report: GcReport, look: Look): string[] {
  const { spans: found, totalMs } = spans(report);
  const rows = found.map(({ name, what, ms }) => [name, duration(ms), share(ms, totalMs), what]);
  return table([left("Phase"), right("Time"), right("Share"), left("What for")], rows, look);
}

function storage(report: GcReport, { width, paint }: Look): string[] {
  const { rows, total } = calls(report);
  if (total === 0) return [];
  const text = `${count(total, "storage call")}: ${rows.map(([name, n]) => `${name} ${whole(n)}`).join(", ")}`;
  return wrap(text, width, "", "  ").map(paint.faint);
}

function summary(report: GcReport, look: Look): string[] {
  const head = wrap(headline(report), look.width).map(look.paint.strong);
  return [...head, ...story(report).flatMap((sentence) => say(sentence, look))];
}

const MARKS: Readonly<Record<Tone, string>> = { plain: "- ", good: "- ", note: "- ", warning: "! ", bad: "! " };

function say({ tone, text }: Sentence, { width, paint }: Look): string[] {
  return wrap(text, width, MARKS[tone], "  ").map((line) => paint.tone(tone, line));
}

function table(head: readonly Column[], rows: readonly (readonly string[])[], { width, paint }: Look): string[] {
  if (rows.length === 0) return [];
  const [first = "", ...lines] = columns(head, rows, width);
  return [paint.strong(first), ...lines];
}

function withRest(lines: string[], total: number, singular: string, plural?: string): string[] {
  return total > LINES ? [...lines, `  ... and ${count(total - LINES, singular, plural)}`] : lines;
}

function left(head: string): Column {
  return { head };
}

function right(head: string): Column {
  return { head, right: true };
}
