/** A worker: any number of these, on any number of machines, as long as all see the same storage. Its arguments: root, Redis, queue. */

import { openRegistry } from "oci-registry-gc";
import { createWorker } from "oci-registry-gc/bullmq";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";

const [root = "", url = "", queue = ""] = process.argv.slice(2);
const driver = new FilesystemDriver({ root });
const worker = createWorker({ connection: { url, maxRetriesPerRequest: null }, queue, driver, registry: openRegistry(driver) });

const end = () => void worker.close({ graceMs: 5000 }).then(() => process.exit());
process.once("SIGTERM", end);
process.once("disconnect", end);
// A Ctrl-C is for whoever started this: the run is to end in order first.
process.on("SIGINT", () => undefined);

await worker.ready();
process.send?.("ready");
