/** In which order manifests of one repository go, by levels: what keeps another goes before it, however it leads there. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parentsFirst } from "../src/parentsFirst.js";
import { oldWorld, planOf, pushTo, QUIET } from "./support/planning.js";
import { IMAGE, image, layer, linkOf, repo, sha512 } from "./support/tree.js";
import { blobPath, digestOf, type World } from "./support/world.js";

const INDEX = "application/vnd.oci.image.index.v1+json";

const index = (children: readonly string[], more: object = {}) =>
  JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: children.map((digest) => ({ mediaType: IMAGE, digest })), ...more });
const about = (digest: string, more: object = {}) => ({ subject: { mediaType: INDEX, digest }, ...more });

/** The level of each doomed manifest, by digest; and how many there are, each counted as often as it comes. */
async function levelsOf(fill: (world: World) => Promise<unknown>): Promise<{ levels: Map<string, number>; count: number }> {
  const { run, plan } = await planOf(await oldWorld(fill), QUIET);
  const repository = plan.repositories.find(({ look }) => look.repository.name === "app");
  const levels = new Map<string, number>();
  let count = 0;
  if (repository === undefined) return { levels, count };
  for (const [level, numbers] of parentsFirst(run, repository).entries()) {
    count += numbers.length;
    for (const number of numbers) levels.set(run.digests.digest(number), level);
  }
  expect([...levels.keys()].sort()).toEqual(repository.manifests.map((number) => run.digests.digest(number)).sort());
  return { levels, count };
}

async function serve(world: World, content: string): Promise<void> {
  await world.put(blobPath(digestOf(content)), content);
  await world.put(layer("app", digestOf(content)), digestOf(content));
}

const CHILD = image(digestOf("one"));
const child = digestOf(CHILD);

async function expectBefore(fill: (world: World) => Promise<unknown>, first: string, then: string): Promise<void> {
  const { levels } = await levelsOf(async (world) => {
    await pushTo(world, "app", CHILD, ["one"]);
    await fill(world);
  });
  expect(levels.get(first)).toBeLessThan(levels.get(then) ?? -1);
}

describe("what keeps another goes before it:", () => {
  test("a subject before what is about it", async () => {
    const signature = index([], about(child));
    await expectBefore((world) => pushTo(world, "app", signature), child, digestOf(signature));
  });

  test("what packs a manifest as a layer", async () => {
    const packs = image(child);
    await expectBefore((world) => pushTo(world, "app", packs), digestOf(packs), child);
  });

  test("what leads there by a layer link, though something else comes before it", async () => {
    const middle = index([child], { annotations: { is: "the middle" } });
    const top = index([digestOf(middle)]);
    const fill = async (world: World) => {
      await serve(world, middle);
      await pushTo(world, "app", top);
      await pushTo(world, "app", index([digestOf(top)]));
    };
    await expectBefore(fill, digestOf(top), child);
  });

  test("each in a circle of a name and a subject, and both before what they name", async () => {
    const top = index([child]);
    const other = index([digestOf(top)], about(digestOf(top)));
    const fill = async (world: World) => {
      for (const manifest of [top, other]) await pushTo(world, "app", manifest);
    };
    await expectBefore(fill, digestOf(top), child);
    await expectBefore(fill, digestOf(other), digestOf(top));
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("names in a circle of three, variant %i", async (variant) => {
    const more = { annotations: { variant: String(variant) } };
    const low = index([child], more);
    const middle = index([digestOf(low)], more);
    const high = index([digestOf(middle)], about(digestOf(low), more));
    const fill = async (world: World) => {
      for (const manifest of [low, middle, high]) await pushTo(world, "app", manifest);
    };
    await expectBefore(fill, digestOf(high), digestOf(middle));
    await expectBefore(fill, digestOf(middle), digestOf(low));
    await expectBefore(fill, digestOf(low), child);
  });

  test("of a circle of names, since a link tells another digest, none is left out", async () => {
    const one = index([sha512("whatever")]);
    const other = index([digestOf(one)]);
    const { levels, count } = await levelsOf(async (world) => {
      for (const manifest of [one, other]) await pushTo(world, "app", manifest);
      await world.put(linkOf(`${repo("app")}/_layers`, sha512("whatever")), digestOf(other));
    });
    expect([...levels.keys()].sort()).toEqual([one, other].map(digestOf).sort());
    expect(count).toBe(2);
  });
});

const MANIFESTS = 8;

const documents = fc.array(
  fc.record({
    children: fc.array(fc.nat(MANIFESTS), { maxLength: 2 }),
    packed: fc.option(fc.nat(MANIFESTS), { nil: undefined }),
    subject: fc.option(fc.nat(MANIFESTS), { nil: undefined }),
    isServed: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  }),
  { minLength: 3, maxLength: MANIFESTS },
);

test("whatever names, packs or is about whatever: what keeps another goes before it; in a circle, what names it", async () => {
  await fc.assert(
    fc.asyncProperty(documents, async (each) => {
      const written: string[] = [];
      const names = each.map(() => new Set<number>());
      const keeps = each.map(() => new Set<number>());
      for (const [i, { children, packed, subject }] of each.entries()) {
        const earlier = (n: number | undefined) => (n === undefined || i === 0 ? undefined : n % i);
        const digestAt = (n: number) => digestOf(written[n] ?? "");
        const layers = [earlier(packed)].filter((n) => n !== undefined);
        const manifests = layers.length > 0 ? [] : children.map(earlier).filter((n) => n !== undefined);
        for (const n of manifests) names[i]?.add(n);
        // What is packed is followed only where it is a revision.
        for (const n of layers) if (each[n]?.isServed !== true) names[i]?.add(n);
        const on = earlier(subject);
        if (on !== undefined && each[i]?.isServed !== true) keeps[on]?.add(i);
        written.push(
          JSON.stringify({
            ...{ schemaVersion: 2, seed: i, mediaType: layers.length > 0 ? IMAGE : INDEX },
            ...(layers.length > 0
              ? { layers: layers.map((n) => ({ mediaType: "x/layer", digest: digestAt(n) })) }
              : { manifests: manifests.map((n) => ({ mediaType: IMAGE, digest: digestAt(n) })) }),
            ...(on === undefined ? {} : about(digestAt(on))),
          }),
        );
      }
      for (const [i, named] of names.entries()) for (const n of named) keeps[i]?.add(n);
      const { levels, count } = await levelsOf(async (world) => {
        for (const [i, manifest] of written.entries()) {
          if (each[i]?.isServed === true) await serve(world, manifest);
          else await pushTo(world, "app", manifest);
        }
      });
      expect(count).toBe(levels.size);
      const reach = (from: number, edges: readonly ReadonlySet<number>[]) => {
        const reached = new Set<number>();
        const open = [from];
        for (let at = open.pop(); at !== undefined; at = open.pop())
          for (const next of edges[at] ?? []) if (!reached.has(next)) open.push((reached.add(next), next));
        return reached;
      };
      for (const [a] of each.entries()) {
        if (each[a]?.isServed === true) continue;
        const [all, byName] = [reach(a, keeps), reach(a, names)];
        for (const b of all) {
          if (b === a || each[b]?.isServed === true || (!byName.has(b) && reach(b, keeps).has(a))) continue;
          const at = (n: number) => levels.get(digestOf(written[n] ?? ""));
          expect(at(a), `${a} before ${b}`).toBeLessThan(at(b) ?? -1);
        }
      }
    }),
    { numRuns: 150, seed: 7 },
  );
}, 120_000);
