/** What docs/examples.md says of the examples: all are listed, and each is started as it says, and tells its options. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runExample } from "./support/exampleProgram.js";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Readonly<Record<string, string>> };

/** The rows of the table: the script, if there is one, and the folder. */
const rows = [...read("docs/examples.md").matchAll(/^\| (?:`npm run (\S+)`|–) +\| `examples\/(\S+)` +\|/gm)].map(
  ([, script, folder = ""]) => [folder, script] as const,
);
const programs = rows.filter(([folder]) => existsSync(new URL(`../examples/${folder}/main.ts`, import.meta.url)));

test("every example has a row, and every script of one", () => {
  const folders = readdirSync(fileURLToPath(new URL("../examples", import.meta.url))).filter((name) => name !== "shared");
  expect(rows.map(([folder]) => folder).sort()).toEqual(folders.sort());
  const named = Object.keys(scripts).filter((name) => name === "collect" || name.startsWith("example:"));
  expect(rows.flatMap(([, script]) => script ?? []).sort()).toEqual(named.sort());
  expect(programs.length).toBeGreaterThan(0);
});

test.each(rows.filter(([, script]) => script !== undefined))("%s is started by npm run %s", (folder, script) => {
  expect(scripts[script!]).toContain(`examples/${folder}`);
  expect(scripts[`pre${script!}`]).toMatch(/^node scripts\/ready\.mjs( --redis)?$/);
});

test.each(programs)("%s tells its options", async (folder, script) => {
  const { code, stdout, stderr } = await runExample(folder, "--help");
  expect(stdout).toContain(`Usage: npm run ${script!} -- `);
  expect(stderr).toBe("");
  expect(code).toBe(0);
});
