/** The example of a namespace of one's own: OCI image layouts, of which nothing goes that index.json reaches. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type GcOptions, type GcReport, markAndSweep } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FaultyDriver, namespaceConformance } from "oci-registry-gc/testing";
import { afterAll, describe, expect, test } from "vitest";
import { ociLayout } from "../examples/oci-layout/ociLayout.js";
import { runExample } from "./support/exampleProgram.js";
import { type Entry, LayoutBuilder } from "./support/layouts.js";
import { contentOf, leastStore } from "./support/stores.js";

const folder = mkdtempSync(join(tmpdir(), "oci-layout-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ALL: GcOptions = { readOnly: true, removeUntagged: true };
const collect = (driver: MemoryDriver, options: GcOptions = ALL) => markAndSweep({}, driver, ociLayout(driver, "/layout"), options);
/** The digests of the blobs that are there. */
const blobsOf = async (driver: MemoryDriver) =>
  [...(await contentOf(driver, "/layout/blobs")).keys()].map((path) => path.split("/").slice(-2).join(":")).sort();

test("it is less than 100 lines long", () => {
  const source = readFileSync(new URL("../examples/oci-layout/ociLayout.ts", import.meta.url), "utf8");
  expect(source.trimEnd().split("\n").length).toBeLessThan(100);
});

describe.each([
  ["memory", () => new MemoryDriver()],
  ["filesystem", () => new FilesystemDriver({ root: mkdtempSync(join(folder, "conformance-")) })],
])("it keeps what namespaces promise: %s", (_, makeDriver) => {
  test.each(namespaceConformance().map((check) => [check.name, check] as const))("%s", async (__, check) => {
    const driver = makeDriver();
    const layout = new LayoutBuilder(driver);
    const [one, two] = [await layout.image("one"), await layout.image("two")];
    const index = await layout.index([one, two]);
    const wide = await layout.document({ layers: [] }, "application/vnd.oci.image.manifest.v1+json", "sha512");
    await layout.finish({ latest: index, one, wide });
    const registry = ociLayout(driver, "/layout");
    if (check.needs.some((member) => !(member in registry))) return;
    const revisions = [one, two, index, wide].map(({ digest }) => digest);
    const tags = { latest: index.digest, one: one.digest, wide: wide.digest };
    await check.run({
      registry,
      holds: { repositories: { layout: { tags, revisions, layerLinks: [...layout.blobs] } }, blobs: [...layout.blobs] },
    });
  });
});

describe("what index.json reaches stays, and all else goes", () => {
  test("images, indexes in indexes, entries without a name, shared layers; a second run deletes nothing", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const shared = await layout.blob("shared");
    const inner = await layout.index([await layout.image("amd64"), await layout.image("arm64", { layers: [shared] })]);
    const outer = await layout.index([inner]);
    const unnamed = await layout.image("unnamed");
    await layout.finish([{ ...outer, annotations: { "org.opencontainers.image.ref.name": "latest" } }, unnamed]);
    await layout.blob("layer of arm64").then(({ digest }) => layout.blobs.delete(digest));
    const kept = [...layout.blobs].sort();
    const old = await layout.index([await layout.image("old", { layers: [shared] })]);
    await layout.blob("orphan");

    const report = await collect(driver);
    expect(report).toMatchObject({ status: "completed", problems: [], unrecognized: 0, deleted: { manifests: 2, blobs: 6 } });
    expect(await blobsOf(driver)).toEqual(kept);
    expect(kept).not.toContain(old.digest);
    expect(await collect(driver)).toMatchObject({ eligible: { manifests: 0, blobs: 0, layerLinks: 0 } });
  });

  test("a child whose descriptor says that it is bytes, or nothing, is followed", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const bytes = { ...(await layout.image("bytes")), mediaType: "application/octet-stream" };
    const { digest, size } = await layout.image("nothing");
    await layout.finish({ latest: await layout.index([bytes, { digest, size }]) });
    expect((await collect(driver)).eligible.blobs).toBe(0);
    expect(await blobsOf(driver)).toEqual([...layout.blobs].sort());
  });

  test("referrers stay with their subject, listed in index.json or not, and go with it", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const image = await layout.image("image");
    const signature = await layout.image("signature", { subject: image });
    await layout.image("signature of the signature", { subject: signature });
    const listed = await layout.image("sbom", { subject: image });
    await layout.finish([image, listed]);
    const kept = [...layout.blobs].sort();
    const gone = await layout.image("gone");
    await layout.image("signature of what is gone", { subject: gone });
    expect((await collect(driver)).deleted).toMatchObject({ manifests: 2, blobs: 6 });
    expect(await blobsOf(driver)).toEqual(kept);

    // A subject is not kept by what is about it.
    await layout.finish([listed]);
    await collect(driver);
    expect(await blobsOf(driver)).toHaveLength(3);
  });

  test("an index of which some images were never copied is no damage", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const [here, elsewhere] = [await layout.image("here"), await new LayoutBuilder(new MemoryDriver()).image("elsewhere")];
    await layout.finish({ latest: await layout.index([here, elsewhere]) });
    await layout.blob("orphan");
    expect(await collect(driver)).toMatchObject({ problems: [], deleted: { blobs: 1 } });
  });

  test("a large layer is no manifest, be it JSON or not", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const layers = [await layout.blob(`{"sbom":"${"x".repeat(5 << 20)}"}`), await layout.blob("x".repeat(5 << 20))];
    await layout.finish({ latest: await layout.image("image", { layers }) });
    expect(await collect(driver)).toMatchObject({ problems: [], marked: { manifests: 1 }, deleted: { blobs: 1 } });
  });

  test("stray files stay, and are counted", async () => {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    await layout.finish({ latest: await layout.image("image") });
    const strays = ["blobs/.DS_Store", "blobs/sha256/half.tmp", "blobs/sha256/deep/er", "blobs/sha512/ab", "notes.txt"];
    for (const each of strays) await layout.write(`/layout/${each}`, "x");
    expect(await collect(driver)).toMatchObject({ eligible: { blobs: 0 }, problems: [], unrecognized: 4 });
    for (const each of strays) expect((await contentOf(driver)).has(`/layout/${each}`)).toBe(true);
  });

  test("a driver of five members does, too", async () => {
    const { driver, put } = leastStore();
    const layout = new LayoutBuilder({ ...driver, putContent: async (path, bytes) => put(path, bytes).then(() => true) });
    await layout.finish({ latest: await layout.image("image") });
    await layout.blob("orphan");
    const report = await markAndSweep({}, driver, ociLayout(driver, "/layout"), ALL);
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: 1 } });
  });

  test("any graph of manifests: exactly what can't be reached goes", async () => {
    const node = fc.record({
      names: fc.array(fc.nat(9), { maxLength: 3 }),
      subject: fc.option(fc.nat(9), { nil: undefined }),
      isListed: fc.boolean(),
    });
    let deleted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(node, { minLength: 1, maxLength: 10 }), async (nodes) => {
        const driver = new MemoryDriver();
        const layout = new LayoutBuilder(driver);
        const layers: Entry[] = [];
        const manifests: Entry[] = [];
        // A manifest can name earlier ones only: its own digest depends on theirs.
        for (const [i, { names, subject }] of nodes.entries()) {
          const children = names.filter((each) => each < i).map((each) => manifests[each]!);
          const about = subject !== undefined && subject < i ? { subject: manifests[subject]! } : {};
          layers.push(await layout.blob(`layer ${i}`));
          manifests.push(await layout.index([...children, layers[i]!], about));
        }
        await layout.finish(manifests.filter((_, i) => nodes[i]!.isListed));
        const alive = new Set(nodes.flatMap(({ isListed }, i) => (isListed ? [i] : [])));
        for (let before = -1; before !== alive.size; ) {
          before = alive.size;
          for (const [i, { names, subject }] of nodes.entries()) {
            if (alive.has(i)) for (const each of names) if (each < i) alive.add(each);
            if (subject !== undefined && subject < i && alive.has(subject)) alive.add(i);
          }
        }
        const kept = [...alive].flatMap((i) => [manifests[i]!.digest, layers[i]!.digest]).sort();
        deleted += (await collect(driver)).deleted.blobs;
        expect(await blobsOf(driver)).toEqual(kept);
      }),
      { seed: 7, numRuns: 200 },
    );
    expect(deleted).toBeGreaterThan(0);
  });
});

describe("damage deletes nothing", () => {
  async function damaged(break_: (layout: LayoutBuilder, driver: MemoryDriver, image: Entry) => Promise<unknown>) {
    const driver = new MemoryDriver();
    const layout = new LayoutBuilder(driver);
    const image = await layout.image("image");
    await layout.finish({ latest: await layout.index([image]) });
    await layout.blob("orphan");
    await layout.image("untagged");
    await break_(layout, driver, image);
    const before = await contentOf(driver);
    const outcome = await collect(driver).catch((error: unknown) => error as Error & { code: string; report: GcReport });
    expect(await contentOf(driver)).toEqual(before);
    return outcome;
  }

  test.each([
    ["is empty", ""],
    ["is cut off", '{"schemaVersion":2,"manifests":[{"digest":"sha256:'],
    ["is null", "null"],
    ["is a list", "[]"],
    ["has no manifests", '{"schemaVersion":2}'],
    ["has manifests that are no list", '{"schemaVersion":2,"manifests":{}}'],
    ["has an entry that is null", '{"schemaVersion":2,"manifests":[null]}'],
    ["has an entry without a digest", '{"schemaVersion":2,"manifests":[{"size":1}]}'],
    ["has an entry whose digest is none", '{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x"}]}'],
  ])("index.json %s", async (_, content) => {
    const report = await damaged((layout) => layout.indexJson(content));
    expect(report).toMatchObject({ status: "completed", eligible: { blobs: 0 }, kept: { protected: expect.any(Number) as number } });
    expect(report).toMatchObject({ problems: [{ kind: "not-json", path: "/layout/index.json", repository: "layout" }] });
  });

  test("index.json names what is not there", async () => {
    const nobody = { digest: `sha256:${"0".repeat(64)}`, size: 1 };
    expect(await damaged((layout) => layout.finish([nobody]))).toMatchObject({
      eligible: { blobs: 0 },
      problems: [{ kind: "dangling-tag" }],
    });
  });

  test.each(["index.json", "oci-layout", "blobs"])("%s is gone", async (name) => {
    const error = await damaged((_, driver) => driver.delete(`/layout/${name}`));
    expect(error).toMatchObject({ code: "PATH_NOT_FOUND", report: { deleted: { blobs: 0 } } });
    expect((error as Error).message).toContain(`/layout/${name}`);
  });

  test("the version is one that nobody knows", async () => {
    const error = await damaged((layout) => layout.write("/layout/oci-layout", '{"imageLayoutVersion":"2.0.0"}'));
    expect(error).toMatchObject({ code: "DAMAGED", message: expect.stringContaining("/layout/oci-layout") as string });
  });

  test.each(["", "{", '{"schemaVersion":2}', "bytes"])("a manifest in an index is %j", async (content) => {
    const report = await damaged((layout, _, image) => layout.write(layout.pathOf(image.digest), content));
    expect(report).toMatchObject({ eligible: { blobs: 0 }, problemCount: 1, problems: [{ kind: "digest-mismatch" }] });
  });

  test("a manifest in an index is larger than any that is read", async () => {
    const report = await damaged(async (layout, _, image) => {
      const large = await layout.image("large", { annotations: { large: "x".repeat(5 << 20) } });
      await layout.finish({ latest: await layout.index([image, large]) });
    });
    expect(report).toMatchObject({ eligible: { blobs: 0 }, problemCount: 1, problems: [{ kind: "too-large" }] });
  });

  test.each(["list", "stat", "reader", "getContent"] as const)("no %s may fail", async (method) => {
    const memory = new MemoryDriver();
    const layout = new LayoutBuilder(memory);
    await layout.finish({ latest: await layout.image("image") });
    await layout.blob("orphan");
    const before = await contentOf(memory);
    // At every call in turn, until none of them is left to fail.
    for (let nth = 1, struck = true; struck; nth++) {
      const driver = new FaultyDriver(memory, [{ on: { method, nth }, does: "fail" }]);
      const run = markAndSweep({}, driver, ociLayout(driver, "/layout"), { ...ALL, dryRun: true });
      const code = await run.then(
        () => undefined,
        (error: unknown) => (error as { code: string }).code,
      );
      struck = driver.strikes > 0;
      expect(code).toBe(struck ? "DRIVER_ERROR" : undefined);
    }
    expect(await contentOf(memory)).toEqual(before);
  });
});

describe("as it is started", () => {
  test("without a directory it makes two layouts, and says what went", async () => {
    const { code, stdout, stderr } = await runExample("oci-layout");
    expect(stdout).toContain("Deleted 3 blobs");
    expect(stdout).toContain("Nothing to delete; 3 blobs in use");
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  async function onDisk(name: string): Promise<LayoutBuilder> {
    const layout = new LayoutBuilder(new FilesystemDriver({ root: folder }), `/${name}`);
    await layout.finish({ latest: await layout.image("image") });
    return layout;
  }

  test("a damaged layout is told of, and the others are collected", async () => {
    const [bad, good] = [await onDisk("some/bad"), await onDisk("some/good")];
    await bad.indexJson("{");
    await bad.blob("orphan");
    const orphan = await good.blob("orphan");
    const { code, stdout } = await runExample("oci-layout", join(folder, "some"));
    expect(stdout).toContain("index.json is no list of descriptors");
    expect(code).toBe(1);
    const files = await contentOf(new FilesystemDriver({ root: folder }), "/some");
    expect([files.has(bad.pathOf(orphan.digest)), files.has(good.pathOf(orphan.digest))]).toEqual([true, false]);
  });

  test("a dry run changes nothing", async () => {
    const layout = await onDisk("dry");
    const { digest } = await layout.blob("orphan");
    const { code, stdout } = await runExample("oci-layout", join(folder, "dry"), "--dry-run");
    expect(stdout).toContain("1 blob");
    expect(code).toBe(0);
    expect((await contentOf(new FilesystemDriver({ root: folder }), "/dry")).has(layout.pathOf(digest))).toBe(true);
  });

  test("what is wrong is told, and nothing is done", async () => {
    const shared = await onDisk("shared");
    mkdirSync(join(folder, "linked"));
    writeFileSync(join(folder, "linked", "oci-layout"), "{}");
    symlinkSync(join(folder, shared.root, "blobs"), join(folder, "linked", "blobs"));
    writeFileSync(join(folder, "file"), "");
    mkdirSync(join(folder, "empty"));
    const wrong: Readonly<Record<string, readonly string[]>> = {
      "there is no such directory": [join(folder, "nowhere")],
      "is a file; expected an OCI image layout": [join(folder, "file")],
      "is no OCI image layout, and holds none": [join(folder, "empty")],
      "is a symbolic link: other layouts may share what is behind it": [join(folder, "linked")],
      "there is no option --shred; there are --dry-run, --help": ["--shred"],
      "expected one directory, got a and b": ["a", "b"],
    };
    for (const [message, args] of Object.entries(wrong)) {
      const { code, stdout, stderr } = await runExample("oci-layout", ...args);
      expect(stderr).toContain(message);
      expect(stderr).not.toContain("    at ");
      expect(stdout).toBe("");
      expect(code).toBe(2);
    }
  });
});
