/**
 * A run in parts, measured: `npm run bench:parts [-- --memory]`.
 *
 * - By default: with 20 ms of latency for each call to the storage, how much faster four workers are than one. Workers are processes; a
 *   queue within the leader deals parts to them one at a time, so that what is measured is the parts and not an engine.
 * - `--memory`: what one worker holds for a registry of 100 million blobs: one part of each kind that goes through blobs, with all the files
 *   of its size that it would find, each in a process of its own.
 */

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { collectInParts, type PartJob } from "oci-registry-gc/parts";
import { RegistryBuilder } from "oci-registry-gc/testing";
import { measureMemory } from "./partsMemory.js";
import { slowly } from "./slowly.js";

const LATENCY_MS = 20;
const REPOSITORIES = 120;
const OPTIONS = { readOnly: true, removeUntagged: true, maxDeleteRatio: 1 } as const;

if (process.argv.includes("--memory")) await measureMemory(numberAfter("--blobs", 100_000_000));
else await measureSpeed();

function numberAfter(option: string, otherwise: number): number {
  const at = process.argv.indexOf(option);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}

async function measureSpeed(): Promise<void> {
  const single = await inFolder(async (root) => {
    const driver = slowly(new FilesystemDriver({ root }), LATENCY_MS);
    const begun = performance.now();
    const report = await markAndSweep({}, driver, openRegistry(driver), OPTIONS);
    return { report, ms: performance.now() - begun };
  });
  say("markAndSweep, one process", single);
  const one = await inFolder((root) => runWith(root, 1));
  say("in parts, one worker", one);
  const four = await inFolder((root) => runWith(root, 4));
  say("in parts, four workers", four);
  console.log(`four workers are ${(one.ms / four.ms).toFixed(2)} times as fast as one`);
  console.log(`four workers are ${(single.ms / four.ms).toFixed(2)} times as fast as markAndSweep`);
}

interface Measured {
  readonly report: GcReport;
  readonly ms: number;
}

function say(what: string, { report, ms }: Measured): void {
  const calls = Object.values(report.storageCalls).reduce((sum, count) => sum + count, 0);
  console.log(`${what}: ${Math.round(ms)} ms, ${calls} calls, ${report.deleted.blobs} blobs deleted`);
}

/** A registry of some size on a file system, made anew: repositories of different sizes, a third of their images untagged. */
async function inFolder<T>(work: (root: string) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), "oci-registry-gc-bench-"));
  try {
    const driver = new FilesystemDriver({ root });
    const builder = new RegistryBuilder(driver);
    for (let i = 0; i < REPOSITORIES; i++) {
      for (let image = 0; image < 10 + (i % 20); image++) {
        await builder.image(`team-${i % 7}/app-${i}`, { ...(image % 3 === 0 ? {} : { tag: `v${image}` }), layers: 3 });
      }
    }
    return await work(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function runWith(root: string, workers: number): Promise<Measured> {
  const script = fileURLToPath(new URL("./partsWorker.ts", import.meta.url));
  const children = Array.from({ length: workers }, () => fork(script, [root, String(LATENCY_MS)], { execArgv: ["--import", "tsx"] }));
  try {
    await Promise.all(children.map((child) => answerOf(child, undefined)));
    const driver = slowly(new FilesystemDriver({ root }), LATENCY_MS);
    const begun = performance.now();
    const report = await collectInParts({}, driver, openRegistry(driver), OPTIONS, {
      shards: 16,
      async execute(jobs) {
        const waiting = [...jobs];
        await Promise.all(
          children.map(async (child) => {
            for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await answerOf(child, job);
          }),
        );
      },
    });
    return { report, ms: performance.now() - begun };
  } finally {
    for (const child of children) child.kill();
  }
}

/** What a worker says once it is ready, or has made a part. */
function answerOf(child: ChildProcess, job: PartJob | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a worker ended with ${code}`));
    child.once("exit", onExit);
    child.once("message", (answer: { error?: string }) => {
      child.off("exit", onExit);
      if (answer.error === undefined) resolve();
      else reject(new Error(answer.error));
    });
    if (job !== undefined) child.send(job);
  });
}
