/**
 * What the library takes in memory: a `DigestSet` of up to a hundred million digests, and a whole run over a registry of five million
 * blobs that a driver makes up; each in a process of its own. `npm run bench:memory [-- --small]`
 *
 * Exits non-zero where that is more than is wanted.
 */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { markdownTable, writeBetween } from "./document.js";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const DOCUMENT = here("../docs/performance.md");
const MARKERS = { begin: "<!-- memory: made by `npm run bench:memory` -->", end: "<!-- end of memory -->" };

const MIB = 1024 ** 2;
/** Digests are packed; what a process takes beside them weighs less the more there are. */
const MOST_BYTES = { sha256: 44, sha512: 84 } as const;
const MOST_RUN_BYTES = 1024 * MIB;
/** Ten times the registry in so many times the time, and the memory. */
const MOST_GROWTH = 11;

interface SetTold {
  readonly bytesEach: number;
  readonly ms: number;
}

interface RunTold {
  readonly manifests: number;
  readonly blobs: number;
  readonly mostHeld: number;
  readonly concurrency: number;
  readonly ms: number;
  readonly bytes: number;
}

/** What a program of its own tells. */
function told(...command: readonly string[]): unknown {
  console.error(command.join(" "));
  return JSON.parse(execFileSync(process.execPath, command, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
}

interface Row {
  readonly cells: readonly string[];
  readonly isMet: boolean;
}

const row = (what: string, figure: string, wanted: string, isMet: boolean): Row => ({
  cells: [what, figure, `${wanted} ${isMet ? "✓" : "✗"}`],
  isMet,
});

function setRow(algorithm: keyof typeof MOST_BYTES, count: number): Row {
  const { bytesEach, ms } = told("--expose-gc", here("digests.mjs"), algorithm, String(count)) as SetTold;
  const most = MOST_BYTES[algorithm];
  const figure = `${bytesEach.toFixed(1)} bytes each, ${((ms / count) * 1000).toFixed(2)} µs to add one`;
  return row(`DigestSet, ${count.toLocaleString("en-US")} ${algorithm} digests`, figure, `≤ ${most} bytes`, bytesEach <= most);
}

function runRows(manifests: number): Row[] {
  const [small, large] = [manifests / 10, manifests].map((count) => told(here("synthetic.mjs"), String(count)) as RunTold) as [
    RunTold,
    RunTold,
  ];
  const titleOf = ({ blobs, manifests: count }: RunTold) =>
    `run over ${blobs.toLocaleString("en-US")} blobs, ${count.toLocaleString("en-US")} manifests`;
  const figureOf = ({ bytes, ms }: RunTold) => `${Math.round(bytes / MIB)} MiB at most, ${(ms / 1000).toFixed(1)} s`;
  const slower = large.ms / small.ms;
  const larger = large.bytes / small.bytes;
  return [
    row(titleOf(small), figureOf(small), "< 1 GiB", small.bytes < MOST_RUN_BYTES),
    row(titleOf(large), figureOf(large), "< 1 GiB", large.bytes < MOST_RUN_BYTES),
    row(
      "ten times the registry",
      `${slower.toFixed(1)} × the time, ${larger.toFixed(1)} × the memory`,
      `≤ ${MOST_GROWTH} ×`,
      Math.max(slower, larger) <= MOST_GROWTH,
    ),
    row("manifests held at once", String(large.mostHeld), `≤ concurrency, ${large.concurrency}`, large.mostHeld <= large.concurrency),
  ];
}

const { values } = parseArgs({ options: { small: { type: "boolean" } } });
const million = 1_000_000;
const small = values.small === true;
const rows = [
  ...(small ? [million] : [million, 10 * million, 100 * million]).map((count) => setRow("sha256", count)),
  setRow("sha512", small ? million : 10 * million),
  ...runRows(small ? 20_000 : 500_000),
];
const table = markdownTable([["", "oci-registry-gc", "wanted"], ...rows.map(({ cells }) => cells)]);
console.log(table);
if (!small) writeBetween(DOCUMENT, MARKERS, table);
process.exitCode = rows.every(({ isMet }) => isMet) ? 0 : 1;
