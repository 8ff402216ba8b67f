/** The plan: what is to go, and above all what isn't. Each test tries to make it name something that is still needed. */

import { type Namespace, openRegistry } from "oci-registry-gc";
import { describe, expect, test, vi } from "vitest";
import { ASIDE, PRESENT } from "../src/marks.js";
import { type Plan, tally } from "../src/plan.js";
import type { Run } from "../src/run.js";
import {
  asideOf,
  doomed,
  index,
  least,
  link,
  NOTHING,
  ONLINE,
  oldWorld,
  orphan,
  planAgain,
  planOf,
  pushTo,
  QUIET,
  taken,
} from "./support/planning.js";
import { DAY } from "./support/stores.js";
import { image, layer, repo, revision, sha512 } from "./support/tree.js";
import { digestOf, type World } from "./support/world.js";

/** A registry that tells of blobs their digests and what `told` says, and answers look-ups with `answer`. */
function telling(
  world: World,
  told: () => { readonly size?: number; readonly modTime?: Date },
  lookAtBlob: NonNullable<Namespace["lookAtBlob"]> | undefined,
): Namespace {
  const inner = openRegistry(world.driver);
  return {
    ...inner,
    async *blobs(options) {
      for await (const page of inner.blobs(options)) yield page.map((info) => ({ digest: info.digest, ...told() }));
    },
    lookAtBlob,
  } as Namespace;
}

describe("blobs", () => {
  const one = () => oldWorld((world) => orphan(world, "orphan"));

  test.each([
    ["quarantine", undefined],
    ["grace", least],
  ] as const)("young ones, and those from the future, stay (%s)", async (_, driverOf) => {
    const world = await one();
    await orphan(world, "young");
    world.now += DAY / 100;
    await orphan(world, "future");
    world.now -= DAY / 200;
    const { run, plan } = await planOf(world, ONLINE, driverOf && { driver: driverOf(world) });
    expect(doomed(run, plan, ["orphan", "young", "future"])).toEqual(["orphan"]);
    expect(await tally(run)).toEqual({ present: 3, live: 0, young: 2, protected: 0 });
  });

  test("where nobody writes, the young go, too; with a grace they stay", async () => {
    const world = await one();
    await orphan(world, "young");
    const quiet = await planOf(world, QUIET);
    expect(doomed(quiet.run, quiet.plan, ["orphan", "young"])).toEqual(["orphan", "young"]);
    const careful = await planOf(world, { ...QUIET, gracePeriodMs: DAY });
    expect(doomed(careful.run, careful.plan, ["orphan", "young"])).toEqual(["orphan"]);
  });

  test("what was restored lately stays, though its file is old", async () => {
    const world = await oldWorld(async (w) => {
      await orphan(w, "orphan");
      await orphan(w, "restored");
    });
    const before = (run: Run) => {
      const aside = asideOf(run, world);
      aside.notes.push({ path: "/note", digests: [digestOf("restored")], time: world.now });
      aside.honourNotes(world.now - DAY);
    };
    const { run, plan } = await planOf(world, ONLINE, { before });
    expect(doomed(run, plan, ["orphan", "restored"])).toEqual(["orphan"]);
  });

  test("of what a listing told, nothing is looked up", async () => {
    const world = await one();
    const lookAtBlob = vi.fn(async () => undefined);
    const whole = telling(world, () => ({ size: 6, modTime: new Date(0) }), lookAtBlob);
    for (const options of [ONLINE, QUIET]) expect((await planOf(world, options, { registry: whole })).plan.blobs).toHaveLength(1);
    const untimed = telling(world, () => ({ size: 6 }), lookAtBlob);
    expect((await planOf(world, QUIET, { registry: untimed })).plan.blobs).toHaveLength(1);
    expect(lookAtBlob).not.toHaveBeenCalled();
  });

  test.each([
    ["a time, where times matter", ONLINE, { size: 6 }],
    ["a size", QUIET, { modTime: new Date(0) }],
    ["a size, though it told an old time", ONLINE, { modTime: new Date(0) }],
    ["both", ONLINE, {}],
  ] as const)("of what a listing told without %s, both are looked up", async (_, options, told) => {
    const world = await one();
    const young = telling(
      world,
      () => told,
      async (digest) => ({ digest, size: 7, modTime: new Date(world.now) }),
    );
    const first = await planOf(world, options, { registry: young });
    expect(doomed(first.run, first.plan, ["orphan"])).toEqual(options === QUIET ? ["orphan"] : []);
    const old = telling(
      world,
      () => told,
      async (digest) => ({ digest, size: 7, modTime: new Date(world.now - 20 * DAY) }),
    );
    const second = await planOf(world, options, { registry: old });
    expect(doomed(second.run, second.plan, ["orphan"])).toEqual(["orphan"]);
    expect(second.run.sizes.get(second.run.digests.find(digestOf("orphan")))).toBe(7);
  });

  test("one that is gone by then is no candidate, and doesn't count as there", async () => {
    const world = await one();
    const registry = telling(
      world,
      () => ({}),
      async () => undefined,
    );
    const { run, plan } = await planOf(world, QUIET, { registry });
    expect(plan.blobs).toEqual([]);
    expect((await tally(run)).present).toBe(0);
  });

  test("an unknown time stays where others write, whether nobody can look or the look tells none", async () => {
    const world = await one();
    const blind = telling(world, () => ({}), undefined);
    const vague = telling(
      world,
      () => ({}),
      async (digest) => ({ digest }),
    );
    for (const registry of [blind, vague]) {
      expect((await planOf(world, ONLINE, { registry })).plan.blobs).toEqual([]);
      expect((await planOf(world, QUIET, { registry })).plan.blobs).toHaveLength(1);
    }
  });

  test("a look-up that fails ends it", async () => {
    const world = await one();
    const registry = telling(
      world,
      () => ({}),
      () => Promise.reject(new Error("503")),
    );
    await expect(planOf(world, QUIET, { registry })).rejects.toThrow("503");
  });
});

describe("a push in flight", () => {
  test.each([
    ["quarantine", undefined],
    ["grace", least],
  ] as const)("keeps an old blob by the layer link that it wrote, and the link (%s)", async (_, driverOf) => {
    const world = await oldWorld(async (w) => {
      await orphan(w, "reused");
      await orphan(w, "orphan");
      await link(w, "r", "orphan");
    });
    await link(world, "r", "reused");
    const { run, plan } = await planOf(world, ONLINE, driverOf && { driver: driverOf(world) });
    expect(doomed(run, plan, ["reused", "orphan"])).toEqual(["orphan"]);
    expect(taken(run, plan, "r").layerLinks).toEqual([digestOf("orphan")]);
    expect(await tally(run)).toMatchObject({ present: 2, young: 1 });
  });

  test("keeps the link that it wrote to a blob that is not there yet", async () => {
    const world = await oldWorld((w) => link(w, "r", "old"));
    await link(world, "r", "coming");
    const { run, plan } = await planOf(world, ONLINE);
    expect(taken(run, plan, "r").layerLinks).toEqual([digestOf("old")]);
  });

  test("keeps what it wrote between two looks, links whose time did not tell it included", async () => {
    const world = await oldWorld(async (w) => {
      await orphan(w, "reused");
      await link(w, "r", "other");
    });
    const { run, found, plan } = await planOf(world, ONLINE);
    expect(doomed(run, plan, ["reused"])).toEqual(["reused"]);
    // The storage's clock is a month behind.
    world.now -= 20 * DAY;
    await link(world, "r", "reused");
    world.now += 20 * DAY;
    const { plan: second } = await planAgain({ run, found, plan });
    expect(second.blobs).toEqual([]);
    expect(taken(run, second, "r").layerLinks).toEqual([digestOf("other")]);
  });

  test("a link to a living blob is no reason to call it young", async () => {
    const world = await oldWorld((w) => pushTo(w, "a", image(digestOf("shared")), ["shared"], "keep"));
    await link(world, "b", "shared");
    const { run } = await planOf(world, ONLINE);
    expect(await tally(run)).toEqual({ present: 2, live: 2, young: 0, protected: 0 });
  });
});

describe("a manifest that lives through another repository", () => {
  // Repository a has the index by its tag, and of the child the bytes alone; b has both as revisions, without a tag.
  const deep = image(digestOf("deep"));
  const child = index(digestOf(deep));
  const top = index(digestOf(child));
  const all = [top, child, deep, "deep"];
  const world = () =>
    oldWorld(async (w) => {
      await pushTo(w, "a", top, [], "keep");
      for (const manifest of [top, child]) await pushTo(w, "b", manifest);
      await pushTo(w, "c", deep, ["deep"]);
      await pushTo(w, "dead", image(digestOf("dead")), ["dead"]);
    });

  test.each([
    ["b", "c"],
    ["c", "b"],
  ])("keeps its links while others write, and all that these lead to (%s before %s)", async (...first) => {
    const { run, plan } = await planOf(await world(), ONLINE, { first });
    expect(doomed(run, plan, [...all, "dead"])).toEqual(["dead"]);
    expect([taken(run, plan, "b"), taken(run, plan, "c")]).toEqual([NOTHING, NOTHING]);
    expect(taken(run, plan, "dead")).toEqual({ manifests: [digestOf(image(digestOf("dead")))], layerLinks: [digestOf("dead")] });
  });

  test("loses them where nobody writes", async () => {
    const { run, plan } = await planOf(await world(), QUIET);
    expect(doomed(run, plan, all)).toEqual([deep, "deep"]);
    expect(taken(run, plan, "b").manifests).toEqual([digestOf(top), digestOf(child)].sort());
  });

  test("keeps them where nobody writes, but repositories share directories", async () => {
    const between = (run: Run) => {
      run.sharesDirectories = true;
    };
    const { run, plan } = await planOf(await world(), QUIET, { between });
    expect(doomed(run, plan, all)).toEqual([]);
    expect(taken(run, plan, "b")).toEqual(NOTHING);
  });
});

describe("layer links", () => {
  // b's own image is gone; its links to what a needs are left, one of them by another name.
  const shared = () =>
    oldWorld(async (w) => {
      await pushTo(w, "a", image(digestOf("shared")), ["shared"], "keep");
      await link(w, "b", "shared");
      await w.put(layer("b", sha512("shared")), digestOf("shared"));
      await link(w, "b", "gone");
    });
  const every = [digestOf("shared"), digestOf("gone"), sha512("shared")].sort();

  test("to living blobs go where nobody writes, and where they can be written anew", async () => {
    for (const options of [QUIET, ONLINE]) {
      const { run, plan } = await planOf(await shared(), options);
      expect(taken(run, plan, "b").layerLinks).toEqual(every);
      expect(taken(run, plan, "a")).toEqual(NOTHING);
    }
  });

  test("to living blobs stay in the degree grace, under whatever name", async () => {
    const world = await shared();
    const { run, plan } = await planOf(world, ONLINE, { driver: least(world) });
    expect(taken(run, plan, "b").layerLinks).toEqual([digestOf("gone")]);
  });

  test.each([QUIET, ONLINE])("to living blobs stay where repositories share directories (%j)", async (options) => {
    const between = (run: Run) => {
      run.sharesDirectories = true;
    };
    const { run, plan } = await planOf(await shared(), options, { between });
    expect(taken(run, plan, "b").layerLinks).toEqual([digestOf("gone")]);
  });

  test.each([
    ["grace", least],
    ["shared directories", (world: World) => world.driver],
  ] as const)("to a blob that came alive between two looks stay (%s)", async (kind, driverOf) => {
    const world = await oldWorld(async (w) => {
      for (const name of ["a", "b"]) await link(w, name, "layer");
      await orphan(w, "layer");
    });
    const share = (run: Run) => {
      run.sharesDirectories = kind !== "grace";
    };
    const { run, found, plan } = await planOf(world, ONLINE, { driver: driverOf(world), between: share });
    expect(taken(run, plan, "b").layerLinks).toEqual([digestOf("layer")]);
    // The client finds the layer by a's link, and sends the manifest alone.
    await pushTo(world, "a", image(digestOf("layer")), [], "new");
    const { plan: second } = await planAgain({ run, found, plan });
    expect(second.blobs).toEqual([]);
    expect(taken(run, second, "b")).toEqual(NOTHING);
  });

  test("all stay without removeLayerLinks", async () => {
    const { run, plan } = await planOf(await shared(), { ...QUIET, removeLayerLinks: false });
    expect(plan.repositories).toEqual([]);
    expect((await tally(run)).live).toBe(2);
    const untagged = await oldWorld((w) => pushTo(w, "r", image(digestOf("x")), ["x"]));
    expect((await planOf(untagged, { ...QUIET, removeLayerLinks: false })).plan.repositories[0]?.layerLinks).toEqual([]);
  });

  test("to what lies aside stay: the run that put it there named them", async () => {
    const world = await oldWorld(async (w) => {
      for (const content of ["aside", "both", "gone"]) await link(w, "r", content);
      await orphan(w, "both");
    });
    const between = (run: Run) => {
      for (const content of ["aside", "both"]) run.marks.add(run.digests.find(digestOf(content)), ASIDE);
    };
    const { run, plan } = await planOf(world, QUIET, { between });
    expect(taken(run, plan, "r").layerLinks).toEqual([digestOf("both"), digestOf("gone")].sort());
  });
});

describe("manifests", () => {
  test("one that lies aside is not named again, unless it is there, too", async () => {
    const [aside, both, dead] = ["aside", "both", "dead"].map((content) => image(digestOf(content)));
    const world = await oldWorld(async (w) => {
      for (const manifest of [aside!, both!, dead!]) await pushTo(w, "r", manifest);
    });
    const between = (run: Run) => {
      for (const manifest of [aside!, both!]) run.marks.add(run.digests.find(digestOf(manifest)), ASIDE);
      run.marks.remove(run.digests.find(digestOf(aside!)), PRESENT);
    };
    const { run, plan } = await planOf(world, QUIET, { between });
    expect(taken(run, plan, "r").manifests).toEqual([digestOf(both!), digestOf(dead!)].sort());
  });

  test("one whose data is gone is named all the same: its link is left", async () => {
    const manifest = image();
    const world = await oldWorld((w) => pushTo(w, "r", manifest));
    const between = (run: Run) => run.marks.remove(run.digests.find(digestOf(manifest)), PRESENT);
    const { run, plan } = await planOf(world, QUIET, { between });
    expect(taken(run, plan, "r").manifests).toEqual([digestOf(manifest)]);
    expect(plan.blobs).toEqual([]);
  });

  test("index entries are those of manifests that go, and where none goes nobody looks for them", async () => {
    const [kept, dead] = [image(digestOf("kept")), image(digestOf("dead"))];
    const world = await oldWorld(async (w) => {
      await pushTo(w, "r", dead, ["dead"], "t");
      await pushTo(w, "r", kept, ["kept"], "t");
      await link(w, "links-only", "gone");
    });
    const asked: string[] = [];
    const inner = openRegistry(world.driver);
    const registry: Namespace = {
      ...inner,
      async *repositories(options) {
        for await (const repository of inner.repositories(options)) {
          const original = repository.tagIndexEntries?.bind(repository);
          Object.defineProperty(repository, "tagIndexEntries", {
            value: (...parameters: Parameters<NonNullable<typeof original>>) => {
              asked.push(repository.name);
              return original?.(...parameters);
            },
          });
          yield repository;
        }
      },
    };
    const { plan } = await planOf(world, QUIET, { registry });
    const entries = plan.repositories.map(({ look, tagIndexEntries }) => [
      look.repository.name,
      tagIndexEntries.map(({ digest }) => digest),
    ]);
    expect(Object.fromEntries(entries)).toEqual({ r: [digestOf(dead)], "links-only": [] });
    expect(asked).toEqual(["r"]);
  });

  test("a layout without index entries has none to go", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", image(digestOf("x")), ["x"], "t"));
    await world.driver.delete(`${repo("r")}/_manifests/tags`);
    const inner = openRegistry(world.driver);
    const registry: Namespace = {
      ...inner,
      async *repositories(options) {
        for await (const repository of inner.repositories(options)) {
          Object.defineProperty(repository, "tagIndexEntries", { value: undefined });
          yield repository;
        }
      },
    };
    const { plan } = await planOf(world, QUIET, { registry });
    expect(plan.repositories[0]).toMatchObject({ manifests: [expect.any(Number)], tagIndexEntries: [] });
  });
});

describe("repositories", () => {
  const upload = (w: World, name: string) => w.put(`${repo(name)}/_uploads/u/data`, "bytes");
  const fill = () =>
    oldWorld(async (w) => {
      await pushTo(w, "kept", image(digestOf("k")), ["k"], "t");
      await pushTo(w, "dead", image(digestOf("d")), ["d"]);
      await upload(w, "uploading");
    });
  const emptied = ({ repositories }: Plan) => repositories.filter(({ isEmptied }) => isEmptied).map(({ look }) => look.repository.name);

  test("go where nobody writes, where it is asked for, and where nothing is left of them", async () => {
    const { plan } = await planOf(await fill(), { ...QUIET, removeEmptyRepositories: true });
    expect(emptied(plan)).toEqual(["dead"]);
  });

  test.each([QUIET, ONLINE, { ...ONLINE, removeEmptyRepositories: true }])("stay with %j", async (options) => {
    const { plan } = await planOf(await fill(), options);
    expect(emptied(plan)).toEqual([]);
    expect(plan.repositories.map(({ look }) => look.repository.name)).toEqual(["dead"]);
  });

  test.each([{}, { removeLayerLinks: false }])("stay where a young layer link stays: %j", async (options) => {
    const world = await fill();
    await link(world, "dead", "being pushed");
    const { plan } = await planOf(world, { ...QUIET, removeEmptyRepositories: true, gracePeriodMs: DAY, ...options });
    expect(emptied(plan)).toEqual([]);
  });

  test("an empty one is in the plan by itself", async () => {
    const world = await fill();
    await world.driver.delete(`${repo("uploading")}/_uploads/u`);
    const { plan } = await planOf(world, { ...QUIET, removeEmptyRepositories: true });
    expect(emptied(plan).sort()).toEqual(["dead", "uploading"]);
  });

  test("an upload alone, and as many uploads as layer links, put a repository into the plan", async () => {
    const world = await fill();
    world.now -= 30 * DAY;
    await upload(world, "both");
    await link(world, "both", "gone");
    world.now += 30 * DAY;
    const { plan } = await planOf(world, { ...ONLINE, removeUploadsOlderThanMs: DAY });
    const uploads = plan.repositories.map((each) => [each.look.repository.name, each.uploads.length]);
    expect(Object.fromEntries(uploads)).toEqual({ dead: 0, uploading: 1, both: 1 });
  });
});

test("the tally says of every blob that is there why it stays, the strongest reason alone", async () => {
  const broken = image(digestOf("x"));
  const world = await oldWorld(async (w) => {
    await pushTo(w, "alive", image(digestOf("shared")), ["shared"], "t");
    await pushTo(w, "broken", broken, ["x", "shared"]);
    await w.put(revision("broken", digestOf(broken)), "");
    await orphan(w, "orphan");
    await link(w, "r", "not there");
  });
  await pushTo(world, "young", image(digestOf("y"), digestOf("shared")), ["y", "shared"]);
  const { run } = await planOf(world, ONLINE);
  // alive: manifest, shared. broken: manifest, x. young: manifest, y. And the orphan.
  expect(await tally(run)).toEqual({ present: 7, live: 2, young: 2, protected: 2 });
});
