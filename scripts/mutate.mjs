// Mutation tests of the modules that decide what is deleted, one after the other: `node scripts/mutate.mjs [MODULE …] [-- OPTIONS FOR
// STRYKER]`. Each module is met by a few tests of its own. Exits non-zero where a mutant survives that HARMLESS does not name.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The tests of each module of src/: names below tests/. A survivor runs all of them. */
const TESTS = {
  mark: ["mark"],
  plan: ["plan"],
  remover: ["remover"],
  vacuum: ["vacuum", "options"],
  digestSet: ["digestSet"],
  guards: ["guards"],
  marks: ["marks"],
  repositoryLook: ["repositoryLook", "plan"],
};

/** Mutants that change nothing that anyone could see, and why: the line as it is, what takes the place of its mutated part, the reason. */
const HARMLESS = {
  mark: [["if (manifest !== undefined && graph.isRevision(manifest)) enter(manifest);", "true", "undefined is no revision"]],
  plan: [
    [
      "for (const number of earlier?.blobs ?? []) run.marks.remove(number, DOOMED);",
      '["Stryker was here"]',
      "a text is no digest's number",
    ],
    ["if (run.looksAtTimes) honourLeases(run, looks);", "true", "where times don't count no link is a lease: saves the look"],
  ],
  remover: [
    ["const paths = [...item.footprint.files, ...(item.footprint.trees ?? [])];", '["Stryker was here"]', "no failure has this path"],
    ["const failures: Failure[] = [];", '["Stryker was here"]', "no item has its path, undefined"],
  ],
  vacuum: [
    ["for (let start = 0; start < checked.length; start += MANIFESTS_AT_ONCE) {", "start <= checked.length", "a last round over nothing"],
    [
      'const [path = ""] = this.layout.repository(item.repository).revisionFootprint(item.digest, []).files;',
      '"Stryker was here!"',
      "a footprint has files",
    ],
  ],
};

const separator = process.argv.indexOf("--");
const asked = process.argv.slice(2, separator === -1 ? undefined : separator);
const options = separator === -1 ? [] : process.argv.slice(separator + 1);
const unknown = asked.filter((name) => !(name in TESTS));
if (unknown.length > 0) {
  console.error(`no module to mutate: ${unknown.join(", ")}; there are ${Object.keys(TESTS).join(", ")}`);
  process.exit(2);
}

const table = [];
const alarming = [];
for (const name of asked.length > 0 ? asked : Object.keys(TESTS)) {
  const report = mutate(name);
  const counts = { mutants: 0, killed: 0, endless: 0, harmless: 0, survived: 0, ignored: 0 };
  for (const mutant of report) {
    counts.mutants++;
    counts[fate(name, mutant)]++;
    if (fate(name, mutant) !== "survived") continue;
    const { line, column } = mutant.location.start;
    alarming.push(`src/${name}.ts:${line}:${column} ${mutant.status}: ${mutant.text}  with  ${mutant.replacement}`);
  }
  table.push({ module: name, ...counts });
}
console.table(Object.fromEntries(table.map(({ module, ...counts }) => [module, counts])));
for (const line of alarming) console.log(line);
process.exit(alarming.length === 0 ? 0 : 1);

/** Runs Stryker on one module, and returns its mutants, each with the line that it changes. */
function mutate(name) {
  const file = `${root}reports/mutation/${name}.json`;
  rmSync(file, { force: true });
  const env = { ...process.env, MUTATE: name, MUTATION_TESTS: TESTS[name].join() };
  const { status } = spawnSync("npx", ["stryker", "run", ...options], { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
  if (!existsSync(file)) throw new Error(`stryker ended with ${status} and without a report on ${name}`);
  return Object.values(JSON.parse(readFileSync(file, "utf8")).files).flatMap(({ source, mutants }) => {
    const lines = source.split("\n");
    return mutants.map((mutant) => ({ ...mutant, text: lines[mutant.location.start.line - 1].trim() }));
  });
}

/** A mutant that ran into the limit of its loops is dead. One that ran out of time alone may be slow: it counts as survived. */
function fate(name, { status, statusReason = "", text, replacement = "" }) {
  if (status === "Killed") return "killed";
  if (status === "Ignored") return "ignored";
  if (status === "Timeout" && statusReason.startsWith("Hit limit")) return "endless";
  const isKnown = (HARMLESS[name] ?? []).some(([line, instead]) => line === text && instead === replacement);
  return isKnown ? "harmless" : "survived";
}
