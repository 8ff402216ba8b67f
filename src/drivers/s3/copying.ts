/** Copies an object within the bucket, of any size, to a place where nothing is. */

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  type CopyObjectCommandOutput,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { DriverError } from "../../errors.js";
import { refusesCondition, type S3Failure, UnsoundAnswer } from "./failures.js";
import type { Requests } from "./requests.js";

/** `maybeOurs`: taken, perhaps by an earlier try whose answer was lost. `tooLarge`: for one request. */
export type CopyOutcome = "copied" | "taken" | "maybeOurs" | "absent" | "tooLarge" | "unsupported";

/** Bytes of a part: 10,000 of them are more than the largest object. */
const PART_BYTES = 1024 ** 3;
/** Parts that are copied at once. */
const PARTS_AT_ONCE = 4;

export interface Copy {
  readonly source: string;
  readonly destination: string;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

/** One request. With `ifAbsent` the store is asked to leave what is at the destination. */
export function copyObject(requests: Requests, copy: Copy, { ifAbsent }: { readonly ifAbsent: boolean }): Promise<CopyOutcome> {
  const { source, destination, path, signal } = copy;
  const make = () =>
    new CopyObjectCommand({
      Bucket: requests.bucket,
      Key: destination,
      CopySource: copySource(requests.bucket, source),
      ...(ifAbsent && { IfNoneMatch: "*" }),
    });
  const read = ({ CopyObjectResult }: CopyObjectCommandOutput): CopyOutcome => {
    if (CopyObjectResult?.ETag === undefined) throw new UnsoundAnswer("the answer to a copy tells no result");
    return "copied";
  };
  return requests.send("CopyObject", make, { path, signal, read, answer: (failure, tries) => outcomeOf(failure, tries, ifAbsent) });
}

function outcomeOf(failure: S3Failure, tries: number, ifAbsent: boolean): CopyOutcome | undefined {
  const { code, status, message } = failure;
  if (code === "NoSuchKey") return "absent";
  if (ifAbsent && status === 412) return tries > 1 ? "maybeOurs" : "taken";
  if (ifAbsent && refusesCondition(failure)) return "unsupported";
  const isTooLarge =
    /^(InvalidRequest|EntityTooLarge|InvalidArgument|CopySourceTooLarge)$/.test(code) && /larg|size/i.test(`${code} ${message}`);
  return isTooLarge ? "tooLarge" : undefined;
}

/** In parts: what is larger than 5 GiB can't be copied otherwise. `maybeOurs`: the store knows the upload no more, perhaps as it was completed. */
export async function copyInParts(requests: Requests, copy: Copy, size: number): Promise<"copied" | "maybeOurs"> {
  const { source, destination, path, signal } = copy;
  const at = { Bucket: requests.bucket, Key: destination };
  const upload = await requests.send("CreateMultipartUpload", () => new CreateMultipartUploadCommand(at), {
    path,
    signal,
    read: ({ UploadId }) => {
      if (UploadId === undefined) throw new UnsoundAnswer("the answer names no upload");
      return UploadId;
    },
  });
  const copyPart = (number: number) => {
    const start = (number - 1) * PART_BYTES;
    const make = () =>
      new UploadPartCopyCommand({
        ...at,
        UploadId: upload,
        PartNumber: number,
        CopySource: copySource(requests.bucket, source),
        CopySourceRange: `bytes=${start}-${Math.min(size, start + PART_BYTES) - 1}`,
      });
    return requests.send("UploadPartCopy", make, {
      path,
      signal,
      read: ({ CopyPartResult }) => {
        if (CopyPartResult?.ETag === undefined) throw new UnsoundAnswer("the answer to a copy tells no result");
        return { PartNumber: number, ETag: CopyPartResult.ETag };
      },
    });
  };
  try {
    const parts: { PartNumber: number; ETag: string }[] = [];
    const count = Math.ceil(size / PART_BYTES);
    for (let first = 1; first <= count; first += PARTS_AT_ONCE) {
      const numbers = Array.from({ length: Math.min(PARTS_AT_ONCE, count - first + 1) }, (_, i) => first + i);
      const settled = await Promise.allSettled(numbers.map(copyPart));
      for (const each of settled) {
        if (each.status === "rejected") throw each.reason;
        parts.push(each.value);
      }
    }
    const make = () => new CompleteMultipartUploadCommand({ ...at, UploadId: upload, MultipartUpload: { Parts: parts } });
    return await requests.send("CompleteMultipartUpload", make, {
      path,
      signal,
      read: ({ ETag }) => {
        if (ETag === undefined) throw new UnsoundAnswer("the answer to the last part tells no result");
        return "copied" as const;
      },
      answer: ({ code }, tries) => (code === "NoSuchUpload" && tries > 1 ? ("maybeOurs" as const) : undefined),
    });
  } catch (error) {
    await abandon(requests, copy, upload);
    throw error;
  }
}

/** Parts that nobody puts together cost money for ever. That they could not be removed must not hide why there was need to. */
async function abandon(requests: Requests, { destination, path }: Copy, upload: string): Promise<void> {
  const make = () => new AbortMultipartUploadCommand({ Bucket: requests.bucket, Key: destination, UploadId: upload });
  try {
    await requests.send("AbortMultipartUpload", make, { path, signal: undefined, read: () => undefined });
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
  }
}

function copySource(bucket: string, key: string): string {
  return `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}
