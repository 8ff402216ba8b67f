import { execFile } from "node:child_process";

/** Runs a program to its end, and returns what it printed; an error says all that it said. */
export function run(
  file: string,
  args: readonly string[],
  { cwd, timeoutMs = 240_000 }: { cwd: string; timeoutMs?: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { cwd, timeout: timeoutMs, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${[file, ...args].join(" ")}: ${error.killed === true ? "took too long" : "failed"}\n${stdout}${stderr}`));
    });
  });
}
