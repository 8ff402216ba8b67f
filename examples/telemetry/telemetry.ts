/** OpenTelemetry for a process that collects: spans to any exporter, metrics for Prometheus to scrape. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus";
import { AggregationType, MeterProvider } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { GcContext } from "oci-registry-gc";

export interface Telemetry {
  /** For `markAndSweep`. A process that has registered global providers needs to pass none. */
  readonly ctx: Required<Pick<GcContext, "tracerProvider" | "meterProvider">>;
  /** Where Prometheus scrapes. */
  readonly url: string;
  /** Spans are exported to the last one, and the port is free again. */
  stop(): Promise<void>;
}

/** Seconds: from a small registry in memory to a night's run on an object store. The SDK's own buckets are made for milliseconds. */
const BUCKETS = [0.01, 0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600];

const DURATIONS = {
  instrumentName: "registry_gc.*.duration",
  aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: BUCKETS } },
} as const;

/** Begins; metrics are served at `/metrics` on 127.0.0.1, at any free port where `port` is 0. */
export async function startTelemetry(spanExporter: SpanExporter, port: number): Promise<Telemetry> {
  // The exporter's own server would take 0 for 9464: it only answers the requests of this one.
  const metrics = new PrometheusExporter({ preventServerStart: true });
  const server = createServer((request, response) => {
    if (request.method === "GET" && request.url?.split("?")[0] === "/metrics") metrics.getMetricsRequestHandler(request, response);
    else response.writeHead(404, { "content-type": "text/plain" }).end("there is nothing but GET /metrics\n");
  });
  await once(server.listen(port, "127.0.0.1"), "listening");

  // Without a context manager spans would not find their parents.
  const contextManager = new AsyncLocalStorageContextManager().enable();
  context.setGlobalContextManager(contextManager);
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] });
  const meterProvider = new MeterProvider({ readers: [metrics], views: [DURATIONS] });
  return {
    ctx: { tracerProvider, meterProvider },
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`,
    async stop() {
      await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
      context.disable();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
