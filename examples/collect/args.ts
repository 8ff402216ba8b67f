/** The command line: what may be said, and what it comes to. */

import { parseArgs } from "node:util";
import type { GcOptions } from "oci-registry-gc";
import { refuseWhatNpmTook, UsageError } from "../shared/program.js";

export interface Arguments {
  /** The registry's root directory; the program makes a registry of its own where none is given. */
  readonly directory: string | undefined;
  readonly options: GcOptions;
  /** What to do; `restore` says what to bring back. */
  readonly command: "collect" | "list-runs" | "purge" | { readonly restore: string };
  readonly json: boolean;
  /** Where to write the report as a page. */
  readonly html: string | undefined;
  readonly help: boolean;
}

interface Option {
  /** What stands for the value in the help; absent where the option is a switch. */
  readonly value?: string;
  readonly help: string;
  read(text: string): GcOptions;
}

const OPTIONS: Readonly<Record<string, Option>> = {
  "dry-run": { help: "plan everything, change nothing", read: () => ({ dryRun: true }) },
  "remove-untagged": { help: "also remove manifests that no tag keeps", read: () => ({ removeUntagged: true }) },
  "read-only": {
    help: "nothing writes to the registry during the run: no grace period, no second look",
    read: () => ({ readOnly: true }),
  },
  "grace-period": {
    value: "DURATION",
    help: "keep what is younger, and all that it reaches (24h; with --read-only 0)",
    read: (text) => ({ gracePeriodMs: duration(text) }),
  },
  "max-delete-ratio": {
    value: "RATIO",
    help: "refuse to delete more than this share of the blobs, from 100 blobs up (0.5)",
    read: (text) => ({ maxDeleteRatio: number(text, "a number from 0 to 1", (ratio) => ratio >= 0 && ratio <= 1) }),
  },
  "no-layer-links": { help: "leave links to layers that no kept manifest reaches", read: () => ({ removeLayerLinks: false }) },
  "remove-uploads-older-than": {
    value: "DURATION",
    help: "remove unfinished uploads that showed no sign of life for longer",
    read: (text) => ({ removeUploadsOlderThanMs: duration(text) }),
  },
  "remove-empty-repositories": {
    help: "remove repositories that hold nothing any more (with --read-only)",
    read: () => ({ removeEmptyRepositories: true }),
  },
  "on-damage": {
    value: "protect|abort",
    help: "keep all that a damaged repository links, or delete nothing at all (protect)",
    read: (text) => ({ onDamage: oneOf(text, ["protect", "abort"]) }),
  },
  "allow-empty-mark": { help: "collect although no repository is there", read: () => ({ allowEmptyMark: true }) },
  referrers: {
    value: "keep-with-subject|ignore",
    help: "keep untagged manifests whose subject is kept, or not (keep-with-subject)",
    read: (text) => ({ referrers: oneOf(text, ["keep-with-subject", "ignore"]) }),
  },
  "no-quarantine": { help: "delete garbage at once, rather than put it aside first", read: () => ({ quarantine: false }) },
  quarantine: {
    value: "DURATION",
    help: "how long garbage lies aside before a later run purges it (7d)",
    read: (text) => ({ quarantineMs: duration(text) }),
  },
  drain: {
    value: "DURATION",
    help: "how long to wait for requests to end (2m)",
    read: (text) => ({ drainMs: duration(text) }),
  },
  concurrency: {
    value: "N",
    help: "storage calls in flight (16)",
    read: (text) => ({ concurrency: number(text, "a whole number, 1 or more", (n) => Number.isSafeInteger(n) && n >= 1) }),
  },
};

/** What the program itself does. */
const SWITCHES: Readonly<Record<string, string>> = {
  "list-runs": "list what lies aside, by run, instead of collecting",
  purge: "delete what has been aside for long enough, and take nothing new (give --quarantine to change how long)",
  json: "print the report as JSON",
  help: "print this help",
};

const HTML = { name: "html", value: "FILE", help: "write the report as a page for a browser, too" } as const;

const RESTORE = { name: "restore", value: "all|RUN|DIGEST", help: "bring back what lies aside, instead of collecting" } as const;

/** @throws UsageError that names the option, what was said, and what is allowed. */
export function readArguments(argv: readonly string[]): Arguments {
  const { values, positionals } = parse(argv);
  if (positionals.length > 1) throw new UsageError(`expected one directory, got ${positionals.join(" and ")}`);
  let options: GcOptions = {};
  for (const [name, value] of Object.entries(values)) {
    const option = OPTIONS[name];
    if (option !== undefined) options = { ...options, ...read(name, option, value) };
  }
  const command = commandOf(values);
  if (values["help"] !== true) checkTogether(command, positionals[0], Object.keys(values));
  return {
    directory: positionals[0],
    options,
    command,
    json: values["json"] === true,
    html: readHtml(values[HTML.name]),
    help: values["help"] === true,
  };
}

/** What would be ignored is refused: a restore that was to be a dry run would be a real one. */
function checkTogether(command: Arguments["command"], directory: string | undefined, options: readonly string[]): void {
  if (command === "collect") return;
  const name = typeof command === "object" ? RESTORE.name : command;
  if (directory === undefined) throw new UsageError(`--${name} needs the DIRECTORY of a registry`);
  const unused = options.find((each) => OPTIONS[each] !== undefined);
  if (unused !== undefined && command !== "purge") throw new UsageError(`--${name} takes no --${unused}`);
}

function readHtml(value: Value): string | undefined {
  if (value === "") throw new UsageError(`option --${HTML.name} is ""; expected the name of a file`);
  return typeof value === "string" ? value : undefined;
}

function commandOf(values: Readonly<Record<string, Value>>): Arguments["command"] {
  const asked = ["list-runs", "purge", RESTORE.name].filter((name) => values[name] !== undefined);
  if (asked.length > 1) throw new UsageError(`--${asked.join(" and --")} can't be done at once`);
  const restore = values[RESTORE.name];
  if (typeof restore === "string") return { restore };
  if (values["list-runs"] === true) return "list-runs";
  return values["purge"] === true ? "purge" : "collect";
}

export function helpText(): string {
  const names = Object.entries(OPTIONS).map(([name, { value, help }]) => [value === undefined ? name : `${name} ${value}`, help] as const);
  const lines = [
    ...names,
    ...[RESTORE, HTML].map(({ name, value, help }) => [`${name} ${value}`, help] as const),
    ...Object.entries(SWITCHES),
  ].map(([name, help]) => `  ${`--${name}`.padEnd(38)} ${help}`);
  return [
    "Collects the garbage of a container registry's storage.",
    "",
    "Usage: npm run collect -- [DIRECTORY] [OPTIONS]",
    "",
    "DIRECTORY is the registry's root directory, the one that holds docker/registry/v2. Without it the program makes",
    "a small registry of its own in a temporary folder and collects that one, with --read-only and --remove-untagged.",
    "",
    ...lines,
    "",
    "A DURATION is a number with its unit: 90s, 30m, 24h, 7d.",
    "Exit codes: 0 done, 1 refused, failed, or something could not be deleted, 2 wrong arguments, 130 interrupted.",
  ].join("\n");
}

type Value = string | boolean | undefined;

function parse(argv: readonly string[]): { values: Readonly<Record<string, Value>>; positionals: readonly string[] } {
  const types = Object.fromEntries([
    ...Object.entries(OPTIONS).map(([name, { value }]) => [name, { type: value === undefined ? "boolean" : "string" }] as const),
    ...[RESTORE, HTML].map(({ name }) => [name, { type: "string" }] as const),
    ...Object.keys(SWITCHES).map((name) => [name, { type: "boolean" }] as const),
  ]);
  refuseWhatNpmTook(argv, [...Object.keys(types), "help"]);
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options: types, allowPositionals: true });
    return { values, positionals };
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (code === undefined || !code.startsWith("ERR_PARSE_ARGS")) throw error;
    throw new UsageError(complaint(message, Object.keys(types)));
  }
}

/** What Node complains of, with what is allowed instead. */
function complaint(message: string, known: readonly string[]): string {
  const name = /^(?:Unknown option|Option) '(?:-\w, )?(-[^ '=]+)/.exec(message)?.[1];
  if (name === undefined) return message;
  if (message.startsWith("Unknown")) return `there is no option ${name}; there are ${known.map((each) => `--${each}`).join(", ")}`;
  const said = [RESTORE, HTML].find((each) => name === `--${each.name}`);
  const value = said?.value ?? OPTIONS[name.slice("--".length)]?.value;
  return value === undefined ? `option ${name} takes no value` : `option ${name} needs a value: ${value}`;
}

/** A reader throws what it expects; here that gets the option's name. */
function read(name: string, option: Option, value: Value): GcOptions {
  const text = typeof value === "string" ? value : "";
  try {
    return option.read(text);
  } catch (error) {
    if (!(error instanceof Expected)) throw error;
    throw new UsageError(`option --${name} is ${JSON.stringify(text)}; expected ${error.message}`);
  }
}

class Expected extends Error {}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

function duration(text: string): number {
  if (text === "0") return 0;
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([a-z]+)$/.exec(text) ?? [];
  const factor = UNITS[unit ?? ""];
  if (factor === undefined) throw new Expected("a number and a unit, such as 90s, 30m, 24h or 7d");
  return Number(amount) * factor;
}

function number(text: string, expected: string, holds: (value: number) => boolean): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!holds(value)) throw new Expected(expected);
  return value;
}

function oneOf<const T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === text);
  if (found === undefined) throw new Expected(allowed.join(" or "));
  return found;
}
