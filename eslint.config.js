// The one linter: types are looked at (a missed await here is lost data), and so is the house: which room may import which.
import importX, { createNodeResolver } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** Rooms, from the bottom up: each may import itself and what stands before it. CONTRIBUTING.md draws the house. */
const contracts = [
  "errors",
  "digest",
  "digestIndex",
  "packedTable",
  "digestSet",
  "driver",
  "namespace",
  "clock",
  "logger",
  "arguments",
  "context",
  "options",
  "settings",
  "referenceCache",
  "version",
  "writeBarrier",
];
const chapters = [
  ...[
    "inventory",
    "look",
    "manifestCatalog",
    "mark",
    "markAndSweep",
    "marks",
    "plan",
    "rememberedLook",
    "repositoryLook",
    "layerLinks",
    "looseLinks",
    "manifestReader",
    "repositoryView",
    "uploads",
    "report",
    "run",
    "sweep",
  ],
  ...[
    "telemetry",
    "vacuum",
    "index",
    "explain",
    "manifest",
    "manifestEntry",
    "manifestRule",
    "referenceLists",
    "accounts",
    "conduct",
    "guards",
    "sweepItems",
    "tellDeleted",
    "remover",
  ],
];
const src = (names) => names.map((name) => `./src/${name}.ts`);
const zone = (target, from, message) => ({ target, from, message });

export default tseslint.config(
  { ignores: ["dist", "coverage", "reports", ".stryker-tmp", "node_modules", "site", ".cache"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    plugins: { "import-x": importX },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    settings: {
      "import-x/resolver-next": [createNodeResolver({ extensions: [".ts", ".js"], extensionAlias: { ".js": [".ts", ".js"] } })],
      "import-x/parsers": { "@typescript-eslint/parser": [".ts"] },
      "import-x/extensions": [".ts", ".js"],
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/only-throw-error": "off",
      "@typescript-eslint/prefer-promise-reject-errors": "off",
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true, ignoreVoidOperator: true }],
      "@typescript-eslint/no-unnecessary-condition": ["error", { allowConstantLoopConditions: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "import-x/no-cycle": "error",
      "max-lines": ["error", { max: 320, skipBlankLines: true, skipComments: true }],
      complexity: ["error", 15],
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-globals": ["error", "process"],
      "no-restricted-imports": [
        "error",
        {
          paths: [
            { name: "p-queue", message: "Use internal/taskQueue.js." },
            { name: "@smithy/util-stream", message: "Use internal/readBounded.js." },
          ],
        },
      ],
      "import-x/no-restricted-paths": [
        "error",
        {
          basePath: import.meta.dirname,
          zones: [
            zone(
              src(contracts),
              [
                ...src(chapters),
                "./src/registry",
                "./src/internal",
                "./src/drivers",
                "./src/testing",
                "./src/report",
                "./src/parts",
                "./src/bullmq",
              ],
              "Contracts stand at the bottom.",
            ),
            zone(
              "./src/internal",
              [...src(chapters), "./src/registry", "./src/drivers", "./src/testing", "./src/report", "./src/parts", "./src/bullmq"],
              "internal/ knows contracts only.",
            ),
            zone(
              "./src/registry",
              [...src(chapters), "./src/drivers", "./src/testing", "./src/report", "./src/parts", "./src/bullmq"],
              "The layout knows contracts and internal/ only.",
            ),
            zone(
              "./src/drivers",
              [...src(chapters), "./src/registry", "./src/internal", "./src/testing", "./src/report", "./src/parts", "./src/bullmq"],
              "Drivers know contracts only.",
            ),
            zone(
              src(chapters),
              ["./src/drivers", "./src/testing", "./src/report", "./src/parts"],
              "The collector knows no driver, and who makes a part of it knows it.",
            ),
            zone(
              "./src/bullmq",
              [
                ...src(chapters.filter((name) => name !== "report")),
                ...["registry", "internal", "drivers", "testing", "report", "online"].map((room) => `./src/${room}`),
              ],
              "The engine knows contracts and parts only, and what a report is.",
            ),
            zone(
              [
                ...src([...contracts, ...chapters]),
                ...["registry", "internal", "drivers", "testing", "report", "online", "parts"].map((room) => `./src/${room}`),
              ],
              "./src/bullmq",
              "Nobody needs an engine but its users.",
            ),
            {
              ...zone("./src/report", "./src", "A report for people is made of the face's types only."),
              except: ["./index.ts", "./report"],
            },
          ],
        },
      ],
    },
  },
  { files: ["src/internal/taskQueue.ts", "src/internal/readBounded.ts"], rules: { "no-restricted-imports": "off" } },
  {
    files: ["tests/**/*.ts", "examples/**/*.ts", "benchmarks/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/unbound-method": "off",
      "@typescript-eslint/no-misused-spread": "off",
      "max-lines": "off",
      complexity: "off",
      "@typescript-eslint/no-confusing-void-expression": "off",
    },
  },
);
