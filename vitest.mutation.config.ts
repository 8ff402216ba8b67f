import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.js";

/** For mutation testing: all that runs in memory and in a moment. */
export default mergeConfig(
  base,
  defineConfig({ test: { exclude: ["tests/interop/**", "tests/package/**", "tests/collect.test.ts"], testTimeout: 20_000 } }),
);
