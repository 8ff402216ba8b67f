/**
 * OpenTelemetry: spans of a run, its phases and its repositories (up to a cap), batches as events, and metrics of the whole. Only
 * the API is used, looked up when a run begins. Names live under `registry_gc.*`, a namespace of our own; docs/telemetry.md lists them.
 */

import { type Attributes, type Context, context, metrics, type Span, SpanStatusCode, type Tracer, trace } from "@opentelemetry/api";
import type { GcContext } from "./context.js";
import { codeOf, isObject, messageOf } from "./errors.js";
import type { GcReport, SweepCounts } from "./report.js";
import { VERSION } from "./version.js";

const NAME = "oci-registry-gc";

/** A span processor drops children by the thousand; the rest is counted. */
const MAX_REPOSITORY_SPANS = 500;
/** What SDKs keep of one span's events by default. */
const MAX_EVENTS = 128;

/** What a run is for. */
export type Operation = "collect" | "heal" | "purge" | "restore";

export class Telemetry {
  private readonly tracer: Tracer | undefined;
  private readonly common: Attributes;
  private operation: Operation = "collect";
  /** The spans under way, the innermost last: a run's phases come one after the other. No context manager may be there to tell. */
  private readonly open: (Span | undefined)[] = [];
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

  /** The span of a whole run. */
  run<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    this.operation = operation;
    return this.span("run", work, { "registry_gc.operation": operation });
  }

  /** A span around some work, in which the next ones are; ended whatever happens, and an error that leaves it is said on it. */
  span<T>(name: string, work: () => Promise<T>, attributes: Attributes = {}): Promise<T> {
    return this.within(name, attributes, async (span) => {
      this.open.push(span);
      try {
        return await work();
      } finally {
        this.open.splice(this.open.lastIndexOf(span), 1);
      }
    });
  }

  /** A span for one repository, as long as there are few; there are several side by side. */
  repositorySpan<T>(repository: string, work: () => Promise<T>): Promise<T> {
    if (this.repositorySpans >= MAX_REPOSITORY_SPANS) {
      this.unspanned++;
      return work();
    }
    this.repositorySpans++;
    return this.within("mark_repository", { "registry_gc.repository": repository }, work);
  }

  private async within<T>(name: string, attributes: Attributes, work: (span: Span | undefined) => Promise<T>): Promise<T> {
    const parent = this.parent();
    const start = () => this.tracer?.startSpan(`registry_gc.${name}`, { attributes: { ...this.common, ...attributes } }, parent);
    // A tracer in JavaScript may give anything.
    const span = attempt(start);
    if (!isObject(span)) return work(undefined);
    try {
      return await context.with(trace.setSpan(parent, span), () => work(span));
    } catch (error) {
      attempt(() => {
        span.setAttribute("error.type", typeOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
        // Once, where it leaves the library.
        if (this.open.length === 0) span.recordException(error instanceof Error ? error : messageOf(error));
      });
      throw error;
    } finally {
      attempt(() => span.end());
    }
  }

  private parent(): Context {
    const inner = this.open.findLast((span) => span !== undefined);
    return inner === undefined ? context.active() : trace.setSpan(context.active(), inner);
  }

  /** An event on the innermost span under way. */
  event(name: string, attributes: Attributes): void {
    const span = this.open.at(-1);
    if (span === undefined) return;
    const count = (this.events.get(span) ?? 0) + 1;
    this.events.set(span, count);
    attempt(() => {
      if (count <= MAX_EVENTS) span.addEvent(`registry_gc.${name}`, attributes);
      span.setAttribute("registry_gc.batches", count);
    });
  }

  /**
   * What a run ended with, on its span and in the metrics. `phases`: the milliseconds of those that there were; `error`
   * where it failed.
   */
  finish(report: GcReport, phases: Readonly<Record<string, number>>, error?: unknown): void {
    const failed: Attributes = error === undefined ? {} : { "error.type": typeOf(error) };
    const run = this.open.at(-1);
    attempt(() =>
      run?.setAttributes({
        "registry_gc.run_id": report.runId,
        "registry_gc.status": report.status,
        "registry_gc.safety": report.safety,
        "registry_gc.blobs.eligible": report.eligible.blobs,
        "registry_gc.blobs.deleted": report.deleted.blobs,
        "registry_gc.repositories.unspanned": this.unspanned,
      }),
    );

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
      .record(report.durationsMs.total / 1000, {
        ...this.common,
        "registry_gc.operation": this.operation,
        "registry_gc.status": report.status,
        ...failed,
      });
  }
}

/** Our code, or the class of what others threw. */
function typeOf(error: unknown): string {
  return codeOf(error) ?? attempt(() => (error instanceof Error ? error.name : undefined)) ?? "_OTHER";
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
