/** The only importer of util-stream: the first bytes of a driver's stream, which is always destroyed. */

import { addAbortSignal, finished, Readable } from "node:stream";
import { headStream } from "@smithy/util-stream";
import type { AbortOptions, StorageDriver } from "../driver.js";

/** A whole small object, or `maxBytes + 1` bytes of a larger one. */
export async function readBounded(
  driver: StorageDriver,
  path: string,
  options: AbortOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  if (driver.getContent !== undefined) return driver.getContent(path, options);
  const stream = await driver.reader(path, { signal: options.signal, offset: 0 });
  const readable = stream instanceof Readable ? stream : Readable.fromWeb(stream as never);
  if (options.signal) addAbortSignal(options.signal, readable);
  return headOf(readable, options.maxBytes + 1);
}

/** `headStream` waits for ever on a stream that ends early, and never destroys what it read from: hence the race, and `destroy`. */
async function headOf(stream: Readable, bytes: number): Promise<Uint8Array> {
  let stop: (() => void) | undefined;
  const broken = new Promise<never>((_, reject) => {
    stop = finished(stream, { writable: false }, (error) => {
      if (error) reject(error);
    });
  });
  broken.catch(() => {
    // The race below may have been won by then.
  });
  try {
    return await Promise.race([headStream(stream, bytes), broken]);
  } finally {
    stop?.();
    stream.destroy();
  }
}
