// Runs the tests: `npm test [-- ARGUMENTS OF VITEST]`. Its last line is `N passed, N failed, N skipped`, and what was skipped is
// named before it. Exits non-zero where a test failed, where anything else went wrong, and where no test ran.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "vitest-"));
const results = join(folder, "results.json");

try {
  const code = await vitest(["run", "--reporter=default", "--reporter=json", `--outputFile.json=${results}`, ...process.argv.slice(2)]);
  process.exitCode = summarize(readResults(), code);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function vitest(args) {
  const child = spawn(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), ...args], { cwd: root, stdio: "inherit" });
  // A Ctrl-C reaches the child as well; what it leaves is cleaned up here once it has ended.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => child.on("error", reject).on("close", (status) => resolve(status ?? 1)));
}

function readResults() {
  try {
    return JSON.parse(readFileSync(results, "utf8")).testResults;
  } catch {
    return [];
  }
}

function summarize(files, code) {
  const tests = files.flatMap(({ name, assertionResults }) => assertionResults.map((test) => ({ ...test, file: relative(root, name) })));
  const passed = tests.filter(({ status }) => status === "passed");
  const failed = tests.filter(({ status }) => status === "failed");
  const skipped = tests.filter((test) => !passed.includes(test) && !failed.includes(test));
  // A file that could not be loaded has no tests to count, and is a failure all the same.
  const broken = files.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );

  for (const { file, ancestorTitles, title } of skipped) console.log(`skipped: ${[file, ...ancestorTitles, title].join(" > ")}`);
  for (const { name, message } of broken)
    console.log(["failed", relative(root, name), message.split("\n", 1)[0]].filter((part) => part !== "").join(": "));
  let failures = failed.length + broken.length;
  if (failures === 0 && code !== 0) {
    failures = 1;
    console.log(`failed: the run itself, with exit code ${code}`);
  }
  const ran = passed.length + failed.length;
  if (ran === 0) console.log("no test ran");
  console.log(`${passed.length} passed, ${failures} failed, ${skipped.length} skipped`);
  return failures > 0 || ran === 0 ? 1 : 0;
}
