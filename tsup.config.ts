import { defineConfig } from "tsup";

const entry = {
  index: "src/index.ts",
  "drivers/memory": "src/drivers/memory.ts",
  "drivers/filesystem": "src/drivers/filesystem.ts",
  "drivers/s3": "src/drivers/s3.ts",
  testing: "src/testing/index.ts",
  report: "src/report/index.ts",
  parts: "src/parts/index.ts",
  bullmq: "src/bullmq/index.ts",
};

// TypeScript 6 calls an option deprecated that the builder of declarations still sets.
const dts = { compilerOptions: { ignoreDeprecations: "6.0" } };

export default defineConfig([
  { entry, format: "esm", target: "node20", splitting: true, sourcemap: true, clean: true, dts },
  // p-queue is ESM only: CommonJS has it inlined. Without splitting, since that would rewrite the syntax.
  { entry, format: "cjs", target: "node20", splitting: false, sourcemap: true, noExternal: ["p-queue"], dts },
]);
