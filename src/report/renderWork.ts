/** The page's parts about the work: time and calls to the storage. */

import type { GcReport } from "../index.js";
import { bar, timeline } from "./charts.js";
import { calls, spans } from "./facts.js";
import { type Html, html, type Part } from "./html.js";
import { count, duration, share, whole } from "./numbers.js";
import { number, section, split, table, wide } from "./parts.js";

/** The phases of the run as a picture, and as a table. */
export function timeSection(report: GcReport): Html | undefined {
  const { spans: found, totalMs } = spans(report);
  if (found.length === 0) return undefined;
  const stretches = found.map(({ name, beginMs, ms }) => ({ name, beginMs, ms, tint: tintOf(name) }));
  const label = `A timeline of ${duration(totalMs)}. ${found.map(({ name, ms }) => `${name}: ${duration(ms)}`).join(", ")}`;
  const rows = found.map(({ name, what, ms }): Part[] => [split(name, what), duration(ms), share(ms, totalMs)]);
  const caption = "The phases in their order. One that a run enters twice, as the look may be, is drawn as one";
  const list = table(caption, [wide("Phase, and what for"), number("Time"), number("Share")], rows);
  return section("time", "How the time went", [timeline(stretches, totalMs, label), list]);
}

const TINTS: Readonly<Record<string, string>> = {
  inventory: "fill-back",
  mark: "fill-used",
  look: "fill-young",
  sweep: "fill-deleted",
  drain: "fill-aside",
  purge: "fill-protected",
};

function tintOf(phase: string): string {
  return Object.hasOwn(TINTS, phase) ? (TINTS[phase] ?? "fill-left") : "fill-left";
}

/** The calls to the storage by method. */
export function callSection(report: GcReport): Html | undefined {
  const { rows, total } = calls(report);
  if (total === 0) return undefined;
  const most = Math.max(...rows.map(([, n]) => n));
  const cells = rows.map(([name, n]): Part[] => [split(html`<code>${name}</code>`, bar(n, most, "fill-back")), whole(n), share(n, total)]);
  const head = [wide("Method of the driver"), number("Calls"), number("Share")];
  return section("calls", "Calls to the storage", table(count(total, "call"), head, cells));
}
