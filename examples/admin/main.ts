/** `npm run example:admin`: collections of a registry's storage, started and watched over HTTP. */

import { once } from "node:events";
import { openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { withDemoRegistry } from "../collect/demoRegistry.js";
import { interruptible } from "../collect/interrupt.js";
import { checkRegistryRoot } from "../collect/registryRoot.js";
import { readWords, runProgram, wholeNumber } from "../shared/program.js";
import { adminApp } from "./app.js";

const HELP = `Starts, watches, cancels and reports collections of a registry's storage over HTTP.

Usage: npm run example:admin -- [DIRECTORY] [OPTIONS]

DIRECTORY is the registry's root directory, the one that holds docker/registry/v2. Without it the program makes a small
registry of its own in a temporary folder.

  --port N   where it listens, on 127.0.0.1 (any free port)
  --help     print this help

  POST   /collections                   start one: options as JSON, {} for the defaults; one at a time
  GET    /collections                   all that are remembered
  GET    /collections/ID                how it stands
  GET    /collections/ID/events         server-sent events: phase, progress, end
  DELETE /collections/ID                cancel it
  GET    /collections/ID/report         the report, as JSON
  GET    /collections/ID/report.html    the report, as a page

It asks nobody who they are: whoever reaches the port may delete garbage.
Ctrl-C stops a collection in order, then the server. Exit codes: 0 stopped, 1 failed, 2 wrong arguments.`;

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const { texts, switches, directory } = readWords(argv, { texts: ["port"], directory: true });
  if (switches.has("help")) {
    console.log(HELP);
    return 0;
  }
  const port = wholeNumber("port", texts["port"], 0, 0, 65_535);
  return interruptible(async (signal) => {
    if (directory === undefined) return withDemoRegistry((folder) => serve(folder, port, signal));
    await checkRegistryRoot(directory);
    return serve(directory, port, signal);
  });
}

async function serve(root: string, port: number, signal: AbortSignal): Promise<number> {
  const driver = new FilesystemDriver({ root });
  const app = adminApp(driver, openRegistry(driver));
  const address = await app.listen({ host: "127.0.0.1", port });
  console.log(`Collections of ${root} at ${address}/collections

  curl -H 'content-type: application/json' -d '{"dryRun": true, "removeUntagged": true}' ${address}/collections
  curl -N ${address}/collections/ID/events

Ctrl-C stops.`);
  if (!signal.aborted) await once(signal, "abort");
  await app.close();
  return 0;
}

await runProgram("example:admin", main);
