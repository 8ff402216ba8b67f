/** `npm run example:oci-layout`: OCI image layouts on disk, such as `skopeo copy ... oci:DIRECTORY:TAG` makes, without their garbage. */

import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type GcReport, isRegistryGcError, markAndSweep } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { formatReport } from "oci-registry-gc/report";
import { Interrupted, interruptible } from "../collect/interrupt.js";
import { readWords, runProgram, UsageError } from "../shared/program.js";
import { withDemoLayouts } from "./demoLayouts.js";
import { ociLayout } from "./ociLayout.js";

const HELP = `Removes from OCI image layouts what their index.json does not reach.

Usage: npm run example:oci-layout -- [DIRECTORY] [OPTIONS]

DIRECTORY is a layout, or a directory of layouts that share nothing. Nothing may write to them meanwhile. Without it
the program makes two small ones in a temporary folder.

Every entry of index.json keeps what it reaches, named or not. Of an image whose tag has moved skopeo leaves an entry
without a name: take it out first (jq '.manifests |= map(select(.annotations))' shows how), and its blobs will go.

  --dry-run   plan everything, change nothing
  --help      print this help

Exit codes: 0 done, 1 a layout was damaged or something could not be deleted, 2 wrong arguments, 130 interrupted.`;

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const { switches, directory } = readWords(argv, { switches: ["dry-run"], directory: true });
  if (switches.has("help")) {
    console.log(HELP);
    return 0;
  }
  const dryRun = switches.has("dry-run");
  return interruptible(async (signal) => {
    if (directory === undefined) return withDemoLayouts((folder) => collectAll(folder, dryRun, signal));
    return collectAll(directory, dryRun, signal);
  });
}

async function collectAll(directory: string, dryRun: boolean, signal: AbortSignal): Promise<number> {
  const codes: number[] = [];
  for (const layout of await layoutsIn(directory)) {
    console.log(`\n${layout}`);
    codes.push(await collect(layout, dryRun, signal));
  }
  return Math.max(...codes);
}

/** One layout; what is wrong with it is no reason to leave the others. */
async function collect(layout: string, dryRun: boolean, signal: AbortSignal): Promise<number> {
  const driver = new FilesystemDriver({ root: layout });
  try {
    const report = await markAndSweep({ signal }, driver, ociLayout(driver, ""), { readOnly: true, removeUntagged: true, dryRun });
    console.log(formatReport(report));
    return report.status === "completed" && report.problemCount === 0 ? 0 : 1;
  } catch (error) {
    const { report } = error as { report?: GcReport };
    if (report !== undefined) console.log(formatReport(report));
    if (error instanceof Interrupted) return error.exitCode;
    if (!isRegistryGcError(error)) throw error;
    console.error(`${error.code}: ${error.message}`);
    return 1;
  }
}

/** @throws UsageError where there is none, or one whose blobs may be another's, too. */
async function layoutsIn(directory: string): Promise<readonly string[]> {
  const candidates = (await isLayout(directory)) ? [directory] : (await namesIn(directory)).map((name) => join(directory, name));
  const layouts: string[] = [];
  for (const each of candidates) if (await isLayout(each)) layouts.push(each);
  if (layouts.length === 0) throw new UsageError(`${directory} is no OCI image layout, and holds none: a layout has a file oci-layout`);
  for (const each of layouts) await refuseSharedBlobs(each);
  return layouts;
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR") throw new UsageError(`${directory} is a file; expected an OCI image layout, or a directory of them`);
    throw new UsageError(code === "ENOENT" ? `${directory}: there is no such directory` : message);
  }
}

async function isLayout(directory: string): Promise<boolean> {
  try {
    return (await stat(join(directory, "oci-layout"))).isFile();
  } catch {
    return false;
  }
}

/** What lies behind a symbolic link may be another layout's as well: its index.json is not asked. */
async function refuseSharedBlobs(layout: string): Promise<void> {
  const blobs = join(layout, "blobs");
  const directories = [blobs, ...(await readdir(blobs).catch(() => [])).map((name) => join(blobs, name))];
  for (const each of directories) {
    const info = await lstat(each).catch(() => undefined);
    if (info?.isSymbolicLink() === true) throw new UsageError(`${each} is a symbolic link: other layouts may share what is behind it`);
  }
}

await runProgram("example:oci-layout", main);
