/** A driver on the stand-in, for tests. */

import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { S3Driver, type S3DriverOptions } from "oci-registry-gc/drivers/s3";
import { afterEach, beforeEach } from "vitest";
import { MONTH_AGO, type Store } from "../support/stores.js";
import { S3StandIn } from "./standIn.js";

let standIn: S3StandIn;
const clients: S3Client[] = [];

/** A stand-in for each test: what an aborted call has sent already must not be counted in the next. */
export function useStandIn(): void {
  beforeEach(async () => {
    standIn = await S3StandIn.start();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await standIn.stop();
  });
}

export function clientOf({ endpoint }: S3StandIn, config: S3ClientConfig = {}): S3Client {
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
    ...config,
  });
  clients.push(client);
  return client;
}

/** Waits for nothing, and remembers how long it should have. */
export class InstantClock {
  readonly slept: number[] = [];
  private passed = 0;
  now = () => Date.now() + this.passed;
  /** Time passes, and nobody has slept. */
  advance(ms: number): void {
    this.passed += ms;
  }
  sleep = async (ms: number, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    this.slept.push(ms);
    this.passed += ms;
    await new Promise((resolve) => setImmediate(resolve));
  };
}

export interface S3World {
  readonly s3: S3StandIn;
  readonly driver: S3Driver;
  readonly clock: InstantClock;
}

export function s3World(options: Partial<S3DriverOptions> = {}, config: S3ClientConfig = {}): S3World {
  const clock = new InstantClock();
  return { s3: standIn, driver: new S3Driver({ client: clientOf(standIn, config), bucket: standIn.bucket, clock, ...options }), clock };
}

export function s3Store(): Store {
  const { driver, s3 } = s3World({ prefix: "some/prefix/" });
  return {
    driver,
    hasDirectories: false,
    async put(path, content, time = MONTH_AGO) {
      s3.put(`some/prefix${path}`, Buffer.from(content), { time });
    },
    async makeDirectory() {
      // There are none.
    },
  };
}
