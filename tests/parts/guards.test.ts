/** Each check of a run in parts against what it is there for: what passes between parts, one step at a time. */

import { markAndSweep, openRegistry } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { runPart, Suspension } from "oci-registry-gc/parts";
import { describe, expect, test } from "vitest";
import { ABSENT, ASIDE, DOOMED, LIVE, PRESENT, YOUNG } from "../../src/marks.js";
import { ASKED, LEASED, LEASED_IF_AWAY } from "../../src/parts/flags.js";
import type { JoinInput } from "../../src/parts/join.js";
import { mergeRuns } from "../../src/parts/merge.js";
import type { PartAttempt } from "../../src/parts/partAttempt.js";
import { PartStore } from "../../src/parts/partStore.js";
import { RunDocuments } from "../../src/parts/runDocuments.js";
import type { RunPlan } from "../../src/parts/runPlan.js";
import { type RunFile, SortedRunWriter } from "../../src/parts/sortedRun.js";
import { VERSION } from "../../src/version.js";
import { contentOf, DAY } from "../support/stores.js";
import { currentLink, IMAGE, push, repo, revision } from "../support/tree.js";
import { blobPath, digestOf, World } from "../support/world.js";
import { collectParted, collectSingle, countsOf, image, lay, watched } from "./attackers.js";

const LOCK = "/docker/registry/lockfiles/gc-in-progress";
const RUN = "a-run";

/** A run that was begun, and whose parts are made one by one. */
async function begun(): Promise<{ driver: MemoryDriver; store: PartStore }> {
  const driver = new MemoryDriver();
  const lock = "the lock";
  await driver.putContent(LOCK, Buffer.from(lock));
  const plan: RunPlan = {
    ...{ version: VERSION, runId: RUN, startedAt: Date.now(), storageOffset: 0, lock },
    ...{ options: { readOnly: true }, shards: 1, needs: [] },
  };
  return { driver, store: new PartStore(await new RunDocuments(driver, `/docker/registry/v2/_gc/${RUN}/parts`, RUN).begin(plan)) };
}

interface Told {
  readonly digest: string;
  readonly flags: number;
}

const known = ({ digest, flags }: Told) => ({ digest, flags, size: 1, time: 0 });

/** A stage of one part that left this. */
async function leave(store: PartStore, stage: string, run: string, told: readonly Told[]): Promise<void> {
  await store.open(stage, { kind: "mark", parts: 1, input: {}, openedAt: 0 });
  const attempt: PartAttempt = store.attempt(stage, 0);
  for (const each of told) attempt.run(run).add(0, known(each));
  await attempt.finish({});
  await store.close(stage, 1);
}

/** What a join makes of these, by digest. */
async function joined(
  told: { readonly state: readonly Told[]; readonly marks?: readonly Told[]; readonly questions?: readonly Told[] },
  candidates: JoinInput["candidates"] = "present",
): Promise<Record<"state" | "answers" | "doomed", ReadonlyMap<string, number>>> {
  const { driver, store } = await begun();
  await leave(store, "state", "state", told.state);
  await leave(store, "mark", "marks", told.marks ?? []);
  await leave(store, "ask", "questions", told.questions ?? []);
  const input: JoinInput = { states: ["state"], marks: ["mark"], questions: "ask", aside: undefined, candidates };
  await store.open("join", { kind: "join", parts: 1, input, openedAt: 0 });
  for (const { digest } of told.state) await driver.putContent(blobPath(digest), Buffer.from("x"));
  await runPart(
    { driver, registry: openRegistry(driver) },
    { runId: RUN, version: VERSION, plan: store.documents.plan, stage: "join", part: 0 },
  );
  const [output] = (await store.close("join", 1)).outputs;
  const flagsIn = async (name: string) => {
    const flags = new Map<string, number>();
    const sources = (output?.runs[name] ?? []).map((file) => ({ file, from: 0 }));
    for await (const batch of mergeRuns(driver, sources, 0, 0)) for (const each of batch) flags.set(each.digest, each.flags);
    return flags;
  };
  return { state: await flagsIn("state"), answers: await flagsIn("answers"), doomed: await flagsIn("doomed") };
}

describe("a join", () => {
  const [a, b, c] = [digestOf("a"), digestOf("b"), digestOf("c")];

  test("dooms what is there and nothing keeps, and tells those who asked", async () => {
    const { state, answers, doomed } = await joined({
      state: [a, b, c].map((digest) => ({ digest, flags: PRESENT })),
      marks: [{ digest: a, flags: LIVE }],
      questions: [{ digest: b, flags: ASKED }],
    });
    expect(state).toEqual(new Map([[a, PRESENT | LIVE], ...[b, c].map((digest) => [digest, PRESENT | DOOMED] as const)]));
    expect(answers).toEqual(new Map([[b, PRESENT | DOOMED]]));
    expect([...doomed.keys()].sort()).toEqual([b, c].sort());
  });

  test("takes nothing further that is not there, though an earlier state said so", async () => {
    const { state, doomed } = await joined({ state: [{ digest: a, flags: PRESENT | ABSENT | DOOMED }] }, "doomed");
    expect(state).toEqual(new Map([[a, ABSENT]]));
    expect(doomed.size).toBe(0);
  });

  test("of a later look dooms nothing that the first did not", async () => {
    const state = [
      { digest: a, flags: PRESENT },
      { digest: b, flags: PRESENT | DOOMED },
    ];
    expect([...(await joined({ state }, "doomed")).doomed.keys()]).toEqual([b]);
    expect((await joined({ state }, "none")).doomed.size).toBe(0);
  });

  test("keeps what a push under way may re-use", async () => {
    const { state, doomed } = await joined({
      state: [
        { digest: a, flags: PRESENT },
        { digest: b, flags: ASIDE },
        { digest: c, flags: PRESENT },
      ],
      marks: [
        { digest: a, flags: LEASED },
        { digest: b, flags: LEASED_IF_AWAY },
        { digest: c, flags: LEASED_IF_AWAY },
      ],
    });
    expect(state.get(a)).toBe(PRESENT | YOUNG);
    expect(state.get(b)).toBe(ASIDE | YOUNG);
    expect(state.get(c)).toBe(PRESENT | DOOMED);
    expect([...doomed.keys()]).toEqual([c]);
  });
});

describe("a sorted run", () => {
  const written = async (digests: readonly string[]) => {
    const driver = new MemoryDriver();
    const writer = new SortedRunWriter(async (content) => {
      await driver.putContent("/run", content);
      return "/run";
    });
    for (const digest of digests) writer.add(0, known({ digest, flags: LIVE }));
    return { driver, files: await writer.finish() };
  };
  const read = async (driver: MemoryDriver, files: readonly RunFile[]) => {
    const all: string[] = [];
    const sources = files.map((file) => ({ file, from: 0 }));
    for await (const batch of mergeRuns(driver, sources, 0, ASKED)) all.push(...batch.map(({ digest }) => digest));
    return all;
  };

  test("in which any bit is another, or which ends anywhere, is not believed", async () => {
    const digests = ["one", "two"].map(digestOf).sort();
    const { driver, files } = await written(digests);
    expect(await read(driver, files)).toEqual(digests);
    const content = Buffer.from(await driver.getContent("/run"));
    for (let bit = 0; bit < content.length * 8; bit++) {
      const spoilt = Buffer.from(content);
      spoilt.writeUInt8(spoilt.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await driver.putContent("/run", spoilt);
      await expect(read(driver, files), `bit ${bit}`).rejects.toMatchObject({ code: "PART_DAMAGED" });
    }
    for (let length = 0; length < content.length; length++) {
      await driver.putContent("/run", content.subarray(0, length));
      await expect(read(driver, files), `${length} bytes`).rejects.toMatchObject({ code: "PART_DAMAGED" });
    }
  });
});

describe("a stage", () => {
  test.each(["short", "gone"] as const)("is not closed where a file that a part wrote is %s, and the error names it", async (how) => {
    const { driver, store } = await begun();
    const attempt = store.attempt("state", 0);
    attempt.run("state").add(0, known({ digest: digestOf("a"), flags: PRESENT }));
    await attempt.finish({});
    const [path = "", content = ""] = [...(await contentOf(driver))].find(([each]) => /\/state\/0\..*\.0$/.test(each)) ?? [];
    if (how === "gone") await driver.delete(path);
    else await driver.putContent(path, Buffer.from(content).subarray(0, -1));
    await expect(store.close("state", 1)).rejects.toMatchObject({ code: "PART_DAMAGED", message: expect.stringContaining(path) as string });
    expect(await store.isClosed("state")).toBe(false);
  });

  test("that is closed sees no more deletes of who slept before one", async () => {
    const stages = ["sweep.blobs", "sweep.layerLinks", "sweep.revisions"];
    for (const stage of stages) {
      const { world } = await lay(false);
      let wake = () => {};
      let asleep: Promise<unknown> | undefined;
      let late: string[] = [];
      await collectParted(
        world,
        { readOnly: true, removeEmptyRepositories: true },
        {
          make: async (worker, job) => {
            if (asleep !== undefined && job.stage !== stage) {
              // The run goes on, and holds its lock: only that the stage is closed tells the sleeper to stop.
              wake();
              await asleep;
            }
            if (job.stage !== stage || asleep !== undefined) return runPart(worker, job);
            const morning = new Promise<void>((resolve) => {
              wake = resolve;
            });
            let begins = () => {};
            const isAtIt = new Promise<void>((resolve) => {
              begins = resolve;
            });
            let opened = 0;
            const sleepy = watched(worker.driver, async (method, path) => {
              // The lock is read as the part is opened, and then before each batch.
              if (path === LOCK && method === "getContent" && ++opened > 2) {
                begins();
                await morning;
              }
              if (method === "deleteFiles") late.push(path);
            });
            asleep = runPart({ ...worker, driver: sleepy, registry: openRegistry(sleepy) }, job);
            await Promise.race([isAtIt, asleep]);
            late = [];
            return runPart(worker, job);
          },
        },
      );
      wake();
      expect(asleep, stage).toBeDefined();
      await asleep;
      expect(late, stage).toEqual([]);
    }
  });
});

describe("a look", () => {
  /** An index that another repository keeps, what refers to it here, and that again elsewhere, where nothing else keeps it. */
  async function chain() {
    const world = new World();
    const now = world.now;
    const put = (path: string, content: string) => world.put(path, content);
    world.now = now - 60 * DAY;
    const subject = image("base");
    const referrer = JSON.stringify({
      ...{ schemaVersion: 2, mediaType: IMAGE, layers: [{ mediaType: "application/x-layer", digest: digestOf("proof") }] },
      subject: { mediaType: IMAGE, digest: digestOf(subject) },
    });
    await push(put, "keeps", subject, ["base"], "latest");
    await push(put, "refers", subject, ["base"]);
    await push(put, "refers", referrer, ["proof"]);
    await push(put, "has", referrer, ["proof"]);
    world.now = now;
    return { world, referrer };
  }

  test("goes on until nothing is kept any more that was not kept before", async () => {
    const [single, parted] = [await chain(), await chain()];
    const options = { quarantine: false, maxDeleteRatio: 1 };
    const expected = countsOf(await collectSingle(single.world, options));
    expect(countsOf(await collectParted(parted.world, options, { shards: 4 }))).toEqual(expected);
    const files = await parted.world.files();
    expect([...files.keys()].sort()).toEqual([...(await single.world.files()).keys()].sort());
    for (const content of [parted.referrer, "proof"]) expect(files.has(blobPath(digestOf(content)))).toBe(true);
    for (const name of ["refers", "has"]) expect(files.has(revision(name, digestOf(parted.referrer)))).toBe(true);
  });

  test.each([
    ["more garbage than maxDeleteRatio allows", { maxDeleteRatio: 0.5 }, true, "DELETE_RATIO"],
    ["not one repository", {}, false, "EMPTY_MARK"],
  ] as const)("that finds %s ends the run with nothing deleted", async (_, options, hasRepository, code) => {
    const world = new World();
    const now = world.now;
    world.now = now - 60 * DAY;
    for (let i = 0; i < 120; i++) await world.put(blobPath(digestOf(`orphan ${i}`)), `orphan ${i}`);
    if (hasRepository) await push((path, content) => world.put(path, content), "a", image("x"), ["x"], "latest");
    world.now = now;
    const before = await world.files();
    for (const how of [{ readOnly: true }, { quarantine: false }, {}]) {
      await expect(collectParted(world, { ...how, ...options })).rejects.toMatchObject({ code });
      expect(await world.files()).toEqual(before);
    }
  });

  test.each([true, false])("of a registry without data in a blob's directory counts like a single run, dry %s", async (dryRun) => {
    const [single, parted] = [await lay(false), await lay(false)];
    const options = { readOnly: true, dryRun };
    const digest = digestOf(image("dead 1", "shared"));
    for (const { world } of [single, parted]) {
      await world.driver.delete(blobPath(digest));
      await world.put(`${blobPath(digest).slice(0, -"data".length)}stray`, "");
    }
    expect(countsOf(await collectParted(parted.world, options))).toEqual(countsOf(await collectSingle(single.world, options)));
    expect(await parted.world.files()).toEqual(await single.world.files());
  });
});

describe("a purge", () => {
  test("takes nothing of a repository that was gone as it was to be looked at", async () => {
    const run = async (hides: boolean) => {
      const { world } = await lay();
      let hiding: Promise<readonly (readonly [string, string])[]> | undefined;
      const hide = async () => {
        const files = [...(await world.files())].filter(([path]) => path.startsWith(`${repo("old")}/`));
        await world.driver.delete(repo("old"));
        return files;
      };
      let isBack = !hides;
      const report = await collectParted(
        world,
        {},
        {
          make: async (worker, job) => {
            if (hides && job.stage === "settle.mark") hiding ??= hide();
            const hidden = (await hiding) ?? [];
            if (!isBack && hidden.length > 0 && job.stage !== "settle.mark") {
              isBack = true;
              for (const [path, content] of hidden) await world.put(path, content);
            }
            await runPart(worker, job);
          },
        },
      );
      expect(isBack).toBe(true);
      return report.purged.blobs;
    };
    expect(await run(false)).toBeGreaterThan(0);
    expect(await run(true)).toBe(0);
  });

  test("of a single run neither", async () => {
    const run = async (hides: boolean) => {
      const { world } = await lay();
      let isDrained = false;
      world.meanwhile = async () => {
        isDrained = true;
      };
      let hidden: readonly (readonly [string, string])[] = [];
      let isBack = !hides;
      const driver = watched(world.driver, async (method, path) => {
        if (!hides || !isDrained || !path.startsWith(`${repo("old")}/`)) return;
        if (method === "list" && hidden.length === 0) {
          hidden = [...(await world.files())].filter(([each]) => each.startsWith(`${repo("old")}/`));
          await world.driver.delete(repo("old"));
        } else if (method === "stat" && !isBack) {
          isBack = true;
          for (const [each, content] of hidden) await world.put(each, content);
        }
      });
      const ctx = { clock: world.clock };
      const report = await markAndSweep(ctx, driver, openRegistry(driver), { removeUntagged: true, drainMs: 1000 });
      expect(isBack).toBe(true);
      return report.purged.blobs;
    };
    expect(await run(false)).toBeGreaterThan(0);
    expect(await run(true)).toBe(0);
  });
});

test("a report tells how long each phase took, though the run was let go of and taken up in between", async () => {
  const { world } = await lay(false);
  const runId = "taken-up";
  let parts = 0;
  const make: typeof runPart = async (worker, job) => {
    world.now += 1000;
    parts++;
    await runPart(worker, job);
    if (parts === 4) throw new Suspension();
  };
  await expect(collectParted(world, {}, { runId, make })).rejects.toThrow(Suspension);
  const { durationsMs } = await collectParted(world, {}, { runId, make });
  expect(durationsMs.inventory).toBe(2000);
  for (const phase of ["mark", "sweep"] as const) expect(durationsMs[phase], phase).toBeGreaterThanOrEqual(1000);
  const told = Object.entries(durationsMs).filter(([name]) => name !== "total");
  expect(told.reduce((sum, [, ms]) => sum + ms, 0)).toBeLessThanOrEqual(durationsMs.total);
});

test("a look that finds no repository any more purges nothing", async () => {
  const { world } = await lay();
  let isGone = false;
  world.meanwhile = async () => {
    if (!isGone) await world.driver.delete(repo("").slice(0, -1));
    isGone = true;
  };
  const aside = async () => [...(await contentOf(world.driver)).keys()].filter((path) => /_gc\/.*\/blobs\//.test(path)).sort();
  const before = await aside();
  expect(before.length).toBeGreaterThan(0);
  await expect(collectParted(world, {})).rejects.toMatchObject({ code: "EMPTY_MARK" });
  expect(await aside()).toEqual(expect.arrayContaining(before));
});

test("what was put back is not counted as purged", async () => {
  const [single, parted] = [await lay(), await lay()];
  const manifest = digestOf(image("old 1", "shared"));
  for (const { world } of [single, parted]) world.meanwhile = () => world.put(currentLink("old", "again"), manifest);
  const counts = countsOf(await collectParted(parted.world, {}));
  expect(counts.returned.blobs).toBeGreaterThan(0);
  expect(counts).toEqual(countsOf(await collectSingle(single.world, {})));
});
