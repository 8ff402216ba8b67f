/** `npm run collect`: the library on a registry's root directory, with a progress bar and a report for people. */

import { access, constants, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type GcOptions, type GcReport, isRegistryGcError, markAndSweep, openRegistry, purge } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { formatReport, renderReport } from "oci-registry-gc/report";
import { runProgram, UsageError } from "../shared/program.js";
import { type Arguments, helpText, readArguments } from "./args.js";
import { bringBack, showRuns } from "./aside.js";
import { describeContents } from "./contents.js";
import { withDemoRegistry } from "./demoRegistry.js";
import { Interrupted, interruptible } from "./interrupt.js";
import { progressBar } from "./progressBar.js";
import { checkRegistryRoot } from "./registryRoot.js";

/** The exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const { directory, ...args } = readArguments(argv);
  if (args.help) {
    console.log(helpText());
    return 0;
  }
  await checkPage(args.html);
  return interruptible(async (signal) => {
    if (directory === undefined) return collectDemo(args, signal);
    await checkRegistryRoot(directory);
    return run(directory, args, signal);
  });
}

/** Without a directory: a registry of our own, before and after. */
function collectDemo(args: Omit<Arguments, "directory">, signal: AbortSignal): Promise<number> {
  return withDemoRegistry(async (directory) => {
    const say = args.json ? console.error : console.log;
    const registry = openRegistry(new FilesystemDriver({ root: directory }));
    say(`No directory was given, so here is a small registry in a temporary folder.\n\nBefore:\n${await describeContents(registry)}\n`);
    const options: GcOptions = { readOnly: true, removeUntagged: true, ...args.options };
    const code = await collect(directory, { ...args, options }, signal);
    say(
      `\nAfter:\n${await describeContents(registry)}\n\nThe temporary folder is gone again. Try it on a registry: npm run collect -- DIRECTORY --dry-run`,
    );
    return code;
  });
}

function run(root: string, args: Omit<Arguments, "directory">, signal: AbortSignal): Promise<number> {
  const { command } = args;
  if (command === "list-runs") return untilInterrupted(showRuns(root, args.json, signal));
  if (typeof command === "object") return untilInterrupted(bringBack(root, command.restore, args.json, signal));
  return collect(root, args, signal, command === "purge" ? purge : markAndSweep);
}

/** Neither has a report that would tell what was done by then. */
async function untilInterrupted(work: Promise<number>): Promise<number> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    console.error("Interrupted.");
    return error.exitCode;
  }
}

async function collect(
  root: string,
  { options, json, html }: Pick<Arguments, "options" | "json" | "html">,
  signal: AbortSignal,
  work = markAndSweep,
): Promise<number> {
  const driver = new FilesystemDriver({ root });
  const bar = progressBar(process.stderr);
  const warnings: string[] = [];
  const logger = { debug: ignore, info: ignore, warn: (message: string) => warnings.push(message), error: ignore };
  try {
    const report = await work({ signal, logger }, driver, openRegistry(driver), {
      ...options,
      onProgress: (each) => bar.update(each),
    });
    bar.stop();
    await tell(report, { json, html });
    return report.status === "completed" ? 0 : 1;
  } catch (error) {
    bar.stop();
    return await tellFailure(error, { json, html });
  } finally {
    for (const warning of warnings) console.error(`Warning: ${warning}`);
  }
}

/** Before anything is deleted: what is wrong with an argument is said first. */
async function checkPage(html: string | undefined): Promise<void> {
  if (html === undefined) return;
  const isThere = await access(html).then(
    () => true,
    () => false,
  );
  try {
    await access(isThere ? html : dirname(html), constants.W_OK);
    if (isThere && (await stat(html)).isDirectory()) throw new Error("it is a directory");
  } catch (error) {
    throw new UsageError(`the page can't be written to ${html}: ${(error as Error).message}`);
  }
}

/** The report in the form that was asked for, and as a page where a file was named for it. */
async function tell(report: GcReport, { json, html }: Pick<Arguments, "json" | "html">): Promise<void> {
  const { columns, isTTY } = process.stdout;
  const look = { width: isTTY ? columns : 120, color: isTTY && process.env["NO_COLOR"] === undefined };
  console.log(json ? JSON.stringify(report, null, 2) : [formatReport(report, look), ...hints(report)].join("\n"));
  if (html === undefined) return;
  try {
    await writeFile(html, renderReport(report));
  } catch (error) {
    throw new UsageError(`the page could not be written to ${html}: ${(error as Error).message}`);
  }
  console.error(`The report as a page: ${html}`);
}

/** What the report says in the library's words, in those of the command line. */
function hints({ quarantined, kept }: GcReport): string[] {
  return [
    quarantined.blobs > 0 && "Here: --list-runs shows what lies aside, --restore brings it back, --purge deletes it.",
    kept.young > 0 && "Here: --read-only takes what is young, if nothing writes; --grace-period says how old it must be.",
  ].filter((hint) => hint !== false);
}

/** A run that ended early: why, and what it knew and did by then. */
async function tellFailure(error: unknown, form: Pick<Arguments, "json" | "html">): Promise<number> {
  const { report } = error as { report?: GcReport };
  if (error instanceof Interrupted) console.error("Interrupted.");
  else if (isRegistryGcError(error))
    console.error(`${report?.status === "refused" ? "Refused" : "Failed"} (${error.code}): ${error.message}`);
  else throw error;
  if (report !== undefined) {
    if (!form.json) console.log("");
    await tell(report, form);
  }
  return error instanceof Interrupted ? error.exitCode : 1;
}

function ignore(): void {}

await runProgram("collect", main);
