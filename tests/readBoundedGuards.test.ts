/** Streams that are read to a limit, from an offset, or whole: nothing more, nothing less, and none is left open. */

import { Readable } from "node:stream";
import { PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { readBounded, readPieces, readRange } from "../src/internal/readBounded.js";

const TEXT = "0123456789";

/** A driver that has nothing but streams, of these pieces. */
function streaming(pieces: readonly string[] = [TEXT]) {
  const streams: Readable[] = [];
  const asked: ({ readonly offset?: number; readonly signal?: AbortSignal | undefined } | undefined)[] = [];
  const driver = {
    name: "streams",
    reader: async (_: string, options?: { readonly offset?: number; readonly signal?: AbortSignal }) => {
      asked.push(options);
      const [first = "", ...rest] = pieces;
      const stream = Readable.from(
        [first.slice(options?.offset ?? 0), ...rest].filter((each) => each !== "").map((each) => Buffer.from(each)),
      );
      streams.push(stream);
      return stream;
    },
  } as unknown as StorageDriver;
  return { driver, streams, asked };
}

const giving = (stream: unknown, onOpen: () => void = () => undefined) =>
  ({
    name: "streams",
    reader: async () => {
      setImmediate(onOpen);
      return stream;
    },
  }) as unknown as StorageDriver;

describe("a range", () => {
  test.each([
    [0, 3, "012"],
    [3, 4, "3456"],
    [3, 100, "3456789"],
    [10, 5, ""],
  ])("from %i on of %i bytes is %j", async (offset, bytes, text) => {
    const { driver, streams } = streaming();
    expect(String(await readRange(driver, "/x", offset, bytes))).toBe(text);
    expect(streams.every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("that is whole by now asks for no more of the stream", async () => {
    const stream = new Readable({ read: () => undefined });
    stream.push("abc");
    expect(String(await readRange(giving(stream), "/x", 0, 3))).toBe("abc");
    expect(stream.destroyed).toBe(true);
  });
});

describe("pieces", () => {
  test.each(["left", "broken"])("of a stream that is %s leave none open", async (how) => {
    const stream = new Readable({ read: () => undefined });
    stream.push("abc");
    const read = async () => {
      for await (const piece of readPieces(giving(stream), "/x")) {
        expect(String(piece)).toBe("abc");
        if (how === "left") return;
        stream.destroy(new Error("EPIPE"));
      }
    };
    if (how === "left") await read();
    else
      await expect(read()).rejects.toMatchObject({
        code: "DRIVER_ERROR",
        path: "/x",
        message: expect.stringMatching(/reading of \/x/) as string,
      });
    expect(stream.destroyed).toBe(true);
  });

  test("of what is not there are that error", async () => {
    const driver = { name: "streams", reader: (path: string) => Promise.reject(new PathNotFoundError(path, "streams")) };
    await expect(
      readPieces(driver as unknown as StorageDriver, "/x")
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject({ code: "PATH_NOT_FOUND" });
  });
});

describe("a bounded read", () => {
  test("of a stream that breaks is a failed call that says where, and no short answer", async () => {
    const stream = new Readable({ read: () => undefined });
    stream.push("abc");
    const driver = giving(stream, () => stream.destroy(new Error("EPIPE")));
    await expect(readBounded(driver, "/x", { maxBytes: 100 })).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/x" });
  });

  test.each([1, 5])("of a stream that stands still ends with its signal, for its reason; after %i pieces", async (count) => {
    const stream = new Readable({ read: () => undefined });
    for (let i = 0; i < count; i++) stream.push("abc");
    const controller = new AbortController();
    const reason = new Error("stop");
    const driver = giving(stream, () => controller.abort(reason));
    const read = readBounded(driver, "/x", { maxBytes: 100, signal: controller.signal });
    await expect(read).rejects.toSatisfy((error: Error & { cause?: unknown }) => error === reason || error.cause !== undefined);
    expect(stream.destroyed).toBe(true);
  });

  test("of a stream that somebody reads already is a failed call", async () => {
    const web = new Blob(["abc"]).stream();
    web.getReader();
    await expect(readBounded(giving(web), "/x", { maxBytes: 100 })).rejects.toMatchObject({ code: "DRIVER_ERROR", path: "/x" });
  });

  test("of a stream that fails behind the limit is no unhandled rejection, and no listener stays on it", async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", note);
    const stream = new Readable({
      read() {
        this.push("abcdef");
      },
      destroy: (_, done) => done(new Error("too late")),
    });
    stream.on("error", () => undefined);
    const before = stream.listenerCount("close");
    expect(Buffer.from(await readBounded(giving(stream), "/x", { maxBytes: 3 })).toString()).toBe("abcd");
    expect(stream.listenerCount("close")).toBe(before);
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});
