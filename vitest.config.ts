import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^oci-registry-gc$/, replacement: source("index.ts") },
      { find: /^oci-registry-gc\/testing$/, replacement: source("testing/index.ts") },
      { find: /^oci-registry-gc\/parts$/, replacement: source("parts/index.ts") },
      { find: /^oci-registry-gc\/bullmq$/, replacement: source("bullmq/index.ts") },
      { find: /^oci-registry-gc\/report$/, replacement: source("report/index.ts") },
      { find: /^oci-registry-gc\/drivers\/(.+)$/, replacement: source("drivers/$1.ts") },
    ],
  },
  test: {
    include: ["tests/**/*.test.ts", "examples/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text-summary", "json-summary", "html"] },
  },
});
