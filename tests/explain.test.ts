/** Why something stays, or what will take it away: the same as a run would do, in words. */

import { type Explanation, explain, type GcOptions, markAndSweep, openRegistry } from "oci-registry-gc";
import { ReadOnlyDriver } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, memoryStore } from "./support/stores.js";
import { IMAGE, image, layer, linkOf, push, revision, sha512 } from "./support/tree.js";
import { allVectors, layOut } from "./support/vectors.js";
import { blobPath, digestOf, World } from "./support/world.js";

const DONE: GcOptions = { readOnly: true, removeUntagged: true };

async function filled() {
  const store = memoryStore();
  const put = (path: string, content: string) => store.put(path, content);
  const child = image(digestOf("deep"));
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: IMAGE, digest: digestOf(child) }] });
  await push(put, "app", child, ["deep"]);
  await push(put, "app", index, [], "latest");
  await push(put, "app", image(digestOf("old")), ["old"]);
  const signature = JSON.stringify({ schemaVersion: 2, subject: { digest: digestOf(child) }, layers: [{ digest: digestOf("sig") }] });
  await push(put, "app", signature, ["sig"]);
  await put(blobPath(digestOf("orphan")), "orphan");
  // It may not write: an explanation reads only.
  const driver = new ReadOnlyDriver(store.driver);
  const ask = (content: string, options: GcOptions = DONE) => explain({}, driver, openRegistry(driver), digestOf(content), options);
  return { ask, child, index, signature, store };
}

const words = ({ verdict, because }: Explanation) => [verdict, ...because.map(({ why }) => why)];

describe("explain", () => {
  test("tells the path from a tag, down through an index and its image", async () => {
    const { ask, child, index } = await filled();
    const explanation = await ask("deep");
    expect(explanation).toEqual({
      digest: digestOf("deep"),
      verdict: "kept",
      because: [
        {
          why: "tag",
          repository: "app",
          tag: "latest",
          digest: digestOf(index),
          message: `the tag latest of app names ${digestOf(index)}`,
        },
        {
          why: "named",
          repository: "app",
          digest: digestOf(child),
          message: `the manifest ${digestOf(index)} names ${digestOf(child)}`,
        },
        {
          why: "named",
          repository: "app",
          digest: digestOf("deep"),
          message: `the manifest ${digestOf(child)} names ${digestOf("deep")}`,
        },
      ],
    });
  });

  test("tells that a referrer is kept with its subject", async () => {
    const { ask } = await filled();
    expect(words(await ask("sig"))).toEqual(["kept", "tag", "named", "referrer", "named"]);
    expect(words(await ask("sig", { ...DONE, referrers: "ignore" }))).toEqual(["eligible", "layer-not-reached", "unreachable"]);
  });

  test("tells that a signature's link keeps it, which no document names", async () => {
    const store = memoryStore();
    const [old, tagged] = [JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("layer") }] }), "latest"];
    const digest = await push((path, content) => store.put(path, content), "app", old, ["layer"], tagged);
    await store.put(blobPath(digestOf("signature")), "signature");
    const signatures = `${revision("app", digest).slice(0, -"/link".length)}/signatures`;
    await store.put(linkOf(signatures, digestOf("signature")), digestOf("signature"));
    const explanation = await explain({}, store.driver, openRegistry(store.driver), digestOf("signature"), DONE);
    expect(words(explanation)).toEqual(["kept", "tag", "named"]);
    expect(explanation.because[1]?.message).toBe(`${digestOf("signature")} is a signature of the manifest ${digest}`);
  });

  test("tells what would take it away, in the words of onItem", async () => {
    const { ask, store } = await filled();
    const old = image(digestOf("old"));
    const reasons = new Map<string, Set<string>>();
    await markAndSweep({}, store.driver, openRegistry(store.driver), {
      ...DONE,
      dryRun: true,
      onItem: ({ digest = "", reason }) => void reasons.set(digest, (reasons.get(digest) ?? new Set()).add(reason)),
    });
    for (const content of [old, "old", "orphan"]) {
      const explanation = await ask(content);
      expect(explanation.verdict).toBe("eligible");
      expect(new Set(explanation.because.map(({ why }) => why))).toEqual(reasons.get(digestOf(content)));
    }
  });

  test("heeds the options of the run that is asked about", async () => {
    const { ask } = await filled();
    expect(words(await ask("old", { readOnly: true }))).toEqual(["kept", "revision", "named"]);
    expect(words(await ask("old", { ...DONE, keep: ({ digest }) => digest === digestOf(image(digestOf("old"))) }))).toEqual([
      "kept",
      "keep",
      "named",
    ]);
  });

  test("tells what is young: a manifest, a link, a blob", async () => {
    const world = new World();
    const put = (path: string, content: string) => world.put(path, content);
    world.now -= 30 * DAY;
    await push(put, "r", image(digestOf("base")), ["base"], "t");
    await put(blobPath(digestOf("lent")), "lent");
    world.now += 30 * DAY;
    await put(layer("r", digestOf("lent")), digestOf("lent"));
    await put(blobPath(digestOf("new")), "new");
    await push(put, "r", image(digestOf("pushed")), ["pushed"]);
    const ask = (content: string) =>
      explain({ clock: world.clock }, world.driver, openRegistry(world.driver), digestOf(content), { removeUntagged: true });
    expect(words(await ask("lent"))).toEqual(["kept", "young"]);
    expect((await ask("lent")).because[0]?.repository).toBe("r");
    expect(words(await ask("new"))).toEqual(["kept", "young"]);
    expect(words(await ask("pushed"))).toEqual(["kept", "young", "named"]);
  });

  test("tells that damage keeps it", async () => {
    const { ask, store } = await filled();
    await store.put(revision("app", digestOf("gone")), digestOf("gone"));
    expect(words(await ask("old"))).toEqual(["kept", "damage", "named"]);
    await store.put(layer("app", digestOf("orphan")), digestOf("orphan"));
    expect(words(await ask("orphan"))).toEqual(["kept", "damage"]);
  });

  test("tells what lies aside, and what would bring it back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const { runId } = await world.collect();
    const gone = [...before.keys()].filter((path) => path.includes("/blobs/") && path.endsWith("/data"));
    const there = await world.files();
    const [aside = ""] = gone.filter((path) => !there.has(path)).map((path) => `sha256:${path.split("/").at(-2)!}`);
    const ask = (options: GcOptions) => explain({ clock: world.clock }, world.driver, openRegistry(world.driver), aside, options);
    const explanation = await ask({ removeUntagged: true });
    expect(words(explanation)).toEqual(["aside", "aside"]);
    expect(explanation.because[0]?.message).toContain(runId);
    expect(words(await ask({})).slice(0, 2)).toEqual(["aside", "revision"]);
  });

  test("tells of a blob by its sha512 name what it tells of it by the name that it is stored under", async () => {
    const { ask, store } = await filled();
    const put = (path: string, content: string) => store.put(path, content);
    const wide = async (repository: string, content: string, tag?: string) => {
      await push(put, repository, image(sha512(content)), [content], tag);
      await put(layer(repository, sha512(content)), digestOf(content));
    };
    await wide("wide", "kept", "v1");
    await wide("wide", "old");
    const driver = store.driver;
    const askFor = (digest: string) => explain({}, driver, openRegistry(driver), digest, DONE);
    expect(words(await askFor(sha512("kept")))).toEqual(["kept", "tag", "named"]);
    expect((await askFor(sha512("old"))).verdict).toBe("eligible");
    expect((await askFor(sha512("never"))).verdict).toBe("absent");
    await driver.delete(blobPath(digestOf("kept")));
    expect((await askFor(sha512("kept"))).verdict).toBe("absent");
    expect((await ask("orphan")).verdict).toBe("eligible");
  });

  test("tells that there is nothing, and refuses what is no digest before it looks", async () => {
    const { ask, store } = await filled();
    expect(await ask("never pushed")).toEqual({ digest: digestOf("never pushed"), verdict: "absent", because: [] });
    const registry = openRegistry(store.driver);
    await expect(explain({}, store.driver, registry, "latest")).rejects.toMatchObject({ code: "INVALID_DIGEST" });
  });

  test.each(
    allVectors()
      .filter(({ expected }) => expected.code !== "DATABASE_IN_USE")
      .map((each) => [each.name, each] as const),
  )("says of every blob what a run does: %s", async (_, each) => {
    const store = await layOut(each, memoryStore());
    const blobs = [...(await contentOf(store.driver)).keys()].filter((path) => path.includes("/blobs/sha256/"));
    const verdicts = new Map<string, string>();
    for (const path of blobs) {
      const digest = `sha256:${path.split("/").at(-2)!}`;
      const { verdict, because } = await explain({}, store.driver, openRegistry(store.driver), digest, each.options);
      expect(because.length).toBeGreaterThan(0);
      verdicts.set(path, verdict);
    }
    await markAndSweep({}, store.driver, openRegistry(store.driver), { ...each.options, dryRun: false }).catch(() => undefined);
    const left = await contentOf(store.driver);
    const isRefused = blobs.every((path) => left.has(path));
    if (!isRefused) for (const [path, verdict] of verdicts) expect([path, left.has(path)]).toEqual([path, verdict === "kept"]);
  });
});
