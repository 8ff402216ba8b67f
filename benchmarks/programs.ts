/** The programs that are compared. */

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Program } from "./measure.js";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const node = process.execPath;

export const PEER = "docker-registry";
export const LIBRARY = "oci-registry-gc";
export const FLOOR = "floor";

/** Debian's docker-registry, by its own configuration. */
export function peer(program: string, directory: string, options: readonly string[]): Program {
  const configuration = join(dirname(directory), `${directory.slice(dirname(directory).length + 1)}.yml`);
  mkdirSync(dirname(configuration), { recursive: true });
  const storage = `storage:\n  filesystem:\n    rootdirectory: ${directory}\n  delete:\n    enabled: true\n`;
  writeFileSync(configuration, `version: 0.1\nlog:\n  level: error\n${storage}`);
  return {
    name: PEER,
    command: [program, "garbage-collect", ...options, configuration],
    start: [program, "--version"],
  };
}

/** What version of it is there; `undefined` where none is. */
export function peerVersion(program: string): string | undefined {
  const { status, stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim().split(/\s+/).slice(1).join(" ") : undefined;
}

/** The library as it is built. */
export function library(directory: string, options: object, name = LIBRARY, flags: readonly string[] = []): Program {
  const program = [node, here("collect.mjs")];
  return { name, command: [...program, directory, JSON.stringify(options), ...flags], start: program };
}

/** The least that a dry run must read. */
export function floor(directory: string, options: readonly string[]): Program {
  return { name: FLOOR, command: [node, here("floor.mjs"), directory, ...options], start: [node, here("nothing.mjs")] };
}

/** The same paths gone, one by one. */
export function unlink(directory: string, list: string): Program {
  return { name: "unlink", command: [node, here("unlink.mjs"), directory, list], start: [node, here("nothing.mjs")] };
}
