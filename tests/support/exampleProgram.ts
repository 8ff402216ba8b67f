/** An example as its user starts it: a process of its own, that talks to loopback only. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `examples/NAME/main.ts` to its end. */
export function runExample(name: string, ...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, commandOf(name, args), { cwd: project, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** Starts one that goes on until it is stopped. */
export class RunningExample {
  stdout = "";
  stderr = "";
  private readonly closed: Promise<unknown>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on("data", (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.closed = once(child, "close");
  }

  static start(name: string, ...args: readonly string[]): RunningExample {
    return new RunningExample(spawn(process.execPath, commandOf(name, args), { cwd: project, stdio: ["ignore", "pipe", "pipe"] }));
  }

  /** Waits until it has printed this, and answers with what the pattern found. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stdout);
      if (found !== null) return found;
      const { exitCode, stdout } = this.child;
      if (exitCode !== null || stdout === null) throw new Error(`it ended with ${exitCode}: ${this.stdout}${this.stderr}`);
      await Promise.race([once(stdout, "data"), this.closed]);
    }
  }

  /** Ctrl-C; the exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode === null) this.child.kill("SIGINT");
    await this.closed;
    return this.child.exitCode;
  }
}

/** No shell and no npm between: a signal reaches the program itself. */
function commandOf(name: string, args: readonly string[]): string[] {
  return ["--import", "tsx", `examples/${name}/main.ts`, ...args];
}
