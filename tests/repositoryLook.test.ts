/** What one look keeps of one repository. Each test tries to make it let go of something that is still needed. */

import { dirname } from "node:path";
import { type GcOptions, type Namespace, openRegistry, type Upload } from "oci-registry-gc";
import { FlatDriver } from "oci-registry-gc/testing";
import { describe, expect, test, vi } from "vitest";
import { LIVE, PROTECTED } from "../src/marks.js";
import type { JournalLink } from "../src/online/journal.js";
import { tally } from "../src/plan.js";
import type { RepositoryLook } from "../src/repositoryLook.js";
import type { Run } from "../src/run.js";
import { stillExpired } from "../src/uploads.js";
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
import { currentLink, image, layer, linkOf, repo, revision, sha512 } from "./support/tree.js";
import { blobPath, digestOf, ROOT, World } from "./support/world.js";

const IMAGE = image(digestOf("l"));
const OTHER = image(digestOf("other"));

/** The driver says that these were written when `time` says: a store whose clock is wrong. */
async function writtenAt(world: World, time: number, write: () => Promise<unknown>): Promise<void> {
  const now = world.now;
  world.now = time;
  await write();
  world.now = now;
}

/** A run that knows of a quarantine: what an earlier run named in its journal, and which data it moved. */
function quarantined(world: World, links: readonly Partial<JournalLink>[], moved: readonly string[] = []) {
  return (run: Run) => {
    const aside = asideOf(run, world);
    const journal = aside.newJournal("earlier", world.driver);
    journal.begunAt = 0;
    journal.settledAt = 0;
    for (const each of links) {
      const digest = digestOf("nothing");
      journal.links.push({ kind: "layerLink", repository: "r", digest, target: each.digest ?? digest, path: "/x", time: 0, ...each });
    }
    aside.add(journal);
    for (const content of moved) {
      const path = aside.pathFor("earlier", digestOf(content));
      aside.addCopy(run.digests.add(digestOf(content)), { runId: "earlier", path, size: undefined, isManifest: false });
    }
    run.renewMarks();
  };
}

/** The registry, with members of its repositories changed. */
function changing(world: World, members: object): Namespace {
  const inner = openRegistry(world.driver);
  return {
    ...inner,
    async *repositories(options) {
      for await (const repository of inner.repositories(options)) yield Object.assign(repository, members);
    },
  };
}

describe("between two looks", () => {
  const start = async () => {
    const world = await oldWorld(async (w) => {
      await pushTo(w, "keep", OTHER, ["other"], "t");
      await pushTo(w, "r", IMAGE, ["l"]);
    });
    const first = await planOf(world, ONLINE);
    expect(doomed(first.run, first.plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
    return { world, first };
  };

  test("what nobody touched still goes", async () => {
    const { first } = await start();
    const { run, plan } = await planAgain(first);
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
    expect(taken(run, plan, "r")).toEqual({ manifests: [digestOf(IMAGE)], layerLinks: [digestOf("l")] });
  });

  test("a manifest that is pushed again stays with its layers, though its new time is old", async () => {
    const { world, first } = await start();
    await writtenAt(world, world.now - 20 * DAY, () => pushTo(world, "r", IMAGE));
    const { run, plan } = await planAgain(first);
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([]);
    expect(taken(run, plan, "r")).toEqual(NOTHING);
  });

  test("a manifest that is pushed to another repository stays, though its time is old", async () => {
    const { world, first } = await start();
    await writtenAt(world, world.now - 20 * DAY, () => pushTo(world, "new", IMAGE));
    const { run, plan } = await planAgain(first);
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([]);
    expect(taken(run, plan, "new")).toEqual(NOTHING);
  });

  test("keep is not asked again: what is new stays without it", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const keep = vi.fn(() => false);
    const first = await planOf(world, { ...ONLINE, keep });
    await writtenAt(world, world.now - 20 * DAY, () => pushTo(world, "r", OTHER));
    await planAgain(first);
    expect(keep).toHaveBeenCalledTimes(1);
  });

  test("a layer link that is written again keeps its blob, and one that was there does not", async () => {
    const world = await oldWorld(async (w) => {
      for (const content of ["again", "still"]) {
        await orphan(w, content);
        await link(w, "r", content);
      }
    });
    const first = await planOf(world, ONLINE);
    await writtenAt(world, world.now - 20 * DAY, () => link(world, "r", "again"));
    const { run, plan } = await planAgain(first);
    expect(doomed(run, plan, ["again", "still"])).toEqual(["still"]);
    expect(taken(run, plan, "r").layerLinks).toEqual([digestOf("still")]);
  });

  test("a layer link whose time only the second look tells stays, and so does its blob", async () => {
    const world = await oldWorld(async (w) => {
      await orphan(w, "l");
      await link(w, "r", "l");
    });
    const digest = digestOf("l");
    let looks = 0;
    const registry = changing(world, {
      async *layerLinks() {
        yield [{ digest }];
      },
      lookAtLayerLink: async () => ({ digest, ...(looks++ > 0 && { modTime: new Date(world.now - 20 * DAY) }) }),
    });
    const first = await planOf(world, ONLINE, { registry });
    const { run, plan } = await planAgain(first);
    expect([looks, plan.blobs, taken(run, plan, "r")]).toEqual([2, [], NOTHING]);
  });

  test("a manifest that is deleted is not named", async () => {
    const { world, first } = await start();
    await world.driver.delete(revision("r", digestOf(IMAGE)));
    const { run, plan } = await planAgain(first);
    expect(taken(run, plan, "r")).toEqual({ manifests: [], layerLinks: [digestOf("l")] });
  });
});

describe("links that are gone when they are looked at", () => {
  const directories = () =>
    oldWorld(async (w) => {
      await pushTo(w, "r", IMAGE, ["l"]);
      await link(w, "r", "empty");
      await w.driver.deleteFiles([layer("r", digestOf("empty")), revision("r", digestOf(IMAGE))]);
    });

  test.each([QUIET, ONLINE])("are not named, though a directory tells their name (%j)", async (options) => {
    const world = await directories();
    const { run, plan } = await planOf(world, options, { driver: least(world) });
    expect(taken(run, plan, "r")).toEqual({ manifests: [], layerLinks: [digestOf("l")] });
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
  });

  test("a revision that is gone when its time is looked up is not named, and keeps nothing", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const registry = changing(world, {
      async *revisions() {
        yield [{ digest: digestOf(IMAGE) }];
      },
      lookAtRevision: async () => undefined,
    });
    const { run, plan } = await planOf(world, ONLINE, { registry });
    expect(taken(run, plan, "r")).toEqual({ manifests: [], layerLinks: [digestOf("l")] });
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
  });

  test("a damaged manifest is not explained by a layer link of which the directory alone is left", async () => {
    const world = await directories();
    await pushTo(world, "r", IMAGE);
    await world.put(blobPath(digestOf(IMAGE)), "rotten");
    await world.driver.delete(`${repo("r")}/_layers/sha256/${digestOf("l").slice(7)}`);
    for (const driver of [world.driver, least(world)]) {
      const refused = planOf(world, QUIET, { driver });
      await expect(refused).rejects.toMatchObject({ code: "DAMAGED" });
      await expect(refused).rejects.toThrow(/^a manifest in the repository r is damaged.*nothing was deleted. Push the image again/);
    }
    await link(world, "r", "l");
    const { run, plan } = await planOf(world, QUIET, { driver: least(world) });
    expect(plan.blobs).toEqual([]);
    expect(await tally(run)).toMatchObject({ present: 2, protected: 2 });
  });
});

describe("damage", () => {
  const damaged = async (more: (w: World) => Promise<unknown> = async () => undefined) =>
    oldWorld(async (w) => {
      await pushTo(w, "r", IMAGE, ["l"]);
      await w.put(revision("r", digestOf(IMAGE)), "");
      await orphan(w, "linked");
      await w.put(layer("r", sha512("linked")), digestOf("linked"));
      await orphan(w, "orphan");
      await more(w);
    });
  const options: readonly GcOptions[] = [QUIET, ONLINE, { ...QUIET, removeUntagged: false }];

  test.each(options)("keeps every revision, every link, and the blobs of all links, by whatever name (%j)", async (chosen) => {
    const world = await damaged();
    const { run, plan } = await planOf(world, chosen);
    expect(doomed(run, plan, [IMAGE, "l", "linked", "orphan"])).toEqual(["orphan"]);
    expect(plan.repositories).toEqual([]);
    for (const digest of [digestOf("linked"), sha512("linked")]) expect(run.marks.has(run.digests.find(digest), PROTECTED)).toBe(true);
    expect(await tally(run)).toMatchObject({ live: chosen.removeUntagged === false ? 2 : 0 });
  });

  test("nobody is asked what to keep of it", async () => {
    const keep = vi.fn(() => false);
    await planOf(await damaged(), { ...QUIET, keep });
    expect(keep).not.toHaveBeenCalled();
  });

  test("keeps what an earlier run took from it", async () => {
    const world = await damaged();
    const link = { digest: sha512("orphan"), target: digestOf("orphan"), taken: true };
    const { run, plan } = await planOf(world, QUIET, { before: quarantined(world, [link]) });
    expect(doomed(run, plan, ["orphan"])).toEqual([]);
  });

  test("it is no repository of which nothing would be left", async () => {
    const world = await damaged();
    const { plan } = await planOf(world, { ...QUIET, removeEmptyRepositories: true });
    expect(plan.repositories).toEqual([]);
  });

  test("whether a kept manifest needs a layer: under damage any may be needed", async () => {
    const world = await damaged((w) => pushTo(w, "whole", OTHER, ["other"], "t"));
    await link(world, "whole", "loose");
    const { run, found } = await planOf(world, QUIET, {
      before: quarantined(
        world,
        ["r", "whole"].map((repository) => ({ repository })),
      ),
    });
    const needs = (name: string, content: string) =>
      found.looks.find(({ repository }) => repository.name === name)?.needsLayer(run.digests.add(digestOf(content)));
    expect([needs("r", "l"), needs("r", "anything")]).toEqual([true, true]);
    expect([needs("whole", "other"), needs("whole", "loose")]).toEqual([true, false]);
  });
});

test("what something young reaches stays where nobody writes, too: its link is not named", async () => {
  const top = index(digestOf(IMAGE));
  const world = await oldWorld(async (w) => {
    await pushTo(w, "r", IMAGE, ["l"]);
    await pushTo(w, "r", OTHER, ["other"]);
  });
  await pushTo(world, "r", top);
  const { run, plan } = await planOf(world, { ...QUIET, gracePeriodMs: DAY });
  expect(taken(run, plan, "r")).toEqual({ manifests: [digestOf(OTHER)], layerLinks: [digestOf("other")] });
});

test("a manifest whose link is stuck keeps all that it reaches, links included", async () => {
  const top = index(digestOf(IMAGE));
  const world = await oldWorld(async (w) => {
    for (const manifest of [top, IMAGE, OTHER]) await pushTo(w, "r", manifest, ["l"]);
  });
  const { run, found } = await planOf(world, QUIET);
  const [look] = found.looks;
  expect([look?.doomed.size, look?.loose.size]).toEqual([3, 1]);
  await look?.keep([run.digests.find(digestOf(top))]);
  expect([...(look?.doomed.keys() ?? [])]).toEqual([run.digests.find(digestOf(OTHER))]);
  expect(look?.loose.size).toBe(0);
});

test("what belongs to a manifest, and what is about it", async () => {
  const schema1 = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("l") }] });
  const referrer = JSON.stringify({ schemaVersion: 2, subject: { digest: digestOf(IMAGE) }, layers: [] });
  const world = await oldWorld(async (w) => {
    for (const manifest of [schema1, IMAGE, referrer]) await pushTo(w, "r", manifest, ["l"]);
    await orphan(w, "signature");
    await w.put(linkOf(`${dirname(revision("r", digestOf(schema1)))}/signatures`, digestOf("signature")), digestOf("signature"));
  });
  const { run, found } = await planOf(world, QUIET);
  const [look] = found.looks;
  const number = (content: string) => run.digests.find(digestOf(content));
  expect(look?.signaturesOf(number(schema1)).map(({ digest }) => digest)).toEqual([digestOf("signature")]);
  expect(look?.signaturesOf(number(IMAGE))).toEqual([]);
  expect(look?.referrersOf(number(IMAGE))).toEqual([number(referrer)]);
  expect(look?.referrersOf(number(referrer))).toEqual([]);
});

describe("a layer by another name", () => {
  test.each([
    ["the manifest names it by sha256", digestOf("l")],
    ["the manifest names it by sha512", sha512("l")],
  ])("keeps both links where %s", async (_, named) => {
    const world = await oldWorld(async (w) => {
      await pushTo(w, "r", image(named), ["l"], "t");
      await w.put(layer("r", sha512("l")), digestOf("l"));
      await link(w, "r", "loose");
    });
    const { run, plan } = await planOf(world, QUIET);
    expect(taken(run, plan, "r").layerLinks).toEqual([digestOf("loose")]);
    expect(plan.blobs).toEqual([]);
  });

  test("keeps it also where its manifest is kept later, since it lives elsewhere; another's link goes", async () => {
    const world = await oldWorld(async (w) => {
      await pushTo(w, "elsewhere", IMAGE, ["l"], "t");
      await pushTo(w, "r", IMAGE, ["l"]);
      await w.put(layer("r", sha512("l")), digestOf("l"));
      await w.put(layer("r", sha512("gone")), digestOf("gone"));
    });
    const { run, plan } = await planOf(world, ONLINE);
    expect(taken(run, plan, "r")).toEqual({ manifests: [], layerLinks: [sha512("gone")] });
  });
});

test("a manifest that a repository has by two names, one linked to the other, is kept by both", async () => {
  const top = index(sha512(IMAGE));
  const world = await oldWorld(async (w) => {
    await pushTo(w, "r", top, [], "t");
    await pushTo(w, "r", IMAGE, ["l"]);
    const [algorithm, hex] = sha512(IMAGE).split(":") as [string, string];
    await w.put(`${ROOT}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`, IMAGE);
    await w.put(revision("r", sha512(IMAGE)), sha512(IMAGE));
    await w.put(layer("r", sha512(IMAGE)), digestOf(IMAGE));
  });
  for (const options of [QUIET, ONLINE]) {
    const { run, plan } = await planOf(world, options);
    expect([plan.blobs, taken(run, plan, "r")]).toEqual([[], NOTHING]);
  }
});

describe("what an earlier run put aside", () => {
  const time = (world: World) => world.now - 30 * DAY;

  test("a manifest in place that a journal names was pushed since: it stays", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const named = { kind: "manifest", digest: digestOf(IMAGE), time: time(world) } as const;
    for (const options of [ONLINE, QUIET]) {
      const pushed = await planOf(world, options, { before: quarantined(world, [named]) });
      expect(doomed(pushed.run, pushed.plan, [IMAGE, "l"])).toEqual([]);
      // A journal that names the same of another repository says nothing of this one.
      const other = await planOf(world, options, { before: quarantined(world, [{ ...named, repository: "other" }]) });
      expect(doomed(other.run, other.plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
    }
  });

  test("a manifest that lies aside stays where its link is not the one that a journal names", async () => {
    const world = await oldWorld(async (w) => {
      await pushTo(w, "r", IMAGE, ["l"]);
      const copy = `${repo("x").replace("repositories/x", "_gc")}/earlier/blobs/sha256/${digestOf(IMAGE).slice(7)}/data`;
      await w.driver.move(blobPath(digestOf(IMAGE)), copy);
    });
    const named = (at: number) => [{ kind: "manifest", digest: digestOf(IMAGE), time: at } as const];
    const same = await planOf(world, ONLINE, { before: quarantined(world, named(time(world)), [IMAGE]) });
    expect(doomed(same.run, same.plan, ["l"])).toEqual(["l"]);
    for (const links of [named(time(world) - 1), []]) {
      const anew = await planOf(world, ONLINE, { before: quarantined(world, links, [IMAGE]) });
      expect(doomed(anew.run, anew.plan, ["l"])).toEqual([]);
    }
    const both = [...named(time(world) - 1), ...named(time(world))];
    const one = await planOf(world, ONLINE, { before: quarantined(world, both, [IMAGE]) });
    expect(doomed(one.run, one.plan, ["l"])).toEqual(["l"]);
  });

  test("a manifest that was restored lately stays", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const before = (run: Run) => {
      const aside = asideOf(run, world);
      aside.notes.push({ path: "/note", digests: [digestOf(IMAGE)], time: world.now });
      aside.honourNotes(world.now - DAY);
    };
    for (const options of [ONLINE, QUIET]) {
      const { run, plan } = await planOf(world, options, { before });
      expect(doomed(run, plan, [IMAGE, "l"])).toEqual([]);
    }
  });

  test("a manifest in place of which a copy lies aside that no journal names is like any other", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const { run, plan } = await planOf(world, ONLINE, { before: quarantined(world, [], [IMAGE]) });
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
  });

  test("where nobody can look whether a manifest is in place, the inventory tells", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const registry = { ...openRegistry(world.driver), lookAtBlob: undefined } as unknown as Namespace;
    const named = { kind: "manifest", digest: digestOf(IMAGE), time: time(world) } as const;
    const { run, plan } = await planOf(world, QUIET, { registry, before: quarantined(world, [named]) });
    expect(doomed(run, plan, [IMAGE, "l"])).toEqual([]);
  });

  test("a link to what lies aside is a lease unless a journal names it as it is", async () => {
    const world = await oldWorld(async () => undefined);
    const [hour, written] = [DAY / 24, world.now - DAY / 12];
    await writtenAt(world, written, () => link(world, "r", "moved"));
    const at = (when: number) => ({ digest: digestOf("moved"), time: when });
    const isLease = async (links: readonly Partial<JournalLink>[], moved = ["moved"]) => {
      const { run, found } = await planOf(world, { ...ONLINE, gracePeriodMs: hour }, { before: quarantined(world, links, moved) });
      return found.looks[0]?.loose.isLease(run.digests.find(digestOf("moved")));
    };
    expect(await isLease([at(written)])).toBe(false);
    expect(await isLease([at(written - 1), at(written)])).toBe(false);
    expect(await isLease([at(written - 1)])).toBe(true);
    expect(await isLease([])).toBe(true);
    // What isn't aside has no journal to name it; what is there again needs none.
    expect(await isLease([], [])).toBe(false);
    await writtenAt(world, written, () => orphan(world, "moved"));
    expect(await isLease([])).toBe(false);
    // No push takes a day.
    await world.driver.delete(blobPath(digestOf("moved")));
    world.now = written + DAY - 1;
    expect(await isLease([])).toBe(true);
    world.now = written + DAY;
    expect(await isLease([])).toBe(false);
  });

  test("a repository from which something was taken is remembered, though nothing more may go", async () => {
    const world = await oldWorld(async (w) => {
      for (const name of ["r", "s"]) await pushTo(w, name, image(digestOf(name)), [name], "t");
    });
    const { found } = await planOf(world, ONLINE, { before: quarantined(world, [{ repository: "r", taken: true }]) });
    expect(found.looks.map(({ repository }) => repository.name)).toEqual(["r"]);
  });
});

test("a repository from which a single thing may go is remembered", async () => {
  const bare = image();
  const world = await oldWorld(async (w) => {
    for (const name of ["manifest", "link", "upload", "nothing"]) await pushTo(w, name, OTHER, ["other"], "t");
    await pushTo(w, "manifest", bare);
    await link(w, "link", "loose");
    await w.put(`${repo("upload")}/_uploads/u/data`, "x");
  });
  const { found } = await planOf(world, { ...QUIET, removeUploadsOlderThanMs: DAY });
  expect(found.looks.map(({ repository }) => repository.name).sort()).toEqual(["link", "manifest", "upload"]);
});

describe("a repository of which nothing would be left", () => {
  const emptyOnes = async (world: World, options: GcOptions = {}) => {
    const { found } = await planOf(world, { ...QUIET, removeEmptyRepositories: true, ...options });
    return found.looks.filter((look) => look.wouldBeEmpty).map(({ repository }) => repository.name);
  };

  test("has no tag, no revision that is kept, no stray file and no upload", async () => {
    const world = await oldWorld(async (w) => {
      for (const name of ["dead", "tagged", "stray", "uploading"]) await pushTo(w, name, IMAGE, ["l"]);
      await pushTo(w, "tagged", IMAGE, [], "t");
      await w.put(`${repo("stray")}/_layers/stray`, "x");
      await w.put(`${repo("uploading")}/_uploads/u/data`, "x");
    });
    expect(await emptyOnes(world)).toEqual(["dead"]);
    expect(await emptyOnes(world, { removeUploadsOlderThanMs: DAY })).toEqual(expect.arrayContaining(["dead", "uploading"]));
    expect(await emptyOnes(world, { removeUploadsOlderThanMs: 31 * DAY })).toEqual(["dead"]);
    expect(await emptyOnes(world, { removeUntagged: false })).toEqual([]);
  });

  test("has no layer links where these stay", async () => {
    const world = await oldWorld(async (w) => {
      await pushTo(w, "linked", IMAGE, ["l"]);
      await pushTo(w, "bare", IMAGE);
    });
    expect(await emptyOnes(world, { removeLayerLinks: false })).toEqual(["bare"]);
    expect((await emptyOnes(world)).sort()).toEqual(["bare", "linked"]);
  });

  test("has no tag that a layer link serves, as old registries wrote them", async () => {
    const world = await oldWorld(async (w) => {
      for (const name of ["r", "dead"]) await link(w, name, IMAGE);
      await orphan(w, IMAGE);
      await w.put(currentLink("r", "t"), digestOf(IMAGE));
    });
    expect(await emptyOnes(world)).toEqual(["dead"]);
  });

  test("may be of a layout without uploads", async () => {
    const world = await oldWorld((w) => link(w, "r", "l"));
    const options = { ...QUIET, removeEmptyRepositories: true };
    const { found } = await planOf(world, options, { registry: changing(world, { uploads: undefined }) });
    expect(found.looks.map((look) => look.wouldBeEmpty)).toEqual([true]);
  });

  test("a tag that names nothing makes it one that is kept", async () => {
    const world = await oldWorld(async (w) => {
      await link(w, "r", "l");
      await w.put(currentLink("r", "t"), digestOf("nothing"));
    });
    expect(await emptyOnes(world)).toEqual([]);
  });
});

describe("uploads", () => {
  const expired = async (world: World, options: GcOptions, before?: (run: Run) => void) => {
    const { found } = await planOf(world, { ...QUIET, ...options }, before && { before });
    return found.looks.flatMap((look) => look.expiredUploads.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)));
  };
  const lookAgain = async (run: Run, looks: readonly RepositoryLook[]) => {
    const [look] = looks;
    if (look === undefined) throw new Error("nothing was looked at");
    return stillExpired(run, look.repository, look.expiredUploads);
  };
  const upload = (w: World, id: string) => w.put(`${repo("r")}/_uploads/${id}/data`, "x");

  test("go when they are older than is said, by the registry's clock and by the storage's", async () => {
    const world = await oldWorld((w) => upload(w, "u"));
    expect(await expired(world, { removeUploadsOlderThanMs: 30 * DAY })).toEqual([]);
    expect(await expired(world, { removeUploadsOlderThanMs: 30 * DAY - 1 })).toEqual(["u"]);
    for (const [offset, ids] of [
      [1, ["u"]],
      [-1, []],
    ] as const) {
      const skewed = (run: Run) => {
        run.storageOffset = offset;
      };
      expect(await expired(world, { removeUploadsOlderThanMs: 30 * DAY - 1 }, skewed)).toEqual(ids);
      expect(await expired(world, { removeUploadsOlderThanMs: 30 * DAY }, skewed)).toEqual([]);
    }
  });

  test("without a sign of life stay, and all stay where nothing is said of them", async () => {
    const world = await oldWorld((w) => upload(w, "u"));
    const silent: Upload = { path: "/silent", footprint: { files: [] } };
    const registry = changing(world, {
      async *uploads() {
        yield [silent];
      },
    });
    const { found } = await planOf(world, { ...QUIET, removeUploadsOlderThanMs: 0 }, { registry });
    expect(found.looks.flatMap((look) => look.expiredUploads)).toEqual([]);
    expect(await expired(world, { removeEmptyRepositories: true })).toEqual([]);
    expect(await expired(world, {})).toEqual([]);
  });

  test("a layout without uploads has none", async () => {
    const world = await oldWorld((w) => link(w, "r", "l"));
    const registry = changing(world, { uploads: undefined });
    const { run, found } = await planOf(world, { ...QUIET, removeUploadsOlderThanMs: 0 }, { registry });
    expect(found.looks[0]?.expiredUploads).toEqual([]);
    expect(await lookAgain(run, found.looks)).toEqual([]);
  });

  test("looked at again, those that came to life stay, and those that were not planned do", async () => {
    const world = await oldWorld(async (w) => {
      for (const id of ["alive", "dead", "gone"]) await upload(w, id);
    });
    const { run, found } = await planOf(world, { ...ONLINE, removeUploadsOlderThanMs: DAY });
    await upload(world, "alive");
    await writtenAt(world, world.now - 9 * DAY, () => upload(world, "new"));
    await world.driver.delete(`${repo("r")}/_uploads/gone`);
    const still = await lookAgain(run, found.looks);
    expect(still.map(({ path }) => path)).toEqual([`${repo("r")}/_uploads/dead`]);
    await world.driver.delete(repo("r"));
    expect(await lookAgain(run, found.looks)).toEqual([]);
  });

  test("looked at again, those of a store that is walked are walked anew", async () => {
    const world = new World();
    const driver = new FlatDriver({ now: () => world.now });
    const put = (id: string) => driver.putContent(`${repo("r")}/_uploads/${id}/data`, Buffer.from("x"));
    for (const id of ["alive", "dead"]) await put(id);
    world.now += 30 * DAY;
    const { run, found } = await planOf(world, { ...ONLINE, removeUploadsOlderThanMs: DAY }, { driver });
    await put("alive");
    const still = await lookAgain(run, found.looks);
    expect(still.map(({ path }) => path)).toEqual([`${repo("r")}/_uploads/dead`]);
    await driver.delete(repo("r"));
    expect(await lookAgain(run, found.looks)).toEqual([]);
  });

  test("of a layout that can't list afresh are asked for again", async () => {
    const world = await oldWorld((w) => upload(w, "u"));
    const registry = changing(world, { again: undefined });
    const { run, found } = await planOf(world, { ...ONLINE, removeUploadsOlderThanMs: DAY }, { registry, driver: least(world) });
    expect(await lookAgain(run, found.looks)).toHaveLength(1);
  });
});

describe("keep", () => {
  test("is asked of what nothing keeps, with the link's time where it is known; what it keeps brings the rest", async () => {
    const signed = image(digestOf("s"));
    const world = await oldWorld(async (w) => {
      await pushTo(w, "r", OTHER, ["other"], "t");
      await pushTo(w, "r", IMAGE, ["l"]);
      await pushTo(w, "r", signed, ["s"]);
    });
    const asked: unknown[] = [];
    const keep = (info: { digest: string; modTime?: Date | undefined }) => {
      asked.push([info.digest, info.modTime?.getTime()]);
      return info.digest === digestOf(IMAGE);
    };
    const { run, plan } = await planOf(world, { ...QUIET, keep });
    const times = new Map(asked as [string, number][]);
    expect([...times.keys()].sort()).toEqual([digestOf(IMAGE), digestOf(signed)].sort());
    expect(new Set(times.values())).toEqual(new Set([world.now - 30 * DAY]));
    expect(doomed(run, plan, [OTHER, "other", IMAGE, "l", signed, "s"])).toEqual([signed, "s"]);
    expect(run.marks.has(run.digests.find(digestOf("l")), LIVE)).toBe(true);
  });

  test("is not asked of what a manifest names that it has just kept", async () => {
    const top = index(digestOf(IMAGE));
    const world = await oldWorld(async (w) => {
      await pushTo(w, "r", top);
      await pushTo(w, "r", IMAGE, ["l"]);
    });
    const asked: string[] = [];
    const keep = ({ digest }: { readonly digest: string }) => asked.push(digest) > 0;
    const { plan } = await planOf(world, { ...QUIET, keep });
    expect([asked, plan.blobs]).toEqual([[digestOf(top)], []]);
  });

  test("a time that nobody tells is left out, and is young where others write", async () => {
    const world = await oldWorld((w) => pushTo(w, "r", IMAGE, ["l"]));
    const registry = changing(world, {
      lookAtRevision: undefined,
      async *revisions() {
        yield [{ digest: digestOf(IMAGE) }];
      },
    });
    const times: unknown[] = [];
    const keep = ({ modTime }: { readonly modTime?: Date | undefined }) => times.push(modTime) < 1;
    const quiet = await planOf(world, { ...QUIET, keep }, { registry });
    expect(times).toEqual([undefined]);
    expect(doomed(quiet.run, quiet.plan, [IMAGE, "l"])).toEqual([IMAGE, "l"]);
    expect((await planOf(world, ONLINE, { registry })).plan.blobs).toEqual([]);
  });
});

describe("the way to a digest, for who watches", () => {
  const ways = async (world: World, options: GcOptions, digest: string) => {
    const told = vi.fn();
    const { run, found } = await planOf(world, options, {
      before: (each) => {
        each.watched = { take: told };
      },
    });
    const number = run.digests.add(digest);
    const tell = (look: (typeof found.looks)[number]) => {
      const way = look.wayTo(number);
      return way && [way.why, ...way.way.map((each) => run.digests.digest(each))];
    };
    const looks = new Map(found.looks.map((look) => [look.repository.name, look]));
    return {
      told: told.mock.calls.length,
      way: (name: string) => {
        const look = looks.get(name);
        return look && tell(look);
      },
      protects: (name: string) => looks.get(name)?.protects(number),
    };
  };
  const parent = index(digestOf(IMAGE));
  /** A loose link in each repository, so that its look is remembered. */
  const fill = (more: (w: World) => Promise<unknown>) =>
    oldWorld(async (w) => {
      await more(w);
      for (const name of ["r", "a"]) await link(w, name, "loose");
    });
  const steps = [digestOf(parent), digestOf(IMAGE), digestOf("l")];

  test("goes over manifests from a root, and tells why that is one: the first reason", async () => {
    const untagged = await fill(async (w) => {
      for (const manifest of [parent, IMAGE]) await pushTo(w, "r", manifest, ["l"]);
    });
    expect((await ways(untagged, { readOnly: true }, digestOf("l"))).way("r")).toEqual(["revision", ...steps.slice(1)]);
    expect((await ways(untagged, { ...QUIET, keep: ({ digest }) => digest === digestOf(parent) }, digestOf("l"))).way("r")).toEqual([
      "keep",
      ...steps,
    ]);
    expect((await ways(untagged, { ...ONLINE, gracePeriodMs: 40 * DAY }, digestOf(IMAGE))).way("r")?.[0]).toBe("young");
    expect((await ways(untagged, QUIET, digestOf("l"))).way("r")).toBeUndefined();
    await untagged.put(currentLink("r", "t"), digestOf(parent));
    for (const options of [QUIET, { readOnly: true }])
      expect((await ways(untagged, options, digestOf("l"))).way("r")).toEqual(["tag", ...steps]);
    expect((await ways(untagged, { readOnly: true }, digestOf(parent))).way("r")).toEqual(["tag", digestOf(parent)]);
  });

  test("tells that a manifest lives elsewhere, and tells it again when that is known", async () => {
    const world = await fill(async (w) => {
      await pushTo(w, "a", parent, [], "t");
      for (const manifest of [parent, IMAGE]) await pushTo(w, "r", manifest, ["l"]);
    });
    const { way, told } = await ways(world, ONLINE, digestOf("l"));
    expect(way("r")?.[0]).toBe("alive-elsewhere");
    expect(told).toBe(3);
  });

  test("tells damage, and what links protect, by each of its names", async () => {
    const world = await fill(async (w) => {
      await pushTo(w, "r", IMAGE, ["l"]);
      await w.put(revision("r", digestOf(IMAGE)), "");
      await w.put(layer("r", sha512("linked")), digestOf("linked"));
      await w.put(`${repo("r")}/_uploads/u/data`, "x");
    });
    const options = { ...QUIET, removeUploadsOlderThanMs: DAY };
    expect((await ways(world, options, digestOf("l"))).way("r")).toEqual(["damage", digestOf(IMAGE), digestOf("l")]);
    for (const [digest, isProtected] of [
      [digestOf("linked"), true],
      [sha512("linked"), true],
      [digestOf("loose"), true],
      [digestOf("unknown"), false],
    ] as const) {
      const { protects } = await ways(world, options, digest);
      expect([protects("r"), protects("a")]).toEqual([isProtected, false]);
    }
  });
});
