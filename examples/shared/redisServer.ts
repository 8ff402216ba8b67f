/** A Redis of our own on loopback, that keeps nothing on disk: for a demonstration, and for tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { UsageError } from "./program.js";

const ATTEMPTS = 5;

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** At once, as when the machine is gone. */
  stop(): Promise<void>;
}

/** Starts `redis-server`; at any free port where none is given. */
export async function startRedis(port?: number): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? (await freePort());
    const child = spawn(
      "redis-server",
      ["--port", String(chosen), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tmpdir()],
      {
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    if (await isReady(child)) {
      return {
        port: chosen,
        url: `redis://127.0.0.1:${chosen}`,
        async stop() {
          process.off("exit", kill);
          if (child.exitCode !== null || child.signalCode !== null) return;
          const closed = once(child, "close");
          kill();
          await closed;
        },
      };
    }
    process.off("exit", kill);
    if (attempt === ATTEMPTS) throw new Error(`redis-server did not start on port ${chosen}`);
  }
}

/** Someone else may have taken the port by then: it ends, and is tried again. */
async function isReady(child: ChildProcess): Promise<boolean> {
  const failed = new Promise<never>((_, reject) => {
    child.once("error", () => {
      reject(new UsageError("there is no redis-server here: install Debian's package redis-server, or name a Redis with --redis URL"));
    });
  });
  const told = new Promise<boolean>((resolve) => {
    let log = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("Ready to accept connections")) resolve(true);
    });
    child.once("close", () => resolve(false));
  });
  return Promise.race([told, failed]);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
