/** What the example programs have in common: arguments that are checked, and complaints that people can read. */

import { parseArgs } from "node:util";
import { isRegistryGcError } from "oci-registry-gc";

/** Something that the user has to say differently, or to start first: exit code 2. */
export class UsageError extends Error {}

/**
 * Runs a program: its exit code, or what was wrong. Whoever says something wrong is told what is right, and a run that ended early says
 * why; anything else is a bug, and is shown whole.
 */
export async function runProgram(name: string, main: (argv: readonly string[]) => Promise<number>): Promise<void> {
  // Whoever reads no further, as `head` does, is no reason to break off.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    const { message, code } = complaintOf(error, name);
    console.error(message);
    process.exitCode = code;
  }
}

function complaintOf(error: unknown, name: string): { message: unknown; code: number } {
  if (error instanceof UsageError) return { message: `${error.message}\nSee npm run ${name} -- --help.`, code: 2 };
  if (isListenError(error)) return { message: `${whyNotListening(error)}\nSee npm run ${name} -- --help.`, code: 2 };
  if (isRegistryGcError(error)) return { message: `${error.code}: ${error.message}`, code: 1 };
  return { message: error, code: 1 };
}

interface ListenError extends Error {
  readonly code: string;
  readonly address?: string;
  readonly port?: number;
}

function isListenError(error: unknown): error is ListenError {
  return error instanceof Error && "syscall" in error && error.syscall === "listen";
}

function whyNotListening({ code, address, port, message }: ListenError): string {
  const where = `port ${port ?? "?"} of ${address ?? "this machine"}`;
  if (code === "EADDRINUSE") return `${where} is in use: stop what listens there, or give another one with --port`;
  if (code === "EACCES") return `${where} may not be used by this user: give one from 1024 up with --port`;
  return message;
}

/**
 * Some options are npm's own as well: without `--` before them npm takes them for itself and says nothing, and a dry run would be a real
 * one.
 *
 * @throws UsageError
 */
export function refuseWhatNpmTook(argv: readonly string[], names: readonly string[], env = process.env): void {
  // What `npm run` calls itself: `run` in newer versions, `run-script` in older ones.
  if (!["run", "run-script"].includes(env["npm_command"] ?? "")) return;
  const said = (name: string) => argv.some((each) => each === `--${name}` || each.startsWith(`--${name}=`));
  const taken = names.filter((name) => env[`npm_config_${name.replaceAll("-", "_")}`] && !said(name)).map((name) => `--${name}`);
  if (taken.length === 0) return;
  const script = env["npm_lifecycle_event"] ?? "";
  throw new UsageError(
    `npm has taken ${taken.join(", ")} for itself: put -- before the arguments, npm run ${script} -- ${taken.join(" ")}`,
  );
}

export interface Words {
  /** Text options. */
  readonly texts?: readonly string[];
  /** Options without a value. */
  readonly switches?: readonly string[];
  /** Whether one directory may be given. */
  readonly directory?: boolean;
}

export interface Said {
  readonly texts: Readonly<Record<string, string | undefined>>;
  readonly switches: ReadonlySet<string>;
  readonly directory: string | undefined;
}

/**
 * What was said on the command line; `--help` is always known.
 *
 * @throws UsageError that names what is wrong, and what there is.
 */
export function readWords(argv: readonly string[], { texts = [], switches = [], directory = false }: Words): Said {
  const options: Options = {
    ...Object.fromEntries(texts.map((name) => [name, { type: "string" } as const])),
    ...Object.fromEntries([...switches, "help"].map((name) => [name, { type: "boolean" } as const])),
  };
  const { values, positionals } = parse(argv, options);
  refuseWhatNpmTook(argv, Object.keys(options));
  if (positionals.length > (directory ? 1 : 0)) {
    throw new UsageError(`expected ${directory ? "one directory" : "options only"}, got ${positionals.join(" and ")}`);
  }
  return {
    texts: Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : []))),
    switches: new Set(Object.keys(values).filter((name) => values[name] === true)),
    directory: positionals[0],
  };
}

type Options = Readonly<Record<string, { readonly type: "string" | "boolean" }>>;

function parse(argv: readonly string[], options: Options): { values: Readonly<Record<string, unknown>>; positionals: readonly string[] } {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    const { code = "", message } = error as Error & { code?: string };
    if (!code.startsWith("ERR_PARSE_ARGS")) throw error;
    const unknown = /^Unknown option '(-[^']+)'/.exec(message)?.[1];
    if (unknown === undefined) throw new UsageError(message);
    const names = Object.keys(options).map((each) => `--${each}`);
    throw new UsageError(`there is no option ${unknown}; there are ${names.join(", ")}`);
  }
}

/** @throws UsageError that names the option, what was said, and what is allowed. */
export function wholeNumber(name: string, text: string | undefined, otherwise: number, least: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new UsageError(`option --${name} is ${JSON.stringify(text)}; expected a whole number from ${least} to ${most}`);
  }
  return value;
}
