/**
 * What a collection of a registry on S3 costs in requests, beside the floor: a page for each thousand keys, a GET for each manifest,
 * a DeleteObjects for each thousand keys that go. `npm run bench:s3 [-- --small --latency]`
 *
 * Exits non-zero where a run takes more than 1.1 times the floor, beyond what reading in parallel may cost, and where 16 requests in
 * flight are not 11 times as fast as one: in rounds of requests, and with `--latency` also by the clock, with 20 ms for each.
 */

import { createHash } from "node:crypto";
import { S3Client } from "@aws-sdk/client-s3";
import { type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { S3Driver } from "oci-registry-gc/drivers/s3";
import { S3StandIn } from "../tests/s3/standIn.js";

/** Requests more than the floor that parting listings may cost in a run. */
const PARTING = 300;
const ROOT = "docker/registry/v2";
const MONTH_AGO = Date.now() - 30 * 86_400_000;

interface Shape {
  /** Groups of ten repositories that share their manifests. */
  readonly groups: number;
  /** Of each repository. */
  readonly manifests: number;
  readonly tags: number;
}

/** 100 repositories of 500 manifests and 100 tags: 5,000 different manifests, each in ten repositories, and 20,000 blobs. */
const LARGE: Shape = { groups: 10, manifests: 500, tags: 100 };
const SMALL: Shape = { groups: 2, manifests: 500, tags: 100 };
/** Large enough for what has to be one after the other, two listings until they have proved long, to weigh little. */
const LATENCY: Shape = { groups: 4, manifests: 400, tags: 50 };
/** Repositories of a group. */
const SHARING = 10;
/** A config and two layers. */
const BLOBS_OF_MANIFEST = 3;

const digestOf = (content: string) => createHash("sha256").update(content).digest("hex");

/** Fills a bucket. The tags of a group's repositories overlap so that just over half of its manifests have one. */
function fill(s3: S3StandIn, { groups, manifests, tags }: Shape): void {
  const put = (key: string, content: string) => s3.put(`${ROOT}/${key}`, content, { time: MONTH_AGO });
  const blob = (content: string) => {
    const hex = digestOf(content);
    put(`blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, content);
    return hex;
  };
  const step = Math.ceil((0.506 * manifests - tags) / (SHARING - 1));
  for (let group = 0; group < groups; group++) {
    const images = Array.from({ length: manifests }, (_, i) => {
      const blobs = Array.from({ length: BLOBS_OF_MANIFEST }, (__, n) => blob(`blob ${n} of ${group} ${i}`));
      const [config, ...layers] = blobs.map((hex) => ({ mediaType: "application/octet-stream", digest: `sha256:${hex}`, size: 20 }));
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      return { hex: blob(JSON.stringify({ schemaVersion: 2, mediaType, config, layers, annotations: { n: `${group} ${i}` } })), blobs };
    });
    for (let n = 0; n < SHARING; n++) {
      const repository = `repositories/team-${group}/app-${n}`;
      for (const { hex, blobs } of images) {
        put(`${repository}/_manifests/revisions/sha256/${hex}/link`, `sha256:${hex}`);
        for (const each of blobs) put(`${repository}/_layers/sha256/${each}/link`, `sha256:${each}`);
      }
      for (let tag = 0; tag < tags; tag++) {
        const { hex } = images[n * step + tag]!;
        put(`${repository}/_manifests/tags/v${tag}/current/link`, `sha256:${hex}`);
        put(`${repository}/_manifests/tags/v${tag}/index/sha256/${hex}/link`, `sha256:${hex}`);
      }
    }
  }
}

interface Measured {
  readonly report: GcReport;
  /** Phase -> operation -> requests. */
  readonly phases: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly total: number;
  readonly ms: number;
}

async function measure(s3: S3StandIn, atOnce: number, options: GcOptions): Promise<Measured> {
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
  });
  const driver = new S3Driver({ client, bucket: s3.bucket, maxInFlight: atOnce });
  s3.resetCounts();
  const phases: Record<string, Record<string, number>> = {};
  let phase = "inventory";
  s3.interrupt = ({ operation }) => {
    const counts = (phases[phase] ??= {});
    counts[operation] = (counts[operation] ?? 0) + 1;
    return undefined;
  };
  const startedAt = Date.now();
  try {
    const report = await markAndSweep({}, driver, openRegistry(driver), {
      removeUntagged: true,
      readOnly: true,
      concurrency: atOnce,
      maxParallelManifestGets: atOnce,
      ...options,
      onProgress: (progress) => {
        phase = progress.phase;
      },
    });
    return { report, phases, total: s3.count(), ms: Date.now() - startedAt };
  } finally {
    client.destroy();
  }
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
    fill(s3, LATENCY);
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

async function compareLatency(): Promise<boolean> {
  const s3 = await S3StandIn.start();
  try {
    fill(s3, LATENCY);
    s3.delay = () => new Promise((resolve) => setTimeout(resolve, 20));
    const one = await measure(s3, 1, { dryRun: true });
    const sixteen = await measure(s3, 16, { dryRun: true });
    console.log(`20 ms of latency, one in flight: ${one.total} requests, ${one.ms} ms; 16: ${sixteen.total} requests, ${sixteen.ms} ms`);
    return one.ms / sixteen.ms >= 11;
  } finally {
    await s3.stop();
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
