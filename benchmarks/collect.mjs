// The library as a whole process, as it is built in `dist`.
//
//   node benchmarks/collect.mjs DIRECTORY OPTIONS-AS-JSON [FLAGS]
//   node benchmarks/collect.mjs                            loads it, and does nothing
//
//   --cache FILE   with a reference cache in this file
//   --twice        collects twice, with a reference cache in memory; the milliseconds of both are told
//   --anew         the second time by a driver of its own: one that has threads yet to start
//   --watch        tells the longest time that the event loop stood still, too

import { openSync, readSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { FilesystemDriver, fileReferenceCache } from "../dist/drivers/filesystem.js";
import { markAndSweep, memoryReferenceCache, openRegistry } from "../dist/index.js";

/** How often the loop is looked at, in milliseconds: so late it is when nothing holds it. */
const LOOKED_AT_MS = 1;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { cache: { type: "string" }, twice: { type: "boolean" }, anew: { type: "boolean" }, watch: { type: "boolean" } },
});
const [root, options] = positionals;

/** The most that this thread had of a processor between two turns of its event loop: others' time isn't in it. Linux tells it. */
function watchOwnTime() {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const buffer = Buffer.alloc(64);
  const ownMs = () => Number(buffer.latin1Slice(0, readSync(file, buffer, 0, buffer.length, 0)).split(" ")[0]) / 1e6;
  const told = { longestMs: 0, stop: () => clearInterval(timer) };
  let last = ownMs();
  const timer = setInterval(() => {
    const now = ownMs();
    told.longestMs = Math.max(told.longestMs, now - last);
    last = now;
  }, LOOKED_AT_MS);
  return told;
}

async function collect(driver, referenceCache) {
  const startedAt = performance.now();
  const report = await markAndSweep({}, driver, openRegistry(driver), {
    ...JSON.parse(options ?? "{}"),
    ...(referenceCache && { referenceCache }),
  });
  return { report, ms: performance.now() - startedAt };
}

if (root !== undefined) {
  const delay = values.watch ? monitorEventLoopDelay({ resolution: LOOKED_AT_MS }) : undefined;
  delay?.enable();
  const own = values.watch ? watchOwnTime() : undefined;
  const cache = values.twice ? memoryReferenceCache() : values.cache && fileReferenceCache(values.cache);
  const driver = new FilesystemDriver({ root });
  const first = values.twice ? await collect(driver, cache) : undefined;
  const { report, ms } = await collect(values.anew ? new FilesystemDriver({ root }) : driver, cache);
  delay?.disable();
  own?.stop();
  const { status, marked, eligible, deleted, failureCount, storageCalls, durationsMs } = report;
  // Each tag's current link is read, and besides only manifests.
  const manifestsRead = (storageCalls.getContent ?? 0) - marked.tags;
  const blockedMs = delay && delay.max / 1e6 - LOOKED_AT_MS;
  const times = { ms, firstMs: first?.ms, blockedMs, heldMs: own?.longestMs };
  console.log(JSON.stringify({ status, eligible, deleted, failureCount, storageCalls, manifestsRead, durationsMs, ...times }));
  if (failureCount > 0) process.exitCode = 1;
}
