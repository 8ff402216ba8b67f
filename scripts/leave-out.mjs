// Takes single steps out of the quarantine, one after the other, and sees whether the simulation notices: `node scripts/leave-out.mjs
// [NAME …]`. Exits non-zero where one is not missed. A copy of the project is changed, never the project itself.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What is left out: a file, the text that is there, and what stands instead. */
const STEPS = {
  drain: ["src/online/quarantine.ts", "      await run.clock.sleep(nap, run.signal);\n", ""],
  look: [
    "src/online/quarantine.ts",
    '  const found = await run.phase("look", () => lookAtRegistry(run, "look"));\n',
    "  const found = { repositories: 1, tags: 0, revisions: 0, looks: [], names: new Set() };\n",
  ],
  "recheck after a revision's removal": [
    "src/online/unlinkManifests.ts",
    "  const isGone = !isLeft && !(await isThere(run.settlingDriver, place));",
    "  const isGone = !isLeft && place !== undefined;",
  ],
  "only what was seen aside before the drain": [
    "src/online/quarantine.ts",
    "  if (!run.settings.readOnly) await drain(run);\n  const found = await lookAndPutBack(run);\n  refuseDamage(run);",
    "  if (!run.settings.readOnly) await drain(run);\n  const own2 = run.aside.journals.get(run.ledger.runId);\n  await openAside(run);\n  aside = run.aside;\n  if (own2 !== undefined) aside.journals.set(run.ledger.runId, own2);\n  const found = await lookAndPutBack(run);\n  refuseDamage(run);",
    "import { closeJournals,",
    'import { openAside } from "./session.js";\nimport { closeJournals,',
  ],
  "drain of an interrupted run": [
    "src/online/quarantine.ts",
    "  if (!run.settings.readOnly) await drain(run);\n  await lookAndPutBack(run);\n  for",
    "  await lookAndPutBack(run);\n  for",
  ],
  fencing: [
    "src/online/runLock.ts",
    "    if (this.lost !== undefined)\n      throw",
    "    if (this.lost === undefined) return;\n    if (this.content.length === 0)\n      throw",
  ],
  "journal before move": [
    "src/online/moveAside.ts",
    "    await moveBlobs(run, aside, some);\n    done",
    "    done",
    "  await run.mayChange();\n  await journal.write",
    "  await inBatches(run, blobs, (some) => moveBlobs(run, aside, some));\n  await run.mayChange();\n  await journal.write",
  ],
  "digest check on put-back": ["src/online/putBack.ts", "if (!(await run.aside?.isSound(driver, number, copy))) {", 'if (digest === "") {'],
};

const chosen = process.argv.slice(2);
const names = Object.keys(STEPS).filter((name) => chosen.length === 0 || chosen.includes(name));
let unnoticed = 0;
for (const name of names) {
  const [file, ...changes] = STEPS[name];
  const noticed = isNoticed(name, file, changes);
  console.log(`${noticed ? "missed   " : "NOT MISSED"} ${name}`);
  if (!noticed) unnoticed++;
}
process.exit(unnoticed === 0 ? 0 : 1);

function isNoticed(name, file, changes) {
  const copy = mkdtempSync(join(tmpdir(), "leave-out-"));
  try {
    for (const part of ["src", "tests", "package.json", "tsconfig.json", "vitest.config.ts"])
      cpSync(join(root, part), join(copy, part), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    let text = readFileSync(join(copy, file), "utf8");
    for (let i = 0; i < changes.length; i += 2) {
      if (!text.includes(changes[i])) throw new Error(`${name}: ${file} no longer holds ${JSON.stringify(changes[i])}`);
      text = text.replace(changes[i], changes[i + 1]);
    }
    writeFileSync(join(copy, file), text);
    const tests = ["tests/online/simulation.test.ts", "tests/online/quarantine.test.ts", "tests/online/crash.test.ts"];
    const run = spawnSync(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), "run", "--bail=1", ...tests], {
      cwd: copy,
      env: { SCHEDULES: "6000", ...process.env },
      encoding: "utf8",
    });
    return run.status !== 0 && /AssertionError|Property failed/.test(run.stdout + run.stderr);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
