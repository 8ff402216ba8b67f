/** Reads objects. Every body is read to its end, destroyed, or handed to the caller. */

import { addAbortSignal, Readable } from "node:stream";
import { GetObjectCommand, type GetObjectCommandInput, type GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { type S3Failure, UnsoundAnswer } from "./failures.js";
import type { Requests } from "./requests.js";

export interface Reading {
  readonly key: string;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

/** At most one byte more than `maxBytes`; `undefined` where there seems to be no such object. */
export function readBytes(requests: Requests, reading: Reading, maxBytes: number): Promise<Uint8Array | undefined> {
  const { key, path, signal } = reading;
  return requests
    .send<GetObjectCommandInput, GetObjectCommandOutput, { bytes?: Uint8Array }>(
      "GetObject",
      () => new GetObjectCommand({ Bucket: requests.bucket, Key: key }),
      {
        path,
        signal,
        read: async (output, tried) => ({ bytes: await collect(addAbortSignal(tried, bodyOf(output)), output.ContentLength, maxBytes) }),
        answer: (failure) => (isAbsent(failure) ? {} : undefined),
      },
    )
    .then(({ bytes }) => bytes);
}

/** The content from an offset on; `undefined` where there seems to be no such object. */
export async function openStream(requests: Requests, reading: Reading, offset: number): Promise<Readable | undefined> {
  const { key, path, signal } = reading;
  const range = offset > 0 ? { Range: `bytes=${offset}-` } : {};
  const opened = await requests.send<GetObjectCommandInput, GetObjectCommandOutput, { stream?: Readable }>(
    "GetObject",
    () => new GetObjectCommand({ Bucket: requests.bucket, Key: key, ...range }),
    {
      path,
      signal,
      read: (output) => {
        const stream = bodyOf(output);
        if (offset === 0 || output.ContentRange?.startsWith(`bytes ${offset}-`) === true) return { stream };
        stream.destroy();
        throw new Error(`asked for the bytes from ${offset} on, got ${output.ContentRange ?? "all"}`);
      },
      answer: (failure) => {
        if (isAbsent(failure)) return {};
        // From the end on there is nothing.
        return offset > 0 && failure.status === 416 ? { stream: Readable.from([], { objectMode: false }) } : undefined;
      },
    },
  );
  return opened.stream === undefined || signal === undefined ? opened.stream : addAbortSignal(signal, opened.stream);
}

/** A missing bucket is told apart by its code where the store gives one; a listing decides in any case. */
function isAbsent({ code, status }: S3Failure): boolean {
  return code === "NoSuchKey" || (status === 404 && code !== "NoSuchBucket");
}

function bodyOf({ Body }: GetObjectCommandOutput): Readable {
  if (Body instanceof Readable) return Body;
  if (Body === undefined) return Readable.from([], { objectMode: false });
  throw new TypeError("the client's answers are no streams of Node: make it with Node's own request handler");
}

async function collect(stream: Readable, length: number | undefined, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    // Leaving the loop destroys the stream.
    if (size > maxBytes) return Buffer.concat(chunks, size);
  }
  if (length !== undefined && size < length) throw new UnsoundAnswer(`the body ended after ${size} of ${length} bytes`);
  return Buffer.concat(chunks, size);
}
