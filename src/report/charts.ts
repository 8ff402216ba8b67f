/** Pictures as inline SVG. All positions are percentages, so that they fit any width while their text keeps its size. */

import { type Html, html } from "./html.js";
import { duration, percentOf } from "./numbers.js";

/** A part of a whole; `tint` is a class that the page's style knows. */
export interface Slice {
  readonly label: string;
  readonly value: number;
  readonly tint: string;
}

/** What is there at all can be seen. */
const THINNEST = 0.6;
/** A slice has gaps beside it. */
const THINNEST_SLICE = 1.4;

/** A bar for a row of a table: its number stands beside it, so that it is hidden from those who can't see it. */
export function bar(value: number, largest: number, tint: string): Html {
  const width = value > 0 ? Math.max(THINNEST, percentOf(value, largest)) : 0;
  return html`<svg class="bar" width="100%" height="8" aria-hidden="true" focusable="false">
<rect class="track" width="100%" height="8" rx="4"/>${width > 0 && html`<rect class="${tint}" width="${percent(width)}" height="8" rx="4"/>`}</svg>`;
}

/** Parts of a whole in one bar. `label` tells it in words. */
export function stack(slices: readonly Slice[], label: string): Html {
  const shown = slices.filter(({ value }) => value > 0);
  const total = shown.reduce((sum, { value }) => sum + value, 0);
  // Thin parts are made visible, at the cost of the others.
  const widths = shown.map(({ value }) => Math.max(THINNEST_SLICE, percentOf(value, total)));
  const all = widths.reduce((sum, width) => sum + width, 0);
  let x = 0;
  const parts = shown.map((slice, i) => {
    const width = percentOf(widths[i] ?? 0, all);
    const title = html`<title>${slice.label}</title>`;
    const part = html`<rect class="${slice.tint}" x="${percent(x)}" width="${percent(width)}" height="28">${title}</rect>`;
    x += width;
    return part;
  });
  return html`<svg class="stack" width="100%" height="28" role="img" aria-label="${label}">${parts}</svg>`;
}

/** A stretch of time. */
export interface Stretch {
  readonly name: string;
  readonly beginMs: number;
  readonly ms: number;
  readonly tint: string;
}

const ROW = 40;
const AXIS = 26;

/** Stretches of time below each other, each beginning where it began, over an axis. */
export function timeline(stretches: readonly Stretch[], totalMs: number, label: string): Html {
  const height = stretches.length * ROW;
  const ticks = ticksOf(totalMs);
  return html`<svg class="timeline" width="100%" height="${height + AXIS}" role="img" aria-label="${label}">
${ticks.map((ms) => tick(ms, totalMs, height))}
${stretches.map((stretch, i) => row(stretch, totalMs, i * ROW))}
</svg>`;
}

function tick(ms: number, totalMs: number, height: number): Html {
  const at = percentOf(ms, totalMs);
  const anchor = at < 4 ? "start" : at > 94 ? "end" : "middle";
  const x = percent(at);
  const time = ms === 0 ? "0" : duration(ms);
  return html`<line class="grid" x1="${x}" x2="${x}" y1="0" y2="${height + 4}"/>
<text class="tick" x="${x}" y="${height + 20}" text-anchor="${anchor}">${time}</text>`;
}

/** The name stands over the bar, on the side where there is room. */
function row({ name, beginMs, ms, tint }: Stretch, totalMs: number, y: number): Html {
  const width = Math.max(THINNEST, percentOf(ms, totalMs));
  const x = Math.min(percentOf(beginMs, totalMs), 100 - width);
  const [at, anchor] = x > 60 ? [x + width, "end"] : [x, "start"];
  const time = duration(ms);
  return html`<text class="name" x="${percent(at)}" y="${y + 14}" text-anchor="${anchor}">${name} <tspan class="ms">${time}</tspan></text>
<rect class="${tint}" x="${percent(x)}" y="${y + 20}" width="${percent(width)}" height="14" rx="3"><title>${name}: ${time}</title></rect>`;
}

const MINUTE = 60_000;
/** Steps that people count time in. */
const STEPS: readonly number[] = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000],
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * MINUTE),
];
const DAY = 1440 * MINUTE;

/** At most five marks on the axis, at round times, the first at zero. */
function ticksOf(totalMs: number): readonly number[] {
  if (totalMs <= 0) return [0];
  const step = STEPS.find((each) => totalMs / each <= 4) ?? Math.ceil(totalMs / DAY / 4) * DAY;
  return Array.from({ length: Math.floor(totalMs / step) + 1 }, (_, i) => i * step);
}

function percent(n: number): string {
  return `${Number(n.toFixed(3))}%`;
}
