/** A cache in Redis that is told what is gone: a server of our own on loopback, and a real registry that has its cache in it. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { type DeletedItem, type GcOptions, markAndSweep, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { RegistryBuilder, reachable, snapshotOf } from "oci-registry-gc/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CacheInvalidation, keys } from "../../examples/redis-invalidation/redisCache.js";
import { connectToRedis } from "../../examples/shared/connectToRedis.js";
import { type RedisServer, startRedis } from "../../examples/shared/redisServer.js";
import { runExample } from "../support/exampleProgram.js";
import { image, layer } from "./support/content.js";
import { RegistryClient } from "./support/registryClient.js";
import { storageOf, whileServingConfig, writeConfigFor } from "./support/registryServer.js";
import { describeInterop, describeWith } from "./support/tools.js";

const NOW: GcOptions = { readOnly: true, removeUntagged: true };

describeWith("redis-server")("a cache in Redis", () => {
  let server: RedisServer;
  let redis: Redis;
  beforeEach(async () => {
    server = await startRedis();
    redis = await connectToRedis(server.url);
  });
  afterEach(async () => {
    redis.disconnect();
    await server.stop();
  });

  /** Two repositories: one image that is tagged, and some that are not. */
  async function registry(untagged = 1) {
    const driver = new MemoryDriver();
    const builder = new RegistryBuilder(driver);
    const kept = await builder.image("app", { tag: "latest" });
    const gone = [];
    for (let i = 0; i < untagged; i++) gone.push(await builder.image(i === 0 ? "app" : "app/old"));
    for (const [i, each] of [kept, ...gone].entries()) {
      for (const { digest } of [each, ...each.layers]) await remember(i < 2 ? "app" : "app/old", digest);
    }
    return { driver, kept, gone };
  }

  async function remember(repository: string, digest: string): Promise<void> {
    await redis.hset(keys.blob(digest), { digest, size: 1, mediatype: "application/octet-stream" });
    await redis.sadd(keys.blobsOf(repository), digest);
    await redis.hset(keys.blobOf(repository, digest), { mediatype: "application/octet-stream" });
  }

  const knows = async (digest: string) =>
    (await redis.exists(keys.blob(digest), keys.blobOf("app", digest), keys.blobOf("app/old", digest))) +
    (await redis.sismember(keys.blobsOf("app"), digest)) +
    (await redis.sismember(keys.blobsOf("app/old"), digest));

  test("forgets what is gone, and nothing else", async () => {
    const { driver, kept, gone } = await registry(3);
    const cache = new CacheInvalidation(redis);
    const report = await markAndSweep({}, driver, openRegistry(driver), { ...NOW, onDeleted: (items) => cache.onDeleted(items) });
    expect(report).toMatchObject({ status: "completed", problems: [], deleted: { manifests: 3, blobs: 9 } });
    expect(cache.pending).toBe(0);
    for (const { digest } of gone.flatMap((each) => [each, ...each.layers.slice(0, 2)])) expect(await knows(digest), digest).toBe(0);
    for (const { digest } of [kept, ...kept.layers]) expect(await knows(digest), digest).toBe(3);
  });

  test("forgets a repository with all that it had, and no other", async () => {
    await remember("app", "sha256:a");
    await remember("app/old", "sha256:a");
    await new CacheInvalidation(redis).onDeleted([{ kind: "repository", path: "/app", repository: "app", how: "deleted" }]);
    expect(await redis.keys("repository::*")).toEqual(
      expect.arrayContaining([keys.blobsOf("app/old"), keys.blobOf("app/old", "sha256:a")]),
    );
    expect(await redis.keys("repository::app::*")).toEqual([]);
  });

  test("what is put aside is forgotten as well", async () => {
    const { driver, gone } = await registry();
    const cache = new CacheInvalidation(redis);
    const told: DeletedItem[] = [];
    const onDeleted = async (items: readonly DeletedItem[]) => {
      told.push(...items);
      await cache.onDeleted(items);
    };
    const report = await markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, gracePeriodMs: 0, drainMs: 0, onDeleted });
    expect(report).toMatchObject({ safety: "quarantine", quarantined: { blobs: 3 } });
    expect(told.some(({ how }) => how === "aside")).toBe(true);
    for (const { digest } of gone[0]!.layers.slice(0, 2)) expect(await redis.exists(keys.blob(digest))).toBe(0);
  });

  test("more than one round trip takes", async () => {
    const digests = Array.from({ length: 1234 }, (_, i) => `sha256:${i}`);
    await Promise.all(digests.map((digest) => remember("app", digest)));
    const cache = new CacheInvalidation(redis);
    const blobs = digests.map((digest) => ({ kind: "blob" as const, path: digest, digest, how: "deleted" as const }));
    const links = digests.map((digest) => ({
      kind: "layerLink" as const,
      path: digest,
      digest,
      repository: "app",
      how: "deleted" as const,
    }));
    await cache.onDeleted([...blobs, ...links]);
    expect(cache.done).toBe(2468);
    expect(await redis.dbsize()).toBe(0);
  });

  describe("that is gone in the middle of a run", () => {
    test("the run deletes exactly what it would have, says so, and what was missed can be told later", async () => {
      const { driver, gone } = await registry(3);
      const before = await snapshotOf(driver);
      // Even one that would wait for every answer is not held up.
      const patient = await connectToRedis(server.url, 600_000);
      const { removed } = reachable(before, { removeUntagged: true });
      const cache = new CacheInvalidation(patient);
      let batches = 0;
      const onDeleted = async (items: readonly DeletedItem[]) => {
        if (++batches === 2) await server.stop();
        await cache.onDeleted(items);
      };
      const report = await markAndSweep({}, driver, openRegistry(driver), { ...NOW, onDeleted });
      const after = await snapshotOf(driver);
      expect([...before.files.keys()].filter((path) => !after.files.has(path)).sort()).toEqual([...removed].sort());
      expect(report).toMatchObject({ status: "completed", failures: [], deleted: { manifests: 3, blobs: 9 } });
      expect(report.problems.length).toBeGreaterThan(0);
      for (const problem of report.problems) expect(problem).toMatchObject({ kind: "hook-failed" });
      expect(cache.pending).toBeGreaterThan(0);
      await expect(cache.flush()).rejects.toThrow();

      // There again, with what it knew.
      server = await startRedis(server.port);
      while (redis.status !== "ready" || patient.status !== "ready") await new Promise((resolve) => setTimeout(resolve, 10));
      for (const { digest } of gone.flatMap((each) => [each, ...each.layers])) await remember("app", digest);
      const pending = cache.pending;
      await cache.flush();
      expect([cache.pending, pending > 0]).toEqual([0, true]);
      for (const { digest } of gone[0]!.layers.slice(0, 2)) expect(await knows(digest)).toBe(0);
      patient.disconnect();
    });

    test("what was told before it went is not told again, and the rest is pending", async () => {
      const blobs = Array.from({ length: 1234 }, (_, i) => ({
        kind: "blob" as const,
        path: `/${i}`,
        digest: `sha256:${i}`,
        how: "deleted" as const,
      }));
      const pipeline = redis.pipeline.bind(redis);
      let trips = 0;
      redis.pipeline = (commands) => {
        if (++trips === 2) throw new Error("the cable was pulled");
        return pipeline(commands);
      };
      const cache = new CacheInvalidation(redis);
      await expect(cache.onDeleted(blobs)).rejects.toThrow("the cable was pulled");
      expect([cache.done, cache.pending]).toEqual([500, 734]);
      await cache.flush();
      expect([cache.done, cache.pending, trips]).toEqual([1234, 0, 4]);
    });

    test("one that hangs holds the run up no longer than a call may take", async () => {
      const { driver } = await registry();
      const impatient = await connectToRedis(server.url, 20);
      const cache = new CacheInvalidation(impatient);
      await redis.call("CLIENT", "PAUSE", "600000", "ALL");
      const report = await markAndSweep({}, driver, openRegistry(driver), { ...NOW, onDeleted: (items) => cache.onDeleted(items) });
      expect(report).toMatchObject({ status: "completed", deleted: { blobs: 3 } });
      expect(report.problems[0]?.message).toContain("Command timed out");
      impatient.disconnect();
    });
  });

  describe("as it is started", () => {
    test("with a registry and a Redis of its own", async () => {
      const { code, stdout, stderr } = await runExample("redis-invalidation");
      expect(stdout).toMatch(/Deleted 7 blobs[\s\S]*The cache was told to forget 13 things\./);
      const [before, after] = [...stdout.matchAll(/The cache knows (\d+) things/g)].map(([, count]) => Number(count));
      expect(before! - after!).toBeGreaterThan(0);
      expect(stderr).toBe("");
      expect(code).toBe(0);
    });

    test("with a Redis that is there", async () => {
      const { code } = await runExample("redis-invalidation", "--redis", server.url);
      expect(await redis.dbsize()).toBeGreaterThan(0);
      expect(code).toBe(0);
    });

    test("with a Redis that takes nothing: the run is done, and the cache is not", async () => {
      const root = mkdtempSync(join(tmpdir(), "oci-registry-gc-redis-"));
      const builder = new RegistryBuilder(new FilesystemDriver({ root }));
      await builder.image("app", { tag: "latest" });
      const old = await builder.image("app");
      await redis.config("SET", "min-replicas-to-write", "1");
      const options = ["--read-only", "--remove-untagged", "--redis", server.url];
      const { code, stdout, stderr } = await runExample("redis-invalidation", root, ...options);
      expect(stdout).toContain("Deleted 3 blobs");
      expect(stderr).toMatch(/Redis can't be told \(NOREPLICAS .*\): the cache may still know 6 things that are gone/);
      expect(stderr).toContain("Empty the cache before the registry uses it again.");
      expect(code).toBe(1);
      expect(existsSync(join(root, builder.paths.blob(old.digest)))).toBe(false);
      rmSync(root, { recursive: true });
    });

    test.each([
      [
        ["--redis", "redis://user:secret@127.0.0.1:1"],
        "there is no Redis at redis://127.0.0.1:1 (connect ECONNREFUSED 127.0.0.1:1): start one",
      ],
      [["--redis", "localhost"], "option --redis is no URL of a Redis; expected one such as redis://127.0.0.1:6379/0"],
      [["--shred"], "there is no option --shred; there are --redis, --dry-run,"],
      [["examples"], "examples is no registry: it does not hold docker/registry/v2"],
    ])("%s is refused", async (args, message) => {
      const { code, stdout, stderr } = await runExample("redis-invalidation", ...args);
      expect(stderr).toContain(message);
      expect(stderr).not.toMatch(/secret|^ {4}at /m);
      expect(stdout).toBe("");
      expect(code).toBe(2);
    });
  });

  describeInterop("of docker-registry", () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-redis-"));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    test.each([
      ["that is told: the registry knows at once what is gone", true],
      ["that is not told: the registry goes on to say that it is there", false],
    ])("%s", async (_, isTold) => {
      await mkdir(storageOf(folder));
      const storage = { filesystem: { rootdirectory: storageOf(folder) }, cache: { blobdescriptor: "redis" } };
      const config = await writeConfigFor(folder, storage, { redis: { addr: server.url.slice("redis://".length) } });
      await whileServingConfig(config, async ({ host }) => {
        const client = new RegistryClient(host);
        const [old, now] = [image("old", [layer("old layer")]), image("now", [layer("layer")])];
        await client.push("app", old, "latest");
        await client.push("app", now, "latest");
        for (const each of [...old.blobs, ...now.blobs]) expect(await client.has("app", "blobs", each.digest)).toBe(true);
        // As the registry names its keys.
        const known = (digest: string) => redis.exists(`blobs::${digest}`, `repository::app::blobs::${digest}`);
        for (const each of old.blobs) expect(await known(each.digest)).toBe(2);

        const cache = new CacheInvalidation(redis);
        const driver = new FilesystemDriver({ root: storageOf(folder) });
        const options: GcOptions = { ...NOW, ...(isTold && { onDeleted: (items) => cache.onDeleted(items) }) };
        const report = await markAndSweep({}, driver, openRegistry(driver), options);
        expect(report).toMatchObject({ status: "completed", problems: [], deleted: { manifests: 1, blobs: 3 } });
        for (const each of old.blobs) expect(await known(each.digest)).toBe(isTold ? 0 : 2);
        for (const each of old.blobs) expect(await client.has("app", "blobs", each.digest)).toBe(!isTold);
        expect(await client.pull("app", "latest")).toBe(now.digest);
      });
    });
  });
});
