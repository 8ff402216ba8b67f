/** Debian's redis-server on loopback, in a temporary folder: stopped, killed and started again as tests want it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import { freePorts } from "../interop/s3/support/processes.js";
import { isOnPath } from "../support/programs.js";

const isMissing = !isOnPath("redis-server");
if (isMissing && process.env["INTEROP"] === "required") throw new Error("INTEROP=required, but there is no redis-server here");

/** Tests that need Redis: skipped by name where there is none. */
export const describeRedis = describe.skipIf(isMissing);

export class RedisServer {
  private child: ChildProcess | undefined;
  private restarting: Promise<void> = Promise.resolve();
  private readonly folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-redis-"));
  private readonly kill = () => this.child?.kill("SIGKILL");

  private constructor(
    readonly port: number,
    /** Whether what it holds outlives it. */
    private readonly isDurable: boolean,
  ) {
    process.once("exit", this.kill);
  }

  static async start({ isDurable = false } = {}): Promise<RedisServer> {
    const [port = 0] = await freePorts(1);
    const server = new RedisServer(port, isDurable);
    await server.begin();
    return server;
  }

  get connection(): { host: string; port: number; maxRetriesPerRequest: null } {
    return { host: "127.0.0.1", port: this.port, maxRetriesPerRequest: null };
  }

  async begin(): Promise<void> {
    const keep = this.isDurable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
    const at = ["--port", `${this.port}`, "--bind", "127.0.0.1", "--dir", this.folder, "--save", ""];
    this.child = spawn("redis-server", [...at, ...keep], { stdio: "ignore" });
    this.child.once("error", () => undefined);
    for (let i = 0; !(await this.answers()); i++) {
      if (i > 200) throw new Error(`redis-server does not answer on port ${this.port}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it, as a crash would. */
  async end(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }

  /** Ends it and begins it anew, one restart after the other. */
  restart(downMs: number): Promise<void> {
    this.restarting = this.restarting.then(async () => {
      await this.end();
      await new Promise((resolve) => setTimeout(resolve, downMs));
      await this.begin();
    });
    return this.restarting;
  }

  async stop(): Promise<void> {
    process.off("exit", this.kill);
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1");
      socket.once("connect", () => socket.write("PING\r\n"));
      socket.once("data", (data) => {
        socket.destroy();
        resolve(data.toString().startsWith("+PONG"));
      });
      socket.once("error", () => resolve(false));
    });
  }
}
