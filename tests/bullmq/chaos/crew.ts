/** Four worker processes, and what becomes of them. */

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Serve } from "./storage.js";

const SCRIPT = fileURLToPath(new URL("worker.ts", import.meta.url));

export class Crew {
  private readonly members: ChildProcess[] = [];
  /** Started ahead: a process takes its time. */
  private readonly spare: ChildProcess[] = [];
  private readonly frozen = new Set<ChildProcess>();
  private readonly heard = new WeakMap<ChildProcess, Set<unknown>>();
  private task: Serve | undefined;
  private readonly killAll = () => {
    for (const child of [...this.members, ...this.spare]) child.kill("SIGKILL");
  };

  constructor(private readonly size: number) {
    process.once("exit", this.killAll);
    for (let i = 0; i < size; i++) this.members.push(this.spawn());
  }

  private spawn(): ChildProcess {
    const child = fork(SCRIPT, { execArgv: ["--no-warnings", "--import", "tsx"], stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const heard = new Set<unknown>();
    this.heard.set(child, heard);
    child.on("message", (message) => heard.add(message));
    child.on("error", () => undefined);
    return child;
  }

  async serve(task: Serve): Promise<void> {
    this.task = task;
    await Promise.all(this.members.map((child) => this.tell(child, task, "ready")));
  }

  /** Ends the work; a process that does not end it in time is killed. */
  async rest(): Promise<void> {
    this.thaw();
    await Promise.all(
      this.members.map(async (child, i) => {
        if (await this.tell(child, "stop", "stopped")) return;
        child.kill("SIGKILL");
        this.members[i] = this.spawn();
      }),
    );
    this.task = undefined;
  }

  /** Kills one, as an out-of-memory killer would, and hires another. */
  kill(which: number): void {
    const child = this.members[which % this.size]!;
    child.kill("SIGKILL");
    this.frozen.delete(child);
    const next = this.spare.pop() ?? this.spawn();
    this.members[which % this.size] = next;
    if (this.task !== undefined) void this.tell(next, this.task, "ready");
    this.spare.push(this.spawn());
  }

  /** Stops one where it is; returns what wakes it. */
  freeze(which: number): () => void {
    const child = this.members[which % this.size]!;
    child.kill("SIGSTOP");
    this.frozen.add(child);
    return () => {
      child.kill("SIGCONT");
      this.frozen.delete(child);
    };
  }

  thaw(): void {
    for (const child of this.frozen) child.kill("SIGCONT");
    this.frozen.clear();
  }

  async disband(): Promise<void> {
    process.off("exit", this.killAll);
    const all = [...this.members, ...this.spare];
    const ended = all.map(
      (child) => new Promise((resolve) => ((child.exitCode ?? child.signalCode) === null ? child.once("exit", resolve) : resolve(0))),
    );
    this.killAll();
    await Promise.all(ended);
  }

  /** Says something once the process is up, and waits for its answer; whether one came. */
  private async tell(child: ChildProcess, message: Serve | "stop", answer: string): Promise<boolean> {
    const heard = this.heard.get(child)!;
    if (!(await until(() => heard.has("up") || isGone(child))) || isGone(child)) return false;
    heard.delete(answer);
    child.send(message, () => undefined);
    await until(() => heard.has(answer) || isGone(child));
    return heard.has(answer);
  }
}

function isGone({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

async function until(holds: () => boolean, ms = 20_000): Promise<boolean> {
  const end = Date.now() + ms;
  while (!holds() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  return holds();
}
