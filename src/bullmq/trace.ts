/** Trace context in a job's data, as W3C has it, so that one trace shows a run across processes; with a global propagator or without. */

import { type Context, context, isSpanContextValid, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";

export type TraceCarrier = Readonly<Record<string, string>>;

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/** The context that is active now, as headers. */
export function carryTrace(): TraceCarrier {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  const span = trace.getSpanContext(context.active());
  if (span !== undefined && isSpanContextValid(span))
    carrier["traceparent"] ??= `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, "0")}`;
  return carrier;
}

/** Does some work in the context that a job brought along. */
export function withTrace<T>(carrier: TraceCarrier, work: () => Promise<T>): Promise<T> {
  return context.with(contextOf(carrier), work);
}

function contextOf(carrier: TraceCarrier): Context {
  const extracted = propagation.extract(ROOT_CONTEXT, carrier);
  const [, traceId, spanId, flags] = TRACEPARENT.exec(carrier["traceparent"] ?? "") ?? [];
  if (trace.getSpanContext(extracted) !== undefined || traceId === undefined || spanId === undefined) return extracted;
  return trace.setSpanContext(extracted, { traceId, spanId, traceFlags: Number.parseInt(flags ?? "00", 16), isRemote: true });
}
