// Commands of blocks of shell, and those that text mentions: their scripts, files, packages and options must be there.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../entries.mjs";

const { name, scripts, dependencies, peerDependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const packages = new Set([name, ...Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies })]);

/** Programs that are taken as they are. */
const OTHERS = new Set(["cd", "mkdir", "git", "docker", "skopeo", "curl"]);
const FILE = /^[\w./-]+\.(ts|mjs|js)$/;

/** `files` are those that a page has told its reader to write. */
export function commandProblems({ file, blocks, prose }, files) {
  const problems = [];
  for (const { line, code } of blocks.filter(({ language }) => language === "sh"))
    code.split("\n").forEach((command, index) => {
      for (const problem of problemsOf(command, files)) problems.push(`${file}:${line + index}: ${problem}`);
    });
  prose.split("\n").forEach((text, index) => {
    for (const [, command] of text.matchAll(/`((?:[A-Z]+=\S+ )*npm (?:run|test)[^`]*)`/g))
      for (const problem of problemsOf(command, files)) problems.push(`${file}:${index + 1}: ${problem}`);
  });
  return problems;
}

function problemsOf(line, files) {
  const words = line
    .replace(/\s+#.*$/, "")
    .trim()
    .split(/\s+/);
  while (/^[A-Z_]+=/.test(words[0])) words.shift();
  const [program, ...args] = words;
  if (program === "" || program.startsWith("#") || OTHERS.has(program)) return [];
  if (program === "npm") return npmProblems(args);
  if (program === "node" || program === "npx")
    return args.filter((arg) => FILE.test(arg) && !files.has(arg) && !existsSync(join(root, arg))).map((arg) => `there is no file ${arg}`);
  return [`scripts/docs/commands.mjs does not know the program ${program}`];
}

function npmProblems([command, ...args]) {
  if (command === "test") return [];
  if (command === "install") return args.filter((arg) => /^[@a-z]/.test(arg) && !packages.has(arg)).map((arg) => `${arg} is no dependency`);
  if (command !== "run") return ["init", "pack", "ci"].includes(command) ? [] : [`npm ${command} is not expected here`];
  const [script, dashes, ...options] = args;
  if (!(script in scripts)) return [`there is no script ${script}`];
  if (dashes !== "--") return [];
  // What is no example has no --help, and would run for minutes.
  const program = scripts[script].split(" ").find((word) => word.startsWith("examples/"));
  if (program === undefined) return [];
  const help = helpOf(program);
  return options
    .map((option) => option.replace(/=.*/, ""))
    .filter((option) => option.startsWith("--") && option !== "--help" && !help.includes(`${option} `))
    .map((option) => `npm run ${script} does not take ${option}`);
}

const helps = new Map();

/** What a program of this project says of its options. */
function helpOf(program) {
  if (!helps.has(program)) {
    const { stdout } = spawnSync(process.execPath, ["--import", "tsx", program, "--help"], { cwd: root, encoding: "utf8" });
    helps.set(program, `${stdout.replaceAll("\n", " ")} `);
  }
  return helps.get(program);
}
