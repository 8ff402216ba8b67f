/** Mutation testing of one module: scripts/mutate.mjs says which, and with which tests. */
const module = process.env["MUTATE"] ?? "mark";

/** @type {import("@stryker-mutator/api/core").PartialStrykerOptions} */
export default {
  testRunner: "vitest",
  vitest: { configFile: "vitest.mutation.config.ts", related: false },
  mutate: [`src/${module}.ts`],
  coverageAnalysis: "perTest",
  // What is made once, when a module is loaded, would cost a process for each mutant.
  ignoreStatic: true,
  disableBail: false,
  incrementalFile: `reports/mutation/${module}.incremental.json`,
  // On a busy machine a short limit would call a slow test a killed mutant.
  timeoutMS: 60_000,
  timeoutFactor: 8,
  concurrency: Number(process.env["MUTATE_CONCURRENCY"] ?? 2),
  reporters: ["json"],
  jsonReporter: { fileName: `reports/mutation/${module}.json` },
  tempDirName: ".stryker-tmp",
  ignorePatterns: ["dist", "coverage", "reports", "benchmarks", "docs", "tests/interop"],
};
