/** `npm run example:bullmq`: a small registry, collected by four processes that know of each other by Redis and its storage alone. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isRegistryGcError, openRegistry } from "oci-registry-gc";
import { startCollection } from "oci-registry-gc/bullmq";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { formatReport } from "oci-registry-gc/report";
import { describeContents } from "../collect/contents.js";
import { withDemoRegistry } from "../collect/demoRegistry.js";
import { Interrupted, interruptible } from "../collect/interrupt.js";
import { readWords, runProgram, UsageError } from "../shared/program.js";
import { withRedis } from "./redis.js";

const WORKERS = 4;
const PATIENCE_MS = 10_000;
const SCRIPT = fileURLToPath(new URL("worker.ts", import.meta.url));

/** Starts workers, and ends them with the work. */
async function withWorkers<T>(args: readonly string[], work: () => Promise<T>): Promise<T> {
  const workers = Array.from({ length: WORKERS }, () => fork(SCRIPT, args, { execArgv: ["--import", "tsx"] }));
  try {
    await Promise.all(workers.map(isReady));
    console.log(`${WORKERS} workers: processes ${workers.map(({ pid }) => pid).join(", ")}\n`);
    return await work();
  } finally {
    await Promise.all(workers.map(stop));
  }
}

async function isReady(worker: ChildProcess): Promise<void> {
  const [heard] = (await Promise.race([once(worker, "message"), once(worker, "exit")])) as [unknown];
  if (heard !== "ready") throw new Error("a worker ended before it was ready");
}

async function stop(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const ended = once(worker, "exit");
  worker.kill();
  // Without Redis it can't give back what it has.
  const late = setTimeout(() => worker.kill("SIGKILL"), PATIENCE_MS);
  await ended;
  clearTimeout(late);
}

/** A line whenever the run is somewhere else. */
function progressLines(): (phase: string, done: number, total: number) => void {
  let last = "";
  return (phase, done, total) => {
    const line = `  ${phase.padEnd(9)} ${done} of ${total} parts`;
    if (line !== last) console.log(line);
    last = line;
  };
}

async function collect(root: string, url: string, signal: AbortSignal): Promise<void> {
  const registry = openRegistry(new FilesystemDriver({ root }));
  const queue = `example-${process.pid}`;
  console.log(`Before:\n${await describeContents(registry)}\n`);
  const tell = progressLines();
  await withWorkers([root, url, queue], async () => {
    const report = await startCollection(
      { connection: { url, maxRetriesPerRequest: null }, queue, shards: 8, signal },
      { readOnly: true, removeUntagged: true, onProgress: ({ phase, done, total = 0 }) => tell(phase, done, total) },
    );
    const { columns, isTTY } = process.stdout;
    console.log(`\n${formatReport(report, { width: isTTY ? columns : 120, color: isTTY && process.env["NO_COLOR"] === undefined })}`);
  });
  console.log(`\nAfter:\n${await describeContents(registry)}`);
}

const HELP = `Usage: npm run example:bullmq -- [--help]

A small registry in a temporary folder, collected by ${WORKERS} processes as jobs on BullMQ. A redis-server is started for it; with
REDIS_URL set, the one that is there is used.`;

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  if (readWords(argv, {}).switches.has("help")) {
    console.log(HELP);
    return 0;
  }
  try {
    await interruptible((signal) => withDemoRegistry((root) => withRedis((url) => collect(root, url, signal))));
    return 0;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (error instanceof Interrupted) console.error("Interrupted.");
    else if (isRegistryGcError(error)) console.error(`Failed (${error.code}): ${error.message}`);
    else console.error((error as Error).message);
    return error instanceof Interrupted ? error.exitCode : 1;
  }
}

await runProgram("example:bullmq", main);
