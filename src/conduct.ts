/** How every run is led: traced, brought to an end whatever happens, and reported. */

import { attachReport, isRegistryGcError, messageOf } from "./errors.js";
import { closeSession } from "./online/session.js";
import type { GcReport, RunStatus } from "./report.js";
import type { Run } from "./run.js";
import type { Operation } from "./telemetry.js";

const REFUSALS: ReadonlySet<string> = new Set(["DATABASE_IN_USE", "EMPTY_MARK", "DELETE_RATIO", "DAMAGED", "LOCKED", "CLOCK_SKEW"]);

/** Leads a run, and reports. What it rejects with carries the report, where it is an object. */
export function conduct(run: Run, story: (run: Run) => Promise<void>, operation: Operation = "collect"): Promise<GcReport> {
  return run.telemetry.run(operation, async () => {
    try {
      await story(run);
      await closeSession(run);
      await run.settle();
      return end(run, run.ledger.hasFailures ? "completed-with-failures" : "completed");
    } catch (thrown) {
      const error: unknown = run.signal.aborted ? run.signal.reason : thrown;
      await run.settle();
      await closeSession(run);
      attachReport(error, end(run, isRefusal(run, error) ? "refused" : "aborted", error));
      throw error;
    }
  });
}

/** Leads what only reads, and has no report. After an abort it rejects with the signal's reason, whatever that broke. */
export async function inquire<T>(run: Run, name: "explain" | "list_runs", inquiry: () => Promise<T>): Promise<T> {
  try {
    run.signal.throwIfAborted();
    return await run.telemetry.span(name, inquiry);
  } catch (error) {
    run.signal.throwIfAborted();
    throw error;
  } finally {
    await run.settle();
  }
}

/** A run that had the lock and lost it was not refused: it broke off. */
export function isRefusal(run: Run, error: unknown): boolean {
  return isRegistryGcError(error) && REFUSALS.has(error.code) && !(error.code === "LOCKED" && run.lock !== undefined);
}

export function end(run: Run, status: RunStatus, error?: unknown): GcReport {
  const report = run.ledger.report(status, run.clock.now(), [...run.remarks, ...run.notices.warnings]);
  for (const remark of run.remarks) run.log.info(remark);
  try {
    run.telemetry.finish(report, run.ledger.durations, error);
  } catch (broken) {
    // What has been done is done: a report must not be lost for a meter's sake.
    run.log.warn(`telemetry failed: ${messageOf(broken)}`, { error: broken });
  }
  const totals = {
    ...report.deleted,
    status,
    failures: report.failureCount,
    problems: report.problemCount,
    duration_s: report.durationsMs.total / 1000,
  };
  const { deleted, quarantined } = report;
  const aside = quarantined.blobs === 0 ? "" : `, ${quarantined.blobs} put aside (${quarantined.bytes} bytes)`;
  if (error === undefined) run.log.info(`collection ${status}: ${deleted.blobs} blobs deleted (${deleted.bytes} bytes)${aside}`, totals);
  else run.log.error(`collection ${status}: ${messageOf(error)}`, { ...totals, error });
  return report;
}
