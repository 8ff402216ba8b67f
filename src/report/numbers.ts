/** Numbers with their units, as people read them. */

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `12,345`. */
export function whole(n: number): string {
  return Math.round(n).toLocaleString("en");
}

/** `1 blob`, `12,345 blobs`. */
export function count(n: number, singular: string, plural = `${singular}s`): string {
  return `${whole(n)} ${n === 1 ? singular : plural}`;
}

/** `1023 B`, `1.5 GiB`. */
export function size(bytes: number): string {
  let unit = -1;
  let amount = bytes;
  // 1,023.96 would be told as 1024.0.
  while (amount >= 1023.95 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  if (unit < 0) return `${Math.round(bytes)} B`;
  return `${amount < 1024 ? amount.toFixed(1) : whole(amount)} ${UNITS[unit] ?? ""}`;
}

/** The two largest units: `12 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`, `2 d 3 h`. */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  return minutes < 1440 ? pair(minutes, 60, "h", "min") : pair(Math.round(minutes / 60), 24, "d", "h");
}

function pair(n: number, base: number, large: string, small: string): string {
  const rest = n % base;
  const whole = `${((n - rest) / base).toLocaleString("en")} ${large}`;
  return rest === 0 ? whole : `${whole} ${rest} ${small}`;
}

/** How much of a whole: `37%`, `<1%`, and nothing of nothing is `0%`. */
export function share(part: number, total: number): string {
  const percent = percentOf(part, total);
  if (percent > 0 && percent < 1) return "<1%";
  return percent > 99 && percent < 100 ? ">99%" : `${Math.round(percent)}%`;
}

/** From 0 to 100, whatever the two are. */
export function percentOf(part: number, total: number): number {
  return total > 0 ? Math.min(100, Math.max(0, (part / total) * 100)) : 0;
}

/** `2026-11-25 10:01:26 UTC`; nothing where it is no time. */
export function moment(iso: string): string | undefined {
  const time = Date.parse(iso);
  return Number.isNaN(time) ? undefined : `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
