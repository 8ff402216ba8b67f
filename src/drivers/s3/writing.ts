/** Writes whole objects, where that is asked only where nothing is. */

import { PutObjectCommand } from "@aws-sdk/client-s3";
import { UnsupportedError } from "../../errors.js";
import type { Deleter } from "./deleting.js";
import { refusesCondition, type S3Failure } from "./failures.js";
import { findObject } from "./pages.js";
import { Proof } from "./proof.js";
import { readBytes } from "./reading.js";
import type { Requests } from "./requests.js";

export interface Writing {
  readonly key: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly signal: AbortSignal | undefined;
}

/** `maybeOurs`: something is there, and it may be what an earlier try wrote whose answer was lost. */
type Outcome = "written" | "taken" | "maybeOurs" | "unsupported";

export class Writer {
  /** Some stores ignore the condition, and write. */
  private readonly condition = new Proof();

  constructor(
    private readonly requests: Requests,
    private readonly deleter: Deleter,
  ) {}

  async write(writing: Writing): Promise<void> {
    await this.put(writing, false);
  }

  /**
   * Whether it wrote: only where nothing was. The first time it is proved that the store keeps the condition: it must refuse the
   * same once more.
   *
   * @throws UnsupportedError where the store doesn't.
   */
  writeIfAbsent(writing: Writing): Promise<boolean> {
    return this.condition.ask(async (kept, tell) => {
      if (kept === false) throw unsupported(this.requests.bucket);
      if (kept === undefined && (await this.isThere(writing))) return false;
      const outcome = await this.put(writing, true);
      if (outcome === "unsupported") {
        tell(false);
        throw unsupported(this.requests.bucket);
      }
      if (outcome !== "written") {
        tell(true);
        return outcome === "maybeOurs" && (await this.isOurs(writing));
      }
      if (kept === undefined) await this.prove(writing, tell);
      return true;
    });
  }

  private async prove(writing: Writing, tell: (kept: boolean) => void): Promise<void> {
    const isKept = (await this.put(writing, true)) !== "written";
    tell(isKept);
    if (isKept) return;
    await this.deleter.deleteKey(writing.key, writing.path, writing.signal);
    throw unsupported(this.requests.bucket);
  }

  private async isThere(writing: Writing): Promise<boolean> {
    return (await findObject(this.requests, writing)) !== undefined;
  }

  private async isOurs(writing: Writing): Promise<boolean> {
    const there = await readBytes(this.requests, writing, writing.bytes.length);
    return there !== undefined && Buffer.compare(there, writing.bytes) === 0;
  }

  private put({ key, path, bytes, signal }: Writing, ifAbsent: boolean): Promise<Outcome> {
    const make = () =>
      new PutObjectCommand({
        Bucket: this.requests.bucket,
        Key: key,
        Body: bytes,
        ContentLength: bytes.length,
        ...(ifAbsent && { IfNoneMatch: "*" }),
      });
    const answer = (failure: S3Failure, tries: number): Outcome | undefined => {
      if (ifAbsent && failure.status === 412) return tries > 1 ? "maybeOurs" : "taken";
      return ifAbsent && refusesCondition(failure) ? "unsupported" : undefined;
    };
    return this.requests.send("PutObject", make, { path, signal, read: (): Outcome => "written", answer, checksums: true });
  }
}

function unsupported(bucket: string): UnsupportedError {
  return new UnsupportedError(`s3: the store of bucket ${JSON.stringify(bucket)} can't write on the condition that nothing is there`);
}
