/** Other versions of Node, as npm has them: installed below `.cache`, once for all runs of the tests. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./run.js";

const cache = fileURLToPath(new URL("../../.cache", import.meta.url));

/** The package with the program itself: the one that is called `node` downloads this one by a script, which npm may refuse to run. */
const PACKAGE = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;

/** The path of a program of this major version: the one that runs here, or one that npm has. */
export async function nodeOf(major: number): Promise<string> {
  if (process.version.startsWith(`v${major}.`)) return process.execPath;
  const folder = join(cache, `node-${major}`);
  const program = join(folder, "node_modules", PACKAGE, "bin/node");
  if (await isNode(program, major)) return program;
  mkdirSync(folder, { recursive: true });
  await run("npm", ["install", "--no-save", "--no-package-lock", "--prefix", folder, `${PACKAGE}@${major}`], { cwd: folder });
  if (await isNode(program, major)) return program;
  throw new Error(`npm installed ${PACKAGE}@${major}, but ${program} is no Node ${major}`);
}

async function isNode(program: string, major: number): Promise<boolean> {
  try {
    return (await run(program, ["--version"], { cwd: cache })).startsWith(`v${major}.`);
  } catch {
    return false;
  }
}
