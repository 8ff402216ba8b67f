/** What is measured: each case is one question, put to several programs. */

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { callsOf, medianOf, outputOf, type Program, type Timing, timeAll } from "./measure.js";
import type { BenchOptions, Group, TreeName } from "./options.js";
import { FLOOR, floor, LIBRARY, library, PEER, peer, unlink } from "./programs.js";
import { missing, restore } from "./restore.js";

export interface Case {
  readonly group: Group;
  readonly title: string;
  readonly programs: readonly Program[];
  readonly targets: readonly Target[];
  /** Measurements, where they are not to be as many as of the others. */
  readonly rounds?: number;
}

/** What is wanted: a ratio of a program's figure and the library's. */
export interface Target {
  readonly program: string;
  /** That program's figure by the library's. */
  readonly atLeast?: number;
  /** The library's figure by that program's. */
  readonly atMost?: number;
  /** That program's figure by the library's: the program is the library in another mode. */
  readonly costs?: number;
}

export interface Result {
  readonly title: string;
  readonly group: Group;
  readonly timings: readonly Timing[];
  readonly targets: readonly Target[];
}

/** System calls of a case's programs. */
export interface CallResult {
  readonly title: string;
  readonly calls: readonly { readonly program: string; readonly calls: number }[];
  readonly targets: readonly Target[];
}

/** How long the event loop stood still: by the clock, and what of that was processor time of its own thread. */
export interface BlockedResult {
  readonly title: string;
  readonly ms: number;
  readonly ownMs: number;
  readonly atMostMs: number;
}

/** What a run takes, and what it would take if it read no manifest. */
export interface SavingResult {
  readonly title: string;
  readonly ms: number;
  readonly againMs: number;
}

export type Trees = Readonly<Record<TreeName, string>>;

const ONLINE = "online";
const FIRST = "first run";
const DRY = { dryRun: true, readOnly: true };

/** The cases that only look. */
export function dryCases(trees: Trees, program: string, rounds: number): Case[] {
  const { large, tags } = trees;
  const untagged = { ...DRY, removeUntagged: true };
  const online = (options: object) => library(large, { ...options, readOnly: false }, ONLINE);
  return [
    {
      group: "dry",
      title: "dry run",
      programs: [peer(program, large, ["--dry-run"]), library(large, DRY), floor(large, [])],
      targets: [
        { program: PEER, atLeast: 4 },
        { program: FLOOR, atMost: 1.6 },
      ],
    },
    {
      group: "dry",
      title: "dry run, untagged",
      programs: [peer(program, large, ["--dry-run", "-m"]), library(large, untagged), floor(large, ["--remove-untagged"])],
      targets: [
        { program: PEER, atLeast: 12 },
        { program: FLOOR, atMost: 1.6 },
      ],
    },
    {
      group: "online",
      title: "online dry run",
      programs: [online(DRY), library(large, DRY)],
      targets: [{ program: ONLINE, costs: 2 }],
    },
    {
      group: "online",
      title: "online dry run, untagged",
      programs: [online(untagged), library(large, untagged)],
      targets: [{ program: ONLINE, costs: 2 }],
    },
    {
      group: "tags",
      title: "one repository of many tags, dry run, untagged",
      programs: [peer(program, tags, ["--dry-run", "-m"]), library(tags, untagged), floor(tags, ["--remove-untagged"])],
      targets: [{ program: PEER, atLeast: 100 }],
      // The other program takes minutes each time.
      rounds: Math.min(rounds, 1),
    },
  ];
}

/** A second run with nothing new, beside the first that filled its cache. */
export function cachedCases({ large }: Trees, directory: string): Case[] {
  const file = join(directory, "references");
  const flags = ["--cache", file];
  const first: Program = { ...library(large, DRY, FIRST, flags), prepare: () => rmSync(file, { force: true }) };
  return [
    {
      group: "again",
      title: "dry run again, cache in a file",
      programs: [first, library(large, DRY, LIBRARY, flags)],
      targets: [{ program: FIRST, atLeast: 2 }],
    },
  ];
}

/**
 * The same with a cache in memory: both runs are in one process, and timed in there. By the same driver, as whoever holds a cache has
 * it, and by another: that is what it comes to, too, where the threads of the first have ended meanwhile.
 */
export function timeCachedInMemory(trees: Trees, rounds: number): Result[] {
  return [timeTwice(trees, rounds, "same driver", []), timeTwice(trees, rounds, "another driver", ["--anew"])];
}

function timeTwice({ large }: Trees, rounds: number, by: string, flags: readonly string[]): Result {
  const twice = library(large, DRY, LIBRARY, ["--twice", ...flags]);
  const times = Array.from({ length: rounds }, () => toldBy(twice)).map(({ ms, firstMs }) => ({ ms, firstMs: firstMs ?? Number.NaN }));
  const timing = (program: string, all: readonly number[]) => ({ program, medianMs: medianOf(all), fastestMs: Math.min(...all) });
  return {
    title: `dry run again, cache in memory, ${by}`,
    group: "again",
    timings: [
      timing(
        FIRST,
        times.map(({ firstMs }) => firstMs),
      ),
      timing(
        LIBRARY,
        times.map(({ ms }) => ms),
      ),
    ],
    targets: [{ program: FIRST, atLeast: 2 }],
  };
}

/** How much faster a second run of the floor would be that had its manifests for nothing. */
export function savingOfFloor({ large }: Trees, rounds: number): SavingResult {
  const told = Array.from({ length: rounds }, () => JSON.parse(outputOf(floor(large, []))) as { ms: number; manifestsMs: number });
  const ms = medianOf(told.map((each) => each.ms));
  return { title: "dry run again, of the floor itself", ms, againMs: ms - medianOf(told.map(({ manifestsMs }) => manifestsMs)) };
}

/** Throws where a second run with nothing new reads a manifest. */
export function checkNothingRead({ large }: Trees, directory: string): void {
  const file = join(directory, "references");
  rmSync(file, { force: true });
  const cached = library(large, DRY, LIBRARY, ["--cache", file]);
  for (const [what, { manifestsRead }] of [
    ["a cache in a file", [toldBy(cached), toldBy(cached)][1] ?? { manifestsRead: Number.NaN }],
    ["a cache in memory", toldBy(library(large, DRY, LIBRARY, ["--twice"]))],
  ] as const) {
    if (manifestsRead !== 0) throw new Error(`a second run with ${what} reads ${manifestsRead} manifests`);
  }
}

/** The longest times that the event loop stood still. */
export function blockedCases({ large }: Trees, rounds: number): BlockedResult[] {
  return [
    { title: "dry run", options: DRY },
    { title: "dry run, untagged", options: { ...DRY, removeUntagged: true } },
  ].map(({ title, options }) => {
    const watched = library(large, options, LIBRARY, ["--watch"]);
    const told = Array.from({ length: rounds }, () => toldBy(watched));
    const median = (of: (each: Told) => number | undefined) => medianOf(told.map((each) => of(each) ?? Number.NaN));
    return { title, ms: median(({ blockedMs }) => blockedMs), ownMs: median(({ heldMs }) => heldMs), atMostMs: 10 };
  });
}

interface Told {
  readonly ms: number;
  readonly firstMs?: number;
  readonly blockedMs?: number;
  readonly heldMs?: number;
  readonly manifestsRead: number;
}

function toldBy(program: Program): Told {
  return JSON.parse(outputOf(program)) as Told;
}

/** The cases that delete, each time from a copy that is whole. */
export function deletingCases(trees: Trees, directory: string, program: string): Case[] {
  const copy = join(directory, "copy");
  const prepare = () => restore(trees.large, copy);
  const real = { readOnly: true, removeUntagged: true };
  const list = join(directory, "paths.txt");
  const collecting = library(copy, real);
  // What the library removes is what the bare program is to remove.
  const listPaths = () => {
    outputOf({ ...collecting, prepare });
    writeFileSync(list, missing(trees.large, copy).join("\n"));
  };
  listPaths();
  return [
    {
      group: "delete",
      title: "real run, untagged, layer links left",
      programs: [
        { ...peer(program, copy, ["-m"]), prepare },
        { ...library(copy, { ...real, removeLayerLinks: false }), prepare },
      ],
      targets: [{ program: PEER, atLeast: 3 }],
    },
    {
      group: "delete",
      title: "real run, untagged",
      programs: [
        { ...unlink(copy, list), prepare },
        { ...collecting, prepare },
        { ...library(copy, { removeUntagged: true, drainMs: 0 }, ONLINE), prepare },
      ],
      targets: [
        { program: "unlink", atMost: 1.3 },
        { program: ONLINE, costs: 3 },
      ],
    },
  ];
}

/** The cases whose system calls are counted, on a tree of a tenth: a trace makes programs very slow. */
export function callCases({ tenth }: Trees, program: string): Case[] {
  const cases = [
    { title: "dry run", options: DRY, flags: ["--dry-run"], floorFlags: [] },
    {
      title: "dry run, untagged",
      options: { ...DRY, removeUntagged: true },
      flags: ["--dry-run", "-m"],
      floorFlags: ["--remove-untagged"],
    },
  ];
  return cases.map(({ title, options, flags, floorFlags }) => ({
    group: "calls",
    title,
    programs: [peer(program, tenth, flags), library(tenth, options), floor(tenth, floorFlags)],
    targets: [{ program: FLOOR, atMost: 2 }],
  }));
}

/** Whether the library and the floor find the same garbage; throws where they don't: then figures mean nothing. */
export function checkAgreement({ title, programs }: Case): void {
  const found = programs
    .filter(({ name }) => name === FLOOR || name === LIBRARY)
    .map((program) => {
      const { eligible } = JSON.parse(outputOf(program)) as { eligible: Readonly<Record<string, number>> };
      return ["manifests", "blobs", "bytes", "layerLinks", "tagIndexEntries"].map((kind) => `${kind} ${eligible[kind] ?? ""}`).join(", ");
    });
  if (new Set(found).size > 1) throw new Error(`${title}: the library and the floor differ: ${found.join(" / ")}`);
}

export function timeCase({ title, group, programs, targets, rounds }: Case, options: Pick<BenchOptions, "rounds">): Result {
  return { title, group, timings: timeAll(programs, rounds ?? options.rounds, rounds === undefined), targets };
}

export function countCase({ title, programs, targets }: Case): CallResult {
  return { title, calls: programs.map((program) => ({ program: program.name, calls: callsOf(program) })), targets };
}
