/**
 * The lock of a run: a file beside the registry's root. Everyone who changes something holds it, and shows by a heartbeat that he is
 * alive. Whoever sleeps past it (a laptop, a paused container) finds out before his next batch of changes, and stops.
 */

import { hostname } from "node:os";
import { pid } from "node:process";
// Node's own, whatever a test has put in their place.
import { clearInterval, setInterval } from "node:timers";
import type { Clock } from "../clock.js";
import type { StorageDriver } from "../driver.js";
import { codeOf, LockedError } from "../errors.js";
import { ownProperty } from "../internal/ownProperty.js";
import { readBounded } from "../internal/readBounded.js";
import { removeFile, timeOf, unlessAbsent, writeFile } from "./files.js";

const BEAT_MS = 30_000;
/** How often it is looked whether a heartbeat is due: one that failed is tried again before the lock is lost. */
const TICK_MS = 5_000;
const LOST_MS = 60_000;
/** Who has not kept it alive for so long does not hold it any more. */
export const STALE_MS = 5 * 60_000;
/** Longer than a write that has begun takes to be seen. */
const SETTLE_MS = 2_000;
const MAX_LOCK_BYTES = 4096;
/** How often a lock is written where it was found to be given back. */
const ATTEMPTS = 3;

export class RunLock {
  /** The last heartbeat that succeeded: before the read that it began with. */
  private beatAt: Moment;
  private lost: string | undefined;
  /** Why the last heartbeat failed, if it did. */
  private failure: { readonly cause: unknown } | undefined;
  private beating: Promise<void> | undefined;
  private isBusy = false;
  private isLetGo = false;
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly driver: StorageDriver,
    private readonly path: string,
    private readonly content: Uint8Array,
    private readonly clock: Clock,
  ) {
    this.beatAt = momentOf(clock);
    // A single call may take long; in a busy run the beat comes with the batches.
    this.timer = setInterval(() => this.touch(), TICK_MS).unref();
  }

  /** Shows that the run is alive, where that is due. Cheap otherwise: it is asked at every call to a driver, too. */
  touch(): void {
    if (this.isBusy || this.isLetGo || this.lost !== undefined || this.age() < BEAT_MS) return;
    void this.beat(this.driver).catch(() => undefined);
  }

  /**
   * Takes the lock.
   *
   * @param storageNow - The storage's time now: a lock is stale by the storage's own time of it.
   * @throws LockedError where someone alive holds it.
   */
  static async take(driver: StorageDriver, path: string, text: string, clock: Clock, storageNow: () => number): Promise<RunLock> {
    const content = Buffer.from(text);
    let begun: Moment;
    try {
      begun = await write(driver, path, content, clock, storageNow);
    } catch (error) {
      // What was written all the same would refuse every run for five minutes.
      await giveBack(driver, path, content).catch(() => undefined);
      throw error;
    }
    const lock = new RunLock(driver, path, content, clock);
    lock.beatAt = begun;
    return lock;
  }

  /** What the lock of a run holds. */
  static contentFor(runId: string, startedAt: number): string {
    return JSON.stringify({ runId, host: hostname(), pid, startedAt: new Date(startedAt).toISOString() });
  }

  /**
   * Holds a lock together with others: whoever makes a part of the run keeps it alive.
   *
   * @throws LockedError where the lock is not this run's.
   */
  static async share(driver: StorageDriver, path: string, content: string, clock: Clock): Promise<RunLock> {
    const lock = new RunLock(driver, path, Buffer.from(content), clock);
    try {
      await lock.beat(driver);
      await lock.check();
      return lock;
    } catch (error) {
      await lock.letGo();
      throw error;
    }
  }

  /** Whether a run holds the lock, whoever of it took it. */
  static async isHeldBy(driver: StorageDriver, path: string, content: string): Promise<boolean> {
    return (await contentOf(driver, path))?.equals(Buffer.from(content)) === true;
  }

  /** Keeps the lock alive no longer, and leaves it where it is. Resolves when a heartbeat that is under way has come to its end. */
  async letGo(): Promise<void> {
    this.isLetGo = true;
    clearInterval(this.timer);
    await this.beating?.catch(() => undefined);
  }

  /**
   * To be asked before every batch of changes. `driver`: by which the lock is read, one that an abort stops or not.
   *
   * @throws LockedError where the lock is no longer ours, or was not shown to be for too long.
   */
  async check(driver: StorageDriver = this.driver): Promise<void> {
    if (this.lost === undefined) await this.look(driver);
    if (this.lost === undefined && this.age() > LOST_MS) this.lost = "it was not shown to be alive for a minute";
    if (this.lost !== undefined)
      throw new LockedError(
        `this run lost its lock at ${this.path}: ${this.lost}; it stopped. The next run goes on from its journal`,
        this.failure,
      );
  }

  /** One read before a batch, and the heartbeat where it is due. One that fails tells nothing: then the last one that succeeded counts. */
  private async look(driver: StorageDriver): Promise<void> {
    try {
      if (this.age() >= BEAT_MS) await this.beat(driver);
      else await this.askHolder(driver);
    } catch {
      // A store that is out of reach for a moment: for a minute the lock is ours.
    }
  }

  /** The same for whoever is about to wait for somebody else: a heartbeat that is due comes first. One that fails is tried again. */
  async keepAlive(): Promise<void> {
    this.touch();
    await this.beating?.catch(() => undefined);
  }

  /** Whether the lock is ours still; where it is not, it is lost. */
  private async askHolder(driver: StorageDriver): Promise<boolean> {
    const present = await contentOf(driver, this.path);
    if (present?.equals(this.content) === true) return true;
    this.lost = present === undefined ? "it is gone" : `it is now held by ${describe(present)}`;
    return false;
  }

  /** Reads the lock, and writes it anew where it is ours and still young. */
  private beat(driver: StorageDriver): Promise<void> {
    this.beating ??= this.tryBeat(driver).finally(() => {
      this.beating = undefined;
    });
    return this.beating;
  }

  private async tryBeat(driver: StorageDriver): Promise<void> {
    try {
      await this.beatOnce(driver);
    } catch (cause) {
      this.failure = { cause };
      throw cause;
    }
  }

  private async beatOnce(driver: StorageDriver): Promise<void> {
    // Its own calls ask for none.
    this.isBusy = true;
    try {
      const begun = momentOf(this.clock);
      if (!(await this.askHolder(driver)) || this.age() > LOST_MS) return;
      await writeFile(driver, this.path, this.content);
      this.beatAt = begun;
      this.failure = undefined;
    } finally {
      this.isBusy = false;
    }
  }

  /** Milliseconds since the last heartbeat that succeeded, by the clock that says more. */
  private age(): number {
    const now = momentOf(this.clock);
    return Math.max(now.wall - this.beatAt.wall, now.monotonic - this.beatAt.monotonic);
  }

  /** Gives the lock back; who has lost it leaves it to its holder. */
  async release(): Promise<void> {
    await this.letGo();
    if (this.lost !== undefined || this.age() > LOST_MS) return;
    for (let attempt = 1; ; attempt++) {
      const begun = performance.now();
      try {
        await giveBack(this.driver, this.path, this.content);
        return;
      } catch (error) {
        // A store that doesn't answer must not hold up an aborted run for more than a minute.
        if (attempt === ATTEMPTS || performance.now() - begun > TICK_MS) throw error;
      }
    }
  }
}

/** Removes the lock where it is ours. */
async function giveBack(driver: StorageDriver, path: string, content: Uint8Array): Promise<void> {
  const present = await contentOf(driver, path);
  if (present?.equals(content) === true) await removeFile(driver, path);
}

/** By both clocks, in milliseconds: one counts a sleep of the machine, the other a change of its time. */
interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

function momentOf(clock: Clock): Moment {
  return { wall: clock.now(), monotonic: performance.now() };
}

/** Writes the lock where there is none, or none that is kept alive; when that was begun. */
async function write(driver: StorageDriver, path: string, content: Buffer, clock: Clock, storageNow: () => number): Promise<Moment> {
  for (let attempt = 1; ; attempt++) {
    const begun = momentOf(clock);
    const isWritten = await writeWhereAbsent(driver, path, content);
    if (isWritten === true) return begun;
    const isStale = await refuseLiving(driver, path, clock, storageNow);
    // Given back at this moment: somebody else may be taking it, too.
    if (!isStale && isWritten === false && attempt < ATTEMPTS) continue;
    const taken = momentOf(clock);
    await writeFile(driver, path, content);
    await confirm(driver, path, content, clock);
    return taken;
  }
}

/** Whether it is ours now; `undefined` on a store that can't write where nothing is: there the last writer wins. */
async function writeWhereAbsent(driver: StorageDriver, path: string, content: Buffer): Promise<boolean | undefined> {
  // By a call whose answer was lost it is ours, and would refuse us.
  const isOurs = async () => (await contentOf(driver, path))?.equals(content) === true;
  try {
    return (await writeFile(driver, path, content, { ifAbsent: true })) || (await isOurs());
  } catch (error) {
    if (codeOf(error) === "UNSUPPORTED") return undefined;
    if (await isOurs().catch(() => false)) return true;
    throw error;
  }
}

/** Whether a lock is there that nobody keeps alive; false where there is none any more. */
async function refuseLiving(driver: StorageDriver, path: string, clock: Clock, storageNow: () => number): Promise<boolean> {
  const content = await contentOf(driver, path);
  if (content === undefined) return false;
  const time = await timeOf(driver, path);
  if (time === undefined) return false;
  const age = storageNow() - time;
  if (age > STALE_MS) return true;
  if (age < -STALE_MS && (await isLeftAlone(driver, path, clock, time))) return true;
  throw new LockedError(`another run holds the lock at ${path}: ${describe(content)}, ${adviceFor(age, path)}`);
}

/** What is known of a lock's holder, and what to do; `age` (milliseconds): of its last sign of life, NaN where the store tells no times. */
function adviceFor(age: number, path: string): string {
  if (Number.isNaN(age))
    return `and this storage tells no times: whether it is alive can't be seen. Wait for it; where no run is under way any more, remove ${path}`;
  const seen = age < -STALE_MS ? "and kept alive by it" : `last seen alive ${Math.max(0, Math.round(age / 1000))} seconds ago`;
  return `${seen}. Wait for it; a lock that nobody keeps alive is taken over after five minutes`;
}

/** Of a time yet to come: the storage's clock was set back, so that only waiting tells whether anybody keeps the lock alive. */
async function isLeftAlone(driver: StorageDriver, path: string, clock: Clock, time: number): Promise<boolean> {
  await waitOn(clock, LOST_MS + BEAT_MS);
  return (await timeOf(driver, path)) === time;
}

/** Waits until whoever wrote at the same moment is seen, then looks who won. */
async function confirm(driver: StorageDriver, path: string, content: Buffer, clock: Clock): Promise<void> {
  await waitOn(clock, SETTLE_MS);
  const present = await contentOf(driver, path);
  if (present?.equals(content) === true) return;
  throw new LockedError(
    `another run took the lock at ${path} at the same moment: ${present === undefined ? "it is gone again" : describe(present)}`,
  );
}

/** So short a wait is not worth an abort. A clock must be given a signal, and one that many share gathers listeners. */
function waitOn(clock: Clock, ms: number): Promise<void> {
  return clock.sleep(ms, new AbortController().signal);
}

async function contentOf(driver: StorageDriver, path: string): Promise<Buffer | undefined> {
  const bytes = await unlessAbsent(() => readBounded(driver, path, { maxBytes: MAX_LOCK_BYTES }));
  return bytes && Buffer.from(bytes);
}

function describe(content: Buffer): string {
  try {
    const value: unknown = JSON.parse(content.toString("utf8"));
    const part = (name: string) => JSON.stringify(ownProperty(value, name));
    return `run ${part("runId")} on ${part("host")} (process ${part("pid")}), since ${part("startedAt")}`;
  } catch {
    return "a holder that says nothing readable of itself";
  }
}
