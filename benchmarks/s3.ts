/**
 * What a collection of a registry on S3 costs in requests, beside the floor: a page for each thousand keys, a GET for each manifest,
 * a DeleteObjects for each thousand keys that go. `npm run bench:s3 [-- --small --latency]`
 *
 * Exits non-zero where a run takes more than 1.1 times the floor, beyond what reading in parallel may cost, and where 16 requests in
 * flight are not 11 times as fast as one: in rounds of requests, and with `--latency` also by the clock, with 20 ms for each.
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { S3Client } from "@aws-sdk/client-s3";
import { type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { S3Driver } from "oci-registry-gc/drivers/s3";
import { S3StandIn } from "../tests/s3/standIn.js";
import type { Order, Ready } from "./s3Server.js";
import { BLOBS_OF_MANIFEST, fill, ROOT, type Shape } from "./s3Tree.js";

/** Requests more than the floor that parting listings may cost in a run. */
const PARTING = 300;

/** 100 repositories of 500 manifests and 100 tags: 5,000 different manifests, each in ten repositories, and 20,000 blobs. */
const LARGE: Shape = { groups: 10, sharing: 10, manifests: 500, tags: 100 };
const SMALL: Shape = { groups: 2, sharing: 10, manifests: 500, tags: 100 };
/** Large enough for what has to be one after the other, two listings until they have proved long, to weigh little. */
const ROUNDS: Shape = { groups: 4, sharing: 10, manifests: 400, tags: 50 };
/**
 * Of repositories that share nothing, so that most requests are for manifests: what a page of a thousand keys costs the SDK in XML is
 * nearly its latency again, and no number of requests in flight makes one processor faster.
 */
const CLOCKED: Shape = { groups: 20, sharing: 1, manifests: 200, tags: 110 };
const LATENCY_MS = 20;
interface Measured {
  readonly report: GcReport;
  /** Phase -> operation -> requests. */
  readonly phases: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly total: number;
  readonly ms: number;
}

interface Collected {
  readonly report: GcReport;
  /** Operation -> requests, further tries included. */
  readonly requests: Readonly<Record<string, number>>;
  readonly ms: number;
}

/** Collects a bucket, with so many requests in flight. */
async function collect({ endpoint, bucket }: Pick<Ready, "endpoint" | "bucket">, atOnce: number, options: GcOptions): Promise<Collected> {
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
  });
  const driver = new S3Driver({ client, bucket, maxInFlight: atOnce });
  const startedAt = Date.now();
  try {
    const report = await markAndSweep({}, driver, openRegistry(driver), {
      removeUntagged: true,
      readOnly: true,
      concurrency: atOnce,
      maxParallelManifestGets: atOnce,
      ...options,
    });
    return { report, requests: driver.requestCounts, ms: Date.now() - startedAt };
  } finally {
    client.destroy();
  }
}

/** The same, with the requests of each phase. */
async function measure(s3: S3StandIn, atOnce: number, options: GcOptions): Promise<Measured> {
  s3.resetCounts();
  const phases: Record<string, Record<string, number>> = {};
  let phase = "inventory";
  s3.interrupt = ({ operation }) => {
    const counts = (phases[phase] ??= {});
    counts[operation] = (counts[operation] ?? 0) + 1;
    return undefined;
  };
  const onProgress: GcOptions["onProgress"] = (progress) => {
    phase = progress.phase;
  };
  const { report, ms } = await collect(s3, atOnce, { ...options, onProgress });
  return { report, phases, total: s3.count(), ms };
}

/** What kinds of keys were read, and how often. */
function readsByKind(s3: S3StandIn): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const { operation, key } of s3.requests) {
    if (operation !== "GetObject") continue;
    const kind = key
      .replace(`${ROOT}/`, "")
      .replace(/[0-9a-f]{64}/g, "<hex>")
      .replace(/^blobs\/sha256\/../, "blobs/sha256/<2>")
      .replace(/^repositories\/.*?\/_/, "repositories/<name>/_")
      .replace(/\/tags\/[^/]+/, "/tags/<tag>");
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}

async function countRequests(shape: Shape): Promise<boolean> {
  const s3 = await S3StandIn.start();
  try {
    fill(s3, shape);
    const keys = s3.objects.size;
    const { report, phases, total, ms } = await measure(s3, 16, {});
    const deletes = keys - s3.objects.size;
    const manifests = shape.groups * shape.manifests;
    const floor = Math.ceil(keys / 1000) + manifests + Math.ceil(deletes / 1000);
    const most = Math.floor(1.1 * floor) + PARTING;
    console.log(`${keys} keys, ${report.marked.repositories} repositories, ${manifests} manifests, ${deletes} keys deleted, ${ms} ms`);
    console.log(`blobs: ${report.deleted.blobs} of ${shape.groups * shape.manifests * (BLOBS_OF_MANIFEST + 1)} were garbage`);
    for (const [phase, counts] of Object.entries(phases)) console.log(`  ${phase.padEnd(10)} ${JSON.stringify(counts)}`);
    console.log(`  all        ${JSON.stringify(s3.counts)}`);
    console.log(`read: ${JSON.stringify(readsByKind(s3), null, 2)}`);
    console.log(`floor ${floor} = ${Math.ceil(keys / 1000)} pages + ${manifests} manifests + ${Math.ceil(deletes / 1000)} deletes`);
    console.log(`taken ${total} = ${(total / floor).toFixed(3)} x the floor; at most ${most} (1.1 x, and ${PARTING} for parting listings)`);
    return total <= most && report.status === "completed";
  } finally {
    await s3.stop();
  }
}

/**
 * How many times as fast, reckoned without the speed of this machine: in rounds of one latency, each of which answers all requests
 * that are there.
 */
async function compareRounds(): Promise<boolean> {
  const s3 = await S3StandIn.start();
  try {
    fill(s3, ROUNDS);
    const rounds: number[] = [];
    for (const atOnce of [1, 16]) {
      let count = 0;
      let waiting: ((_: unknown) => void)[] = [];
      let timer: NodeJS.Timeout | undefined;
      const answerAll = () => {
        count++;
        const all = waiting;
        waiting = [];
        for (const answer of all) answer(undefined);
      };
      s3.delay = () =>
        new Promise((resolve) => {
          waiting.push(resolve);
          clearTimeout(timer);
          // A round begins when nobody has anything more to ask.
          if (waiting.length >= atOnce) setImmediate(answerAll);
          else timer = setTimeout(answerAll, 8);
        });
      const { total } = await measure(s3, atOnce, { dryRun: true });
      console.log(`${atOnce} in flight: ${total} requests in ${count} rounds`);
      rounds.push(count);
    }
    const ratio = rounds[0]! / rounds[1]!;
    console.log(`16 in flight are ${ratio.toFixed(1)} times as fast as one`);
    return ratio >= 11;
  } finally {
    await s3.stop();
  }
}

/** How many times as fast by the clock. The store is a process of its own: else its work would be counted as the client's. */
async function compareLatency(): Promise<boolean> {
  const server = fork(fileURLToPath(new URL("s3Server.ts", import.meta.url)));
  try {
    const order: Order = { shape: CLOCKED, latencyMs: LATENCY_MS };
    server.send(order);
    const [ready] = (await once(server, "message")) as [Ready];
    const totalOf = ({ requests }: Collected) => Object.values(requests).reduce((sum, n) => sum + n, 0);
    const one = await collect(ready, 1, { dryRun: true });
    const sixteen = await collect(ready, 16, { dryRun: true });
    const ratio = one.ms / sixteen.ms;
    console.log(`${LATENCY_MS} ms of latency, ${ready.keys} keys`);
    console.log(`  one in flight: ${totalOf(one)} requests, ${one.ms} ms`);
    console.log(`  16 in flight:  ${totalOf(sixteen)} requests, ${sixteen.ms} ms: ${ratio.toFixed(1)} times as fast`);
    return ratio >= 11;
  } finally {
    server.kill();
  }
}

const asked = process.argv.slice(2);
const isWithin = await countRequests(asked.includes("--small") ? SMALL : LARGE);
const isParallel = await compareRounds();
const isFast = !asked.includes("--latency") || (await compareLatency());
console.log(isWithin ? "within 1.1 x the floor" : "NOT within 1.1 x the floor");
console.log(isParallel ? "parallel" : "NOT parallel: fewer than 11 times as fast in rounds");
if (!isFast) console.log("NOT 11 times as fast by this machine's clock");
process.exitCode = isWithin && isParallel && isFast ? 0 : 1;
