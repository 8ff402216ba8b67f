/** The mark is pure: it is tested with maps of names. */

import { describe, expect, test } from "vitest";
import { emptyReach, type Graph, mark } from "../src/mark.js";

interface Registry {
  /** Revisions, and what each names: "x" may be a manifest, "=x" is said to be none. */
  readonly [revision: string]: readonly string[];
}

interface More {
  readonly subjects?: Readonly<Record<string, string>>;
  readonly stored?: Readonly<Record<string, string>>;
  readonly layerLinked?: Registry;
}

function names() {
  const numbers = new Map<string, number>();
  return {
    number: (name: string) => {
      const known = numbers.get(name) ?? numbers.size;
      numbers.set(name, known);
      return known;
    },
    name: (number: number) => [...numbers].find(([, each]) => each === number)?.[0] ?? "?",
  };
}

async function follow(registry: Registry, roots: readonly string[], more: More = {}) {
  const { number, name } = names();
  const all: Registry = { ...registry, ...more.layerLinked };
  const asked: string[] = [];
  let questions = 0;
  const graph: Graph = {
    isRevision: (each) => name(each) in registry,
    references: (each) => {
      const named = all[name(each)] ?? [];
      return {
        children: named.filter((target) => !target.startsWith("=")).map(number),
        blobs: named.filter((target) => target.startsWith("=")).map((target) => number(target.slice(1))),
      };
    },
    referrersOf: (each) =>
      Object.entries(more.subjects ?? {})
        .filter(([, subject]) => subject === name(each))
        .map(([referrer]) => number(referrer)),
    storedAs: (each) => {
      const target = more.stored?.[name(each)];
      return target === undefined ? undefined : number(target);
    },
    servedAsManifests: async (each) => {
      questions++;
      asked.push(...each.map(name));
      return each.filter((one) => name(one) in (more.layerLinked ?? {}));
    },
  };
  const reach = emptyReach();
  const told: string[] = [];
  await mark(graph, roots.map(number), reach, (each) => told.push(name(each)));
  return {
    manifests: [...reach.manifests].map(name).sort(),
    digests: [...reach.digests].map(name).sort(),
    told: told.sort(),
    asked,
    questions,
  };
}

describe("mark", () => {
  test("a manifest keeps itself and what it names", async () => {
    expect(await follow({ m: ["=c", "=l"], other: ["=x"] }, ["m"])).toMatchObject({ manifests: ["m"], digests: ["c", "l", "m"] });
  });

  test("what is named and is a revision is followed, whatever it is called", async () => {
    expect(await follow({ index: ["=m", "n"], m: ["=a"], n: ["=b"] }, ["index"])).toMatchObject({ digests: ["a", "b", "index", "m", "n"] });
  });

  test("what is named and is no revision is kept, and not followed", async () => {
    expect(await follow({ index: ["gone"] }, ["index"])).toMatchObject({ manifests: ["index"], digests: ["gone", "index"] });
  });

  test("circles end", async () => {
    expect((await follow({ a: ["b"], b: ["c"], c: ["a", "=x"] }, ["b"])).digests).toEqual(["a", "b", "c", "x"]);
    expect((await follow({ a: ["a"] }, ["a"])).digests).toEqual(["a"]);
  });

  test("sideways: what is about something alive is alive, along chains and back down", async () => {
    const registry = { image: ["=l"], signature: ["=s"], signed: ["=t"], index: ["image"], stray: ["=z"] };
    const subjects = { signature: "image", signed: "signature", stray: "nothing" };
    expect((await follow(registry, ["index"], { subjects })).manifests).toEqual(["image", "index", "signature", "signed"]);
    expect((await follow(registry, ["signature"], { subjects })).manifests).toEqual(["signature", "signed"]);
  });

  test("a subject never keeps its target", async () => {
    expect((await follow({ signature: [], image: [] }, ["signature"], { subjects: { signature: "image" } })).digests).toEqual([
      "signature",
    ]);
  });

  test("another name leads to what is stored under it, also where that is a manifest", async () => {
    expect((await follow({ m: ["=sha512"] }, ["m"], { stored: { sha512: "sha256" } })).digests).toEqual(["m", "sha256", "sha512"]);
    const registry = { index: ["sha512"], child: ["=l"] };
    expect((await follow(registry, ["index"], { stored: { sha512: "child" } })).manifests).toEqual(["child", "index"]);
  });

  test("a root keeps what is stored under its other name", async () => {
    const result = await follow({ sha512: ["=a"] }, ["sha512"], { stored: { sha512: "sha256" } });
    expect(result).toMatchObject({ manifests: ["sha512"], digests: ["a", "sha256", "sha512"] });
  });

  test("where both names are revisions, both are followed", async () => {
    const registry = { index: ["sha512"], sha512: ["=a"], sha256: ["=b"] };
    const result = await follow(registry, ["index"], { stored: { sha512: "sha256" } });
    expect(result).toMatchObject({ manifests: ["index", "sha256", "sha512"], digests: ["a", "b", "index", "sha256", "sha512"], asked: [] });
  });

  test("another name of what is no revision here is kept, and not followed", async () => {
    // The same manifest is a revision elsewhere: here it is bytes, and names nothing.
    const layerLinked = { sha256: ["=elsewhere"] };
    const result = await follow({ m: ["=sha512"] }, ["m"], { stored: { sha512: "sha256" }, layerLinked });
    expect(result).toMatchObject({ manifests: ["m"], digests: ["m", "sha256", "sha512"], asked: [] });
  });

  test("another name of what may be a manifest is asked for by the name that was used", async () => {
    expect((await follow({ index: ["sha512"] }, ["index"], { stored: { sha512: "sha256" } })).asked).toEqual(["sha512"]);
  });

  test("where nothing is open, nothing is asked", async () => {
    expect((await follow({ m: ["=l"] }, ["m"])).questions).toBe(0);
    expect((await follow({ index: ["m"], m: ["=l"] }, ["index"])).questions).toBe(0);
    expect((await follow({ index: ["sha512"], m: [] }, ["index"], { stored: { sha512: "m" } })).questions).toBe(0);
    expect((await follow({ index: ["a", "b"], a: ["c"] }, ["index"])).questions).toBe(1);
  });

  test("the way to a digest is the manifest by which it was reached first; roots have none", async () => {
    const graph: Graph = {
      isRevision: (each) => each < 10,
      references: (each) => ({ children: each === 0 ? [1] : [], blobs: [each + 10, 99] }),
      referrersOf: (each) => (each === 1 ? [2] : []),
      storedAs: () => undefined,
      servedAsManifests: async () => [],
    };
    const reach = emptyReach(true);
    await mark(graph, [0], reach, () => undefined);
    await mark(graph, [2, 3], reach, () => undefined);
    expect([...(reach.cameFrom ?? [])]).toEqual([
      [1, 0],
      [10, 0],
      [99, 0],
      [11, 1],
      [2, 1],
      [12, 2],
      [13, 3],
    ]);
    expect(emptyReach().cameFrom).toBeUndefined();
  });

  test("what a layer link alone serves as a manifest is followed, to any depth, and referrers of it count", async () => {
    const result = await follow({ index: ["old"], signature: ["=s"] }, ["index"], {
      layerLinked: { old: ["older", "=l"], older: ["=k"] },
      subjects: { signature: "older" },
    });
    expect(result.manifests).toEqual(["index", "old", "older", "signature"]);
    expect(result.digests).toEqual(["index", "k", "l", "old", "older", "s", "signature"]);
  });

  test("what is said to be no manifest is not asked for", async () => {
    expect((await follow({ m: ["=l", "untyped"] }, ["m"])).asked).toEqual(["untyped"]);
  });

  test("everything new is told once", async () => {
    expect((await follow({ a: ["=x", "b"], b: ["=x", "a"] }, ["a", "b", "a"])).told).toEqual(["a", "b", "x"]);
  });

  test("a second mark goes on from the first", async () => {
    const reach = emptyReach();
    const told: number[] = [];
    const graph: Graph = {
      isRevision: (each) => each < 10,
      references: (each) => ({ children: each === 0 ? [1] : [], blobs: [each + 10] }),
      referrersOf: () => [],
      storedAs: () => undefined,
      servedAsManifests: async () => [],
    };
    await mark(graph, [1], reach, (each) => told.push(each));
    await mark(graph, [0], reach, (each) => told.push(each));
    expect(told).toEqual([1, 11, 0, 10]);
  });

  test("diamonds thirty deep take linear time", async () => {
    let visits = 0;
    const graph: Graph = {
      isRevision: () => true,
      references: (each) => {
        visits++;
        const level = Math.floor(each / 2) + 1;
        return { children: level > 30 ? [] : [level * 2, level * 2 + 1], blobs: [] };
      },
      referrersOf: () => [],
      storedAs: () => undefined,
      servedAsManifests: async () => [],
    };
    const reach = emptyReach();
    await mark(graph, [0], reach, () => undefined);
    expect(visits).toBe(reach.manifests.size);
    expect(visits).toBeLessThan(64);
  });

  test("a chain a hundred thousand long does not recurse", async () => {
    const graph: Graph = {
      isRevision: () => true,
      references: (each) => ({ children: each < 100_000 ? [each + 1] : [], blobs: [] }),
      referrersOf: () => [],
      storedAs: () => undefined,
      servedAsManifests: async () => [],
    };
    const reach = emptyReach();
    await mark(graph, [0], reach, () => undefined);
    expect(reach.manifests.size).toBe(100_001);
  });
});
