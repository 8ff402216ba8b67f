/** Programs as whole processes: how long they take, and how many system calls they make. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Program {
  readonly name: string;
  readonly command: readonly string[];
  /** The same program with nothing to do: what its start costs. */
  readonly start: readonly string[];
  /** Before each measurement. */
  readonly prepare?: (() => void) | undefined;
}

export interface Timing {
  readonly program: string;
  readonly medianMs: number;
  readonly fastestMs: number;
}

/** Each program once to warm up, unless that is not wanted, then all of them in turn, round after round. */
export function timeAll(programs: readonly Program[], rounds: number, warmsUp = true): Timing[] {
  const times = programs.map((): number[] => []);
  for (let round = warmsUp ? 0 : 1; round <= rounds; round++) {
    programs.forEach((program, i) => {
      program.prepare?.();
      const began = process.hrtime.bigint();
      run(program.command);
      if (round > 0) times[i]?.push(Number(process.hrtime.bigint() - began) / 1e6);
    });
  }
  return programs.map(({ name }, i) => ({ program: name, medianMs: medianOf(times[i] ?? []), fastestMs: Math.min(...(times[i] ?? [])) }));
}

/** What a program prints. */
export function outputOf(program: Program): string {
  program.prepare?.();
  const [file = "", ...args] = program.command;
  return execFileSync(file, args, { encoding: "utf8", maxBuffer: 1 << 30, stdio: ["ignore", "pipe", "inherit"] });
}

/** The system calls of a program and all its threads, less those of its start. */
export function callsOf(program: Program): number {
  program.prepare?.();
  return trace(program.command) - trace(program.start);
}

function trace(command: readonly string[]): number {
  const folder = mkdtempSync(join(tmpdir(), "strace-"));
  const table = join(folder, "table");
  try {
    run(["strace", "-c", "-f", "-o", table, ...command]);
    const total = readFileSync(table, "utf8")
      .split("\n")
      .find((line) => line.trim().endsWith(" total"));
    // % time, seconds, usecs/call, calls, errors where there were any, "total"
    const calls = Number(total?.trim().split(/\s+/)[3]);
    if (!Number.isInteger(calls)) throw new Error(`strace told no total for ${command.join(" ")}`);
    return calls;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(command: readonly string[]): void {
  const [file = "", ...args] = command;
  const { status, signal, error, stderr } = spawnSync(file, args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command.join(" ")} ended with ${signal ?? status}:\n${stderr.slice(0, 2000)}`);
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
