/** What a run reports: plain JSON, the same shape for a dry run and a real one. */

import { createHash, randomUUID } from "node:crypto";
import { DigestSet } from "./digestSet.js";
import type { Failure } from "./driver.js";
import type { ItemKind, Phase, Reason } from "./options.js";

/** How much of each kind. `bytes` are those of blobs. */
export interface SweepCounts {
  manifests: number;
  blobs: number;
  bytes: number;
  layerLinks: number;
  tagIndexEntries: number;
  uploads: number;
  repositories: number;
}

/** How much lies aside. Manifests are blobs too, and counted in both; `bytes` are those of all blobs. */
export interface AsideCounts {
  manifests: number;
  blobs: number;
  bytes: number;
}

/** What went, or is to go, from one repository; a blob counts in every repository that linked it. */
export interface RepositoryCounts {
  name: string;
  manifests: number;
  layerLinks: number;
  tagIndexEntries: number;
  bytes: number;
}

/** Something that was read and is wrong. */
export interface Problem {
  readonly kind: string;
  readonly path: string;
  readonly repository?: string;
  readonly digest?: string;
  readonly message: string;
}

export type RunStatus = "completed" | "completed-with-failures" | "refused" | "aborted";

/** How well the run was protected against writers. */
export type Safety = "quiesced" | "quarantine" | "grace";

export interface GcReport {
  readonly schemaVersion: 1;
  readonly runId: string;
  readonly status: RunStatus;
  readonly dryRun: boolean;
  readonly driver: string;
  readonly safety: Safety;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly durationsMs: { inventory: number; mark: number; sweep: number; total: number; drain?: number; look?: number; purge?: number };
  readonly marked: { repositories: number; tags: number; manifests: number; blobs: number };
  /** What the plan names, after the second look. */
  readonly eligible: SweepCounts;
  /** Confirmed gone, by this run or by someone else at the same moment; all zero in a dry run. */
  readonly deleted: SweepCounts;
  /** Blobs unreachable, yet kept, and why. */
  readonly kept: { young: number; protected: number };
  /** Put aside by this run, and aside still at its end; not counted as deleted. */
  readonly quarantined: AsideCounts;
  /** Put aside by this run, and put back by it. */
  readonly restored: AsideCounts;
  /** Put aside by earlier runs, and put back by this one. */
  readonly returned: AsideCounts;
  /** Put aside by earlier runs, and gone for good; not counted in `deleted`. */
  readonly purged: SweepCounts;
  /** Stray files and directories. */
  readonly unrecognized: number;
  /** Why things are eligible, in the words of `onItem`. */
  readonly reasons: Record<string, { count: number; bytes: number }>;
  /** The 100 that the most bytes went from. */
  readonly repositories: readonly RepositoryCounts[];
  /** The first 1000. */
  readonly problems: Problem[];
  /** Of all, listed or not. */
  readonly problemCount: number;
  /** Removals and moves that failed: the first 1000. */
  readonly failures: Failure[];
  /** Of all, listed or not. */
  readonly failureCount: number;
  /** What the driver has to say of its store, in sentences. */
  readonly remarks?: readonly string[];
  /** Calls made, by driver method. */
  readonly storageCalls: Record<string, number>;
}

const MAX_LISTED = 1000;
const MAX_REPOSITORIES = 100;

export function noCounts(): SweepCounts {
  return { manifests: 0, blobs: 0, bytes: 0, layerLinks: 0, tagIndexEntries: 0, uploads: 0, repositories: 0 };
}

function noneAside(): AsideCounts {
  return { manifests: 0, blobs: 0, bytes: 0 };
}

const COUNTER = {
  manifest: "manifests",
  blob: "blobs",
  layerLink: "layerLinks",
  tagIndexEntry: "tagIndexEntries",
  upload: "uploads",
  repository: "repositories",
} as const satisfies Record<ItemKind, keyof SweepCounts>;

/** Adds one thing to the counts. */
export function countItem(counts: SweepCounts, item: { readonly kind: ItemKind; readonly bytes?: number | undefined }): void {
  countItems(counts, item.kind, 1, item.bytes ?? 0);
}

function countItems(counts: SweepCounts, kind: ItemKind, count: number, bytes: number): void {
  counts[COUNTER[kind]] += count;
  if (kind === "blob") counts.bytes += bytes;
}

/** What one book hands to another: plain JSON. */
export interface LedgerEntries {
  readonly deleted: SweepCounts;
  /** Put aside by this run, and aside still at its end; not counted as deleted. */
  readonly quarantined: AsideCounts;
  /** Put aside by this run, and put back by it. */
  readonly restored: AsideCounts;
  /** Put aside by earlier runs, and put back by this one. */
  readonly returned: AsideCounts;
  /** Put aside by earlier runs, and gone for good; not counted in `deleted`. */
  readonly purged: SweepCounts;
  readonly unrecognized: number;
  readonly problems: readonly { readonly problem: Problem; readonly isDamage: boolean }[];
  readonly unlistedProblems: number;
  readonly failures: readonly Failure[];
  readonly failureCount: number;
  readonly calls: Readonly<Record<string, number>>;
}

/** Adds up counts of the same kinds. */
export function addCounts<T extends Record<keyof T, number>>(sum: T, counts: Readonly<T>): void {
  for (const key of Object.keys(counts) as (keyof T)[]) (sum[key] as number) += counts[key];
}

/** The book of a run: chapters write in it, and the report is made from it at any moment. */
export class Ledger {
  readonly runId: string;
  marked = { repositories: 0, tags: 0, manifests: 0, blobs: 0 };
  kept = { young: 0, protected: 0 };
  eligible = noCounts();
  readonly deleted = noCounts();
  readonly quarantined = noneAside();
  readonly restored = noneAside();
  readonly returned = noneAside();
  readonly purged = noCounts();
  safety: Safety;
  unrecognized = 0;
  /** Whether a repository is damaged: a hook that threw, or what lies aside, is another matter. */
  hasDamage = false;
  reasons: Record<string, { count: number; bytes: number }> = {};
  repositories: readonly RepositoryCounts[] = [];

  private readonly problems: { readonly problem: Problem; readonly isDamage: boolean }[] = [];
  /** Kind and path of the problems, hashed: there may be many. */
  private readonly told = new DigestSet();
  private readonly failures: Failure[] = [];
  private problemCount = 0;
  private failureCount = 0;
  /** Milliseconds, of the phases that there were. */
  readonly durations: Partial<Record<Phase, number>> = {};
  private readonly calls: Record<string, number> = {};

  constructor(
    private readonly about: {
      readonly runId?: string | undefined;
      readonly driver: string;
      readonly dryRun: boolean;
      readonly readOnly: boolean;
      readonly startedAt: number;
    },
  ) {
    this.runId = about.runId ?? randomUUID();
    this.safety = about.readOnly ? "quiesced" : "grace";
  }

  get hasFailures(): boolean {
    return this.failureCount > 0;
  }

  countCall(method: string, calls = 1): void {
    if (calls > 0) this.calls[method] = (this.calls[method] ?? 0) + calls;
  }

  addDuration(phase: Phase, ms: number): void {
    this.durations[phase] = (this.durations[phase] ?? 0) + ms;
  }

  /** What is wrong beside damage, once however often a run comes upon it; whether it is new. */
  addProblem(problem: Problem): boolean {
    return this.tell(problem, false);
  }

  /** Damage in a repository, once however many looks see it; whether it is new. */
  addDamage(problem: Problem): boolean {
    this.hasDamage = true;
    return this.tell(problem, true);
  }

  private tell(problem: Problem, isDamage: boolean): boolean {
    const before = this.told.size;
    this.told.add(`sha256:${createHash("sha256").update(`${isDamage} ${problem.kind} ${problem.path}`).digest("hex")}`);
    if (this.told.size === before) return false;
    this.problemCount++;
    if (this.problems.length < MAX_LISTED) this.problems.push({ problem, isDamage });
    return true;
  }

  addFailure(failure: Failure): void {
    this.failureCount++;
    if (this.failures.length < MAX_LISTED) this.failures.push(failure);
  }

  /** Adds so many things of one kind to what is to go; takes them away where there are fewer than none. */
  addEligible(kind: ItemKind, reason: Reason, count: number, bytes: number): void {
    countItems(this.eligible, kind, count, bytes);
    this.addReasons({ [reason]: { count, bytes } });
  }

  addReasons(reasons: Readonly<Record<string, { readonly count: number; readonly bytes: number }>>): void {
    for (const [reason, { count, bytes }] of Object.entries(reasons)) {
      const sum = this.reasons[reason] ?? { count: 0, bytes: 0 };
      this.reasons[reason] = { count: sum.count + count, bytes: sum.bytes + bytes };
    }
  }

  /** What this book says, for another to take in. */
  get entries(): LedgerEntries {
    const { deleted, quarantined, restored, returned, purged, unrecognized, problems, failures, failureCount, calls } = this;
    const unlistedProblems = this.problemCount - problems.length;
    return { deleted, quarantined, restored, returned, purged, unrecognized, problems, unlistedProblems, failures, failureCount, calls };
  }

  /** Takes in what a part of the run has written in a book of its own. */
  takeIn(entries: LedgerEntries): void {
    addCounts(this.deleted, entries.deleted);
    addCounts(this.quarantined, entries.quarantined);
    addCounts(this.restored, entries.restored);
    addCounts(this.returned, entries.returned);
    addCounts(this.purged, entries.purged);
    this.unrecognized += entries.unrecognized;
    for (const { problem, isDamage } of entries.problems) {
      if (isDamage) this.addDamage(problem);
      else this.addProblem(problem);
    }
    this.problemCount += entries.unlistedProblems;
    for (const failure of entries.failures) this.addFailure(failure);
    this.failureCount += entries.failureCount - entries.failures.length;
    for (const [method, calls] of Object.entries(entries.calls)) this.calls[method] = (this.calls[method] ?? 0) + calls;
  }

  /** The repositories that the most bytes go from. */
  rank(repositories: RepositoryCounts[]): void {
    this.repositories = repositories.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1)).slice(0, MAX_REPOSITORIES);
  }

  report(status: RunStatus, now: number, remarks: readonly string[]): GcReport {
    return {
      schemaVersion: 1,
      runId: this.runId,
      status,
      dryRun: this.about.dryRun,
      driver: this.about.driver,
      safety: this.safety,
      startedAt: new Date(this.about.startedAt).toISOString(),
      finishedAt: new Date(now).toISOString(),
      durationsMs: { inventory: 0, mark: 0, sweep: 0, ...this.durations, total: now - this.about.startedAt },
      marked: { ...this.marked },
      eligible: { ...this.eligible },
      deleted: { ...this.deleted },
      kept: { ...this.kept },
      quarantined: { ...this.quarantined },
      restored: { ...this.restored },
      returned: { ...this.returned },
      purged: { ...this.purged },
      unrecognized: this.unrecognized,
      reasons: Object.fromEntries(Object.entries(this.reasons).filter(([, { count }]) => count > 0)),
      repositories: this.repositories,
      problems: this.problems.map(({ problem }) => problem),
      problemCount: this.problemCount,
      failures: [...this.failures],
      failureCount: this.failureCount,
      remarks: [...remarks],
      storageCalls: { ...this.calls },
    };
  }
}
