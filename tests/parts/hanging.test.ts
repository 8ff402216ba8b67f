/**
 * What hangs on a manifest by layer links and by subjects, where that manifest is kept only since it lives in another repository: a run in
 * parts finds that out in another process than the one that looked.
 */

import fc from "fast-check";
import type { GcReport } from "oci-registry-gc";
import type { PartedOptions } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { DAY } from "../support/stores.js";
import { currentLink, IMAGE, image as imageOf, layer, linkOf, repo, revision, sha512 } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, collectSingle, countsOf, image, leftOf } from "./attackers.js";

const RUNS = Number(process.env["RUNS"] ?? 120);

/** An image about another manifest. */
const about = (subject: string, ...layers: readonly string[]) =>
  JSON.stringify({ ...(JSON.parse(image(...layers)) as object), subject: { mediaType: IMAGE, digest: digestOf(subject) } });

const index = (...manifests: readonly string[]) =>
  JSON.stringify({ schemaVersion: 2, manifests: manifests.map((digest) => ({ mediaType: IMAGE, digest })) });

/** Writes by hand what registries write. */
const hand = (world: World) => ({
  blob: (content: string) => world.put(blobPath(digestOf(content)), content),
  link: (name: string, content: string) => world.put(layer(name, digestOf(content)), digestOf(content)),
  revision: (name: string, manifest: string) => world.put(revision(name, digestOf(manifest)), digestOf(manifest)),
  tag: (name: string, tag: string, manifest: string) => world.put(currentLink(name, tag), digestOf(manifest)),
});

type Hand = ReturnType<typeof hand>;

/** Lays out what is old, then collects once, and lets others go on before the next runs. */
async function laid(old: (by: Hand, world: World) => Promise<void>, later: (by: Hand) => Promise<void>): Promise<World> {
  const world = new World();
  const now = world.now;
  world.now = now - 60 * DAY;
  await old(hand(world), world);
  world.now = now;
  await collectSingle(world, { maxDeleteRatio: 1 });
  world.now += DAY;
  await later(hand(world));
  world.now += 3 * DAY;
  return world;
}

/** What went and came back. Not what was marked: a directory whose data lies aside is taken for a blob until somebody looks. */
function movedBy(report: GcReport) {
  const { marked, ...moved } = countsOf(report);
  return { ...moved, manifests: marked.manifests };
}

/** The same by a single run and by one in parts, three times: all that must be there is, and nothing else is different. */
async function expectSame(lay: () => Promise<World>, needed: readonly string[], options: PartedOptions = {}): Promise<void> {
  const [one, other] = [await lay(), await lay()];
  const chosen = { maxDeleteRatio: 1, ...options };
  for (let i = 0; i < 3; i++) {
    const expected = movedBy(await collectSingle(one, chosen));
    expect(movedBy(await collectParted(other, chosen)), `run ${i}`).toEqual(expected);
    expect(await leftOf(other), `run ${i}`).toEqual(await leftOf(one));
    for (const world of [one, other]) {
      const files = await world.files();
      for (const path of needed) expect([...files.keys()], path).toContain(path);
      world.now += 5 * DAY;
    }
  }
}

describe("of an index that lives in another repository", () => {
  const child = image("y");
  const top = index(digestOf(child));

  test("what is about a child that only a layer link serves comes back, and is never purged", async () => {
    const proof = about(child, "sig");
    const lay = () =>
      laid(
        async (by) => {
          for (const content of ["y", child, "sig", proof]) await by.blob(content);
          for (const content of ["y", child, "sig"]) await by.link("a", content);
          await by.revision("a", proof);
        },
        async (by) => {
          for (const content of ["y", child, top]) await by.blob(content);
          await by.link("b", "y");
          for (const manifest of [child, top]) await by.revision("b", manifest);
          await by.tag("b", "latest", top);
          await by.revision("a", top);
        },
      );
    await expectSame(lay, [revision("a", digestOf(proof)), ...[proof, "sig"].map((content) => blobPath(digestOf(content)))]);
  });

  test.each([
    ["a child that something else packs as a layer", [child]],
    ["a child of such a child", [child, top]],
  ])("%s is followed, and what it names comes back", async (_, packed) => {
    // Each is kept as a mere blob: by its layer link it is served all the same.
    const packs = imageOf(...packed.map(digestOf));
    const outer = index(digestOf(packed.at(-1) ?? ""));
    const lay = () =>
      laid(
        async (by) => {
          for (const content of ["y", packs, ...packed]) await by.blob(content);
          for (const content of ["y", ...packed]) await by.link("a", content);
          await by.revision("a", packs);
          await by.tag("a", "packs", packs);
        },
        async (by) => {
          await by.blob(outer);
          for (const name of ["a", "b"]) await by.revision(name, outer);
          await by.tag("b", "latest", outer);
        },
      );
    await expectSame(lay, [blobPath(digestOf("y")), layer("a", digestOf("y"))]);
  });
});

const MANIFESTS = 7;
const LAYERS = 3;

const document = fc.record({
  isIndex: fc.boolean(),
  isTyped: fc.boolean(),
  bySha512: fc.boolean(),
  children: fc.array(fc.nat(MANIFESTS), { minLength: 1, maxLength: 3 }),
  packed: fc.option(fc.nat(MANIFESTS), { nil: undefined }),
  subject: fc.option(fc.nat(MANIFESTS), { nil: undefined }),
  layer: fc.nat(LAYERS - 1),
});
type Document = typeof document extends fc.Arbitrary<infer T> ? T : never;

const AS = ["nothing", "revision", "layer", "sha512", "tag"] as const;
/** What each manifest is in each of two repositories. */
const placement = fc.array(fc.tuple(fc.constantFrom(...AS), fc.constantFrom(...AS)), { minLength: MANIFESTS, maxLength: MANIFESTS });
type Placement = typeof placement extends fc.Arbitrary<infer T> ? T : never;

/** Documents, each naming only earlier ones. */
function write(documents: readonly Document[]): string[] {
  const written: string[] = [];
  for (const [i, { isIndex, isTyped, children, packed, subject, layer, bySha512 }] of documents.entries()) {
    const earlier = (n: number) => (bySha512 ? sha512 : digestOf)(written[n % i] ?? "");
    const layers = [{ mediaType: "x/layer", digest: digestOf(`layer ${layer}`) }];
    if (packed !== undefined && i > 0) layers.push({ mediaType: "x/layer", digest: earlier(packed) });
    const manifests = children.map((n) => ({ ...(isTyped ? { mediaType: IMAGE } : {}), digest: i > 0 ? earlier(n) : "" }));
    const about = subject !== undefined && i > 0 ? { subject: { mediaType: IMAGE, digest: earlier(subject) } } : {};
    written.push(
      JSON.stringify({ schemaVersion: 2, seed: i, ...(isIndex && i > 0 ? { manifests } : { mediaType: IMAGE, layers }), ...about }),
    );
  }
  return written;
}

async function place(world: World, documents: readonly Document[], placed: Placement): Promise<void> {
  const by = hand(world);
  for (const [i, manifest] of write(documents).entries()) {
    for (const [at, name] of ["a", "b"].entries()) {
      const as = placed[i]?.[at] ?? "nothing";
      if (as === "nothing") continue;
      const layer = `layer ${documents[i]?.layer ?? 0}`;
      for (const content of [manifest, layer]) await by.blob(content);
      await by.link(name, layer);
      if (as === "layer") await by.link(name, manifest);
      else if (as === "sha512") await world.put(linkOf(`${repo(name)}/_layers`, sha512(manifest)), digestOf(manifest));
      else await by.revision(name, manifest);
      if (as === "tag") await by.tag(name, `t${i}`, manifest);
    }
  }
}

test("a run in parts comes to what a single run does, whatever hangs on what", async () => {
  const documents = fc.array(document, { minLength: 3, maxLength: MANIFESTS });
  const options: fc.Arbitrary<PartedOptions> = fc.record({
    readOnly: fc.constantFrom(false, false, true),
    quarantine: fc.constantFrom(true, true, false),
    referrers: fc.constantFrom("keep-with-subject", "keep-with-subject", "ignore"),
  });
  await fc.assert(
    fc.asyncProperty(documents, placement, fc.nat(MANIFESTS), options, async (each, placed, fresh, chosen) => {
      const manifests = write(each);
      const manifest = manifests[fresh % manifests.length] ?? "";
      const lay = () =>
        laid(
          (_, world) => place(world, each, placed),
          async (by) => {
            await by.blob(manifest);
            for (const name of ["a", "b"]) await by.revision(name, manifest);
            await by.tag("b", "latest", manifest);
          },
        );
      await expectSame(lay, [], chosen);
    }),
    { numRuns: RUNS, seed: 21 },
  );
}, 300_000);
