/** A run that deletes later: aside, drain, look, put back; and later the purge. */

import { dirname } from "node:path/posix";
import { Readable } from "node:stream";
import {
  createWriteBarrier,
  type DeletedItem,
  type GcOptions,
  listRuns,
  markAndSweep,
  openRegistry,
  purge,
  restore,
  type StorageDriver,
} from "oci-registry-gc";
import { describe, expect, test, vi } from "vitest";
import { contentOf, DAY } from "../support/stores.js";
import { changed, image, layer, linkOf, type Put, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, ROOT, World } from "../support/world.js";

const OPTIONS: GcOptions = { removeUntagged: true };

const zero = { manifests: 0, blobs: 0, bytes: 0 };

describe("a run that quarantines", () => {
  test("moves data aside, leaves revision links and index entries, and deletes nothing but layer links", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const told: DeletedItem[] = [];
    const report = await world.collect({ onDeleted: (items) => void told.push(...items) });
    expect(report).toMatchObject({
      status: "completed",
      safety: "quarantine",
      eligible: { blobs: 4, manifests: 1, layerLinks: 3, tagIndexEntries: 1 },
      deleted: { blobs: 0, manifests: 0, layerLinks: 3, tagIndexEntries: 0, bytes: 0 },
      quarantined: { blobs: 4, manifests: 1, bytes: report.eligible.bytes },
      restored: zero,
      returned: zero,
    });
    expect(world.slept.reduce((a, b) => a + b)).toBe(120_000);
    const after = await world.files();
    const gone = [...before.keys()].filter((path) => !after.has(path));
    expect(gone.filter((path) => path.includes("/blobs/"))).toHaveLength(4);
    expect(gone.filter((path) => path.includes("/_layers/"))).toHaveLength(3);
    expect(gone).toHaveLength(7);
    expect(await world.aside()).toHaveLength(4);
    expect(told.filter(({ how }) => how === "aside").map(({ kind }) => kind)).toEqual(["blob", "blob", "blob", "blob"]);
    expect((await contentOf(world.driver)).has("/docker/registry/lockfiles/gc-in-progress")).toBe(false);
  });

  test("a later run purges, after a drain and a look of its own", async () => {
    const world = await new World().load("retag");
    const first = await world.collect();
    world.now += 7 * DAY - 1000;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0, manifests: 0 }, purged: { blobs: 0 } });
    expect(await world.aside()).toHaveLength(4);
    world.now += DAY;
    const second = await world.collect();
    expect(second).toMatchObject({
      eligible: { blobs: 0 },
      deleted: { blobs: 0 },
      purged: { blobs: 4, manifests: 1, tagIndexEntries: 1, bytes: first.quarantined.bytes },
    });
    expect(await world.aside()).toEqual([]);
    const offline = await new World().load("retag");
    await offline.collect({ readOnly: true });
    expect(await world.files()).toEqual(await offline.files());
    world.now += 2 * DAY;
    await world.collect();
    expect([...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/_gc/"))).toEqual([]);
  });

  test("quarantineMs: 0 purges in the same run, counted as deleted", async () => {
    const world = await new World().load("retag");
    const report = await world.collect({ quarantineMs: 0 });
    expect(report).toMatchObject({ deleted: report.eligible, quarantined: zero, purged: { blobs: 0, manifests: 0 } });
    const offline = await new World().load("retag");
    await offline.collect({ readOnly: true });
    expect(await world.files()).toEqual(await offline.files());
  });

  test("a push that completes during the drain brings everything back, with its layer links", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const link = [...before.keys()].find((path) => path.includes("/revisions/") && !isTagged(before, path))!;
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(link, before.get(link)!);
    };
    const report = await world.collect();
    expect(report).toMatchObject({ restored: { blobs: 4, manifests: 1 }, quarantined: zero });
    expect(await world.files()).toEqual(before);
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0 } });
  });

  test("a mount during the drain keeps its blob", async () => {
    const world = await new World().load("orphan");
    const orphan = digestOf("orphan");
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      await world.put(`${ROOT}/repositories/other/_layers/sha256/${orphan.slice(7)}/link`, orphan);
    };
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ restored: { blobs: 1 }, quarantined: zero });
    expect((await world.files()).has(blobPath(orphan))).toBe(true);
  });

  test("an abort in the drain puts everything back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const controller = new AbortController();
    world.meanwhile = async () => controller.abort(new Error("stop"));
    const run = markAndSweep({ clock: world.clock, signal: controller.signal }, world.driver, openRegistry(world.driver), OPTIONS);
    await expect(run).rejects.toMatchObject({ message: "stop", report: { status: "aborted", restored: { blobs: 4 }, quarantined: zero } });
    expect(await world.files()).toEqual(before);
    expect((await contentOf(world.driver)).has("/docker/registry/lockfiles/gc-in-progress")).toBe(false);
  });

  test("a dry run sees what lies aside, and plans nothing again", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const everything = await contentOf(world.driver);
    expect(await world.collect({ dryRun: true })).toMatchObject({ problemCount: 0, eligible: { blobs: 0, manifests: 0, layerLinks: 0 } });
    expect(await contentOf(world.driver)).toEqual(everything);
  });

  test("a tag that is put on what lies aside brings it back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    const link = [...before.keys()].find((path) => path.includes("/revisions/") && !isTagged(before, path))!;
    const repository = link.slice(0, link.indexOf("/_manifests"));
    await world.put(`${repository}/_manifests/tags/again/current/link`, before.get(link)!);
    expect(await world.heal()).toMatchObject({ returned: { blobs: 4, manifests: 1 }, problemCount: 0 });
    for (const [path, content] of before) expect((await world.files()).get(path)).toBe(content);
  });

  test("without removeUntagged every revision is needed, and comes back", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    expect(await world.collect({ removeUntagged: false })).toMatchObject({ returned: { blobs: 4 } });
    expect(await world.files()).toEqual(before);
  });

  test("readOnly deletes at once, and what lies aside counts as present", async () => {
    const world = await new World().load("retag");
    await world.collect();
    const report = await world.collect({ readOnly: true });
    expect(report).toMatchObject({ safety: "quiesced", problemCount: 0, eligible: { blobs: 0, manifests: 0 } });
  });
});

describe("when it is freed", () => {
  const said = async (options: GcOptions) => {
    const world = await new World().load("retag");
    const lines: { text: string; fields: Record<string, unknown> | undefined }[] = [];
    const silent = () => undefined;
    const info = (text: string, fields?: Record<string, unknown>) => lines.push({ text, fields });
    const logger = { debug: silent, warn: silent, error: silent, info };
    await markAndSweep({ clock: world.clock, logger }, world.driver, openRegistry(world.driver), { ...OPTIONS, ...options });
    const [line] = lines.filter(({ fields }) => fields?.["purgeable_at"] !== undefined);
    return { world, text: line?.text, at: String(line?.fields?.["purgeable_at"]) };
  };

  test("is said as it is: the quarantine counts from the end of the drain", async () => {
    const { world, at, text } = await said({ drainMs: 600_000 });
    expect(text).toMatch(/nothing is freed before it is purged: by a run after/);
    expect((await listRuns({ clock: world.clock }, world.driver, openRegistry(world.driver)))[0]?.purgeableAt).toBe(at);
    world.now = Date.parse(at) + 1;
    expect((await world.collect()).purged.blobs).toBe(4);
  });

  test("by the run itself, it says that", async () => {
    const { world, at, text } = await said({ drainMs: 600_000, quarantineMs: 0 });
    expect(text).toMatch(/this run purges it after its drain, from 2026-01-01T00:10:00\.000Z on/);
    expect(Date.parse(at)).toBe(world.now);
    expect(await world.aside()).toEqual([]);
  });
});

describe("what is damaged", () => {
  test("data aside that rotted is never put back, and is reported", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    const rotten = (await world.aside()).find((path) => before.get(blobPath(digestOfCopy(path)))!.startsWith("layer"))!;
    await world.put(rotten, "rotten");
    const report = await world.collect({ removeUntagged: false });
    expect(report.problems).toMatchObject([{ kind: "digest-mismatch", path: rotten }]);
    expect(report.returned.blobs).toBe(3);
    expect((await world.files()).has(blobPath(digestOfCopy(rotten)))).toBe(false);
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).toMatchObject({
      blobs: 0,
      failures: [{ path: rotten }],
    });
  });

  test.each(["", "{", '{"kind":"begun","at":1}\n', '{"kind":"begun","at":1}\n{"kind":"end","records":7}\n'])(
    "a journal that holds %j: what is needed goes back, nothing is purged, and it is said",
    async (content) => {
      const world = await new World().load("retag");
      const before = await world.files();
      await world.collect();
      const journal = [...(await contentOf(world.driver)).keys()].find((path) => path.includes("/journal/"))!;
      await world.put(journal, content);
      world.now += 8 * DAY;
      const aside = await world.aside();
      // Nothing names the revision link any more: it may have been pushed since.
      const report = await world.collect();
      expect(report).toMatchObject({ status: "completed", purged: { blobs: 0 }, returned: { blobs: aside.length } });
      expect(report.problems).toMatchObject([{ kind: "damaged-journal" }]);
      for (const path of before.keys()) if (path.includes("/blobs/")) expect((await world.files()).has(path)).toBe(true);
    },
  );

  test("a journal that is lost for good: restore brings back what its run put aside, and without it others are purged again", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    const [journal = ""] = [...(await contentOf(world.driver)).keys()].filter((path) => path.includes("/journal/"));
    await world.put(journal, "{");
    const { runId = "" } = (await listRuns({ clock: world.clock }, world.driver, openRegistry(world.driver)))[0] ?? {};
    const told = await world.purge({ quarantineMs: 0 });
    expect(told.problems[0]?.message).toContain(`${dirname(journal)} is removed by hand`);

    await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { runId });
    for (const path of before.keys()) if (path.includes("/blobs/")) expect((await world.files()).has(path)).toBe(true);
    await world.driver.delete(dirname(journal));
    world.now += 30 * DAY;
    await world.collect();
    world.now += 8 * DAY;
    expect(await world.collect()).toMatchObject({ problemCount: 0, purged: { blobs: 4 } });
  });

  test("foreign files in the quarantine are left alone, and counted", async () => {
    const world = await new World().load("retag");
    await world.put(`${ROOT}/_gc/README`, "hello");
    await world.put(`${ROOT}/_gc/not a run/x`.replaceAll(" ", "_"), "hello");
    const report = await world.collect();
    expect(report).toMatchObject({ unrecognized: 2, problemCount: 0 });
    expect((await contentOf(world.driver)).has(`${ROOT}/_gc/README`)).toBe(true);
  });
});

describe("the lock", () => {
  const LOCK = "/docker/registry/lockfiles/gc-in-progress";

  test("of a living run refuses another, with holder and age; a dry run is not concerned", async () => {
    const world = await new World().load("retag");
    await world.put(LOCK, JSON.stringify({ runId: "other", host: "elsewhere", pid: 7, startedAt: "2026-01-01T00:00:00Z" }));
    world.now += 60_000;
    for (const options of [{}, { readOnly: true }, { quarantine: false }]) {
      const refused = world.collect(options);
      await expect(refused).rejects.toMatchObject({ code: "LOCKED", report: { status: "refused" } });
      await expect(refused).rejects.toThrow(/other.*elsewhere.*60 seconds ago/);
    }
    await expect(world.heal()).rejects.toMatchObject({ code: "LOCKED" });
    await expect(world.purge()).rejects.toMatchObject({ code: "LOCKED" });
    await expect(restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).rejects.toMatchObject({ code: "LOCKED" });
    expect((await world.collect({ dryRun: true })).eligible.blobs).toBe(4);
    expect((await contentOf(world.driver)).get(LOCK)).toContain("elsewhere");
  });

  test("that nobody keeps alive is taken over after five minutes", async () => {
    const world = await new World().load("retag");
    await world.put(LOCK, "{}");
    world.now += 5 * 60_000 + 1;
    expect((await world.collect({ readOnly: true })).deleted.blobs).toBe(4);
    expect((await contentOf(world.driver)).has(LOCK)).toBe(false);
  });

  describe("of a time yet to come, since the storage's clock was set back,", () => {
    const YEAR = 365 * 24 * 3_600_000;

    test("is taken over where nobody keeps it alive", async () => {
      const world = await new World().load("retag");
      world.now += YEAR;
      await world.put(LOCK, "{}");
      world.now -= YEAR;
      const report = await world.collect();
      expect({ status: report.status, aside: report.quarantined.blobs }).toEqual({ status: "completed", aside: 4 });
      expect((await contentOf(world.driver)).has(LOCK)).toBe(false);
    });

    test("is a living run's where it changes meanwhile", async () => {
      const world = await new World().load("retag");
      world.now += YEAR;
      await world.put(LOCK, "{}");
      world.now -= YEAR;
      world.meanwhile = async () => world.put(LOCK, "{}");
      await expect(world.collect()).rejects.toThrow(/another run holds the lock .* and kept alive by it\. Wait for it/);
      expect((await contentOf(world.driver)).get(LOCK)).toBe("{}");
    });
  });

  test("that was lost in the drain stops the run, which then leaves it alone", async () => {
    const world = await new World().load("retag");
    world.meanwhile = async () => world.put(LOCK, "another's");
    await expect(world.collect()).rejects.toMatchObject({ code: "LOCKED" });
    expect((await contentOf(world.driver)).get(LOCK)).toBe("another's");
    expect(await world.aside()).toHaveLength(4);
  });

  test("that was not kept alive for a minute stops the run", async () => {
    const world = await new World().load("retag");
    world.meanwhile = async () => void (world.now += 600_000);
    await expect(world.collect()).rejects.toMatchObject({ code: "LOCKED" });
  });
});

describe("clocks", () => {
  test.each([-6, 6])("a storage whose clock is %i minutes off refuses an online run, and no other", async (minutes) => {
    const world = await new World().load("retag");
    const clock = { ...world.clock, now: () => world.now + minutes * 60_000 };
    const run = (options: GcOptions) => markAndSweep({ clock }, world.driver, openRegistry(world.driver), { ...OPTIONS, ...options });
    await expect(run({})).rejects.toMatchObject({ code: "CLOCK_SKEW", report: { status: "refused" } });
    await expect(run({ quarantine: false })).rejects.toMatchObject({ code: "CLOCK_SKEW" });
    expect((await run({ readOnly: true })).deleted.blobs).toBe(4);
  });
});

describe("a storage that tells its clock's probe a time that is none", () => {
  const NEVER = new Date(Number.NaN);
  const atProbe = (driver: StorageDriver, modTime: Date | undefined) =>
    changed(driver, {
      stat: async (path, options) => ({ ...(await driver.stat(path, options)), ...(path.endsWith(".clock") && { modTime }) }),
    });
  const collect = ({ clock }: World, driver: StorageDriver, options: GcOptions = {}) =>
    markAndSweep({ clock }, driver, openRegistry(driver), { ...OPTIONS, ...options });

  /** Something was put aside by a run that was killed then. */
  async function interrupted(): Promise<World> {
    const world = await new World().load("retag");
    let moves = 0;
    const dies = async () => {
      if (moves > 0) throw new Error("killed");
    };
    const dying = changed(world.driver, {
      move: async (source, destination) => {
        await dies();
        moves++;
        await world.driver.move(source, destination);
      },
      putContent: async (path, bytes, options) => dies().then(() => world.driver.putContent(path, bytes, options)),
      delete: async (path, options) => dies().then(() => world.driver.delete(path, options)),
    });
    await expect(collect(world, dying)).rejects.toThrow();
    expect(await world.aside()).not.toEqual([]);
    world.now += 600_000;
    return world;
  }

  test.each([{}, { readOnly: true }])("is collected as one that tells no times: %j", async (options) => {
    const [odd, silent] = [await interrupted(), await interrupted()];
    const report = await collect(odd, atProbe(odd.driver, NEVER), options);
    const expected = await collect(silent, atProbe(silent.driver, undefined), options);
    expect(report).toMatchObject({ status: "completed", eligible: expected.eligible, returned: expected.returned, problems: [] });
    expect(await odd.files()).toEqual(await silent.files());
    expect(await collect(odd, odd.driver)).toMatchObject({ status: "completed", problems: [] });
  });
});

describe("the write barrier", () => {
  test.each([{}, { quarantine: false }, { readOnly: true }, { quarantineMs: 0 }])(
    "what a registry has promised leaves the plan: %j",
    async (options) => {
      const world = await new World().load("retag");
      const barrier = createWriteBarrier({ now: () => world.now });
      const layers: string[] = [];
      await world.collect({
        dryRun: true,
        onItem: ({ kind, digest }) => {
          if (kind === "layerLink") layers.push(digest!);
        },
      });
      await barrier.protect(layers[0]!);
      const report = await world.collect({ barrier, ...options });
      expect(report).toMatchObject({ status: "completed", eligible: { blobs: 3 }, failures: [] });
      expect(report.eligible.layerLinks).toBe(report.deleted.layerLinks);
      expect(report.reasons["unreachable"]).toEqual({ count: 3, bytes: report.eligible.bytes });
      expect(report.quarantined.blobs + report.deleted.blobs).toBe(3);
      expect((await world.files()).has(blobPath(layers[0]!))).toBe(true);
      expect([...(await world.files()).keys()].some((path) => path.includes(`/_layers/${layers[0]!.replace(":", "/")}/`))).toBe(true);
    },
  );

  test.each([{}, { quarantine: false }, { readOnly: true }])(
    "a manifest that was promised stays, and is no failure: %j",
    async (options) => {
      const world = await new World().load("retag");
      const before = await world.files();
      const barrier = createWriteBarrier({ now: () => world.now });
      await world.collect({
        dryRun: true,
        onItem: ({ kind, digest }) => {
          if (kind === "manifest") void barrier.protect(digest!);
        },
      });
      const report = await world.collect({ barrier, ...options });
      expect(report).toMatchObject({ status: "completed", failures: [], deleted: { manifests: 0, blobs: 0, tagIndexEntries: 0 } });
      // Put aside, what it reaches is needed again in the second look.
      const moved = report.restored.blobs;
      expect(report.eligible).toMatchObject({ manifests: 0, blobs: moved, tagIndexEntries: 0 });
      expect(moved).toBe(report.safety === "quarantine" ? 3 : 0);
      expect([...(await world.files()).keys()].filter((path) => path.startsWith("/docker/registry/v2/"))).toEqual(
        [...before.keys()].filter((path) => path.startsWith("/docker/registry/v2/")),
      );
    },
  );

  test("protect waits for a removal under way, and no other starts until it is over", async () => {
    let now = 0;
    const X = digestOf("x");
    const barrier = createWriteBarrier({ now: () => now });
    const order: string[] = [];
    let end: () => void = () => undefined;
    const removal = barrier.removing(X, () => new Promise((resolve) => (end = resolve)));
    const promise = barrier.protect(X, { forMs: 10 }).then(() => order.push("protected"));
    await new Promise((resolve) => setImmediate(resolve));
    order.push("removed");
    end();
    expect(await removal).toBe(true);
    await promise;
    expect(order).toEqual(["removed", "protected"]);
    expect(await barrier.removing(X, () => Promise.reject(new Error("called")))).toBe(false);
    now = 10;
    expect(await barrier.removing(X, async () => undefined)).toBe(true);
    await expect(barrier.removing(X, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    await barrier.protect(X);
  });

  test("protects from when nothing is under way any more, however long that took", async () => {
    const X = digestOf("x");
    let now = 0;
    const barrier = createWriteBarrier({ now: () => now });
    const ends: (() => void)[] = [];
    const removal = () => barrier.removing(X, () => new Promise((resolve) => ends.push(resolve)));
    const first = removal();
    const promise = barrier.protect(X, { forMs: 10 });
    const second = removal();
    now = 1000;
    ends[0]?.();
    await promise;
    expect([await first, await second, ends.length]).toEqual([true, false, 1]);
    now = 1009;
    expect(await removal()).toBe(false);
    now = 1010;
    const third = removal();
    ends[1]?.();
    expect(await third).toBe(true);
  });

  test("what is no digest, or no time, is refused: nothing would be protected", async () => {
    const barrier = createWriteBarrier();
    const digest = digestOf("x");
    for (const wrong of ["x", "", undefined, digest.toUpperCase(), ` ${digest}`]) {
      await expect(barrier.protect(wrong as string)).rejects.toMatchObject({ code: "INVALID_DIGEST" });
    }
    for (const forMs of [Number.NaN, -1, "5"]) {
      await expect(barrier.protect(digest, { forMs: forMs as number })).rejects.toThrow(
        `forMs is ${forMs}; expected a number of milliseconds`,
      );
    }
    await barrier.protect(digest, { forMs: Number.POSITIVE_INFINITY });
    expect(await barrier.removing(digest, () => Promise.reject(new Error("called")))).toBe(false);
  });
});

describe("restore, listRuns, purge", () => {
  /** An old untagged image in `a`, of which a layer is needed in `b`. */
  const sharing = async (): Promise<World> => {
    const world = new World();
    world.now -= 30 * DAY;
    const put = (path: string, content: string) => world.put(path, content);
    await push(put, "a", image(digestOf("base"), digestOf("own")), ["base", "own"]);
    await push(put, "b", image(digestOf("base")), ["base"], "keep");
    await push(put, "c", image(digestOf("other")), ["other"], "keep");
    world.now += 30 * DAY;
    return world;
  };

  test("restore brings everything back, and it counts as young", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    const { runId } = await world.collect();
    const ctx = { clock: world.clock };
    expect(await listRuns(ctx, world.driver, openRegistry(world.driver))).toMatchObject([{ runId, state: "settled", blobs: 4, links: 3 }]);
    const report = await restore(ctx, world.driver, openRegistry(world.driver));
    expect(report).toMatchObject({ blobs: 4, links: 3, missing: [], failures: [] });
    expect(await world.files()).toEqual(before);
    expect(await listRuns(ctx, world.driver, openRegistry(world.driver))).toEqual([]);
    world.now += DAY / 2;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0 } });
    world.now += DAY;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 4 } });
  });

  test("what was restored is collected at once when it is young no more, by one run", async () => {
    const world = await new World().load("retag");
    await world.collect();
    await restore({ clock: world.clock }, world.driver, openRegistry(world.driver));
    world.now += 2 * DAY;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 4 }, kept: { young: 0 } });
  });

  test("restore takes no note and no journal away that a run with a longer grace goes by", async () => {
    const world = await new World().load("retag");
    const ctx = { clock: world.clock };
    const long = { gracePeriodMs: 20 * DAY };
    await world.collect(long);
    await restore(ctx, world.driver, openRegistry(world.driver));
    for (let day = 0; day < 3; day++) {
      world.now += 3 * DAY;
      await restore(ctx, world.driver, openRegistry(world.driver));
    }
    expect(await world.collect(long)).toMatchObject({ eligible: { blobs: 0 }, kept: { young: 4 } });
  });

  test("restore of one run leaves what another put aside where it is, in the next run, too", async () => {
    const world = new World();
    const put: Put = (path, content) => world.put(path, content);
    const pushed = async (content: string) => {
      world.now -= 30 * DAY;
      await push(put, content, image(digestOf(content)), [content]);
      await push(put, "kept", image(digestOf("kept")), ["kept"], "keep");
      world.now += 30 * DAY;
      return world.collect();
    };
    const { runId } = await pushed("one");
    await pushed("two");
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { runId })).toMatchObject({ blobs: 2 });
    const aside = await world.aside();
    expect(aside).toHaveLength(2);
    expect(await world.collect()).toMatchObject({ returned: { blobs: 0 }, eligible: { blobs: 0 } });
    expect(await world.aside()).toEqual(aside);
  });

  test("restore after a purge that was stopped half-way brings back revision links, too", async () => {
    const world = await new World().load("retag");
    const before = await world.files();
    await world.collect();
    world.now += 8 * DAY;
    const control = new AbortController();
    const driver = changed(world.driver, {
      deleteFiles: (paths, options) => {
        if (paths.some((path) => path.includes("/_gc/"))) {
          control.abort(new Error("stop"));
          throw new Error("stop");
        }
        return world.driver.deleteFiles(paths, options);
      },
    });
    const stopped = purge({ clock: world.clock, signal: control.signal }, driver, openRegistry(driver), OPTIONS);
    await expect(stopped).rejects.toMatchObject({ report: { purged: { manifests: 1, blobs: 0 } } });
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).toMatchObject({ blobs: 4, failures: [] });
    const links = [...before.keys()].filter((path) => path.includes("/revisions/"));
    for (const path of links) expect((await world.files()).has(path), path).toBe(true);
    world.now += DAY / 2;
    expect(await world.collect()).toMatchObject({ eligible: { blobs: 0 }, problemCount: 0 });
  });

  /** Nothing of its repository is to go but a blob that a layer link names. */
  const leftover = async () => {
    const world = new World();
    const put: Put = (path, content) => world.put(path, content);
    await push(put, "a", image(digestOf("kept")), ["kept"], "keep");
    await put(blobPath(digestOf("left")), "left");
    await put(layer("a", digestOf("left")), digestOf("left"));
    world.now += 30 * DAY;
    return world;
  };

  test("with layer links left as they are, what they link goes aside once, and is purged", async () => {
    const world = await leftover();
    const options = { removeLayerLinks: false };
    const first = await world.collect(options);
    expect(first).toMatchObject({ restored: zero, deleted: { layerLinks: 0 } });
    expect(first.eligible.blobs).toBeGreaterThan(0);
    expect(first.quarantined.blobs).toBe(first.eligible.blobs);
    expect(await world.collect(options)).toMatchObject({ eligible: { blobs: 0 }, returned: zero });
    world.now += 8 * DAY;
    expect(await world.collect(options)).toMatchObject({ purged: { blobs: first.eligible.blobs }, returned: zero });
  });

  test("but a push that found its layer there, and its link, is seen", async () => {
    const world = await leftover();
    world.meanwhile = async () => {
      world.meanwhile = async () => undefined;
      for (const [path, content] of await world.files()) if (path.includes("/_layers/")) await world.put(path, content);
    };
    const report = await world.collect({ removeLayerLinks: false });
    expect(report).toMatchObject({ eligible: { blobs: 1 }, quarantined: { blobs: 0 }, restored: { blobs: 1 } });
  });

  test("allowEmptyMark: true collects a storage without any repository, as its dry run says", async () => {
    const world = new World();
    await world.put(blobPath(digestOf("orphan")), "orphan");
    world.now += 30 * DAY;
    await expect(world.collect()).rejects.toMatchObject({ code: "EMPTY_MARK" });
    expect(await world.collect({ allowEmptyMark: true })).toMatchObject({ quarantined: { blobs: 1 }, restored: zero });
    world.now += 8 * DAY;
    await expect(world.collect()).rejects.toMatchObject({ code: "EMPTY_MARK" });
    expect(await world.collect({ allowEmptyMark: true })).toMatchObject({ purged: { blobs: 1 } });
  });

  test("quarantineMs: 0 keeps a copy of what lies in its place yet: who moves in two steps may be about to drop it", async () => {
    const world = await new World().load("retag");
    let half = "";
    const driver = changed(world.driver, {
      move: async (from, to, options) => {
        if (half !== "") return world.driver.move(from, to, options);
        half = from;
        await world.driver.putContent(to, Buffer.from(await world.driver.getContent(from)));
        throw new Error("asleep");
      },
    });
    const collect = () => markAndSweep({ clock: world.clock }, driver, openRegistry(driver), { ...OPTIONS, quarantineMs: 0 });
    expect(await collect()).toMatchObject({ deleted: { blobs: 3 }, quarantined: { blobs: 0 }, failureCount: 1 });
    expect(await world.aside()).not.toEqual([]);
    await world.driver.delete(half);
    world.now += DAY / 2;
    await push((path, content) => world.put(path, content), "r", image(digestOf("new")), ["new"], "t");
    expect(await collect()).toMatchObject({ status: "completed" });
    world.now += 2 * DAY;
    await collect();
    expect(await world.aside()).toEqual([]);
  });

  test("a body that never comes to its end keeps an aborted run for a minute only", { timeout: 20_000 }, async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const world = await new World().load("retag");
      const control = new AbortController();
      const driver = changed(world.driver, {
        reader: async (path, options) =>
          path.includes("/_gc/") && path.includes("/blobs/") ? new Readable({ read: () => undefined }) : world.driver.reader(path, options),
      });
      world.meanwhile = async () => control.abort(new Error("stop"));
      const ended = markAndSweep({ clock: world.clock, signal: control.signal }, driver, openRegistry(driver), OPTIONS).catch(
        (error: unknown) => error,
      );
      const minutes = (async () => {
        while (!control.signal.aborted) await new Promise(setImmediate);
        for (let i = 0; i < 200; i++) {
          await vi.advanceTimersByTimeAsync(10_000);
          await new Promise(setImmediate);
        }
        return "it goes on";
      })();
      expect(await Promise.race([ended, minutes])).not.toBe("it goes on");
      expect(await ended).toMatchObject({ message: "stop", report: { status: "aborted" } });
      expect((await contentOf(world.driver)).has("/docker/registry/lockfiles/gc-in-progress")).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test("restore of a digest brings back that manifest and all that it names", async () => {
    const world = await new World().load("lists");
    await world.collect();
    const ctx = { clock: world.clock };
    const manifest = [...(await contentOf(world.driver))].find(
      ([path, content]) => path.includes("/_gc/") && content.includes('"layers"'),
    )![1];
    const report = await restore(ctx, world.driver, openRegistry(world.driver), { digest: digestOf(manifest) });
    expect(report).toMatchObject({ blobs: 3, links: 2, missing: [] });
    for (const [, digest] of manifest.matchAll(/"digest":"(sha256:[0-9a-f]+)"/g))
      expect((await world.files()).has(blobPath(digest!))).toBe(true);
  });

  describe("restore of an index brings back all that its image names", () => {
    const IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json";
    const only = image(digestOf("only"));
    const indexOf = (...children: readonly object[]) => JSON.stringify({ schemaVersion: 2, manifests: children });
    const artifact = JSON.stringify({ schemaVersion: 2, mediaType: IMAGE_TYPE, layers: [{ mediaType: "x/y", digest: digestOf(only) }] });
    const asImage = { mediaType: IMAGE_TYPE, digest: digestOf(only) };
    const asArtifact = { mediaType: IMAGE_TYPE, digest: digestOf(artifact) };
    const ways: Readonly<Record<string, string>> = {
      "where a child before it names it as a layer": indexOf(asArtifact, asImage),
      "where a child behind it names it as a layer": indexOf(asImage, asArtifact),
      "where it is named as bytes, and is a revision": indexOf(
        { mediaType: "application/octet-stream", digest: digestOf(only) },
        asArtifact,
      ),
    };
    test.each(Object.entries(ways))("%s", async (_, top) => {
      const world = new World();
      const put: Put = (path, content) => world.put(path, content);
      world.now -= 30 * DAY;
      await push(put, "app", only, ["only"]);
      await push(put, "app", artifact, []);
      await push(put, "app", top, []);
      world.now += 30 * DAY;
      const before = await world.files();
      expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 4 }, deleted: { layerLinks: 1 } });
      const report = await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { digest: digestOf(top) });
      expect(report).toMatchObject({ blobs: 4, links: 1, missing: [], failures: [] });
      expect(await world.files()).toEqual(before);
    });
  });

  test("restore of a manifest of schema 1 brings back its signatures, too", async () => {
    const world = new World();
    const put: Put = (path, content) => world.put(path, content);
    world.now -= 30 * DAY;
    const old = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("layer") }] });
    const beside = dirname(revision("app", await push(put, "app", old, ["layer"])));
    await put(blobPath(digestOf("signature")), "signature");
    await put(linkOf(`${beside}/signatures`, digestOf("signature")), digestOf("signature"));
    world.now += 30 * DAY;
    const before = await world.files();
    expect(await world.collect({ maxDeleteRatio: 1 })).toMatchObject({ quarantined: { blobs: 3 }, deleted: { layerLinks: 1 } });
    const report = await restore({ clock: world.clock }, world.driver, openRegistry(world.driver), { digest: digestOf(old) });
    expect(report).toMatchObject({ blobs: 3, links: 1, missing: [], failures: [] });
    expect(await world.files()).toEqual(before);
  });

  test.each([true, false])("a purge tells of no blob that is gone while it lies in its place (pushed again: %s)", async (isPushed) => {
    const world = new World();
    const put: Put = (path, content) => world.put(path, content);
    world.now -= 30 * DAY;
    await push(put, "app", image(digestOf("kept")), ["kept"], "latest");
    const old = await push(put, "app", image(digestOf("old")), ["old"]);
    world.now += 30 * DAY;
    await world.collect();
    world.now += 8 * DAY;
    // A client puts it, and deletes it through the API.
    if (isPushed) await push(put, "app", image(digestOf("old")), []);
    await world.driver.delete(`${repo("app")}/_manifests/revisions/sha256/${old.slice(7)}`);
    const told: DeletedItem[] = [];
    const report = await world.collect({ onDeleted: (items) => void told.push(...items) });
    expect(report).toMatchObject({ purged: { blobs: 2 } });
    expect((await world.files()).has(blobPath(old))).toBe(isPushed);
    expect(told.some(({ kind, digest, how }) => kind === "blob" && digest === old && how === "deleted")).toBe(!isPushed);
    expect(told).toContainEqual(expect.objectContaining({ kind: "blob", digest: digestOf("old"), how: "deleted" }));
  });

  test.each(["everything", "a run"])("restore of %s brings back the links to layers that others keep, too", async (what) => {
    const world = await sharing();
    const before = await world.files();
    const { runId } = await world.collect();
    expect(await world.files()).not.toEqual(before);
    const ctx = { clock: world.clock };
    const ask = (driver: StorageDriver) => restore(ctx, driver, openRegistry(driver), what === "a run" ? { runId } : {});
    // The first one dies before it writes links: the next finds nothing aside any more.
    const dying = changed(world.driver, {
      putContent: (path, ...rest) =>
        path.includes("/_layers/") ? Promise.reject(new Error("dead")) : world.driver.putContent(path, ...rest),
    });
    expect(await ask(dying)).toMatchObject({ blobs: 2, links: 0, failures: [{}, {}] });
    expect(await ask(world.driver)).toMatchObject({ blobs: 0, links: 2, failures: [] });
    expect(await world.files()).toEqual(before);
  });

  test("restore writes no link that a run took of which all was purged", async () => {
    const world = await sharing();
    await world.collect();
    world.now += 8 * DAY;
    expect(await world.collect()).toMatchObject({ purged: { blobs: 2 } });
    const before = await world.files();
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).toMatchObject({ blobs: 0, links: 0 });
    expect(await world.files()).toEqual(before);
  });

  test("restore writes no link to a blob that was deleted since, though its run still has something aside", async () => {
    const world = await sharing();
    await world.collect();
    for (const path of (await world.files()).keys()) if (path.startsWith(repo("b"))) await world.driver.deleteFiles([path]);
    expect(await world.collect({ readOnly: true })).toMatchObject({ deleted: { blobs: 2 } });
    expect(await restore({ clock: world.clock }, world.driver, openRegistry(world.driver))).toMatchObject({ blobs: 2, links: 1 });
    const files = await world.files();
    expect(files.has(layer("a", digestOf("own")))).toBe(true);
    expect(files.has(layer("a", digestOf("base")))).toBe(false);
  });

  test("restore says what is missing, and refuses a run that is not there", async () => {
    const world = await new World().load("retag");
    const ctx = { clock: world.clock };
    const digest = digestOf("nowhere");
    expect(await restore(ctx, world.driver, openRegistry(world.driver), { digest })).toMatchObject({ blobs: 0, missing: [digest] });
    await expect(restore(ctx, world.driver, openRegistry(world.driver), { runId: "none" })).rejects.toThrow("there is no run");
    await expect(restore(ctx, world.driver, openRegistry(world.driver), { digest: "x" })).rejects.toMatchObject({ code: "INVALID_DIGEST" });
  });

  test.each<[string, unknown]>([
    ["what to restore is", digestOf("x")],
    ["what to restore is null", null],
    ["what to restore is an array", []],
    ["what to restore is a Map", new Map([["runId", "a-run"]])],
    ['what to restore has "digset"', { digset: digestOf("x") }],
    ["digest is 7; expected a string", { digest: 7 }],
  ])("restore of what it does not know is refused, and brings nothing back: %s", async (message, what) => {
    const world = await new World().load("retag");
    await world.collect();
    const aside = await world.aside();
    const refused = restore({ clock: world.clock }, world.driver, openRegistry(world.driver), what as never);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toBeInstanceOf(TypeError);
    expect(await world.aside()).toEqual(aside);
    expect(aside).not.toEqual([]);
  });

  test("purge says what still lies aside", async () => {
    const world = await new World().load("retag");
    await world.collect();
    expect((await world.purge()).remarks).toEqual([expect.stringMatching(/^still aside: 4 blobs\. .*quarantineMs \(168 hours\)/)]);
    expect((await world.purge({ quarantineMs: 1000 })).remarks).toEqual([]);
  });

  test("purge deletes earlier what is told to be old enough", async () => {
    const world = await new World().load("retag");
    await world.collect();
    expect(await world.purge()).toMatchObject({ purged: { blobs: 0 } });
    expect(await world.purge({ quarantineMs: 1000 })).toMatchObject({ purged: { blobs: 4, manifests: 1 } });
    expect(await world.aside()).toEqual([]);
  });
});

function isTagged(files: ReadonlyMap<string, string>, revision: string): boolean {
  return [...files].some(([path, content]) => path.includes("/current/link") && content === files.get(revision));
}

function digestOfCopy(path: string): string {
  const [hex, algorithm] = path.split("/").reverse().slice(1);
  return `${algorithm!}:${hex!}`;
}
