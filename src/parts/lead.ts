/** Who leads a run in parts: opens stages, has their parts made, closes them, and keeps the book. */

import { messageOf } from "../errors.js";
import { mapAll } from "../internal/mapAll.js";
import { ASIDE } from "../marks.js";
import type { AsideStore } from "../online/asideStore.js";
import { isReadable } from "../online/files.js";
import type { Phase } from "../options.js";
import type { LedgerEntries } from "../report.js";
import type { Run } from "../run.js";
import { type AsideResult, asideStore, doomedOf } from "./partRun.js";
import type { ClosedStage, PartStore } from "./partStore.js";
import type { InputOf, PartKind, ResultOf } from "./runPart.js";
import type { PartJob, RunPlan } from "./runPlan.js";
import { shardOf } from "./sortedRun.js";

/**
 * Has parts made, somewhere, by somebody; each job is one part. Resolves when all are made; what a queue says of that is not believed,
 * only the storage. Rejects with the error of one that can't be made.
 */
export type Execute = (jobs: readonly PartJob[], options: ExecuteOptions) => Promise<void>;

export interface ExecuteOptions {
  readonly signal: AbortSignal;
  /** What the stage counts as in progress and durations. */
  readonly phase: Phase;
  /** How many parts the stage has, those that are made already included. */
  readonly total: number;
}

/** Thrown by an {@link Execute} that lets go of the run meanwhile: whoever takes it up again tells it from the beginning. */
export class Suspension extends Error {
  override readonly name = "Suspension";
}

/** What each kind of stage counts as. */
const PHASES: Readonly<Record<PartKind, Phase>> = {
  survey: "mark",
  inventory: "inventory",
  mark: "mark",
  join: "mark",
  settle: "mark",
  plan: "mark",
  announce: "mark",
  sweep: "sweep",
  records: "sweep",
  aside: "sweep",
  asideLinks: "sweep",
  putBack: "look",
  putBackLinks: "look",
  unlink: "purge",
  purge: "purge",
};

/** What a part leaves: what its kind answers, and what it wrote into its book. */
interface Left<K extends PartKind> {
  readonly result: ResultOf<K>;
  readonly entries: LedgerEntries;
}

/** Of attempts at the same part the one that came farthest: each counts what those before it had done, too. */
function farthest(attempts: readonly LedgerEntries[]): LedgerEntries | undefined {
  const done = ({ deleted, quarantined, purged, returned, restored }: LedgerEntries) =>
    [deleted, quarantined, purged, returned, restored]
      .flatMap((counts) => Object.values(counts) as number[])
      .reduce((sum, n) => sum + n, 0);
  return attempts.toSorted((a, b) => done(b) - done(a))[0];
}

export class Lead {
  /** The stage whose parts are being made. */
  private current: string | undefined;
  /** The join that tells what this run moves aside, once it does. */
  moves: string | undefined;

  constructor(
    readonly run: Run,
    readonly store: PartStore,
    readonly plan: RunPlan,
    private readonly execute: Execute,
    /** Called before anything is done that nobody has done before: until then the run is only told again. */
    private readonly onNews: () => void,
  ) {}

  /**
   * Has all parts of a stage made, unless it is closed; and answers with what each left.
   *
   * @param assign - What each part has to do, where that is a list.
   * @throws PartDamagedError where a part is not what it must be.
   */
  async stage<K extends PartKind>(
    name: string,
    kind: K,
    parts: number,
    input: InputOf<K>,
    assign?: (part: number) => unknown,
  ): Promise<readonly ResultOf<K>[]> {
    const { outputs, ms } = (await this.store.closed(name)) ?? (await this.make(name, kind, parts, input, assign));
    this.run.ledger.addDuration(PHASES[kind], ms);
    const left = outputs.map(({ result }) => result as Left<K>);
    for (const { entries } of left) this.run.ledger.takeIn(entries);
    return left.map(({ result }) => result);
  }

  private async make(
    name: string,
    kind: PartKind,
    parts: number,
    input: unknown,
    assign: ((part: number) => unknown) | undefined,
  ): Promise<ClosedStage> {
    const { run, store } = this;
    this.goOn();
    await run.mayChange();
    this.current = name;
    run.log.debug(`stage ${name} has ${parts} parts`);
    if (assign !== undefined) {
      await mapAll(
        Array.from({ length: parts }, (_, part) => part),
        (part) => store.assign(name, part, assign(part)),
      );
    }
    const now = run.clock.now();
    const isNew = await store.open(name, { kind, parts, input, openedAt: now });
    const jobs = Array.from({ length: parts }, (_, part) => this.jobFor(name, part));
    const missing = isNew ? jobs : await this.missing(jobs);
    if (missing.length > 0) await this.execute(missing, { signal: run.signal, phase: PHASES[kind], total: parts });
    run.signal.throwIfAborted();
    // Whoever leads it by now may not be who opened it.
    const openedAt = isNew ? now : (await store.opening(name)).openedAt;
    const closed = await store.close(name, parts, Math.max(0, run.clock.now() - openedAt));
    this.current = undefined;
    run.progress({ phase: PHASES[kind], done: parts, total: parts }, true);
    return closed;
  }

  /** What follows has not been done before. */
  goOn(): void {
    this.onNews();
    this.run.signal.throwIfAborted();
  }

  /** A value that is made once, whoever leads the run. */
  once<T>(name: string, make: () => Promise<T>): Promise<T> {
    return this.store.documents.once(name, async () => {
      this.goOn();
      return make();
    });
  }

  private jobFor(stage: string, part: number): PartJob {
    const { runId, version } = this.plan;
    return { runId, version, plan: this.store.documents.plan, stage, part };
  }

  /** Those that nobody has made yet. */
  private async missing(jobs: readonly PartJob[]): Promise<PartJob[]> {
    const isDone = await mapAll(jobs, ({ stage, part }) => this.store.isDone(stage, part));
    return jobs.filter((_, i) => isDone[i] !== true);
  }

  /**
   * What is under way is to stop: whoever still makes a part of it sees that its time is over before his next batch. It may have been begun
   * by who led the run before; a listing may not show yet what was begun just now. What its parts have done by then is told.
   */
  async breakOff(): Promise<void> {
    const { run, store } = this;
    const open = new Set(await store.openStages());
    if (this.current !== undefined) open.add(this.current);
    for (const stage of open) await store.spoil(stage);
    try {
      for (const stage of open) {
        for (const attempts of await store.resultsSoFar(stage)) {
          const entries = farthest((attempts as Pick<Left<PartKind>, "entries">[]).map((left) => left.entries));
          if (entries !== undefined) run.ledger.takeIn(entries);
        }
      }
    } catch (error) {
      // It may be the damage that ends the run: what was taken goes back all the same.
      run.log.warn(`what the last parts of run ${run.ledger.runId} did can't be told: ${messageOf(error)}`, { error });
    }
  }

  /** Lists what lies aside, where anything can, under a name by which stages read it. */
  async listAside(name: string): Promise<string | undefined> {
    const { run, store } = this;
    const { online } = run.registry;
    if (online === undefined) return undefined;
    if (await store.isClosed(name)) return name;
    this.goOn();
    await this.writeAside(name);
    return name;
  }

  /** What a listing says, beside its copies. */
  async asideOf(name: string): Promise<AsideResult> {
    const [output] = await this.store.outputs(name);
    return output?.result as AsideResult;
  }

  /** What this run has moved, and a listing that lags does not show: looked for one by one, by reads, which see it. */
  async findMoved(aside: AsideStore): Promise<void> {
    const { run, store, moves } = this;
    if (moves === undefined) return;
    const { runId } = run.ledger;
    aside.runs.add(runId);
    for (let shard = 0; shard < this.plan.shards; shard++) {
      if (!(await store.wasBegun("aside.blobs", shard))) continue;
      for await (const batch of doomedOf(run, store, moves, shard)) {
        await mapAll(batch, async ({ digest, size }) => {
          const isListed = aside.copies.get(run.digests.find(digest))?.some((copy) => copy.runId === runId) === true;
          if (!isListed && (await isReadable(run.settlingDriver, aside.pathFor(runId, digest)))) aside.recallCopy(digest, runId, size || 0);
        });
      }
    }
  }

  private async writeAside(name: string): Promise<void> {
    const { run, store } = this;
    const { shards } = this.plan;
    const aside = asideStore(run);
    const attempt = store.attempt(name, 0);
    let unrecognized = 0;
    await aside.list({ ...run.look, onUnrecognized: () => unrecognized++ });
    await this.findMoved(aside);
    const writer = attempt.run("aside");
    for (const [number, copies] of aside.copies) {
      const digest = run.digests.digest(number);
      const shard = shardOf(digest, shards);
      writer.add(shard, { digest, flags: ASIDE, size: Number.NaN, time: Number.NaN });
      for (const { runId, size } of copies) await attempt.addToList(`copies-${shard}`, [digest, runId, size ?? null]);
      await writer.flushFull();
    }
    const result: AsideResult = {
      journals: [...aside.runs],
      notes: aside.notes.map((note) => ({ ...note, time: Number.isNaN(note.time) ? null : note.time })),
      busy: [...aside.busyRuns()],
      others: [...aside.partsOf],
      temporaries: aside.temporaries,
      emptied: aside.emptied,
      unrecognized,
    };
    await attempt.finish(result);
    await store.close(name, 1);
  }
}
