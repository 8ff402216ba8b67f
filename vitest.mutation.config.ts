import { defineConfig } from "vitest/config";
import base from "./vitest.config.js";

const names = process.env["MUTATION_TESTS"] ?? "mark";

/** For mutation testing: the few tests that decide about one module. A survivor runs all of them. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: names.split(",").map((name) => `tests/${name}.test.ts`), env: { RUNS: "20" } },
});
