import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

const inMemory = ["digestSet", "mark", "run", "vacuum", "online/quarantine", "property/oracle", "attack/alive", "attack/links"];

/** For mutation testing: all that decides about deletion, and runs in memory and in a moment. A survivor runs all of it. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: inMemory.map((name) => `tests/${name}.test.ts`), env: { RUNS: "20" }, testTimeout: 60_000 },
});
