// Unlinks files and removes directories one by one, as a list tells: what deleting costs at least.
//
//   node benchmarks/unlink.mjs DIRECTORY LIST

import { readFileSync, rmdirSync, unlinkSync } from "node:fs";

const [directory, list] = process.argv.slice(2);
for (const line of readFileSync(list, "utf8").split("\n")) {
  if (line === "") continue;
  if (line.endsWith("/")) rmdirSync(`${directory}/${line}`);
  else unlinkSync(`${directory}/${line}`);
}
