/**
 * The benchmark: makes registries, runs Debian's docker-registry, the library as it is built, and programs that do the least that can
 * be done on them, all as whole processes in one run, and prints how they compare. `npm run bench -- --help` tells the options.
 */

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  blockedCases,
  type CallResult,
  type Case,
  cachedCases,
  callCases,
  checkAgreement,
  checkNothingRead,
  countCase,
  deletingCases,
  dryCases,
  type Result,
  type SavingResult,
  savingOfFloor,
  timeCachedInMemory,
  timeCase,
} from "./cases.js";
import { tableOf, writeTable } from "./document.js";
import { type BenchOptions, readOptions, type TreeName } from "./options.js";
import { LIBRARY, PEER, peerVersion } from "./programs.js";
import { pictureOf } from "./svg.js";
import { makeTree } from "./tree.js";

const docs = (name: string) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));

const options = readOptions(process.argv.slice(2));
if (options !== undefined) bench(options);

function bench({ directory, shapes, groups, rounds, peer, document }: BenchOptions): void {
  const version = peerVersion(peer);
  if (version === undefined)
    console.error("docker-registry is not installed: the library is measured without it (apt-get install docker-registry)");
  const tree = (name: TreeName) => {
    console.error(`tree: ${name}`);
    return makeTree(join(directory, name), shapes[name]);
  };
  const trees = { large: tree("large"), tenth: tree("tenth"), tags: tree("tags") };

  const results: Result[] = [];
  const savings: SavingResult[] = [];
  const calls: CallResult[] = [];
  const withoutPeer = (each: Case): Case =>
    version !== undefined
      ? each
      : {
          ...each,
          programs: each.programs.filter(({ name }) => name !== PEER),
          targets: each.targets.filter(({ program }) => program !== PEER),
        };
  const time = (each: Case) => {
    if (!groups.has(each.group)) return;
    console.error(`${each.title}: ${rounds} rounds`);
    if (each.group !== "delete") checkAgreement(each);
    results.push(timeCase(withoutPeer(each), { rounds }));
  };
  for (const each of dryCases(trees, peer, rounds)) time(each);
  if (groups.has("again")) {
    checkNothingRead(trees, directory);
    for (const each of cachedCases(trees, directory)) time(each);
    results.push(...timeCachedInMemory(trees, rounds));
    savings.push(savingOfFloor(trees, rounds));
  }
  const blocked = groups.has("loop") ? blockedCases(trees, rounds) : [];
  if (groups.has("delete")) for (const each of deletingCases(trees, directory, peer)) time(each);
  for (const each of groups.has("calls") ? callCases(trees, peer) : []) {
    console.error(`system calls: ${each.title}`);
    calls.push(countCase(withoutPeer(each)));
  }

  const table = tableOf(results, savings, calls, blocked);
  console.log(table);
  if (!document) return;
  const { large, tags } = shapes;
  const introduction = [
    `Large tree: ${large.manifests} manifests, ${large.blobs} blobs, ${large.repositories} repositories; one repository of ${tags.tags} tags: ${tags.manifests} manifests, ${tags.blobs} blobs.`,
    `Medians of ${rounds}, whole processes, warm. ${LIBRARY} on Node ${process.versions.node}, docker-registry ${version ?? "not measured"}; ${cpus().length} × ${cpus()[0]?.model.trim() ?? "an unknown processor"}.`,
  ].join("\n");
  writeTable(docs("performance.md"), introduction, table);
  writeFileSync(docs("performance.svg"), pictureOf(results));
}
