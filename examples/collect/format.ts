/** Numbers and tables for people. */

import Table from "cli-table3";

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];

export function formatBytes(bytes: number): string {
  let unit = -1;
  let amount = bytes;
  // 1,023.96 would be told as 1024.0.
  while (amount >= 1023.95 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return unit < 0 ? `${bytes} B` : `${amount.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/** `1 blob`, `12,345 blobs`. */
export function count(n: number, singular: string, plural = `${singular}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? singular : plural}`;
}

/** A table of text and numbers; numbers stand to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const rightmost = head.map((_, i) => rows.every((row) => typeof row[i] === "number" || /^[\d.]+ [KMGTP]?i?B$/.test(String(row[i]))));
  const drawn = new Table({
    head: [...head],
    colAligns: rightmost.map((right) => (right ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
  drawn.push(...rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en") : cell))));
  return drawn.toString();
}
