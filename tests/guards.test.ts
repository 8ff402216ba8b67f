/** What a run refuses, at the very edge of it. Each guard alone; that runs heed them is tested where runs are. */

import { type GcOptions, openRegistry } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { expect, test } from "vitest";
import { refuseDamage, refuseEmptyMark, refuseRatio } from "../src/guards.js";
import { PRESENT } from "../src/marks.js";
import { Run } from "../src/run.js";

/** A run that has found so many blobs, of which so many are to go. */
function runOver(blobs: number, options: GcOptions = {}, doomed = 0) {
  const lines: string[] = [];
  const ignore = () => undefined;
  const logger = { debug: ignore, info: ignore, error: ignore, warn: (message: string) => void lines.push(message) };
  const driver = new MemoryDriver();
  const run = Run.begin({ logger }, driver, openRegistry(driver), options);
  for (let i = 0; i < blobs; i++) run.marks.add(run.digests.add(`sha256:${i.toString(16).padStart(64, "0")}`), PRESENT);
  run.ledger.eligible.blobs = doomed;
  return { run, lines };
}

test("damage is refused where it is to end the run, and only there", () => {
  const abort = runOver(1, { onDamage: "abort" }).run;
  expect(() => refuseDamage(abort)).not.toThrow();
  const protect = runOver(1).run;
  for (const { ledger } of [abort, protect]) ledger.addDamage({ kind: "empty-link", path: "/x", message: "it is empty" });
  expect(() => refuseDamage(protect)).not.toThrow();
  expect(() => refuseDamage(abort)).toThrow(expect.objectContaining({ code: "DAMAGED" }) as Error);
  expect(() => refuseDamage(abort)).toThrow(/nothing was deleted.*report\.problems.*onDamage "protect"/);
});

test("blobs without one repository are refused, unless that is said to be right", () => {
  const refused = runOver(3).run;
  expect(() => refuseEmptyMark(refused, 0, 3)).toThrow(expect.objectContaining({ code: "EMPTY_MARK" }) as Error);
  expect(() => refuseEmptyMark(refused, 0, 3)).toThrow(/^3 blobs.*not one repository.*Nothing was deleted.*allowEmptyMark: true/);
  for (const { run, repositories } of [
    { run: refused, repositories: 1 },
    { run: runOver(3, { allowEmptyMark: true }).run, repositories: 0 },
  ]) {
    expect(() => refuseEmptyMark(run, repositories, 3)).not.toThrow();
  }
});

test("nothing at all is warned of, and no more", () => {
  const { run, lines } = runOver(0);
  refuseEmptyMark(run, 0, 0);
  expect(lines).toEqual(["no repositories and no blobs were found: an empty registry, or a wrong root"]);
  expect(run.notices.warnings).toEqual(lines);
  const quiet = runOver(1, { allowEmptyMark: true });
  refuseEmptyMark(quiet.run, 0, 1);
  refuseEmptyMark(quiet.run, 1, 1);
  expect(quiet.lines).toEqual([]);
});

test.each([
  { blobs: 100, doomed: 50, ratio: 0.5, isRefused: false },
  { blobs: 100, doomed: 51, ratio: 0.5, isRefused: true },
  { blobs: 99, doomed: 99, ratio: 0.5, isRefused: false },
  { blobs: 100, doomed: 100, ratio: 1, isRefused: false },
  { blobs: 100, doomed: 1, ratio: 0, isRefused: true },
  { blobs: 1000, doomed: 0, ratio: 0, isRefused: false },
  // Products of these are not what they seem to be: 100 × 0.29 is 28.999….
  ...[0.07, 0.14, 0.28, 0.29, 0.55, 0.56, 0.57, 0.58].flatMap((ratio) => [
    { blobs: 100, doomed: Math.round(ratio * 100), ratio, isRefused: false },
    { blobs: 100, doomed: Math.round(ratio * 100) + 1, ratio, isRefused: true },
  ]),
])("of $blobs blobs $doomed under a ratio of $ratio: refused $isRefused", ({ blobs, doomed, ratio, isRefused }) => {
  const { run } = runOver(blobs, { maxDeleteRatio: ratio }, doomed);
  if (!isRefused) {
    expect(() => refuseRatio(run, blobs)).not.toThrow();
    return;
  }
  expect(() => refuseRatio(run, blobs)).toThrow(expect.objectContaining({ code: "DELETE_RATIO" }) as Error);
  expect(() => refuseRatio(run, blobs)).toThrow(
    `delete ${doomed} of ${blobs} blobs, more than maxDeleteRatio ${ratio} allows; nothing was deleted`,
  );
});
