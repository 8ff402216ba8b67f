/** One run that mishaps happen to, held against a single run on the same registry. */

import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { startCollection } from "oci-registry-gc/bullmq";
import type { PartedOptions } from "oci-registry-gc/parts";
import { S3StandIn } from "../../s3/standIn.js";
import { contentOf, DAY, filesystemStore, MONTH_AGO, type Store } from "../../support/stores.js";
import { RedisServer } from "../redis.js";
import type { Crew } from "./crew.js";
import { filesOf, isYoung, type Mishap, type Scenario } from "./scenario.js";
import { openStorage, type Storage } from "./storage.js";

const LOCK_MS = 3000;
/** Until another has surely been given the job. */
const FREEZE_MS = 2.5 * LOCK_MS;
const STARTS = 8;

interface State {
  /** What the registry holds, `_gc` aside. */
  readonly files: ReadonlyMap<string, string>;
  /** What a process that was killed in the middle of a write had not yet given its name: no registry reads it. */
  readonly unnamed: readonly string[];
  /** Digests of which a copy lies aside. */
  readonly aside: readonly string[];
}

interface Ending {
  readonly code: string | undefined;
  readonly report: GcReport | undefined;
}

export interface Verdict {
  readonly state: State;
  readonly expected: State;
  readonly start: State;
  readonly ending: Ending;
  readonly expectedEnding: Ending;
  /** How often it had to be started. */
  readonly starts: number;
  /** How many of the mishaps came before its end. */
  readonly happened: number;
  /** How many parts were begun more than once, as far as Redis still knows. */
  readonly begunAgain: number;
  readonly followUp: { readonly state: State; readonly ending: Ending } | undefined;
}

export async function prove(scenario: Scenario, crew: Crew): Promise<Verdict> {
  const files = filesOf(scenario);
  // On a store of the same kind: listings of S3 tell more than others, so that more damage is seen.
  const single = await openWorld(scenario);
  const redis = await RedisServer.start({ isDurable: scenario.isDurable });
  const world = await openWorld(scenario);
  try {
    await fill(single.store, files, scenario);
    await fill(world.store, files, scenario);
    const start = await stateOf(world.store.driver);
    const expectedEnding = await endingOf(markAndSweep({}, single.store.driver, openRegistry(single.store.driver), scenario.options));
    const expected = await stateOf(single.store.driver);

    const queue = `chaos-${scenario.seed}`;
    await crew.serve({ redis: redis.port, queue, storage: world.storage, delayMs: 2, lockMs: LOCK_MS });
    const collect = collector(redis, queue, scenario);
    const runId = randomUUID();
    const run = { isOver: false, happened: 0, stages: () => world.stagesOf(runId) };
    const mishaps = Promise.all(scenario.mishaps.map((mishap) => befall(mishap, run, crew, redis)));
    let ending = await collect(runId, scenario.options);
    let starts = 1;
    for (; ending.code === "QUEUE_FAILED" && starts < STARTS; starts++) ending = await collect(runId, scenario.options);
    run.isOver = true;
    await mishaps;
    // Whoever slept wakes, and finds that he is late.
    crew.thaw();
    await sleep(1000);
    const state = await stateOf(world.store.driver);

    const begunAgain = await countBegunAgain(redis, queue);
    const isAsExpected = ending.code === expectedEnding.code;
    const again = isAsExpected ? undefined : await collect(randomUUID(), scenario.options);
    const followUp = again && { state: await stateOf(world.store.driver), ending: again };
    return { state, expected, start, ending, expectedEnding, starts, happened: run.happened, begunAgain, followUp };
  } finally {
    await crew.rest();
    await redis.stop();
    await world.close();
    await single.close();
  }
}

function collector(redis: RedisServer, queue: string, { shards }: Scenario) {
  const settings = {
    connection: { ...redis.connection, retryStrategy: () => 100 },
    queue,
    shards,
    patienceMs: 15_000,
    attempts: 20,
    backoffMs: 100,
  };
  return (runId: string, options: PartedOptions) => endingOf(startCollection({ ...settings, runId }, options));
}

async function countBegunAgain(redis: RedisServer, queue: string): Promise<number> {
  const parts = new Queue(`${queue}-parts`, { connection: redis.connection });
  const jobs = await parts.getJobs(["completed", "failed"]);
  await parts.close();
  return jobs.filter(({ attemptsStarted }) => attemptsStarted > 1).length;
}

async function endingOf(work: Promise<GcReport>): Promise<Ending> {
  try {
    return { code: undefined, report: await work };
  } catch (error) {
    const { code, report } = error as { code?: string; report?: GcReport };
    if (code === undefined) throw error;
    return { code, report };
  }
}

interface Going {
  isOver: boolean;
  happened: number;
  readonly stages: () => Promise<number>;
}

async function befall(mishap: Mishap, run: Going, crew: Crew, redis: RedisServer): Promise<void> {
  while (!run.isOver && (await run.stages()) < mishap.afterStages) await sleep(50);
  await sleep(mishap.afterMs);
  if (run.isOver) return;
  run.happened++;
  switch (mishap.kind) {
    case "kill":
      crew.kill(mishap.which);
      break;
    case "freeze": {
      const thaw = crew.freeze(mishap.which);
      await sleep(FREEZE_MS);
      thaw();
      break;
    }
    case "redis":
      await redis.restart(mishap.downMs);
      break;
  }
}

interface ChaosWorld {
  readonly store: Pick<Store, "driver" | "put">;
  readonly storage: Storage;
  /** How many stages of a run are closed. */
  stagesOf(runId: string): Promise<number>;
  close(): Promise<void>;
}

async function openWorld({ storage }: Scenario): Promise<ChaosWorld> {
  if (storage === "filesystem") {
    const store = filesystemStore();
    const stagesOf = async (runId: string) => closedAmong(await readdir(join(store.folder, partsOf(runId))).catch(() => []));
    return { store, storage: { kind: "filesystem", root: store.folder }, stagesOf, close: () => Promise.resolve() };
  }
  const standIn = await S3StandIn.start();
  const at: Storage = { kind: "s3", endpoint: standIn.endpoint, bucket: standIn.bucket };
  const put: Store["put"] = async (path, content, time = MONTH_AGO) => standIn.put(path.slice(1), Buffer.from(content), { time });
  const stagesOf = async (runId: string) => closedAmong([...standIn.objects.keys()].filter((key) => key.startsWith(partsOf(runId))));
  return { store: { driver: openStorage(at), put }, storage: at, stagesOf, close: () => standIn.stop() };
}

const partsOf = (runId: string) => `docker/registry/v2/_gc/${runId}/parts`;
const closedAmong = (names: readonly string[]) => names.filter((name) => name.endsWith(".closed")).length;

/** Fills a store; where the scenario has a past, a run before put garbage of that time aside. */
async function fill({ driver, put }: Pick<Store, "driver" | "put">, files: ReadonlyMap<string, string>, scenario: Scenario): Promise<void> {
  for (const [path, content] of files) await put(path, content, isYoung(scenario, path) ? Date.now() : MONTH_AGO);
  if (!scenario.hasPast) return;
  const past: PartedOptions = {
    removeUntagged: true,
    drainMs: 0,
    quarantineMs: 7 * DAY,
    gracePeriodMs: DAY,
    maxDeleteRatio: 1,
    referrers: "ignore",
  };
  await markAndSweep({}, driver, openRegistry(driver), past);
}

async function stateOf(driver: StorageDriver): Promise<State> {
  const files = new Map<string, string>();
  const aside = new Set<string>();
  const unnamed: string[] = [];
  for (const [path, content] of await contentOf(driver)) {
    const [, digest] = /\/_gc\/[^/]+\/blobs\/(.+)\/data$/.exec(path) ?? [];
    if (digest !== undefined) aside.add(digest);
    if (/\/\.[0-9a-f-]{36}\.tmp$/.test(path)) unnamed.push(path);
    else if (!path.includes("/_gc/") && !path.includes("/lockfiles/")) files.set(path, content);
  }
  return { files, unnamed, aside: [...aside].sort() };
}
