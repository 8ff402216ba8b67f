/**
 * The S3 stand-in in a process of its own, so that its work is not taken for the client's: started by `benchmarks/s3.ts`, ended with
 * it. It makes the bucket, answers each request after a latency, and tells its parent where it listens.
 */

import { S3StandIn } from "../tests/s3/standIn.js";
import { fill, type Shape } from "./s3Tree.js";

export interface Order {
  readonly shape: Shape;
  /** Milliseconds before each answer. */
  readonly latencyMs: number;
}

export interface Ready {
  readonly endpoint: string;
  readonly bucket: string;
  readonly keys: number;
}

process.once("disconnect", () => process.exit());
process.once("message", (order: Order) => void serve(order));

async function serve({ shape, latencyMs }: Order): Promise<void> {
  const s3 = await S3StandIn.start();
  fill(s3, shape);
  s3.sort();
  s3.delay = () => new Promise((resolve) => setTimeout(resolve, latencyMs));
  const ready: Ready = { endpoint: s3.endpoint, bucket: s3.bucket, keys: s3.objects.size };
  process.send?.(ready);
}
