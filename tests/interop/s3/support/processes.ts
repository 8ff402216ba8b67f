/** Programs that serve on loopback: started one after the other, and ended with all that they started. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";

const START_MS = 30_000;

/** Ports that nobody listens on. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

export class Processes {
  private readonly running: ChildProcess[] = [];
  private readonly killAll = () => {
    for (const { pid } of this.running) if (pid !== undefined) killGroup(pid);
  };

  constructor() {
    process.once("exit", this.killAll);
  }

  /** Starts a program, its output into a file, and waits until it answers on its port. */
  async serve(port: number, log: string, file: string, args: readonly string[]): Promise<void> {
    const out = openSync(log, "w");
    // In a group of its own, since such servers fork workers.
    const child = spawn(file, args, { stdio: ["ignore", out, out], detached: true });
    closeSync(out);
    this.running.push(child);
    child.once("error", () => undefined);
    const until = Date.now() + START_MS;
    while (!(await answers(port))) {
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`${[file, ...args].join(" ")} does not answer on port ${port}:\n${readFileSync(log, "utf8").slice(-5000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async stop(): Promise<void> {
    process.off("exit", this.killAll);
    const ended = this.running
      .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      .map((child) => once(child, "close"));
    this.killAll();
    await Promise.all(ended);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
