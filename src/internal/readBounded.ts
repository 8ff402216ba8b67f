/** The only importer of util-stream: a driver's streams, read up to a limit or whole, and always destroyed. */

import { addAbortSignal, finished, Readable } from "node:stream";
import type { AbortOptions, StorageDriver } from "../driver.js";
import { toDriverError } from "./driverErrors.js";
import { PATIENCE_MS, within } from "./untilAborted.js";

type Streaming = Pick<StorageDriver, "name" | "reader">;

/** A whole small object, or `maxBytes + 1` bytes of a larger one. */
export async function readBounded(
  driver: StorageDriver,
  path: string,
  options: AbortOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  return driver.getContent === undefined ? readHead(driver, path, options) : driver.getContent(path, options);
}

/** The same, of a stream. */
export async function readHead(
  driver: Streaming,
  path: string,
  options: AbortOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  // Loaded where it is needed: most drivers tell a whole object, and it takes a fifth of the library's start.
  const { headStream } = await import("@smithy/util-stream");
  const stream = await open(driver, path, options);
  try {
    return await headOf(stream, (head) => headStream(head, options.maxBytes + 1));
  } catch (error) {
    throw toDriverError(driver.name, "reading", path, error, options.signal);
  }
}

/** Everything that a path holds from an offset on, piece by piece. A connection that is dead may never say so: no piece is waited for longer than a minute. */
export async function* readPieces(driver: StorageDriver, path: string, offset = 0): AsyncIterable<Uint8Array> {
  const stream = await open(driver, path, {}, offset);
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const step = await within(chunks.next(), PATIENCE_MS);
      if (step === undefined) throw new Error(`nothing came for ${PATIENCE_MS / 1000} seconds`);
      if (step.done === true) return;
      yield step.value;
    }
  } catch (error) {
    throw toDriverError(driver.name, "reading", path, error, undefined);
  } finally {
    stream.destroy();
  }
}

/** So many bytes from an offset on, or as many as there are. */
export async function readRange(driver: StorageDriver, path: string, offset: number, bytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let read = 0;
  for await (const chunk of readPieces(driver, path, offset)) {
    chunks.push(chunk);
    read += chunk.length;
    if (read >= bytes) break;
  }
  return Buffer.concat(chunks).subarray(0, bytes);
}

async function open(driver: Streaming, path: string, { signal }: AbortOptions, offset = 0): Promise<Readable> {
  const stream = await driver.reader(path, { signal, offset });
  const readable = stream instanceof Readable ? stream : fromWeb(driver, path, stream);
  if (signal) addAbortSignal(signal, readable);
  return readable;
}

/** One that somebody reads already can't be read. */
function fromWeb(driver: Streaming, path: string, stream: unknown): Readable {
  try {
    return Readable.fromWeb(stream as never);
  } catch (error) {
    throw toDriverError(driver.name, "reader", path, error, undefined);
  }
}

/** `headStream` (`head`) waits for ever on a stream that ends early, and never destroys what it read from: hence the race, and `destroy`. */
async function headOf(stream: Readable, head: (stream: Readable) => Promise<Uint8Array>): Promise<Uint8Array> {
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
    return await Promise.race([head(stream), broken]);
  } finally {
    stop?.();
    stream.destroy();
  }
}
