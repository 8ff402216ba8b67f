/** A process that makes parts, for as long as it lives. Whoever started it says on what, and ends it as he likes. */

import { setTimeout as sleep } from "node:timers/promises";
import { openRegistry, type StorageDriver } from "oci-registry-gc";
import { type CollectionWorker, createWorker } from "oci-registry-gc/bullmq";
import { openStorage, type Serve } from "./storage.js";

function slow(driver: StorageDriver, delayMs: number): StorageDriver {
  return new Proxy(driver, {
    get(target, member) {
      const value: unknown = Reflect.get(target, member);
      if (typeof value !== "function") return value;
      const call = (...parameters: unknown[]) => Reflect.apply(value, target, parameters) as unknown;
      if (member === "list" || member === "walk") {
        return async function* (...parameters: unknown[]) {
          await sleep(delayMs);
          yield* call(...parameters) as AsyncIterable<unknown>;
        };
      }
      return async (...parameters: unknown[]) => {
        await sleep(delayMs);
        return call(...parameters);
      };
    },
  });
}

let current: Promise<CollectionWorker> | undefined;

async function serve({ redis, queue, storage, delayMs, lockMs }: Serve): Promise<CollectionWorker> {
  const driver = slow(openStorage(storage), delayMs);
  const worker = createWorker({
    connection: { host: "127.0.0.1", port: redis, maxRetriesPerRequest: null, retryStrategy: () => 100 },
    queue,
    driver,
    registry: openRegistry(driver),
    bullmq: { lockDuration: lockMs, stalledInterval: lockMs / 2, maxStalledCount: 1000, drainDelay: 1, runRetryDelay: 300 },
    ...(process.env["CHAOS_LOG"] !== undefined && { ctx: { logger: { debug() {}, info() {}, warn: complain, error: complain } } }),
  });
  await worker.ready();
  process.send?.("ready");
  return worker;
}

function complain(message: string): void {
  console.error(`${process.pid}: ${message}`);
}

process.on("message", (message: Serve | "stop") => {
  if (message !== "stop") {
    current = serve(message);
    return;
  }
  void current?.then(async (worker) => {
    await worker.close({ graceMs: 2000 });
    process.send?.("stopped");
  });
});
process.on("disconnect", () => process.exit());
process.send?.("up");
