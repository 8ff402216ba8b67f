// Mutation tests of the modules that decide what is deleted, one after the other: `node scripts/mutate.mjs [MODULE …]`. Each module is
// met by a few tests of its own, those that kill fastest first. Exits non-zero where a mutant survives that EQUIVALENT doesn't name.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The tests of each module: names below tests/. */
const TESTS = {
  mark: ["mark"],
  digestSet: ["digestSet"],
  remover: ["remover"],
  vacuum: ["vacuum", "options"],
  plan: ["plan"],
};
