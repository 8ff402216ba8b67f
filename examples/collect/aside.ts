/** What lies aside: shown, and brought back. */

import { listRuns, openRegistry, restore } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { UsageError } from "../shared/program.js";
import { count, formatBytes, table } from "./format.js";

/** The exit code. */
export async function showRuns(root: string, json: boolean, signal: AbortSignal): Promise<number> {
  const driver = new FilesystemDriver({ root });
  const runs = await listRuns({ signal }, driver, openRegistry(driver));
  const rows = runs.map(({ runId, startedAt, state, blobs, bytes, purgeableAt }) => [
    runId,
    startedAt,
    state,
    blobs,
    formatBytes(bytes),
    purgeableAt,
  ]);
  if (json) console.log(JSON.stringify(runs, null, 2));
  else console.log(rows.length === 0 ? "Nothing lies aside." : table(["Run", "Started", "State", "Blobs", "Size", "Purged from"], rows));
  return 0;
}

/** Brings back everything, a run, or a digest with all that it names. The exit code. */
export async function bringBack(root: string, what: string, json: boolean, signal: AbortSignal): Promise<number> {
  const driver = new FilesystemDriver({ root });
  const target = what === "all" ? {} : what.includes(":") ? { digest: what } : { runId: what };
  const report = await restore({ signal }, driver, openRegistry(driver), target).catch((error: unknown) => {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  });
  if (json) console.log(JSON.stringify(report, null, 2));
  else console.log(`Brought back ${count(report.blobs, "blob")} (${formatBytes(report.bytes)}) and ${count(report.links, "layer link")}.`);
  for (const digest of report.missing) console.error(`Missing: ${digest} lies neither aside nor in place.`);
  for (const { path, message } of report.failures) console.error(`Could not be brought back: ${path}: ${message}`);
  return report.missing.length + report.failures.length === 0 ? 0 : 1;
}
