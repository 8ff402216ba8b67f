/**
 * Thousands of schedules of clients and collectors, each checked: SEED says where they begin, SHRINK that a broken one is to be made
 * small.
 */

import fc from "fast-check";
import { type GcOptions, heal, markAndSweep, purge } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY } from "../../support/stores.js";
import { cutAt, seeded } from "./scheduler.js";
import { type Action, type Command, IMAGES, type Old, REPOSITORIES, Simulation, TAGS } from "./simulation.js";

const QUARANTINE_TESTS = 10;
const SEED = Number(process.env["SEED"] ?? 1);

export interface Schedules {
  /** Who collects. */
  readonly collect: Command;
  /** Schedules for each degree of safety; those of the quarantine are shared by its tests. */
  readonly schedules: number;
  /** About how many calls a collection makes: faults come at any of them. */
  readonly calls: number;
  /** Of all places where a schedule is cut, every how many is tried; default 1. */
  readonly stride?: number;
}

const repository = fc.constantFrom(...REPOSITORIES);
const image = fc.nat(IMAGES.length - 1);
const tag = fc.constantFrom(...TAGS);
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("push" as const),
      repository,
      image,
      tag: fc.option(tag, { nil: undefined }),
      mounts: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteManifest" as const), repository, image }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteTag" as const), repository, tag }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("upload" as const), repository, layer: fc.constantFrom("config", "x", "y", "z") }),
  },
);
const old: fc.Arbitrary<Old[]> = fc.array(fc.record({ repository, image, tag: fc.option(tag, { nil: undefined }) }), { maxLength: 4 });
const clients = fc.array(fc.array(action, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 });
const schedule = fc.record({ old, clients, seed: fc.integer({ min: 1 }) });

interface Schedule {
  readonly old: Old[];
  readonly clients: Action[][];
  readonly seed: number;
}

export function describeSchedules({ collect, schedules, calls, stride = 1 }: Schedules): void {
  const begin = async ({ old: before, seed }: Schedule, options: GcOptions, settings: { cached?: boolean } = {}) => {
    const simulation = new Simulation(seeded(seed), options, { ...settings, collect });
    await simulation.lay(before);
    return simulation;
  };

  const all = { numRuns: schedules, seed: SEED, endOnFailure: process.env["SHRINK"] === undefined };
  const share = { ...all, numRuns: Math.ceil(schedules / QUARANTINE_TESTS) };

  const together = async (simulation: Simulation, scripts: readonly Action[][], collectors: readonly (() => Promise<unknown>)[]) => {
    await simulation.scheduler.run([
      ...scripts.map((script, i) => simulation.client(`client ${i}`, script)),
      ...collectors.map((collect) => async () => {
        await collect();
      }),
    ]);
  };

  const isCompleted = (result: unknown) => typeof result === "object" && result !== null && "status" in result;

  const expectKept = async (simulation: Simulation) => expect(await simulation.broken()).toEqual([]);

  /** Later runs, when nobody writes any more: what was promised still holds, and they converge. */
  const expectConverges = async (simulation: Simulation, options: GcOptions = {}) => {
    for (let run = 0; run < 3; run++) {
      simulation.promises.forgetUntagged();
      simulation.pass(8 * DAY);
      await together(simulation, [], [() => simulation.collect(`later ${run}`, options, undefined, markAndSweep)]);
      await expectKept(simulation);
    }
    const before = await contentOf(simulation.store);
    let last: unknown;
    await together(simulation, [], [async () => (last = await simulation.collect("last", options, undefined, markAndSweep))]);
    expect(last).toMatchObject({ status: "completed", eligible: { blobs: 0, manifests: 0 }, purged: { blobs: 0 } });
    const journals = (files: Map<string, string>) => [...files].filter(([path]) => !path.includes("/_gc/"));
    expect(journals(await contentOf(simulation.store))).toEqual(journals(before));
  };

  describe("quarantine", () => {
    const OPTIONS: GcOptions = { removeUntagged: true };

    test("what clients were told holds at the end of a run, and ever after", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await begin(each, OPTIONS);
          await together(simulation, each.clients, [() => simulation.collect("collector")]);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test("while an earlier quarantine is purged", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await begin(each, OPTIONS);
          await together(simulation, [], [() => simulation.collect("first")]);
          simulation.pass(8 * DAY);
          await together(simulation, each.clients, [() => simulation.collect("purger")]);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test("purging in the same run", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await begin(each, { ...OPTIONS, quarantineMs: 0 });
          await together(simulation, each.clients, [() => simulation.collect("collector")]);
          await expectKept(simulation);
          await expectConverges(simulation, { quarantineMs: 0 });
        }),
        share,
      );
    });

    test.each([
      ["what is going aside", false],
      ["what is being purged", true],
    ])("a push of %s, cut at every call of the collector", async (_, purges) => {
      for (const others of [Number.POSITIVE_INFINITY, 3, 5, 7, 8]) {
        for (let turns = 0; ; turns += stride) {
          const simulation = new Simulation(cutAt("collector", turns, others), OPTIONS, { collect });
          await simulation.lay([{ repository: "a", image: 0 }]);
          if (purges) {
            await together(simulation, [], [() => simulation.collect("first")]);
            simulation.pass(8 * DAY);
          }
          const push: Action = { kind: "push", repository: "a", image: 0, mounts: false };
          await together(simulation, [[push]], [() => simulation.collect("collector")]);
          await expectKept(simulation);
          if (simulation.callsOf("collector") < turns) break;
        }
      }
    });

    test("a push that is held up at any call, over a crash and the next run", async () => {
      const push: Action = { kind: "push", repository: "a", image: 0, mounts: false };
      for (let after = Math.round((calls * 2) / 25); after < (calls * 6) / 25; after += Math.round((stride * calls) / 250)) {
        for (let turns = 0; turns < 20; turns += stride) {
          const simulation = new Simulation(cutAt("client 0", turns, Number.POSITIVE_INFINITY), OPTIONS, { collect });
          await simulation.lay([{ repository: "a", image: 0 }]);
          const crashAndGoOn = async () => {
            await simulation.collect("collector", {}, { after, kind: "crash" });
            await simulation.store.delete("/docker/registry/lockfiles").catch(() => undefined);
            await simulation.collect("next");
          };
          await together(simulation, [[push]], [crashAndGoOn]);
          await expectKept(simulation);
        }
      }
    });

    test("with a crash at any call", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, fc.integer({ min: 1, max: calls }), fc.boolean(), async (each, after, purges) => {
          const simulation = await begin(each, OPTIONS);
          if (purges) {
            await together(simulation, [], [() => simulation.collect("first")]);
            simulation.pass(8 * DAY);
          }
          await together(simulation, each.clients, [() => simulation.collect("collector", {}, { after, kind: "crash" })]);
          simulation.pass(600_000);
          await together(simulation, [], [() => simulation.collect("next")]);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test("with a crash, and a next run at once, since someone took the lock away", async () => {
      await fc.assert(
        fc.asyncProperty(
          schedule,
          fc.integer({ min: Math.round(calls / 12), max: Math.round(calls / 2) }),
          fc.boolean(),
          async (each, after, purges) => {
            const simulation = await begin(each, purges ? { ...OPTIONS, quarantineMs: 0 } : OPTIONS);
            const crashAndGoOn = async () => {
              await simulation.collect("collector", {}, { after, kind: "crash" });
              await simulation.store.delete("/docker/registry/lockfiles").catch(() => undefined);
              await simulation.collect("next");
            };
            await together(simulation, each.clients, [crashAndGoOn]);
            await expectKept(simulation);
            await expectConverges(simulation);
          },
        ),
        share,
      );
    });

    test("with an abort at any call: everything goes back", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, fc.integer({ min: 1, max: calls }), async (each, after) => {
          const simulation = await begin(each, OPTIONS);
          await together(simulation, each.clients, [() => simulation.collect("collector", {}, { after, kind: "abort" })]);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test("with two collectors started at once: one of them is refused, or both are one after the other", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, fc.boolean(), async (each, purges) => {
          const simulation = await begin(each, OPTIONS);
          if (purges) {
            await together(simulation, [], [() => simulation.collect("first")]);
            simulation.pass(8 * DAY);
          }
          const results: unknown[] = [];
          const collector = (name: string) => async () => results.push(await simulation.collect(name));
          await together(simulation, each.clients, [collector("one"), collector("two")]);
          for (const result of results) if (!isCompleted(result)) expect(result).toMatchObject({ code: "LOCKED" });
          expect(results.some(isCompleted)).toBe(true);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test("with a collector that sleeps for ten minutes before any call, while another takes over", async () => {
      await fc.assert(
        fc.asyncProperty(
          schedule,
          fc.integer({ min: 1, max: calls }),
          fc.constantFrom("no", "later", "at once"),
          fc.constantFrom([collect, collect, collect], [heal, purge, collect], [purge, heal, purge], [heal, collect, purge]),
          async (each, after, purges, others) => {
            const options = purges === "at once" ? { ...OPTIONS, quarantineMs: 0 } : OPTIONS;
            const simulation = await begin(each, options);
            if (purges === "later") {
              await together(simulation, [], [() => simulation.collect("first")]);
              simulation.pass(8 * DAY);
            }
            const again = async () => {
              for (const [attempt, command] of others.entries()) await simulation.collect(`other ${attempt}`, {}, undefined, command);
            };
            await together(simulation, each.clients, [() => simulation.collect("sleeper", {}, { after, kind: "pause" }), again]);
            simulation.pass(600_000);
            await together(simulation, [], [() => simulation.collect("next")]);
            await expectKept(simulation);
            await expectConverges(simulation);
          },
        ),
        share,
      );
    });
  });

  /** A registry with a descriptor cache goes on to answer from memory what it once saw: docs/online.md says what comes of it. */
  describe("quarantine, with a descriptor cache", () => {
    const OPTIONS: GcOptions = { removeUntagged: true };

    /** A world in which the cache knows what clients pushed a month ago, and what nobody tagged is garbage. */
    const warm = async (each: Schedule) => {
      const simulation = await begin(each, OPTIONS, { cached: true });
      await together(simulation, each.clients, []);
      simulation.pass(30 * DAY);
      simulation.promises.forgetUntagged();
      return simulation;
    };
    const healed = (simulation: Simulation) => together(simulation, [], [() => simulation.collect("healer", {}, undefined, heal)]);

    test("while the data lies aside, a look brings back what the registry promised from memory", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await warm(each);
          await together(simulation, each.clients, [() => simulation.collect("collector")]);
          await healed(simulation);
          await expectKept(simulation);
          await together(simulation, each.clients, [() => simulation.collect("second")]);
          await healed(simulation);
          await expectKept(simulation);
        }),
        share,
      );
    });

    test("emptied between a run and its purge, nothing is lost, and later runs converge", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await warm(each);
          await together(simulation, each.clients, [() => simulation.collect("collector")]);
          // The registry is restarted.
          simulation.cache?.clear();
          await together(simulation, each.clients, [() => simulation.collect("second")]);
          await healed(simulation);
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        share,
      );
    });

    test.each([
      ["never emptied, it goes on to promise what was purged", false],
      ["emptied, it is told the truth", true],
    ])("%s", async (_, empties) => {
      const push: Action = { kind: "push", repository: "a", image: 0, mounts: false };
      const simulation = await warm({ old: [], clients: [[push]], seed: 1 });
      await together(simulation, [], [() => simulation.collect("collector")]);
      if (empties) simulation.cache?.clear();
      simulation.pass(8 * DAY);
      await together(simulation, [], [() => simulation.collect("purger")]);
      await together(simulation, [[push]], []);
      await healed(simulation);
      expect(await simulation.broken()).toEqual(empties ? [] : ["one in a: no manifest one"]);
    });
  });

  describe("grace", () => {
    const OPTIONS: GcOptions = { removeUntagged: true, quarantine: false };

    test("loses only what the second look could not see", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await begin(each, OPTIONS);
          await together(simulation, each.clients, [() => simulation.collect("collector")]);
          for (const broken of await simulation.broken()) {
            expectOpenRace(simulation, broken);
          }
        }),
        all,
      );
    });

    test("loses a push that re-uses garbage between the second look and the delete: the race that is left open", async () => {
      let lost = 0;
      for (let turns = 0; ; turns += stride) {
        const simulation = new Simulation(cutAt("collector", turns, Number.POSITIVE_INFINITY), OPTIONS, { collect });
        await simulation.lay([{ repository: "a", image: 0 }]);
        const push: Action = { kind: "push", repository: "a", image: 0, mounts: false };
        await together(simulation, [[push]], [() => simulation.collect("collector")]);
        for (const broken of await simulation.broken()) {
          lost++;
          expectOpenRace(simulation, broken);
        }
        if (simulation.callsOf("collector") < turns) break;
      }
      expect(lost).toBeGreaterThan(0);
    });
  });

  describe("quiesced", () => {
    const OPTIONS: GcOptions = { removeUntagged: true, readOnly: true };

    test("what clients were told before it holds after it", async () => {
      await fc.assert(
        fc.asyncProperty(schedule, async (each) => {
          const simulation = await begin(each, OPTIONS);
          await together(simulation, each.clients, []);
          simulation.promises.forgetUntagged();
          let report: unknown;
          await together(simulation, [], [async () => (report = await simulation.collect("collector"))]);
          expect(report).toMatchObject({ status: "completed" });
          await expectKept(simulation);
          await expectConverges(simulation);
        }),
        all,
      );
    }, 180_000);
  });
}

/** The race that is left open: the push completed after the second look had listed its repository. */
function expectOpenRace(simulation: Simulation, broken: string): void {
  const [, name = "", where = ""] = /^(\w+) (?:in|as) (\w+)/.exec(broken) ?? [];
  const number = IMAGES.findIndex((each) => each.name === name);
  const acknowledged = simulation.acknowledged.get(`${where} ${number}`) ?? -1;
  const lastListing = (path: string) =>
    simulation.calls.filter((call) => call.method === "list" && call.path.endsWith(path)).at(-1)?.step ?? -1;
  // A repository that came after the second look had listed the names was not looked at at all.
  const second = Math.max(lastListing("/v2/repositories"), lastListing(`/repositories/${where}/_manifests/revisions`));
  expect({ broken, acknowledged, second, isOpen: acknowledged > second }).toMatchObject({ isOpen: true });
}
