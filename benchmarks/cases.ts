/** What is measured: each case is one question, put to several programs. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { callsOf, outputOf, type Program, type Timing, timeAll } from "./measure.js";
import type { BenchOptions, Group, TreeName } from "./options.js";
import { FLOOR, floor, LIBRARY, library, PEER, peer, unlink } from "./programs.js";
import { missing, restore } from "./restore.js";

export interface Case {
  readonly group: Group;
  readonly title: string;
  readonly programs: readonly Program[];
  readonly targets: readonly Target[];
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

export type Trees = Readonly<Record<TreeName, string>>;

const ONLINE = "online";
const DRY = { dryRun: true, readOnly: true };

/** The cases that only look. */
export function dryCases(trees: Trees, program: string): Case[] {
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
    },
  ];
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

export function timeCase({ title, group, programs, targets }: Case, options: Pick<BenchOptions, "rounds">): Result {
  return { title, group, timings: timeAll(programs, options.rounds), targets };
}

export function countCase({ title, programs, targets }: Case): CallResult {
  return { title, calls: programs.map((program) => ({ program: program.name, calls: callsOf(program) })), targets };
}
