/** A worker of the benchmark: `partsWorker.ts ROOT LATENCY_MS`. It makes the parts that it is sent, one after the other. */

import { openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { type PartJob, runPart } from "oci-registry-gc/parts";
import { slowly } from "./slowly.js";

const [root = "", latencyMs = "0"] = process.argv.slice(2);
const driver = slowly(new FilesystemDriver({ root }), Number(latencyMs));

process.on("message", (job: PartJob) => {
  runPart({ driver, registry: openRegistry(driver) }, job).then(
    () => process.send?.({}),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.send?.({});
