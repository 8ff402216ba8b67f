/** `npm run example:registry`: a registry in Node that is collected while clients push to it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { readWords, runProgram, UsageError, wholeNumber } from "../shared/program.js";
import { type DemoOptions, type DemoResult, runDemo } from "./demo.js";
import type { RegistryDriver } from "./registryStorage.js";

const HELP = `Runs a small registry, lets clients push, push again, retag and delete, and collects its garbage meanwhile.
At the end everything that the registry acknowledged is pulled.

Usage: npm run example:registry -- [OPTIONS]

  --seconds N                 how long the clients are at work, 1 to 3600 (5)
  --clients N                 how many there are, 1 to 100 (4)
  --port N                    where the registry listens, on 127.0.0.1 (any free port)
  --driver memory|filesystem  where its storage is: in memory, or in a temporary folder (memory)
  --help                      print this help

Exit codes: 0 everything was pulled, 1 something was not, 2 wrong arguments.`;

interface Arguments extends Pick<DemoOptions, "seconds" | "clients" | "port"> {
  readonly driver: "memory" | "filesystem";
  readonly help: boolean;
}

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const args = readArguments(argv);
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const result = await withDriver(args.driver, (driver) => runDemo({ ...args, driver, say: (line) => console.log(line) }));
  console.log(`\n${describe(result)}`);
  return result.missing.length > 0 || result.errors.length > 0 ? 1 : 0;
}

async function withDriver<T>(kind: Arguments["driver"], work: (driver: RegistryDriver) => Promise<T>): Promise<T> {
  if (kind === "memory") return work(new MemoryDriver());
  const root = await mkdtemp(join(tmpdir(), "oci-registry-gc-example-"));
  try {
    return await work(new FilesystemDriver({ root }));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

function describe({ clients, collector, brokenOff, acknowledged, missing, errors }: DemoResult): string {
  const { pushes, refused, mounted, uploaded, deletes, pulls } = clients;
  const { runs, aside, restored, returned, purged, failures } = collector;
  return [
    `Clients:   ${pushes} pushes acknowledged (${refused} times refused at first), ${uploaded} blobs uploaded, ${mounted} mounted,`,
    `           ${deletes} deletes, ${pulls} pulls`,
    `Collector: ${runs} runs; ${aside} blobs moved aside, ${restored} of them put back at once and ${returned} later, ${purged} purged;`,
    `           ${failures} failures, ${brokenOff.length} runs broken off`,
    ...new Set(brokenOff.map((each) => `           broken off: ${each}`)),
    `At the end ${acknowledged - missing.length} of ${acknowledged} acknowledged tags pull completely.`,
    ...missing.map((each) => `  MISSING ${each}`),
    ...errors.map((each) => `  ERROR of the registry: ${each instanceof Error ? (each.stack ?? each.message) : String(each)}`),
  ].join("\n");
}

function readArguments(argv: readonly string[]): Arguments {
  const { texts, switches } = readWords(argv, { texts: ["seconds", "clients", "port", "driver"] });
  const driver = texts["driver"] ?? "memory";
  if (driver !== "memory" && driver !== "filesystem") {
    throw new UsageError(`option --driver is ${JSON.stringify(driver)}; expected memory or filesystem`);
  }
  return {
    seconds: wholeNumber("seconds", texts["seconds"], 5, 1, 3600),
    clients: wholeNumber("clients", texts["clients"], 4, 1, 100),
    port: wholeNumber("port", texts["port"], 0, 0, 65_535),
    driver,
    help: switches.has("help"),
  };
}

await runProgram("example:registry", main);
