/** What all chapters of one run share. Nothing here outlives the run, and two runs share nothing. */

import { setMaxListeners } from "node:events";
import { listedSizes } from "./blobFacts.js";
import { type Clock, systemClock } from "./clock.js";
import { checkAccelerators, checkParts, type GcContext } from "./context.js";
import { DigestIndex } from "./digestIndex.js";
import type { StorageDriver } from "./driver.js";
import type { DamagedRegistryError } from "./errors.js";
import { Column } from "./internal/column.js";
import { mayVisit } from "./internal/manyAtOnce.js";
import { TaskQueue } from "./internal/taskQueue.js";
import { Turns } from "./internal/turn.js";
import { withPatience } from "./internal/untilAborted.js";
import { type Logger, onRejection, safeLogger } from "./logger.js";
import { ManifestCatalog } from "./manifestCatalog.js";
import { ManifestReader } from "./manifestReader.js";
import { ASIDE, Marks } from "./marks.js";
import type { LookOptions, Namespace } from "./namespace.js";
import { Notices } from "./notices.js";
import type { AsideStore } from "./online/asideStore.js";
import type { RunLock } from "./online/runLock.js";
import type { GcOptions, Phase, Progress } from "./options.js";
import { type CompleteNamespace, completeRegistry } from "./registry/completeRegistry.js";
import { Ledger } from "./report.js";
import { RunCalls } from "./runCalls.js";
import { checkOptions, type Settings } from "./settings.js";
import { Telemetry } from "./telemetry.js";
import type { Watch } from "./watch.js";
import { removingAll } from "./writeBarrier.js";

const PROGRESS_EVERY_MS = 100;
/** Looks whose driver heeds an abort end at once. */
const LOOKS_PATIENCE_MS = 1000;

/** Waits for listings: each twice as long as the one before, and none so long that the lock would be lost. */
function napMs(attempt: number): number {
  return Math.min(1000 * 2 ** attempt, 30_000);
}

/** Who a run is, of which this process makes a part. */
export interface RunIdentity {
  readonly runId: string;
  /** Milliseconds since 1970, by our clock. */
  readonly startedAt: number;
  readonly storageOffset: number;
}

export class Run {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly ledger: Ledger;
  readonly telemetry: Telemetry;
  readonly digests = new DigestIndex();
  /** How long all that the run does side by side has held the event loop. */
  readonly turns = new Turns();
  /** Why what is kept is kept. A look of its own begins with new ones. */
  marks = new Marks(this.turns);
  readonly catalog = new ManifestCatalog();
  /** Reads manifests into the catalog. */
  readonly manifests: ManifestReader;
  /** Sizes (bytes) and times (milliseconds since 1970) of blobs, as far as they are known; NaN where not. */
  readonly sizes = Column.numbers();
  readonly times = Column.numbers();
  /** What lies aside from earlier runs, and then from this one; undefined where nothing can. */
  aside: AsideStore | undefined;
  /** Held by every run that changes something, where the store can write. */
  lock: RunLock | undefined;
  /** What is told beside the counts. */
  readonly notices: Notices;
  /** Looks made so far. */
  looks = 0;
  /** How far the storage's clock is ahead of ours, in milliseconds. */
  storageOffset = 0;
  /** Set where a look found a repository of which nothing tells what it needs: then nothing may go. */
  unknowable: DamagedRegistryError | undefined;
  /** Who wants to know why a digest is kept, as looks find it; set before the first look. */
  watched: Watch | undefined;
  /** By which other digests, as sha512, layer links serve a blob. */
  readonly otherNames = new Map<number, Set<string>>();
  /** Whether repositories may share directories: then what one has no use for may be another's. */
  sharesDirectories = false;
  /** The caller's driver, as this run uses it. */
  readonly driver: StorageDriver;
  /** The same, but an abort does not stop it: for what must be brought to an end. */
  readonly settlingDriver: StorageDriver;
  /** The same for the lock: its calls wait behind no others. */
  readonly lockDriver: StorageDriver;
  /** How every look at the registry is made. */
  readonly look: LookOptions;
  /** Repositories that are looked at side by side. */
  readonly repositories: TaskQueue;
  /** Whether links' times decide: all but a `readOnly` run without a grace. */
  readonly watchesTimes: boolean;
  readonly startedAt: number;
  /** Asked before every batch of changes, beside the lock: of a run that several processes make, whether it is still this one's turn. */
  fence: (() => Promise<void>) | undefined;
  /** Whether marks say which blobs are there. */
  knowsInventory = false;

  /** Hooks are told one batch after the other. */
  telling: Promise<void> = Promise.resolve();

  private readonly controller = new AbortController();
  private readonly calls: RunCalls;
  private stage: Phase | "start" = "start";
  private progressAt = Number.NEGATIVE_INFINITY;

  private constructor(
    private readonly ctx: GcContext,
    private readonly callersDriver: StorageDriver,
    readonly registry: CompleteNamespace,
    options: GcOptions,
    identity: RunIdentity | undefined,
  ) {
    const driver = callersDriver;
    this.settings = checkOptions(options);
    checkAccelerators(driver);
    this.clock = ctx.clock ?? systemClock;
    this.log = safeLogger(ctx.logger, () => ({ stage: this.stage, driver: driver.name, dry_run: this.settings.dryRun }));
    this.signal = this.controller.signal;
    setMaxListeners(0, this.signal);
    if (ctx.signal?.aborted === true) this.abort();
    else ctx.signal?.addEventListener("abort", this.abort, { once: true });

    this.repositories = new TaskQueue(this.settings.concurrency);
    this.calls = new RunCalls(this.settings, this.signal, this.turns, (method, calls) => {
      this.ledger.countCall(method, calls);
      // Also by a clock that is not the machine's own, which no timer goes by.
      this.lock?.touch();
    });
    this.driver = this.calls.through(driver);
    this.settlingDriver = this.calls.settling(driver);
    this.lockDriver = this.calls.urgent(driver);
    this.look = {
      signal: this.signal,
      through: (each) => this.calls.through(each),
      onLinkedDirectory: (path) => this.shareDirectory(path),
      awaitListing: (attempt) => this.awaitListing(attempt),
    };

    this.startedAt = identity?.startedAt ?? this.clock.now();
    this.storageOffset = identity?.storageOffset ?? 0;
    this.watchesTimes = !this.settings.readOnly || this.settings.gracePeriodMs > 0;
    this.ledger = new Ledger({
      runId: identity?.runId,
      driver: driver.name,
      dryRun: this.settings.dryRun,
      readOnly: this.settings.readOnly,
      startedAt: this.startedAt,
    });
    this.notices = new Notices(this.log, this.ledger, this.signal);
    this.telemetry = new Telemetry(ctx, driver.name, this.settings.dryRun);
    this.manifests = new ManifestReader(this.digests, this.catalog, {
      maxParallelGets: this.settings.maxParallelManifestGets,
      asksTogether: mayVisit(driver),
      keepFacts: this.settings.keep !== undefined,
      look: { signal: this.signal, through: (each) => this.calls.throughGets(each) },
      turns: this.turns,
      memory: this.settings.referenceCache,
      listedSizes: (manifests) => listedSizes(this, manifests),
      onMemoryFailure: (error) => this.notices.memoryFailure(error),
      elsewhere: async (manifest, look) =>
        (await this.aside?.readManifest(manifest, look)) ??
        (this.settings.readOnly ? undefined : await this.aside?.readLate(manifest, look)),
    });
  }

  /**
   * Checks everything that the caller gave, before any call.
   *
   * @throws TypeError
   */
  static begin(ctx: GcContext, driver: StorageDriver, registry: Namespace, options: GcOptions, identity?: RunIdentity): Run {
    checkParts(ctx, driver, registry);
    return new Run(ctx, driver, completeRegistry(registry, driver), options, identity);
  }

  /** Whether something written at this time may belong to a push that is under way. Unknown times and future ones may. */
  isYoung(time: number): boolean {
    return this.watchesTimes && !this.isOlderThan(time, this.settings.gracePeriodMs);
  }

  /** Whether a time is known, and lies so many milliseconds before the run's start, by the storage's clock. */
  isOlderThan(time: number, ms: number): boolean {
    return time <= this.startedAt + this.storageOffset - ms;
  }

  /** Whether links' times are looked up: they also tell what was pushed again since a run put it aside. */
  get looksAtTimes(): boolean {
    return this.watchesTimes || (this.aside?.copies.size ?? 0) > 0;
  }

  /** What the driver has found out about its store. */
  get remarks(): readonly string[] {
    return this.callersDriver.remarks ?? [];
  }

  /** The storage's time now: milliseconds since 1970. */
  storageNow(): number {
    return this.clock.now() + this.storageOffset;
  }

  /** Whether anybody reads the log: what is told for each item costs as much as finding it. */
  get isLogged(): boolean {
    return this.ctx.logger !== undefined;
  }

  /** Whether this run puts garbage aside rather than deleting it at once. */
  get quarantines(): boolean {
    const { readOnly, quarantine } = this.settings;
    return !readOnly && quarantine && this.canQuarantine;
  }

  /** Whether things can lie aside on this store at all. */
  get canQuarantine(): boolean {
    return this.registry.online !== undefined && this.driver.putContent !== undefined && this.driver.move !== undefined;
  }

  /** Before every batch of changes: not after an abort, and not without the lock. */
  async mayChange(): Promise<void> {
    this.signal.throwIfAborted();
    await this.lock?.check(this.driver);
    await this.fence?.();
    this.signal.throwIfAborted();
  }

  /** Removes something of a digest, unless the registry in this process has promised it, by whatever name; whether it did. */
  async unlessPromised(digest: string, removal: () => Promise<void>): Promise<boolean> {
    const { barrier } = this.settings;
    if (barrier === undefined) {
      await removal();
      return true;
    }
    return removingAll(barrier, [digest, ...(this.otherNames.get(this.digests.find(digest)) ?? [])], removal);
  }

  /** Marks for a look of its own: nothing is kept yet, and what lies aside is known. */
  renewMarks(): void {
    this.marks = new Marks(this.turns);
    for (const number of this.aside?.copies.keys() ?? []) this.marks.add(number, ASIDE);
  }

  /** One phase: timed, traced, logged. */
  async phase<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
    this.stage = phase;
    this.progressAt = Number.NEGATIVE_INFINITY;
    const begin = this.clock.now();
    this.log.info(`starting ${phase} stage`);
    try {
      const result = await this.telemetry.span(phase, work);
      this.log.info(`${phase} stage complete`, { duration_s: (this.clock.now() - begin) / 1000 });
      return result;
    } finally {
      this.ledger.addDuration(phase, this.clock.now() - begin);
    }
  }

  /** Tells the caller how far the run is, about ten times a second; `last` always. */
  progress(progress: Progress, last = false): void {
    const now = this.clock.now();
    if (!last && now - this.progressAt < PROGRESS_EVERY_MS) return;
    this.progressAt = now;
    const goOn = (error: unknown) => this.log.warn("onProgress threw; going on", { error });
    try {
      const told: unknown = this.settings.onProgress?.(progress);
      onRejection(told, goOn);
    } catch (error) {
      goOn(error);
    }
  }

  /** Waits until no call of this run is under way any more. A namespace or a look-up that heeds no abort is waited for a moment only. */
  async settle(): Promise<void> {
    const looks = Promise.all([this.repositories.idle(), this.manifests.idle(), this.calls.leftOver()]);
    await withPatience(looks, this.signal, LOOKS_PATIENCE_MS).catch(() => undefined);
    await this.calls.idle();
    this.ctx.signal?.removeEventListener("abort", this.abort);
  }

  /** Listings lag no longer than the drain: who drains waits as long for them. */
  private async awaitListing(attempt: number): Promise<boolean> {
    const { drainMs, dryRun } = this.settings;
    let waited = 0;
    for (let earlier = 0; earlier < attempt; earlier++) waited += napMs(earlier);
    if (!this.quarantines || dryRun || waited >= drainMs) return false;
    await this.clock.sleep(Math.min(napMs(attempt), drainMs - waited), this.signal);
    await this.lock?.keepAlive();
    return true;
  }

  private shareDirectory(path: string): void {
    if (this.sharesDirectories) return;
    this.sharesDirectories = true;
    this.notices.sharedDirectory(path);
  }

  private readonly abort = (): void => {
    this.controller.abort(this.ctx.signal?.reason);
  };
}
