/** `npm run example:redis-invalidation`: a collection that tells a registry's descriptor cache in Redis what is gone. */

import type { Redis } from "ioredis";
import { type GcOptions, type GcReport, isRegistryGcError, markAndSweep, type Namespace, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { formatReport } from "oci-registry-gc/report";
import { withDemoRegistry } from "../collect/demoRegistry.js";
import { Interrupted, interruptible } from "../collect/interrupt.js";
import { checkRegistryRoot } from "../collect/registryRoot.js";
import { connectToRedis } from "../shared/connectToRedis.js";
import { readWords, runProgram } from "../shared/program.js";
import { startRedis } from "../shared/redisServer.js";
import { CacheInvalidation, keys } from "./redisCache.js";

const HELP = `Collects a registry's storage, and tells the registry's descriptor cache in Redis what is gone.

Usage: npm run example:redis-invalidation -- [DIRECTORY] [OPTIONS]

DIRECTORY is the registry's root directory, the one that holds docker/registry/v2. Without it the program makes a small
registry of its own in a temporary folder, fills the cache as a registry would, and collects with --read-only and
--remove-untagged.

  --redis URL         the Redis that the registry has its cache in; redis://127.0.0.1:6379 (without DIRECTORY: one of our own)
  --dry-run           plan everything, change nothing
  --remove-untagged   also remove manifests that no tag keeps
  --read-only         nothing writes to the registry during the run: no grace period, no second look
  --help              print this help

Exit codes: 0 done, 1 a run was refused, something could not be deleted, or the cache could not be told of all, 2 wrong
arguments, or no Redis, 130 interrupted.`;

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const names = ["dry-run", "remove-untagged", "read-only"];
  const { texts, switches, directory } = readWords(argv, { texts: ["redis"], switches: names, directory: true });
  if (switches.has("help")) {
    console.log(HELP);
    return 0;
  }
  const options = { dryRun: switches.has("dry-run"), removeUntagged: switches.has("remove-untagged"), readOnly: switches.has("read-only") };
  return interruptible(async (signal) => {
    if (directory !== undefined) {
      await checkRegistryRoot(directory);
      return withRedis(texts["redis"] ?? "redis://127.0.0.1:6379", (redis) => collect(directory, redis, options, signal));
    }
    const own = texts["redis"] === undefined ? await startRedis() : undefined;
    try {
      return await withRedis(own?.url ?? texts["redis"] ?? "", (redis) => collectDemo(redis, options, signal));
    } finally {
      await own?.stop();
    }
  });
}

async function withRedis<T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = await connectToRedis(url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

function collectDemo(redis: Redis, options: GcOptions, signal: AbortSignal): Promise<number> {
  return withDemoRegistry(async (root) => {
    await fillCache(redis, openRegistry(new FilesystemDriver({ root })));
    console.log(`The cache knows ${await redis.dbsize()} things.`);
    const code = await collect(root, redis, { ...options, readOnly: true, removeUntagged: true }, signal);
    console.log(`The cache knows ${await redis.dbsize()} things.`);
    return code;
  });
}

async function collect(root: string, redis: Redis, options: GcOptions, signal: AbortSignal): Promise<number> {
  const driver = new FilesystemDriver({ root });
  const cache = new CacheInvalidation(redis);
  const onDeleted = cache.onDeleted.bind(cache);
  const outcome = await markAndSweep({ signal }, driver, openRegistry(driver), { ...options, onDeleted }).catch((error: unknown) => {
    if (!isRegistryGcError(error) && !(error instanceof Interrupted)) throw error;
    return error;
  });
  const report = "schemaVersion" in outcome ? outcome : (outcome as { report?: GcReport }).report;
  if (report !== undefined) console.log(formatReport(report));
  if (outcome instanceof Error) console.error(outcome.message);
  const isTold = await tellTheRest(cache);
  if (outcome instanceof Interrupted) return outcome.exitCode;
  return isTold && report?.status === "completed" && !(outcome instanceof Error) ? 0 : 1;
}

/** Whether the cache knows nothing any more of what is gone. */
async function tellTheRest(cache: CacheInvalidation): Promise<boolean> {
  try {
    await cache.flush();
    console.log(`The cache was told to forget ${cache.done} things.`);
    return true;
  } catch (error) {
    console.error(
      `Redis can't be told (${(error as Error).message}): the cache may still know ${cache.pending} things that are gone, and a registry that \
believes it takes pushes whose layers are missing. Empty the cache before the registry uses it again.`,
    );
    return false;
  }
}

/** What a registry would have cached when everything had been pulled once. */
async function fillCache(redis: Redis, registry: Namespace): Promise<void> {
  for await (const repository of registry.repositories()) {
    for await (const page of repository.layerLinks()) {
      for (const { digest } of page) {
        await redis.hset(keys.blob(digest), { digest, size: 0, mediatype: "application/octet-stream" });
        await redis.sadd(keys.blobsOf(repository.name), digest);
        await redis.hset(keys.blobOf(repository.name, digest), { mediatype: "application/octet-stream" });
      }
    }
  }
}

await runProgram("example:redis-invalidation", main);
