// The library as a whole process, as it is built in `dist`.
//
//   node benchmarks/collect.mjs DIRECTORY OPTIONS-AS-JSON
//   node benchmarks/collect.mjs                            loads it, and does nothing
//
// With "watch" in place of nothing after the options, it also tells the longest time that the event loop stood still.

import { monitorEventLoopDelay } from "node:perf_hooks";
import { FilesystemDriver } from "../dist/drivers/filesystem.js";
import { markAndSweep, openRegistry } from "../dist/index.js";

const [root, options, watch] = process.argv.slice(2);
if (root !== undefined) {
  const delay = watch === "watch" ? monitorEventLoopDelay({ resolution: 1 }) : undefined;
  delay?.enable();
  const driver = new FilesystemDriver({ root });
  const report = await markAndSweep({}, driver, openRegistry(driver), JSON.parse(options ?? "{}"));
  delay?.disable();
  const { status, eligible, deleted, failureCount, storageCalls, durationsMs } = report;
  const blockedMs = delay === undefined ? {} : { blockedMs: delay.max / 1e6 };
  console.log(JSON.stringify({ status, eligible, deleted, failureCount, storageCalls, durationsMs, ...blockedMs }));
  if (failureCount > 0) process.exitCode = 1;
}
