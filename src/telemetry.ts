/**
 * OpenTelemetry: spans of a run, its phases and its repositories (up to a cap), batches as events, and metrics of the whole. Only
 * the API is used, looked up when a run begins. Names live under `registry_gc.*`, a namespace of our own; docs/telemetry.md lists them.
 */

import { type Attributes, context, metrics, type Span, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import type { GcContext } from "./context.js";
import { codeOf, messageOf } from "./errors.js";
import type { GcReport, SweepCounts } from "./report.js";
import { VERSION } from "./version.js";

const NAME = "oci-registry-gc";

/** A span processor drops children by the thousand; the rest is counted. */
const MAX_REPOSITORY_SPANS = 500;
/** What SDKs keep of one span's events by default. */
const MAX_EVENTS = 128;

export class Telemetry {
  private readonly tracer: Tracer | undefined;
  private readonly common: Attributes;
  private repositorySpans = 0;
  private unspanned = 0;
  private readonly events = new WeakMap<Span, number>();

  constructor(
    private readonly ctx: GcContext,
    driver: string,
    dryRun: boolean,
  ) {
    this.tracer = attempt(() => (ctx.tracerProvider ?? trace).getTracer(NAME, VERSION));
    this.common = { "registry_gc.driver": driver, "registry_gc.dry_run": dryRun };
  }

  /** A span around some work, ended whatever happens; an error that leaves it is said on it. */
  async span<T>(name: string, work: () => Promise<T>, attributes: Attributes = {}): Promise<T> {
    const span = attempt(() => this.tracer?.startSpan(`registry_gc.${name}`, { attributes: { ...this.common, ...attributes } }));
    if (span === undefined) return work();
    try {
      return await context.with(trace.setSpan(context.active(), span), work);
    } catch (error) {
      attempt(() => {
        span.setAttribute("error.type", codeOf(error) ?? (error instanceof Error ? error.name : "_OTHER"));
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
      });
      throw error;
    } finally {
      attempt(() => span.end());
    }
  }

  /** A span for one repository, as long as there are few. */
  repositorySpan<T>(repository: string, work: () => Promise<T>): Promise<T> {
    if (this.repositorySpans >= MAX_REPOSITORY_SPANS) {
      this.unspanned++;
      return work();
    }
    this.repositorySpans++;
    return this.span("mark_repository", work, { "registry_gc.repository": repository });
  }

  /** An event on the span that is active now. */
  event(name: string, attributes: Attributes): void {
    const span = trace.getSpan(context.active());
    if (span === undefined) return;
    const count = (this.events.get(span) ?? 0) + 1;
    this.events.set(span, count);
    attempt(() => {
      if (count <= MAX_EVENTS) span.addEvent(`registry_gc.${name}`, attributes);
      span.setAttribute("registry_gc.batches", count);
    });
  }

  /**
   * What a run ended with, on the span that is active now and in the metrics. `phases`: the milliseconds of those that there were; `error`
   * where it failed.
   */
  finish(report: GcReport, phases: Readonly<Record<string, number>>, error?: unknown): void {
    const failed: Attributes = error === undefined ? {} : { "error.type": codeOf(error) ?? "_OTHER" };
    const span = trace.getSpan(context.active());
    span?.setAttributes({
      "registry_gc.run_id": report.runId,
      "registry_gc.status": report.status,
      "registry_gc.safety": report.safety,
      "registry_gc.blobs.eligible": report.eligible.blobs,
      "registry_gc.blobs.deleted": report.deleted.blobs,
      "registry_gc.repositories.unspanned": this.unspanned,
    });

    const meter = (this.ctx.meterProvider ?? metrics).getMeter(NAME, VERSION);
    const count = (name: string, unit: string, description: string, values: readonly (readonly [number, Attributes])[]) => {
      const counter = meter.createCounter(`registry_gc.${name}`, { unit, description });
      for (const [value, attributes] of values) if (value > 0) counter.add(value, { ...this.common, ...attributes });
    };
    const kinds = (counts: Partial<SweepCounts>) =>
      Object.entries(counts)
        .filter(([kind]) => kind !== "bytes")
        .map(([kind, value]) => [value, { "registry_gc.item.kind": kind }] as const);

    count("items.marked", "{item}", "What is kept because something keeps it", kinds({ ...report.marked }));
    count("items.eligible", "{item}", "What the plan names", kinds(report.eligible));
    count("items.deleted", "{item}", "What was confirmed gone", kinds(report.deleted));
    for (const [how, description] of Object.entries(ASIDE) as [keyof typeof ASIDE, string][]) {
      count(`items.${how}`, "{item}", description, kinds({ ...report[how] }));
      count(`bytes.${how}`, "By", `Bytes of the blobs among it: ${description}`, [[report[how].bytes, {}]]);
    }
    count("bytes.eligible", "By", "Bytes of the blobs that the plan names", [[report.eligible.bytes, {}]]);
    count("bytes.deleted", "By", "Bytes of the blobs that were confirmed gone", [[report.deleted.bytes, {}]]);
    count("failures", "{failure}", "Deletes that failed", failureCounts(report));
    count(
      "storage.calls",
      "{call}",
      "Calls to the storage driver",
      Object.entries(report.storageCalls).map(([method, calls]) => [calls, { "registry_gc.storage.method": method }]),
    );
    const durations = meter.createHistogram("registry_gc.phase.duration", { unit: "s", description: "How long a phase took" });
    for (const [phase, ms] of Object.entries(phases)) durations.record(ms / 1000, { ...this.common, "registry_gc.phase": phase });
    meter
      .createHistogram("registry_gc.run.duration", { unit: "s", description: "How long a run took" })
      .record(report.durationsMs.total / 1000, { ...this.common, "registry_gc.status": report.status, ...failed });
  }
}

/** What is done is done: nothing is to be lost for a span's sake. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** What became of what went aside, by the report's names. */
const ASIDE = {
  quarantined: "What was put aside, for a later run to delete",
  restored: "What this run put aside and brought back",
  returned: "What earlier runs put aside and this one brought back",
  purged: "What earlier runs put aside and this one deleted",
} as const;

function failureCounts(report: GcReport): (readonly [number, Attributes])[] {
  const byCode = new Map<string, number>();
  for (const { code } of report.failures) byCode.set(code, (byCode.get(code) ?? 0) + 1);
  const unlisted = report.failureCount - report.failures.length;
  if (unlisted > 0) byCode.set("_OTHER", (byCode.get("_OTHER") ?? 0) + unlisted);
  return [...byCode].map(([code, count]) => [count, { "error.type": code }]);
}
