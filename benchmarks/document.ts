/** The figures as a table, on the terminal and in `docs/performance.md`. */

import { readFileSync, writeFileSync } from "node:fs";
import type { CallResult, Result, Target } from "./cases.js";
import { LIBRARY } from "./programs.js";

const BEGIN = "<!-- figures: made by `npm run bench` -->";
const PICTURE = "![Seconds by program](performance.svg)";
const END = "<!-- end of figures -->";

interface Figure {
  readonly program: string;
  readonly value: number;
}

/** The table of all figures, in Markdown. */
export function tableOf(results: readonly Result[], calls: readonly CallResult[]): string {
  const rows = [
    ...results.map(({ title, timings, targets }) =>
      rowOf(
        title,
        timings.map(({ program, medianMs }) => ({ program, value: medianMs })),
        targets,
        seconds,
      ),
    ),
    ...calls.map((result) =>
      rowOf(
        `system calls, ${result.title}`,
        result.calls.map(({ program, calls: value }) => ({ program, value })),
        result.targets,
        whole,
      ),
    ),
  ];
  const cells = [["", LIBRARY, "others", "ratio", "wanted"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(cells[0] ?? []), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
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
  const text = readFileSync(path, "utf8");
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`${path} lacks the markers ${BEGIN} and ${END}`);
  writeFileSync(path, `${text.slice(0, begin + BEGIN.length)}\n\n${introduction}\n\n${table}\n\n${PICTURE}\n\n${text.slice(end)}`);
}
