/**
 * Runs by four worker processes, to which everything happens at once: a worker is killed, frozen past its lock, Redis is restarted, with
 * its data or without. CHAOS_RUNS says how many runs, CHAOS_SEED the first one's seed. What happens in a run, its seed tells.
 */

import { afterAll, beforeAll, expect, test } from "vitest";
import { Crew } from "./chaos/crew.js";
import { prove } from "./chaos/prove.js";
import { scenarioOf } from "./chaos/scenario.js";
import { describeRedis } from "./redis.js";

const { CHAOS_RUNS, CHAOS_SEED = "1" } = process.env;
/** Without a wish: on both kinds of store, with a Redis that keeps its data and with one that loses it. */
const SEEDS =
  CHAOS_RUNS === undefined ? [137, 140, 143, 149] : Array.from({ length: Number(CHAOS_RUNS) }, (_, i) => Number(CHAOS_SEED) + i);

describeRedis("whatever happens to those who make it, a run ends as a single run does, or deletes nothing", () => {
  let crew: Crew;
  const sums = { happened: 0, begunAgain: 0 };
  beforeAll(() => {
    crew = new Crew(4);
  });
  afterAll(() => crew.disband());

  test.each(SEEDS)("seed %i", { timeout: 300_000 }, async (seed) => {
    const scenario = scenarioOf(seed);
    const { state, expected, start, ending, expectedEnding, starts, happened, begunAgain, followUp } = await prove(scenario, crew);
    const { storage, isDurable, mishaps } = scenario;
    const plan = mishaps.map(({ kind, afterStages }) => `${kind} after stage ${afterStages}`).join(", ");
    console.log(
      `seed ${seed}: ${storage}, Redis ${isDurable ? "keeps" : "loses"} its data; ${plan}; ${happened} of ${mishaps.length} happened; ${begunAgain} parts begun again; started ${starts} times, ended ${ending.code ?? ending.report?.status}; ${start.files.size} files before, ${state.files.size} after`,
    );
    sums.happened += happened;
    sums.begunAgain += begunAgain;
    // Nothing that a single run leaves is missing, whatever happened.
    for (const [path, content] of expected.files) expect(state.files.get(path), path).toBe(content);
    if (!mishaps.some(({ kind }) => kind === "kill")) expect(state.unnamed).toEqual([]);
    if (followUp === undefined) {
      expect(state.files).toEqual(expected.files);
      expect(state.aside).toEqual(expected.aside);
      expect(ending.code).toBe(expectedEnding.code);
      expect(ending.report?.eligible).toEqual(expectedEnding.report?.eligible);
      return;
    }
    expect(state.files).toEqual(start.files);
    expect(followUp.ending.code).toBe(expectedEnding.code);
    expect(followUp.state.files).toEqual(expected.files);
    expect(followUp.state.aside).toEqual(expected.aside);
  });

  test("something happened to them", () => {
    expect(sums.happened).toBeGreaterThanOrEqual(SEEDS.length);
    if (SEEDS.length >= 10) expect(sums.begunAgain).toBeGreaterThan(0);
  });
});
