/** The example of telemetry: spans on the console, metrics that are scraped over HTTP, and the queries of a dashboard. */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace-base";
import { type GcOptions, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { InterceptedDriver, RegistryBuilder } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { DASHBOARD } from "../examples/telemetry/dashboard.js";
import { startTelemetry } from "../examples/telemetry/telemetry.js";
import { RunningExample, runExample } from "./support/exampleProgram.js";

const NOW: GcOptions = { readOnly: true, removeUntagged: true };

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The text format, as Prometheus reads it. */
function samplesIn(text: string): readonly Sample[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name = "", labels = "", value = ""] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    expect(name, line).not.toBe("");
    return {
      name,
      labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", each = ""]) => [key, each] as const)),
      value: Number(value),
    };
  });
}

const scrape = async (url: string) => samplesIn(await (await fetch(url)).text());
const byLabel = (samples: readonly Sample[], name: string, label: string) =>
  Object.fromEntries(samples.filter((each) => each.name === name).map(({ labels, value }) => [labels[label] ?? "", value] as const));

async function registry() {
  const driver = new MemoryDriver();
  const builder = new RegistryBuilder(driver);
  await builder.image("app", { tag: "latest" });
  await builder.image("app");
  return driver;
}

/** What is scraped after these runs. */
async function observed(...runs: readonly (readonly [StorageDriver, GcOptions])[]) {
  const spans = new InMemorySpanExporter();
  const telemetry = await startTelemetry(spans, 0);
  try {
    for (const [driver, options] of runs) await markAndSweep(telemetry.ctx, driver, openRegistry(driver), options).catch(() => undefined);
    return { samples: await scrape(telemetry.url), spans: spans.getFinishedSpans() };
  } finally {
    await telemetry.stop();
  }
}

describe("what is scraped", () => {
  test("counts what a run kept, planned and deleted, and how long it took", async () => {
    const driver = await registry();
    const { samples, spans } = await observed([driver, NOW], [driver, NOW]);
    expect(byLabel(samples, "registry_gc_items_deleted_total", "registry_gc_item_kind")).toEqual({ manifests: 1, blobs: 3, layerLinks: 2 });
    expect(byLabel(samples, "registry_gc_items_marked_total", "registry_gc_item_kind")).toMatchObject({ repositories: 2, blobs: 8 });
    expect(byLabel(samples, "registry_gc_run_duration_count", "registry_gc_status")).toEqual({ completed: 2 });
    expect(byLabel(samples, "registry_gc_phase_duration_count", "registry_gc_phase")).toEqual({ inventory: 2, mark: 2, sweep: 2 });
    expect(samples.filter(({ name }) => name === "registry_gc_bytes_deleted_total")).toMatchObject([
      { labels: { registry_gc_driver: "memory" } },
    ]);
    // A run of a moment falls into a bucket of seconds' fractions.
    const buckets = samples.filter(({ name }) => name === "registry_gc_run_duration_bucket").map(({ labels }) => labels["le"]);
    expect(buckets).toEqual(["0.01", "0.1", "1", "10", "60", "300", "900", "3600", "14400", "43200", "+Inf"]);
    const runs = spans.filter(({ name }) => name === "registry_gc.run").map((span) => span.spanContext().spanId);
    const marks = spans.filter(({ name }) => name === "registry_gc.mark").map((span) => span.parentSpanContext?.spanId);
    expect(marks).toEqual(runs);
  });

  test("has every metric that the dashboard asks for, with the labels that it asks by", async () => {
    const stuck = await registry();
    const busy = new InterceptedDriver(stuck, async (call, proceed) => {
      if (call.method === "deleteFiles") throw new Error("busy");
      return proceed();
    });
    const empty = new MemoryDriver();
    await new RegistryBuilder(empty).blob("orphan");
    const driver = await registry();
    const served = await registry();
    const online: GcOptions = { removeUntagged: true, gracePeriodMs: 0, drainMs: 0 };
    const purging: GcOptions = { ...online, quarantineMs: 0 };
    const { samples } = await observed(
      ...([
        [driver, { ...NOW, dryRun: true }],
        [driver, NOW],
        [busy, NOW],
        [empty, NOW],
        [served, online],
        [served, purging],
      ] as const),
    );
    for (const { title, query } of DASHBOARD) {
      const selectors = [...query.matchAll(/(registry_gc_\w+(?:_total|_count|_sum|_bucket))(?:\{(\w+)(!?=)"(\w+)"\})?/g)];
      expect(selectors.length, title).toBeGreaterThan(0);
      for (const [, name, label, operator, value] of selectors) {
        const found = samples.filter((each) => each.name === name);
        const chosen = label === undefined ? found : found.filter(({ labels }) => (labels[label] === value) === (operator === "="));
        expect(chosen.length, `${title}: ${name} ${label}`).toBeGreaterThan(0);
        const by = /by \((\w+)\)/.exec(query)?.[1];
        if (by !== undefined)
          expect(
            chosen.some(({ labels }) => labels[by] !== undefined),
            `${title}: by ${by}`,
          ).toBe(true);
      }
    }
    expect(byLabel(samples, "registry_gc_run_duration_count", "error_type")).toMatchObject({ EMPTY_MARK: 1 });
  });

  test("is nothing but GET /metrics, and the port is free after the end", async () => {
    const telemetry = await startTelemetry(new InMemorySpanExporter(), 0);
    expect((await fetch(telemetry.url.replace("/metrics", "/"))).status).toBe(404);
    expect((await fetch(telemetry.url, { method: "POST" })).status).toBe(404);
    await telemetry.stop();
    await expect(fetch(telemetry.url)).rejects.toThrow();
  });
});

test("docs/telemetry.md lists the dashboard", () => {
  const docs = readFileSync(new URL("../docs/telemetry.md", import.meta.url), "utf8");
  for (const { title, query } of DASHBOARD) expect(docs).toContain(`- ${title}: \`${query}\``);
});

describe("as it is started", () => {
  test("spans on the console, metrics over HTTP, until Ctrl-C", async () => {
    const example = RunningExample.start("telemetry");
    const [, url] = await example.printed(/Metrics are at (\S+) until Ctrl-C/);
    const samples = await scrape(url!);
    expect(byLabel(samples, "registry_gc_items_deleted_total", "registry_gc_item_kind")).toMatchObject({ blobs: 7 });
    for (const name of ["run", "inventory", "mark", "mark_repository", "sweep"])
      expect(example.stdout).toContain(`name: 'registry_gc.${name}'`);
    expect(await example.stop()).toBe(0);
    expect(example.stderr).toBe("");
  });

  test("again and again", async () => {
    const example = RunningExample.start("telemetry", "--every", "1", "--dry-run");
    await example.printed(/'registry_gc\.run'[\s\S]*'registry_gc\.run'/);
    const [, url] = await example.printed(/at (http:\S+)/);
    const [count] = (await scrape(url!)).filter(({ name }) => name === "registry_gc_run_duration_count");
    expect(count).toMatchObject({ labels: { registry_gc_dry_run: "true", registry_gc_status: "completed" } });
    expect(count!.value).toBeGreaterThanOrEqual(2);
    expect(await example.stop()).toBe(0);
  });

  test("--dashboard prints every query", async () => {
    const { code, stdout } = await runExample("telemetry", "--dashboard");
    for (const { query } of DASHBOARD) expect(stdout).toContain(query);
    expect(code).toBe(0);
  });

  test.each([
    [["--every", "soon"], 'option --every is "soon"; expected a whole number from 1 to 604800'],
    [["--port=x"], 'option --port is "x"; expected a whole number from 0 to 65535'],
    [["--shred"], "there is no option --shred; there are --every, --port, --dry-run,"],
    [["examples"], "examples is no registry: it does not hold docker/registry/v2"],
  ])("%s is refused", async (args, message) => {
    const { code, stdout, stderr } = await runExample("telemetry", ...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("    at ");
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  test("a port that is in use is told", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await runExample("telemetry", "--port", String(port));
    server.close();
    expect(stderr).toContain(`port ${port} of 127.0.0.1 is in use`);
    expect(stderr).not.toContain("    at ");
    expect(code).toBe(2);
  });
});
