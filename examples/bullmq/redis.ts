/** A Redis for the example: the one that REDIS_URL names, or one of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectToRedis } from "../shared/connectToRedis.js";

const START_MS = 10_000;
const ANSWER_MS = 5000;

/** Hands the URL of a Redis to some work. One of our own ends with it, and leaves nothing. */
export async function withRedis<T>(work: (url: string) => Promise<T>): Promise<T> {
  const { REDIS_URL } = process.env;
  if (REDIS_URL !== undefined) {
    // Workers would wait for one that is not there.
    (await connectToRedis(REDIS_URL, ANSWER_MS, "REDIS_URL")).disconnect();
    return work(REDIS_URL);
  }
  const folder = await mkdtemp(join(tmpdir(), "oci-registry-gc-redis-"));
  const port = await freePort();
  const place = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder];
  // Jobs outlive a restart of it.
  const server = spawn("redis-server", [...place, "--appendonly", "yes", "--save", ""], { stdio: "ignore", detached: true });
  const ended = new Promise<unknown>((resolve) => {
    server.once("close", resolve);
    server.once("error", resolve);
  });
  try {
    const over = new AbortController();
    void ended.then(() => over.abort());
    await Promise.race([answers(port, over.signal), ended.then((why) => Promise.reject(missing(why)))]);
    return await work(`redis://127.0.0.1:${port}`);
  } finally {
    server.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

function missing(why: unknown): Error {
  return new Error(`redis-server could not be started (${String(why)}): install it, or name a Redis by REDIS_URL`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  return port;
}

async function answers(port: number, over: AbortSignal): Promise<void> {
  for (const end = Date.now() + START_MS; Date.now() < end && !over.aborted; await sleep(50)) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      // Not yet.
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`redis-server does not answer on port ${port}`);
}
