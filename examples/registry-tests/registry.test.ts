/**
 * `npm run example:registry-tests`: how one who implements a registry tests that it can be collected. The driver keeps what drivers
 * promise, and what users pulled before a collection they pull after it, byte for byte.
 */

import { type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FaultyDriver, RegistryBuilder, reachable, snapshotOf, storageDriverConformance } from "oci-registry-gc/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { Registry } from "./registry.js";
import { TenantDriver } from "./tenantDriver.js";

describe("our driver keeps what drivers promise", () => {
  const store = new MemoryDriver();
  const driver = new TenantDriver(store, "acme");

  // It can neither walk nor move; what needs that is left out.
  const checks = storageDriverConformance().filter(({ needs }) => needs.every((member) => member in driver));
  test.each(checks.map((check) => [check.name, check] as const))("%s", (_, check) => check.run({ driver }));

  test("and never leaves its tenant", async () => {
    await store.putContent("/tenants/acme-corp/file", Buffer.from("theirs"));
    for (const path of ["-corp/file", "/../acme-corp/file", "../acme-corp/file"]) {
      await expect(driver.stat(path)).rejects.toMatchObject({ code: "INVALID_PATH" });
      await expect(driver.delete(path)).rejects.toMatchObject({ code: "INVALID_PATH" });
    }
    await expect(driver.delete("/")).rejects.toMatchObject({ code: "INVALID_PATH" });
    await driver.putContent("/file", Buffer.from("ours"));
    await driver.delete("/file");
    expect(Buffer.from(await store.getContent("/tenants/acme-corp/file")).toString()).toBe("theirs");
  });
});

describe("what users pulled still pulls after a collection", () => {
  const OPTIONS: GcOptions = { readOnly: true, removeUntagged: true };
  let store: MemoryDriver;
  let driver: TenantDriver;
  let registry: Registry;
  /** Writes fixtures as our users' clients would push them. */
  let pushed: RegistryBuilder;
  /** What is pulled before the collection, and after it. */
  let references: [repository: string, reference: string][];

  beforeEach(() => {
    store = new MemoryDriver();
    driver = new TenantDriver(store, "acme");
    registry = new Registry(driver);
    pushed = new RegistryBuilder(driver);
    references = [];
  });

  const pullAll = () => Promise.all(references.map(([repository, reference]) => registry.pull(repository, reference)));

  /** Pulls, collects, pulls again; and exactly that is gone which the naive oracle says. */
  async function collectBetweenPulls(options: GcOptions = {}, through: StorageDriver = driver): Promise<GcReport> {
    const before = await snapshotOf(driver);
    const pulled = await pullAll();
    const report = await markAndSweep({}, through, openRegistry(through), { ...OPTIONS, ...options });
    expect(await pullAll()).toEqual(pulled);
    const after = await snapshotOf(driver);
    const gone = [...before.files.keys()].filter((path) => !after.files.has(path));
    const { removed } = reachable(before, { removeUntagged: options.removeUntagged ?? true });
    expect(gone.sort()).toEqual([...removed].sort());
    return report;
  }

  test("a tag that has moved", async () => {
    const old = await pushed.image("web", { tag: "latest" });
    const image = await pushed.image("web");
    await registry.setTag("web", "latest", image.digest);
    references.push(["web", "latest"], ["web", image.digest]);
    const report = await collectBetweenPulls();
    expect(report.deleted).toMatchObject({ manifests: 1, blobs: 3 });
    await expect(registry.pull("web", old.digest)).rejects.toThrow("unknown");
  });

  test("an index keeps the images of all platforms, tagged or not", async () => {
    const platforms = [await pushed.image("db"), await pushed.image("db")];
    await pushed.index("db", platforms, { tag: "16" });
    await pushed.image("db");
    // The index, two manifests with two layers each, and the config that they share.
    expect((await registry.pull("db", "16")).size).toBe(8);
    references.push(["db", "16"], ...platforms.map(({ digest }): [string, string] => ["db", digest]));
    expect((await collectBetweenPulls()).deleted).toMatchObject({ manifests: 1, blobs: 3 });
  });

  test("layers that repositories share stay as long as one of them needs them", async () => {
    const base = await pushed.layer("base");
    await pushed.image("web", { layers: [base], tag: "1" });
    await pushed.image("db", { layers: [base], tag: "1" });
    await registry.deleteTag("db", "1");
    references.push(["web", "1"]);
    expect((await collectBetweenPulls()).deleted).toMatchObject({ manifests: 1, blobs: 1 });
  });

  test("signatures stay with what they sign", async () => {
    const image = await pushed.image("web", { tag: "1" });
    const signature = await pushed.referrer("web", image);
    const unsigned = await pushed.image("web");
    await pushed.referrer("web", unsigned);
    references.push(["web", "1"], ["web", signature.digest]);
    expect((await collectBetweenPulls()).deleted.manifests).toBe(2);
  });

  test("without removeUntagged every manifest pulls, but those that were deleted", async () => {
    const untagged = await pushed.image("web");
    const deleted = await pushed.image("web", { tag: "1" });
    await registry.deleteTag("web", "1");
    await registry.deleteManifest("web", deleted.digest);
    references.push(["web", untagged.digest]);
    expect((await collectBetweenPulls({ removeUntagged: false })).deleted.blobs).toBe(3);
  });

  test("nothing of a repository goes while one of its manifests can't be read", async () => {
    const broken = await pushed.image("web", { tag: "broken" });
    const untagged = await pushed.image("web");
    await driver.putContent(pushed.paths.blob(broken.digest), Buffer.from("{"));
    references.push(["web", untagged.digest]);
    expect(await collectBetweenPulls()).toMatchObject({ deleted: { manifests: 0, blobs: 0 }, problems: [{ kind: "digest-mismatch" }] });
  });

  test("another tenant's registry is not touched, though it holds the same blobs", async () => {
    const theirs = new TenantDriver(store, "acme-corp");
    const image = await new RegistryBuilder(theirs).image("web", { tag: "latest", name: "the same" });
    await pushed.image("web", { name: "the same" });
    const before = await snapshotOf(theirs);
    await collectBetweenPulls();
    expect(await snapshotOf(theirs)).toEqual(before);
    expect((await new Registry(theirs).pull("web", "latest")).has(image.digest)).toBe(true);
  });

  test("whichever call to the storage fails, all that users need is there", async () => {
    const image = await pushed.image("web", { tag: "latest" });
    const old = await pushed.image("web");
    references.push(["web", "latest"], ["web", image.digest]);
    const all = (await snapshotOf(driver)).files;
    const pulled = await pullAll();
    // At every call in turn, until none is left to fail.
    for (let call = 1, struck = true; struck; call++) {
      // As it was, without the lock of a run that could not even let go of it.
      await driver.delete("/docker");
      for (const [path, { bytes }] of all) await driver.putContent(path, bytes);
      const faulty = new FaultyDriver(driver, [{ on: { call, andAfter: true }, does: "fail" }]);
      await markAndSweep({}, faulty, openRegistry(faulty), OPTIONS).catch(() => undefined);
      struck = faulty.strikes > 0;
      expect(await pullAll()).toEqual(pulled);
    }
    // The last one failed nowhere, and did its work.
    await expect(registry.pull("web", old.digest)).rejects.toThrow("unknown");
  });
});
