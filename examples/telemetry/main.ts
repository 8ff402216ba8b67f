/** `npm run example:telemetry`: a collection, its spans on the console, its metrics for Prometheus. */

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsoleSpanExporter } from "@opentelemetry/sdk-trace-base";
import { type GcOptions, isRegistryGcError, markAndSweep, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { withDemoRegistry } from "../collect/demoRegistry.js";
import { interruptible } from "../collect/interrupt.js";
import { checkRegistryRoot } from "../collect/registryRoot.js";
import { readWords, runProgram, wholeNumber } from "../shared/program.js";
import { DASHBOARD } from "./dashboard.js";
import { startTelemetry } from "./telemetry.js";

const HELP = `Collects a registry's storage, prints the spans of each run, and serves metrics that Prometheus can scrape.

Usage: npm run example:telemetry -- [DIRECTORY] [OPTIONS]

DIRECTORY is the registry's root directory, the one that holds docker/registry/v2. Without it the program makes a small
registry of its own in a temporary folder, and collects that one with --read-only and --remove-untagged.

  --dry-run         plan everything, change nothing
  --remove-untagged also remove manifests that no tag keeps
  --read-only       nothing writes to the registry during the run: no grace period, no second look
  --every SECONDS   collect again so long after each run, 1 to 604800 (once)
  --port N          where metrics are served, on 127.0.0.1, at /metrics (any free port)
  --dashboard       print what a dashboard would show, with its queries in PromQL
  --help            print this help

Ctrl-C stops. Exit codes: 0 stopped, 1 failed, 2 wrong arguments.`;

interface Arguments {
  readonly options: GcOptions;
  readonly every: number | undefined;
  readonly port: number;
}

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const names = ["dry-run", "remove-untagged", "read-only", "dashboard"];
  const { texts, switches, directory } = readWords(argv, { texts: ["every", "port"], switches: names, directory: true });
  if (switches.has("help") || switches.has("dashboard")) {
    console.log(switches.has("help") ? HELP : DASHBOARD.map(({ title, query }) => `${title}\n  ${query}`).join("\n"));
    return 0;
  }
  const options = { dryRun: switches.has("dry-run"), removeUntagged: switches.has("remove-untagged"), readOnly: switches.has("read-only") };
  const every = texts["every"] === undefined ? undefined : wholeNumber("every", texts["every"], 0, 1, 604_800);
  const args: Arguments = { options, every, port: wholeNumber("port", texts["port"], 0, 0, 65_535) };
  return interruptible(async (signal) => {
    if (directory !== undefined) {
      await checkRegistryRoot(directory);
      return observe(directory, args, signal);
    }
    const all = { ...options, removeUntagged: true, readOnly: true };
    return withDemoRegistry((folder) => observe(folder, { ...args, options: all }, signal));
  });
}

async function observe(root: string, { options, every, port }: Arguments, signal: AbortSignal): Promise<number> {
  const telemetry = await startTelemetry(new ConsoleSpanExporter(), port);
  try {
    console.log(`Metrics of collections of ${root} at ${telemetry.url}`);
    for (let isFirst = true; isFirst || every !== undefined; isFirst = false) {
      if (!isFirst) await sleep((every ?? 0) * 1000, undefined, { signal });
      const driver = new FilesystemDriver({ root });
      await markAndSweep({ ...telemetry.ctx, signal }, driver, openRegistry(driver), options).catch((error: unknown) => {
        // Metrics and spans tell it as well, and the next run tries again.
        if (!isRegistryGcError(error)) throw error;
        console.error(`${error.code}: ${error.message}`);
      });
    }
    console.log(`Metrics are at ${telemetry.url} until Ctrl-C.`);
    await once(signal, "abort");
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await telemetry.stop();
  }
  return 0;
}

await runProgram("example:telemetry", main);
