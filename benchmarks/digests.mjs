// What a DigestSet takes in memory: its process is as large as it says, less what it was before.
//
//   node --expose-gc benchmarks/digests.mjs ALGORITHM COUNT

import { DigestSet } from "../dist/index.js";
import { hexMaker } from "./madeUpDigests.mjs";

const [algorithm, text] = process.argv.slice(2);
const count = Number(text);
const hexOf = hexMaker(algorithm === "sha512" ? 64 : 32);

// Compiled, and with a heap that is as large as making strings needs it, before anything is measured.
let length = 0;
const warm = new DigestSet();
for (let i = 0; i < 300_000; i++) {
  const digest = `${algorithm}:${hexOf(i)}`;
  length += digest.length;
  if (i < 2000) warm.add(digest);
}
globalThis.gc();
const before = process.memoryUsage.rss();

const set = new DigestSet();
const cpuBefore = process.cpuUsage();
for (let i = 0; i < count; i++) set.add(`${algorithm}:${hexOf(i)}`);
const { user, system } = process.cpuUsage(cpuBefore);
const ms = (user + system) / 1000;
globalThis.gc();
const bytes = process.memoryUsage.rss() - before;
if (set.size !== count || !set.has(`${algorithm}:${hexOf(count - 1)}`) || length === 0)
  throw new Error(`the set has ${set.size} digests, not ${count}`);
console.log(JSON.stringify({ count, bytesEach: bytes / count, ms }));
