/** The page's parts about bytes: where they were, what became of them, and what is kept. */

import type { GcReport, RepositoryCounts } from "../index.js";
import { bar, stack } from "./charts.js";
import { account, reasonRows, standings, touchedRepositories } from "./facts.js";
import { type Html, html, type Part } from "./html.js";
import { count, share, size, whole } from "./numbers.js";
import { breakable, explained, fold, number, section, split, swatch, table, wide } from "./parts.js";

/** Repositories that are shown at once; the others fold. */
const SHOWN = 12;

/** Every blob that the run saw, by what became of it. */
export function blobSection(report: GcReport): Html | undefined {
  const rows = standings(report);
  const total = rows.reduce((sum, { blobs }) => sum + blobs, 0);
  if (total === 0) return undefined;
  const slices = rows.map(({ standing, label, blobs }) => ({
    label: `${label}: ${whole(blobs)} (${share(blobs, total)})`,
    value: blobs,
    tint: `fill-${standing}`,
  }));
  const picture = stack(slices, `${count(total, "blob")}. ${slices.map(({ label }) => label).join(", ")}`);
  const cells = rows.map(({ standing, label, why, blobs, bytes }): Part[] => [
    split([swatch(standing), label], why),
    whole(blobs),
    share(blobs, total),
    bytes === undefined ? "" : size(bytes),
  ]);
  const head = [wide("Blobs, and why"), number("Count"), number("Share"), number("Size")];
  return section("blobs", "What is kept, and what is not", [picture, table(`${count(total, "blob")} that the run saw`, head, cells)]);
}

/** What goes, by reason. */
export function reasonSection(report: GcReport): Html | undefined {
  const rows = reasonRows(report);
  if (rows.length === 0) return undefined;
  const most = Math.max(...rows.map((row) => row.count));
  const cells = rows.map(({ what, why, count, bytes }): Part[] => [
    split(explained(what, why), bar(count, most, "fill-deleted")),
    whole(count),
    bytes > 0 ? size(bytes) : "",
  ]);
  const head = [wide("What, and why"), number("Count"), number("Size")];
  return section(
    "reasons",
    "What goes, and why",
    table("By reason. Bytes are counted once, with the blobs: manifests are blobs too", head, cells),
  );
}

/** Where the bytes were. */
export function repositorySection(report: GcReport): Html | undefined {
  const all = touchedRepositories(report);
  if (all.length === 0) return undefined;
  const most = Math.max(...all.map(({ bytes }) => bytes));
  const rest = all.slice(SHOWN);
  const body: Part[] = [
    repositoryTable(
      "By repository, the most bytes first. A blob that several repositories link is counted in each of them",
      all.slice(0, SHOWN),
      most,
    ),
    rest.length > 0 &&
      fold(count(rest.length, "more repository", "more repositories"), repositoryTable("The other repositories", rest, most)),
  ];
  return section("repositories", "Where the bytes were", body);
}

function repositoryTable(caption: string, repositories: readonly RepositoryCounts[], most: number): Html {
  const rows = repositories.map(({ name, bytes, manifests, layerLinks, tagIndexEntries }): Part[] => [
    split(breakable(name), bar(bytes, most, "fill-deleted")),
    size(bytes),
    whole(manifests),
    whole(layerLinks),
    whole(tagIndexEntries),
  ]);
  const head = [wide("Repository"), number("Size"), number("Manifests"), number("Layer links"), number("Tag entries")];
  return table(caption, head, rows);
}

/** Plan and outcome beside each other. */
export function accountSection(report: GcReport): Html | undefined {
  const { head, rows } = account(report);
  if (rows.length === 0) return undefined;
  const cells = rows.map(({ kind, label, numbers }): Part[] => [
    label,
    ...numbers.map((n) => (n === undefined ? html`<span aria-label="not counted">–</span>` : kind === "bytes" ? size(n) : whole(n))),
  ]);
  const body = table("Manifests are blobs too, and counted in both rows", [{ text: "Kind" }, ...head.map(number)], cells);
  return section("account", "Plan and outcome", body);
}
