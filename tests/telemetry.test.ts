/** Spans and metrics, told to the real OpenTelemetry SDK. */

import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { explain, type GcContext, type GcOptions, heal, listRuns, markAndSweep, openRegistry, purge, restore } from "oci-registry-gc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memoryStore, type Store } from "./support/stores.js";
import { layOut, vector } from "./support/vectors.js";

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterAll(() => context.disable());

const UNTAGGED: GcOptions = { readOnly: true, removeUntagged: true };

async function observe(store: Store, options: GcOptions) {
  return exported((ctx) => markAndSweep(ctx, store.driver, openRegistry(store.driver), options));
}

/** What work told the SDK. */
async function exported(work: (ctx: GcContext) => Promise<unknown>) {
  const spanExporter = new InMemorySpanExporter();
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] });
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 1e8 })],
  });
  const outcome = await work({ tracerProvider, meterProvider }).catch((error: unknown) => error);
  await meterProvider.forceFlush();
  const spans = spanExporter.getFinishedSpans();
  const metrics = metricExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics: each }) => each));
  await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
  return { outcome, spans, metrics, values: (name: string) => points(metrics.find(({ descriptor }) => descriptor.name === name)) };
}

function points(metric: MetricData | undefined) {
  return (metric?.dataPoints ?? []).map(({ value, attributes }) => ({ value, attributes }));
}

const named = (spans: readonly ReadableSpan[], name: string) => spans.filter((span) => span.name === name);

describe("spans", () => {
  test.each([true, false])("a run's hang together and tell all, with a context manager: %s", async (isManaged) => {
    const store = await layOut(vector("siblings"), memoryStore());
    if (!isManaged) context.disable();
    const { spans } = await observe(store, UNTAGGED).finally(() => {
      if (!isManaged) context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    });
    const nameOf = new Map(spans.map((span) => [span.spanContext().spanId, span.name]));
    const parents = spans.map((span) => `${nameOf.get(span.parentSpanContext?.spanId ?? "") ?? "nothing"} > ${span.name}`);
    expect(new Set(parents)).toEqual(
      new Set([
        "nothing > registry_gc.run",
        ...["inventory", "mark", "sweep"].map((phase) => `registry_gc.run > registry_gc.${phase}`),
        "registry_gc.mark > registry_gc.mark_repository",
      ]),
    );
    expect(named(spans, "registry_gc.run")[0]!.attributes).toMatchObject({
      "registry_gc.operation": "collect",
      "registry_gc.status": "completed",
      "registry_gc.blobs.deleted": 3,
      "registry_gc.run_id": expect.any(String) as string,
    });
    expect(named(spans, "registry_gc.sweep")[0]!.attributes["registry_gc.batches"]).toBeGreaterThan(0);
  });

  test("each command says which it is, on its span and in the metrics; what only reads has a span of its own", async () => {
    const store = await layOut(vector("retag"), memoryStore());
    const registry = openRegistry(store.driver);
    const digest = "sha256:".padEnd(71, "0");
    const options: GcOptions = { drainMs: 0 };
    const told: unknown[] = [];
    for (const ask of [
      (ctx: GcContext) => heal(ctx, store.driver, registry, options),
      (ctx: GcContext) => purge(ctx, store.driver, registry, options),
      (ctx: GcContext) => restore(ctx, store.driver, registry),
      (ctx: GcContext) => explain(ctx, store.driver, registry, digest),
      (ctx: GcContext) => listRuns(ctx, store.driver, registry),
    ]) {
      const { spans, values } = await exported(ask);
      const [top] = spans.filter((span) => span.parentSpanContext === undefined);
      expect(spans.every((span) => span === top || span.parentSpanContext !== undefined)).toBe(true);
      const [duration] = values("registry_gc.run.duration");
      told.push([top!.name, top!.attributes["registry_gc.operation"], duration?.attributes["registry_gc.operation"]]);
    }
    expect(told).toEqual([
      ["registry_gc.run", "heal", "heal"],
      ["registry_gc.run", "purge", "purge"],
      ["registry_gc.run", "restore", "restore"],
      ["registry_gc.explain", undefined, undefined],
      ["registry_gc.list_runs", undefined, undefined],
    ]);
  });

  test.each([null, undefined, 5])("a tracer that gives %j ends no run", async (nothing) => {
    const { driver } = await layOut(vector("retag"), memoryStore());
    const tracerProvider = { getTracer: () => ({ startSpan: () => nothing as never, startActiveSpan: () => nothing as never }) };
    const report = await markAndSweep({ tracerProvider }, driver, openRegistry(driver), UNTAGGED);
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: 4 } });
  });

  test("where a tracer throws, nothing of ours is put on the caller's span", async () => {
    const exporter = new InMemorySpanExporter();
    const callers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const { driver } = await layOut(vector("retag"), memoryStore());
    const tracerProvider = {
      getTracer: () => {
        throw new Error("no tracer");
      },
    };
    const span = callers.getTracer("caller").startSpan("caller");
    const report = await context.with(trace.setSpan(context.active(), span), () =>
      markAndSweep({ tracerProvider }, driver, openRegistry(driver), UNTAGGED),
    );
    span.end();
    expect(report.deleted.blobs).toBe(4);
    expect(exporter.getFinishedSpans()).toMatchObject([{ name: "caller", attributes: {}, events: [] }]);
  });

  test("one for the run, a child for each phase, and below the mark one for each repository", async () => {
    const { spans } = await observe(await layOut(vector("siblings"), memoryStore()), UNTAGGED);
    const [run] = named(spans, "registry_gc.run");
    const [mark] = named(spans, "registry_gc.mark");
    for (const phase of ["inventory", "mark", "sweep"]) {
      expect(named(spans, `registry_gc.${phase}`).map((span) => span.parentSpanContext?.spanId)).toEqual([run!.spanContext().spanId]);
    }
    const repositories = named(spans, "registry_gc.mark_repository");
    expect(repositories.map(({ attributes }) => attributes["registry_gc.repository"]).sort()).toEqual([
      "foo",
      "foo-bar",
      "foo.bar",
      "foo/bar",
      "foobar",
    ]);
    for (const span of repositories) expect(span.parentSpanContext?.spanId).toBe(mark!.spanContext().spanId);
    expect(run!.attributes).toMatchObject({
      "registry_gc.driver": "memory",
      "registry_gc.dry_run": false,
      "registry_gc.status": "completed",
      "registry_gc.safety": "quiesced",
      "registry_gc.blobs.eligible": 3,
      "registry_gc.blobs.deleted": 3,
      "registry_gc.repositories.unspanned": 0,
    });
    expect(run!.status.code).toBe(0);
    expect(spans.every((span) => span.ended)).toBe(true);
  });

  test("batches are events of the sweep", async () => {
    const { spans } = await observe(await layOut(vector("retag"), memoryStore()), UNTAGGED);
    const [sweep] = named(spans, "registry_gc.sweep");
    expect(sweep!.events.map(({ name }) => name)).toEqual(Array.from({ length: 4 }, () => "registry_gc.batch"));
    expect(sweep!.events.reduce((sum, { attributes }) => sum + Number(attributes?.["registry_gc.batch.deleted"]), 0)).toBe(9);
  });

  test("repositories are capped, the rest is counted", async () => {
    const store = memoryStore();
    for (let i = 0; i < 510; i++) await store.put(`/docker/registry/v2/repositories/r${i}/_layers/x`, "");
    const { spans } = await observe(store, UNTAGGED);
    expect(named(spans, "registry_gc.mark_repository")).toHaveLength(500);
    expect(named(spans, "registry_gc.run")[0]!.attributes["registry_gc.repositories.unspanned"]).toBe(10);
  });

  test("an error that leaves the run is said by its code", async () => {
    const { spans } = await observe(await layOut(vector("wrong-root"), memoryStore()), UNTAGGED);
    const [run] = named(spans, "registry_gc.run");
    expect(run!.attributes).toMatchObject({ "error.type": "EMPTY_MARK", "registry_gc.status": "refused" });
    expect(run!.status.code).toBe(2);
    expect(spans.flatMap(({ name, events }) => events.map((event) => [name, event.name]))).toEqual([["registry_gc.run", "exception"]]);
    expect(named(spans, "registry_gc.inventory")[0]!.attributes["error.type"]).toBeUndefined();
  });

  test("no span per blob", async () => {
    const few = await observe(await layOut(vector("retag"), memoryStore()), UNTAGGED);
    const more = await observe(await layOut(vector("lists"), memoryStore()), UNTAGGED);
    expect(more.spans.length).toBe(few.spans.length);
  });
});

describe("metrics", () => {
  test("what went aside, what came back, and what was purged, by the report's names", async () => {
    const store = await layOut(vector("retag"), memoryStore());
    const online: GcOptions = { removeUntagged: true, drainMs: 0 };
    const totals: Awaited<ReturnType<typeof markAndSweep>>[] = [];
    for (const options of [online, { ...online, removeUntagged: false }, online, { ...online, quarantineMs: 0 }]) {
      const { values, outcome } = await observe(store, options);
      const report = outcome as Awaited<ReturnType<typeof markAndSweep>>;
      for (const how of ["quarantined", "restored", "returned", "purged"] as const) {
        const told = values(`registry_gc.items.${how}`).map(({ value, attributes }) => [attributes["registry_gc.item.kind"], value]);
        const { bytes, ...items } = report[how];
        expect(Object.fromEntries(told), how).toEqual(Object.fromEntries(Object.entries(items).filter(([, value]) => value > 0)));
        expect(values(`registry_gc.bytes.${how}`).map(({ value }) => value)).toEqual(bytes > 0 ? [bytes] : []);
      }
      totals.push(report);
    }
    for (const how of ["quarantined", "returned", "purged"] as const)
      expect(
        totals.some((report) => report[how].blobs > 0),
        how,
      ).toBe(true);
  });

  test("what was marked, eligible and deleted, bytes, calls and durations, by the report's names", async () => {
    const { values, metrics, outcome } = await observe(await layOut(vector("retag"), memoryStore()), UNTAGGED);
    const report = outcome as Awaited<ReturnType<typeof markAndSweep>>;
    const byKind = (name: string) =>
      Object.fromEntries(values(name).map(({ value, attributes }) => [attributes["registry_gc.item.kind"], value])) as object;
    expect(byKind("registry_gc.items.marked")).toEqual(report.marked);
    expect(byKind("registry_gc.items.eligible")).toEqual({ manifests: 1, blobs: 4, layerLinks: 3, tagIndexEntries: 1 });
    expect(byKind("registry_gc.items.deleted")).toEqual({ manifests: 1, blobs: 4, layerLinks: 3, tagIndexEntries: 1 });
    expect(values("registry_gc.bytes.eligible")).toMatchObject([{ value: report.eligible.bytes }]);
    expect(values("registry_gc.bytes.deleted")).toMatchObject([{ value: report.deleted.bytes }]);
    const calls = values("registry_gc.storage.calls").map(({ value, attributes }) => [attributes["registry_gc.storage.method"], value]);
    expect(Object.fromEntries(calls)).toEqual(report.storageCalls);
    expect(values("registry_gc.phase.duration").map(({ attributes }) => attributes["registry_gc.phase"])).toEqual([
      "inventory",
      "mark",
      "sweep",
    ]);
    expect(values("registry_gc.run.duration")).toMatchObject([{ value: { count: 1 }, attributes: { "registry_gc.status": "completed" } }]);
    expect(values("registry_gc.run.duration")[0]!.attributes["error.type"]).toBeUndefined();
    expect(values("registry_gc.failures")).toEqual([]);
    for (const { descriptor } of metrics) {
      expect(descriptor.name).toMatch(/^registry_gc\./);
      expect(descriptor.unit).not.toBe("");
      expect(descriptor.description).not.toBe("");
    }
  });

  test("failures by code, and a refused run by its error", async () => {
    const store = await layOut(vector("retag"), memoryStore());
    const deleteFiles = async (paths: readonly string[]) => paths.map((path) => ({ path, code: "EBUSY", message: "busy" }));
    const driver = new Proxy(store.driver, {
      get(target, member) {
        if (member === "deleteFiles") return deleteFiles;
        const value: unknown = Reflect.get(target, member);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    const failed = await observe({ ...store, driver }, UNTAGGED);
    const codes = failed.values("registry_gc.failures").map(({ value, attributes }) => [attributes["error.type"], value]);
    expect(Object.fromEntries(codes)).toMatchObject({ EBUSY: 1, STILL_NEEDED: 4 });

    const refused = await observe(await layOut(vector("wrong-root"), memoryStore()), UNTAGGED);
    // A phase that never was took no time.
    expect(refused.values("registry_gc.phase.duration").map(({ attributes }) => attributes["registry_gc.phase"])).toEqual([
      "inventory",
      "mark",
    ]);
    expect(refused.values("registry_gc.run.duration")).toMatchObject([
      { attributes: { "error.type": "EMPTY_MARK", "registry_gc.status": "refused" } },
    ]);
  });

  test("without a provider everything works all the same", async () => {
    const { driver } = await layOut(vector("retag"), memoryStore());
    expect((await markAndSweep({}, driver, openRegistry(driver), UNTAGGED)).deleted.blobs).toBe(4);
  });
});

test("a meter that throws loses no report", async () => {
  const { driver } = await layOut(vector("retag"), memoryStore());
  const warned: string[] = [];
  const logger = { debug: () => undefined, info: () => undefined, warn: (message: string) => warned.push(message), error: () => undefined };
  const meterProvider = {
    getMeter: () => {
      throw new Error("no meter");
    },
  };
  const report = await markAndSweep({ meterProvider, logger }, driver, openRegistry(driver), UNTAGGED);
  expect(report).toMatchObject({ status: "completed", deleted: { blobs: 4 } });
  expect(warned).toEqual(["telemetry failed: no meter"]);
});
