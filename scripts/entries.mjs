// The package's entries, as `exports` of package.json lists them: whatever checks each of them reads them here.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

const { name, exports } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** `specifier` is what a user imports, `key` names files about it; the others are paths below the root. `package.json` is none of them. */
export const entries = Object.entries(exports)
  .filter(([, target]) => typeof target !== "string")
  .map(([subpath, target]) => ({
    specifier: subpath.replace(/^\./, name),
    key: subpath === "." ? "index" : subpath.slice(2).replaceAll("/", "-"),
    types: target.import.types,
    module: target.import.default,
    commonJs: target.require.default,
  }));

/** What declarations are made from, by what a user imports: `paths` of tsconfig.json says it. */
export const sources = JSON.parse(readFileSync(new URL("../tsconfig.json", import.meta.url), "utf8")).compilerOptions.paths;
