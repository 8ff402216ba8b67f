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
  uploads: ["repositoryLook"],
};

const WAY = "for (let at = this.reach.cameFrom?.get(number); at !== undefined; at = this.reach.cameFrom?.get(at)) way.unshift(at);";
const TIMES = "this.run.looksAtTimes ? this.view.lookAtRevision(number) : (this.view.revisions.get(number) ?? Number.NaN),";
const SAME = "return a !== undefined && (a === b || (Number.isNaN(a) && Number.isNaN(b)));";

/** Mutants that change nothing that anyone could see, and why: the line as it is, what takes the place of its mutated part, the reason. */
const HARMLESS = {
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
  repositoryLook: [
    ["private readonly looseByAnotherName: number[] = [];", '["Stryker was here"]', "a text is no digest's number"],
    ["const reached: number[] = [];", '["Stryker was here"]', "a text is no digest's number"],
    ["const young: number[] = [];", '["Stryker was here"]', "a text is no digest's number"],
    ["this.reach = emptyReach(run.watched !== undefined);", "true", "remembers the ways though nobody asks: saves memory"],
    ["if (this.reach.cameFrom !== undefined) {", "true", "remembers why roots are roots though nobody asks: saves memory"],
    ["if (!view.isDamaged) await look.findLoose();", "true", "damage lets go of what it finds: saves the look"],
    ["if (!this.reach.digests.has(number)) return undefined;", "false", "what is not reached is no root either, and has no way"],
    [WAY, "this.reach.cameFrom.get", "what is asked for is remembered"],
    [
      "if (link === undefined || this.run.isYoung(link.time) || this.isUnnamed(layer, link)) return true;",
      "false",
      "only loose links are asked about",
    ],
    ["if (this.doomed.size > 0) for (const number of reached) this.doomed.delete(number);", "true", "saves a loop over nothing"],
    [
      "if (this.doomed.size > 0) for (const number of reached) this.doomed.delete(number);",
      "this.doomed.size >= 0",
      "saves a loop over nothing",
    ],
    ["if (this.loose.size === 0) return;", "false", "saves a loop over nothing"],
    ['if (keep === undefined || this.earlier !== "first") return;', "false", "without keep nothing is known to ask with"],
    [
      "if (facts === undefined || this.reach.manifests.has(number)) continue;",
      "false",
      "where keep is asked, all manifests' facts are known",
    ],
    [TIMES, "this.view.revisions.get(number) && Number.NaN", "where times don't count nobody looks at this one"],
    ["if (named.length === 0 && !aside.isAside(number)) return false;", "false", "saves a look at a blob: the answer is the same"],
    ["const mustLook = removeLayerLinks || removeEmptyRepositories || this.run.looksAtTimes;", "true", "saves looks at links that stay"],
    ["if (blob !== layer) this.looseByAnotherName.push(layer);", "true", "a link by its own name is let go of already"],
    ["if (removeUploadsOlderThanMs === undefined && !removeEmptyRepositories) return;", "false", "saves listing uploads that stay"],
    [SAME, "true", "an unknown time is young already"],
    [SAME, "false", "an unknown time is young already"],
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
