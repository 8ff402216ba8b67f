/** The figures as a table, on the terminal and in `docs/performance.md`. */

import { readFileSync, writeFileSync } from "node:fs";
import type { BlockedResult, CallResult, Result, SavingResult, Target } from "./cases.js";
import { FLOOR, LIBRARY } from "./programs.js";

const BEGIN = "<!-- figures: made by `npm run bench` -->";
const PICTURE = "![Seconds by program](performance.svg)";
const END = "<!-- end of figures -->";

interface Figure {
  readonly program: string;
  readonly value: number;
}

/** The table of all figures, in Markdown. */
export function tableOf(
  results: readonly Result[],
  savings: readonly SavingResult[],
  calls: readonly CallResult[],
  blocked: readonly BlockedResult[],
): string {
  const rows = [
    ...results.map(({ title, timings, targets }) =>
      rowOf(
        title,
        timings.map(({ program, medianMs }) => ({ program, value: medianMs })),
        targets,
        seconds,
      ),
    ),
    ...savings.map(({ title, ms, againMs }) => [
      title,
      "",
      `${FLOOR} ${seconds(ms)}, without manifests ${seconds(againMs)}`,
      `${FLOOR} ÷ without manifests ${fixed(ms / againMs)}`,
      "",
    ]),
    ...calls.map((result) =>
      rowOf(
        `system calls, ${result.title}`,
        result.calls.map(({ program, calls: value }) => ({ program, value })),
        result.targets,
        whole,
      ),
    ),
    ...blocked.map(({ title, ms, ownMs, atMostMs }) => [
      `longest hold of the event loop, ${title}`,
      `${ms.toFixed(1)} ms`,
      `own processor time ${ownMs.toFixed(1)} ms`,
      "",
      `≤ ${atMostMs} ms ${ms <= atMostMs ? "✓" : "✗"}`,
    ]),
  ];
  return markdownTable([["", LIBRARY, "others", "ratio", "wanted"], ...rows]);
}

function rowOf(title: string, figures: readonly Figure[], targets: readonly Target[], show: (value: number) => string): string[] {
  const own = figures.find(({ program }) => program === LIBRARY)?.value ?? Number.NaN;
  const others = figures.filter(({ program }) => program !== LIBRARY);
  const ratios = others.map(({ program, value }) => {
    const target = targets.find((each) => each.program === program);
    return target?.atMost === undefined ? `${program} ÷ ours ${fixed(value / own)}` : `ours ÷ ${program} ${fixed(own / value)}`;
  });
  return [
    title,
    show(own),
    others.map(({ program, value }) => `${program} ${show(value)}`).join(", "),
    ratios.join(", "),
    targets.map((target) => wanted(target, own, others)).join(", "),
  ];
}

function wanted({ program, atLeast, atMost, costs }: Target, own: number, others: readonly Figure[]): string {
  const other = others.find((each) => each.program === program)?.value ?? Number.NaN;
  const verdict = (isMet: boolean) => (isMet ? "✓" : "✗");
  if (atMost !== undefined) return `≤ ${fixed(atMost)} ${verdict(own / other <= atMost)}`;
  if (costs !== undefined) return `≤ ${fixed(costs)} ${verdict(other / own <= costs)}`;
  return `≥ ${fixed(atLeast ?? 0)} ${verdict(other / own >= (atLeast ?? 0))}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

function whole(value: number): string {
  return value.toLocaleString("en-US");
}

function fixed(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(2).replace(/\.?0+$/, "");
}

/** Writes the table, and the picture beside the document, between its markers. */
export function writeTable(path: string, introduction: string, table: string): void {
  writeBetween(path, { begin: BEGIN, end: END }, `${introduction}\n\n${table}\n\n${PICTURE}`);
}

/** Puts what a script has made in the place of what it made before. */
export function writeBetween(path: string, markers: { readonly begin: string; readonly end: string }, content: string): void {
  const text = readFileSync(path, "utf8");
  const begin = text.indexOf(markers.begin);
  const end = text.indexOf(markers.end);
  if (begin === -1 || end < begin) throw new Error(`${path} lacks the markers ${markers.begin} and ${markers.end}`);
  writeFileSync(path, `${text.slice(0, begin + markers.begin.length)}\n\n${content}\n\n${text.slice(end)}`);
}

/** A table in Markdown; the first row is its head. */
export function markdownTable(cells: readonly (readonly string[])[]): string {
  const [head = [], ...rows] = cells;
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
