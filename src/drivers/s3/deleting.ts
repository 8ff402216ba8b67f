/** Deletes many keys: a thousand a request, fewer where the store wants that, one by one where it can't do better. */

import {
  DeleteObjectCommand,
  type DeleteObjectCommandOutput,
  DeleteObjectsCommand,
  type DeleteObjectsCommandOutput,
} from "@aws-sdk/client-s3";
import { DriverError, messageOf } from "../../errors.js";
import { kindOf, type S3Failure } from "./failures.js";
import type { Requests } from "./requests.js";

/** A key that is still there, and why. */
export interface Undeleted {
  readonly key: string;
  readonly code: string;
  readonly message: string;
}

const MOST_KEYS = 1000;
/** Single deletes at once. */
const SINGLES = 16;
/** How a whole request can be refused for what it is, not for what it asks. */
const UNKNOWN = /^(NotImplemented|MethodNotAllowed|501|405)$/;
const TOO_MANY = /^(MalformedXML|EntityTooLarge|RequestEntityTooLarge|MaxMessageLengthExceeded|InvalidRequest|413)$/;

type Batch =
  | { readonly kind: "answered"; readonly output: DeleteObjectsCommandOutput }
  | { readonly kind: "tooMany" }
  | { readonly kind: "unknown" };

export class Deleter {
  /** How many keys this store takes at once; learned. */
  private most = MOST_KEYS;
  private isSingle = false;
  /** The bucket is versioned: what was deleted lies there still, under a marker that says so. */
  keepsVersions = false;

  constructor(private readonly requests: Requests) {}

  /** Deletes exactly these keys. An absent one counts as deleted. Returns what is still there. */
  async deleteKeys(keys: readonly string[], path: string, signal: AbortSignal | undefined): Promise<Undeleted[]> {
    const left: Undeleted[] = [];
    const open = [...new Set(keys)];
    while (open.length > 0) {
      signal?.throwIfAborted();
      const batch = open.splice(0, this.isSingle ? SINGLES : this.most);
      const undeleted = this.isSingle ? await this.singly(batch, path, signal) : await this.batch(batch, path, signal);
      if (undeleted === undefined) open.unshift(...batch);
      else left.push(...undeleted);
    }
    return left;
  }

  /** `undefined`: not done, and what was learned says how to do it. */
  private async batch(keys: readonly string[], path: string, signal: AbortSignal | undefined): Promise<Undeleted[] | undefined> {
    const left: Undeleted[] = [];
    let open = keys;
    let spent: number | undefined = 0;
    for (let tries = 1; ; tries++) {
      const answer = await this.request(open, path, signal);
      if (answer instanceof DriverError) return [...left, ...open.map((key) => failed(key, answer))];
      if (answer.kind === "unknown") {
        this.isSingle = true;
        return undefined;
      }
      if (answer.kind === "tooMany") {
        this.most = Math.max(1, Math.floor(Math.min(this.most, open.length) / 2));
        return undefined;
      }
      if (answer.output.Deleted?.some(({ DeleteMarker }) => DeleteMarker === true) === true) this.keepsVersions = true;
      const { final, again } = judge(open, answer.output);
      left.push(...final);
      if (again.length === 0) return left;
      spent = await this.requests.waitAgain(tries, spent, signal);
      if (spent === undefined) return [...left, ...again];
      open = again.map(({ key }) => key);
    }
  }

  private async request(keys: readonly string[], path: string, signal: AbortSignal | undefined): Promise<Batch | DriverError> {
    const make = () =>
      new DeleteObjectsCommand({ Bucket: this.requests.bucket, Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: false } });
    const answer = (failure: S3Failure): Batch | undefined => {
      if ([failure.code, String(failure.status)].some((each) => UNKNOWN.test(each))) return { kind: "unknown" };
      const isTooMany = keys.length > 1 && [failure.code, String(failure.status)].some((each) => TOO_MANY.test(each));
      return isTooMany ? { kind: "tooMany" } : undefined;
    };
    try {
      const read = (output: DeleteObjectsCommandOutput): Batch => ({ kind: "answered", output });
      return await this.requests.send("DeleteObjects", make, { path, signal, read, answer, checksums: true });
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof DriverError) return error;
      throw error;
    }
  }

  private async singly(keys: readonly string[], path: string, signal: AbortSignal | undefined): Promise<Undeleted[]> {
    const results = await Promise.all(keys.map((key) => this.single(key, path, signal)));
    return results.filter((each) => each !== undefined);
  }

  private async single(key: string, path: string, signal: AbortSignal | undefined): Promise<Undeleted | undefined> {
    try {
      await this.deleteKey(key, path, signal);
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      return failed(key, error);
    }
  }

  /** Deletes one key; that it was not there is as good. */
  async deleteKey(key: string, path: string, signal: AbortSignal | undefined): Promise<void> {
    const make = () => new DeleteObjectCommand({ Bucket: this.requests.bucket, Key: key });
    const answer = ({ code }: S3Failure) => (code === "NoSuchKey" ? true : undefined);
    const read = ({ DeleteMarker }: DeleteObjectCommandOutput) => {
      if (DeleteMarker === true) this.keepsVersions = true;
      return true;
    };
    await this.requests.send("DeleteObject", make, { path, signal, read, answer });
  }
}

/** What became of each key. One that the answer does not name is not known to be gone. */
function judge(
  keys: readonly string[],
  { Deleted = [], Errors = [] }: DeleteObjectsCommandOutput,
): { final: Undeleted[]; again: Undeleted[] } {
  const open = new Set(keys);
  for (const { Key } of Deleted) if (Key !== undefined) open.delete(Key);
  const final: Undeleted[] = [];
  const again: Undeleted[] = [];
  for (const { Key = "", Code = "Unknown", Message = "" } of Errors) {
    if (!open.delete(Key) || Code === "NoSuchKey") continue;
    (kindOf({ code: Code, status: 0 }) === "final" ? final : again).push({ key: Key, code: Code, message: Message });
  }
  for (const key of open) final.push({ key, code: "NOT_CONFIRMED", message: "the store did not say that it was deleted" });
  return { final, again };
}

function failed(key: string, error: unknown): Undeleted {
  return { key, code: "DRIVER_ERROR", message: messageOf(error) };
}
