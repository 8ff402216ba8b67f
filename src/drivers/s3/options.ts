/** The options of the driver, checked once. */

import type { S3Client } from "@aws-sdk/client-s3";

/** What a caller may say. */
interface Options {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix?: string | undefined;
  readonly retryBudgetMs?: number | undefined;
  readonly maxRequestsPerSecond?: number | undefined;
  readonly maxInFlight?: number | undefined;
}

interface Checked {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
  readonly retryBudgetMs: number;
  readonly maxRequestsPerSecond: number | undefined;
  readonly maxInFlight: number;
}

/** @throws TypeError that names the option, what it is, and what it should be. */
export function checkOptions(options: Options): Checked {
  const { client, bucket, prefix = "", retryBudgetMs = 60_000, maxRequestsPerSecond, maxInFlight = 32 } = options;
  check(typeof (client as S3Client | undefined)?.send === "function", "client", client, "an S3Client of @aws-sdk/client-s3");
  check(typeof bucket === "string" && bucket !== "", "bucket", bucket, "the name of a bucket");
  check(typeof prefix === "string", "prefix", prefix, "a string");
  check(Number.isFinite(retryBudgetMs) && retryBudgetMs >= 0, "retryBudgetMs", retryBudgetMs, "milliseconds, 0 or more");
  const isRate = maxRequestsPerSecond === undefined || (Number.isFinite(maxRequestsPerSecond) && maxRequestsPerSecond > 0);
  check(isRate, "maxRequestsPerSecond", maxRequestsPerSecond, "a number above 0");
  check(Number.isSafeInteger(maxInFlight) && maxInFlight >= 1, "maxInFlight", maxInFlight, "a whole number, 1 or more");
  return { client, bucket, prefix, retryBudgetMs, maxRequestsPerSecond, maxInFlight };
}

function check(isRight: boolean, name: string, value: unknown, expected: string): void {
  if (isRight) return;
  const shown = typeof value === "string" || typeof value === "number" ? JSON.stringify(value) : typeof value;
  throw new TypeError(`option ${name} is ${shown}; expected ${expected}`);
}
