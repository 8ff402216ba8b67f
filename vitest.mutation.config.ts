import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

const inMemory = [
  "acceptance",
  "damage",
  "digestSet",
  "mark",
  "run",
  "vacuum",
  "vectors",
  "online/crash",
  "online/quarantine",
  "property/oracle",
];

/** For mutation testing: all that decides about deletion, and runs in memory and in a moment. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: inMemory.map((name) => `tests/${name}.test.ts`), env: { RUNS: "60" }, testTimeout: 120_000 },
});
