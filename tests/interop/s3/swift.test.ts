/** The S3 driver and the collector on a real S3 server, with a real registry in front of it. */

import { join } from "node:path";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { openRegistry, purge } from "oci-registry-gc";
import { S3Driver } from "oci-registry-gc/drivers/s3";
import { storageDriverConformance } from "oci-registry-gc/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { image, layer, list } from "../support/content.js";
import { RegistryClient } from "../support/registryClient.js";
import { type Filling, fillRegistry } from "../support/scenario.js";
import { pullWithSkopeo, pushWithSkopeo } from "../support/skopeo.js";
import { contentsOfFiles } from "../support/tree.js";
import { CountingProxy } from "./support/countingProxy.js";
import { RegistryBucket } from "./support/registryBucket.js";
import { describeSwift, Swift } from "./support/swift.js";

// Such a server takes some ten milliseconds for a small object, and here there are thousands.
describeSwift("on Swift's S3", { timeout: 240_000 }, () => {
  let swift: Swift;
  const buckets: RegistryBucket[] = [];
  const made = async (bucket: Promise<RegistryBucket>) => {
    buckets.push(await bucket);
    return bucket;
  };
  beforeAll(async () => {
    swift = await Swift.start();
  });
  afterAll(async () => {
    for (const bucket of buckets) await bucket.remove();
    await swift.stop();
  });

  describe("the conformance suite", () => {
    beforeAll(() => swift.makeBucket("conformance"));
    // An object store has no directories to prune.
    const checks = storageDriverConformance().filter(({ needs }) => !needs.includes("pruneDirectories"));
    test.each(checks.map((check, i) => [check.name, check, i] as const))("%s", async (_, check, i) => {
      await check.run({ driver: new S3Driver({ client: swift.client(), bucket: "conformance", prefix: `check-${i}` }) });
    });
  });

  describe("the driver", () => {
    const bytes = (text: string) => Buffer.from(text);
    const pathsOf = async (pages: AsyncIterable<readonly { path: string }[]>) => {
      const paths: string[] = [];
      for await (const page of pages) for (const { path } of page) paths.push(path);
      return paths.sort();
    };
    beforeAll(() => swift.makeBucket("driver"));
    const driverAt = (prefix: string) => new S3Driver({ client: swift.client(), bucket: "driver", prefix });

    test("writes, reads, lists, moves and deletes", async () => {
      const driver = driverAt("simple");
      for (const path of ["/a/b/c", "/a/bc", "/a/b.d"]) expect(await driver.putContent(path, bytes(path))).toBe(true);
      expect(await driver.stat("/a/bc")).toMatchObject({ path: "/a/bc", isDirectory: false, size: 5 });
      expect(await driver.stat("/a/b")).toEqual({ path: "/a/b", isDirectory: true });
      await expect(driver.stat("/a/x")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
      expect(await pathsOf(driver.list("/a"))).toEqual(["/a/b", "/a/b.d", "/a/bc"]);
      expect(await pathsOf(driver.walk("/a"))).toEqual(["/a/b.d", "/a/b/c", "/a/bc"]);
      expect(Buffer.from(await driver.getContent("/a/bc")).toString()).toBe("/a/bc");
      expect((await driver.getContent("/a/bc", { maxBytes: 2 })).length).toBeGreaterThan(2);
      await expect(driver.getContent("/a/b")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      await expect(driver.getContent("/a/x")).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
      const rest: Buffer[] = [];
      for await (const chunk of await driver.reader("/a/bc", { offset: 3 })) rest.push(chunk as Buffer);
      expect(Buffer.concat(rest).toString()).toBe("bc");
      for await (const chunk of await driver.reader("/a/bc", { offset: 5 })) expect(chunk).toHaveLength(0);
      await driver.move("/a/bc", "/moved/bc");
      await expect(driver.move("/a/b.d", "/moved/bc")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
      await driver.delete("/a/b");
      expect(await pathsOf(driver.walk("/"))).toEqual(["/a/b.d", "/moved/bc"]);
      expect(await driver.deleteFiles(["/a/b.d", "/a/none", "/moved/bc"])).toEqual([]);
      expect(await pathsOf(driver.walk("/"))).toEqual([]);
    });

    test("this server refuses to write on a condition, and the driver says so", async () => {
      const driver = driverAt("locks");
      const unsupported = { code: "UNSUPPORTED" };
      for (let i = 0; i < 2; i++)
        await expect(driver.putContent("/lock", bytes("x"), { ifAbsent: true })).rejects.toMatchObject(unsupported);
      expect(await pathsOf(driver.walk("/"))).toEqual([]);
    });

    test("reads the MD5 of what it lists", async () => {
      const driver = driverAt("md5");
      await driver.putContent("/a", bytes("hello"));
      for await (const [info] of driver.walk("/")) {
        expect(Buffer.from(info!.md5!).toString("hex")).toBe("5d41402abc4b2a76b9719d911017c592");
      }
    });

    test("tells keys that no path can name, and leaves them", async () => {
      const client = swift.client();
      const odd = ["odd/dir/", "odd/dir/a b", "odd/dir/ä+%&<", "odd/dir//x"];
      for (const Key of [...odd, "odd/dir/file"])
        await client.send(new PutObjectCommand({ Bucket: "driver", Key, Body: "", ContentLength: 0 }));
      const driver = driverAt("odd");
      expect(await pathsOf(driver.walk("/dir"))).toEqual(["/dir/", "/dir//x", "/dir/a b", "/dir/file", "/dir/ä+%&<"]);
      await driver.delete("/dir");
      expect(await pathsOf(driver.walk("/dir"))).toEqual(["/dir/", "/dir//x", "/dir/a b", "/dir/ä+%&<"]);
    });

    test("pages, in several places at once", async () => {
      const driver = driverAt("many");
      const paths = Array.from({ length: 1040 }, (_, i) => `/d/${i % 13}/${i}`);
      const open = [...paths];
      const work = async () => {
        for (let path = open.pop(); path !== undefined; path = open.pop()) await driver.putContent(path, bytes("x"));
      };
      await Promise.all(Array.from({ length: 8 }, work));
      expect(await pathsOf(driver.walk("/d"))).toEqual([...paths].sort());
      expect(await pathsOf(driver.list("/d"))).toHaveLength(13);
      expect(await driver.deleteFiles(paths)).toEqual([]);
      expect(await pathsOf(driver.walk("/d"))).toEqual([]);
    });

    test("says what is wrong with bucket and credentials", async () => {
      const nowhere = new S3Driver({ client: swift.client(), bucket: "nowhere" });
      await expect(pathsOf(nowhere.walk("/a"))).rejects.toThrow(/no bucket "nowhere"/);
      await expect(nowhere.getContent("/a")).rejects.toThrow(/no bucket "nowhere"/);
      const client = swift.client();
      client.config.credentials = () => Promise.resolve({ accessKeyId: "test:tester", secretAccessKey: "wrong" });
      await expect(new S3Driver({ client, bucket: "driver" }).stat("/a")).rejects.toThrow(
        /credentials are not accepted|access .* is denied/,
      );
    });
  });

  describe("a registry with every kind of image and of garbage", () => {
    let original: RegistryBucket;
    let filling: Filling;
    beforeAll(async () => {
      original = await made(RegistryBucket.make(swift, "original"));
      filling = await original.whileServing(({ host }) => fillRegistry(host, original.folder));
    });

    /** All that is to stay can be pulled, and what nothing names is gone. */
    const expectServed = async (bucket: RegistryBucket, removeUntagged: boolean) => {
      await bucket.whileServing(async ({ host }) => {
        const client = new RegistryClient(host);
        for (const [name, digest] of filling.tags) {
          const [repository = "", tag = ""] = name.split(":");
          expect(await client.pull(repository, tag, filling.absent)).toBe(digest);
        }
        for (const { repository, manifest, stays } of filling.holdings) {
          if (stays === "always" || (stays === "while untagged ones stay" && !removeUntagged)) {
            await client.pull(repository, manifest.digest, filling.absent);
          }
        }
        for (const { digest } of filling.orphans) expect(await client.has("team/docker", "blobs", digest)).toBe(false);
        const [tag = ""] = [...filling.tags.keys()].filter((name) => !filling.notForSkopeo.has(name));
        await pullWithSkopeo(`${host}/${tag}`, join(bucket.folder, "pulled"));
      });
    };

    test.each([false, true])("is collected, removeUntagged %s, and serves all that it should", async (removeUntagged) => {
      const bucket = await made(original.copy(`offline-${removeUntagged}`));
      const options = { readOnly: true, removeUntagged };
      const before = await bucket.files();
      const dry = await bucket.collect({ ...options, dryRun: true });
      expect(await bucket.files()).toEqual(before);
      const report = await bucket.collect(options);
      expect(report).toMatchObject({ status: "completed", problems: [], failures: [], unrecognized: 0, deleted: dry.eligible });
      expect(report.deleted.blobs).toBeGreaterThan(0);
      await expectServed(bucket, removeUntagged);
      const kept = filling.holdings.filter(
        ({ stays, asLayer }) => !asLayer && (stays === "always" || (stays !== "never" && !removeUntagged)),
      );
      const revisions = contentsOfFiles(await bucket.files(), (digest) => digest).revisions;
      expect(revisions).toEqual([...new Set(kept.map(({ repository, manifest }) => `${repository}: ${manifest.digest}`))].sort());
      expect((await bucket.collect(options)).eligible).toMatchObject({ manifests: 0, blobs: 0, layerLinks: 0, tagIndexEntries: 0 });
    });

    test("is collected while the registry serves, and purged later", async () => {
      const bucket = await made(original.copy("online"));
      const options = { removeUntagged: true, gracePeriodMs: 0 };
      const report = await bucket.whileServing(() => bucket.collect(options));
      expect(report).toMatchObject({ status: "completed", safety: "quarantine", failures: [] });
      expect(report.quarantined.blobs).toBeGreaterThan(0);
      const driver = bucket.driver();
      const purged = await purge({}, driver, openRegistry(driver), { ...options, drainMs: 200, quarantineMs: 0 });
      expect(purged.failures).toEqual([]);
      expect(purged.purged.blobs).toBe(report.quarantined.blobs);
      await expectServed(bucket, true);
    });
  });

  describe("beside docker-registry garbage-collect on the same content", () => {
    let original: RegistryBucket;
    let proxy: CountingProxy;
    const tags: string[] = [];
    const children = ["amd64", "arm64"].map((name) => image(name, [layer("base"), layer(name)]));
    beforeAll(async () => {
      original = await made(RegistryBucket.make(swift, "compared"));
      proxy = await CountingProxy.before(swift.endpoint);
      await original.whileServing(async ({ host }) => {
        const client = new RegistryClient(host);
        const base = layer("base");
        const push = async (repository: string, tag: string, manifest: ReturnType<typeof image>) => {
          await pushWithSkopeo(original.folder, { host, repository, tag }, manifest, "oci");
          if (!tags.includes(`${repository}:${tag}`)) tags.push(`${repository}:${tag}`);
        };
        for (const repository of ["team", "team/app", "other"]) {
          for (let version = 0; version < 4; version++) {
            const versioned = image(`${repository} ${version}`, [base, layer(`${repository} layer ${version}`)]);
            await push(repository, version % 2 === 0 ? "latest" : `v${version}`, versioned);
          }
        }
        await push("team/list", "1", list("list", children));
        await client.pushBlob("team/app", layer("orphan"));
      });
    });
    afterAll(() => proxy.stop());

    test("the same goes, but for what a tagged list needs, and for a fraction of the requests", async () => {
      const ours = await made(original.copy("ours"));
      const theirs = await made(original.copy("theirs"));
      await theirs.collectAsDistribution(proxy.endpoint);
      const theirCounts = { ...proxy.counts };
      const theirTotal = proxy.total;
      proxy.reset();
      await ours.collect({ readOnly: true, removeUntagged: true }, {}, ours.driver(proxy.endpoint));
      console.log(`docker-registry: ${theirTotal} requests ${JSON.stringify(theirCounts)}`);
      console.log(`oci-registry-gc: ${proxy.total} requests ${JSON.stringify(proxy.counts)}`);
      const left = contentsOfFiles(await ours.files(), (digest) => digest);
      const leftByThem = contentsOfFiles(await theirs.files(), (digest) => digest);
      const onlyOurs = (part: "blobs" | "revisions" | "tagIndexEntries") => left[part].filter((each) => !leftByThem[part].includes(each));
      const onlyTheirs = (part: "blobs" | "revisions" | "tagIndexEntries") => leftByThem[part].filter((each) => !left[part].includes(each));
      // It takes the images of a list that is tagged, since they have no tags themselves.
      const base = layer("base").digest;
      const ownBlobs = children.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)).filter((digest) => digest !== base);
      expect(onlyOurs("blobs").sort()).toEqual(ownBlobs.sort());
      expect(onlyOurs("revisions").sort()).toEqual(children.map(({ digest }) => `team/list: ${digest}`).sort());
      expect(onlyOurs("tagIndexEntries")).toEqual([]);
      for (const part of ["blobs", "revisions", "tagIndexEntries"] as const) expect(onlyTheirs(part)).toEqual([]);
      expect(left.layerLinks.length).toBeLessThan(leftByThem.layerLinks.length);
      expect(proxy.counts["HEAD"]).toBeUndefined();
      expect(proxy.total).toBeLessThan(theirTotal / 5);
      await ours.whileServing(async ({ host }) => {
        for (const tag of tags) await pullWithSkopeo(`${host}/${tag}`, join(ours.folder, tag.replaceAll(/[/:]/g, "-")));
      });
    });
  });
});
