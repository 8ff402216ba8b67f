/**
 * Remembers in one file what manifests name. Entries are appended as they come; the last of several for one digest counts. The file
 * may be taken away at any time: then manifests are read again.
 */

import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { ReferenceCache } from "../../referenceCache.js";

// Held from the beginning: a test that fakes timers must not stop a run.
const { setImmediate } = globalThis;

/** Before each entry: the lengths of its digest and of its bytes. */
const HEADER_BYTES = 8;
/** Longer than any digest; more than that is no header. */
const MAX_DIGEST_BYTES = 200;
/** Read at once: to take the entries of more would hold up the event loop. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * A cache in a file, which is made where it is absent. It is read whole when it is first asked, and held in memory: some hundred bytes
 * for each manifest. What was cut short, as by a crash, is dropped.
 *
 * @param path - The file; its directory is made, too.
 * @throws TypeError where `path` is no path.
 */
export function fileReferenceCache(path: string): ReferenceCache {
  if (typeof path !== "string" || path === "") throw new TypeError(`path is ${JSON.stringify(path)}; expected that of a file`);
  return new FileReferenceCache(path);
}

class FileReferenceCache implements ReferenceCache {
  private loading: Promise<Map<string, Uint8Array>> | undefined;
  private unwritten: Buffer[] = [];
  private writing: Promise<void> | undefined;

  constructor(private readonly path: string) {}

  async get(digest: string): Promise<Uint8Array | undefined> {
    return (await this.entries()).get(digest);
  }

  /** Resolves when the entry is in the file. Those that are set at the same moment are written together. */
  async set(digest: string, bytes: Uint8Array): Promise<void> {
    (await this.entries()).set(digest, Uint8Array.from(bytes));
    this.unwritten.push(frame(digest, bytes));
    // What comes while a write is ending waits for the next one.
    while (this.unwritten.length > 0 || this.writing !== undefined) {
      this.writing ??= this.write().finally(() => {
        this.writing = undefined;
      });
      await this.writing;
    }
  }

  private entries(): Promise<Map<string, Uint8Array>> {
    this.loading ??= this.load().catch((error: unknown) => {
      // The next who asks tries again: it may have been a moment without file handles.
      this.loading = undefined;
      throw error;
    });
    return this.loading;
  }

  private async load(): Promise<Map<string, Uint8Array>> {
    await mkdir(dirname(this.path), { recursive: true });
    const file = await open(this.path, "a+");
    try {
      const { entries, end } = await readEntries(file);
      // What is cut short would hide what is written behind it.
      if (end < (await file.stat()).size) await file.truncate(end);
      return entries;
    } finally {
      await file.close();
    }
  }

  private async write(): Promise<void> {
    // Whoever sets something in this turn of the event loop comes along.
    await new Promise((resolve) => setImmediate(resolve));
    const file = await open(this.path, "a");
    try {
      while (this.unwritten.length > 0) await file.appendFile(Buffer.concat(this.unwritten.splice(0)));
    } finally {
      await file.close();
    }
  }
}

function frame(digest: string, bytes: Uint8Array): Buffer {
  const name = Buffer.from(digest);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(name.length, 0);
  header.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([header, name, bytes]);
}

/** The entries of a file, and where the last whole one ends. */
async function readEntries(file: FileHandle): Promise<{ entries: Map<string, Uint8Array>; end: number }> {
  const entries = new Map<string, Uint8Array>();
  let rest = Buffer.alloc(0);
  let end = 0;
  for (;;) {
    // As much as waits already, at least: what waits for the end of a long entry is not copied over and over.
    const data = Buffer.allocUnsafe(rest.length + Math.max(CHUNK_BYTES, rest.length));
    rest.copy(data);
    const { bytesRead } = await file.read(data, rest.length, data.length - rest.length, end + rest.length);
    if (bytesRead === 0) return { entries, end };
    const known = data.subarray(0, rest.length + bytesRead);
    const { taken, isOver } = takeEntries(known, entries);
    end += taken;
    if (isOver) return { entries, end };
    rest = known.subarray(taken);
  }
}

/** Takes the whole entries at the beginning: how many bytes these were, and whether something that is no entry follows. */
function takeEntries(data: Buffer, entries: Map<string, Uint8Array>): { readonly taken: number; readonly isOver: boolean } {
  let at = 0;
  while (at + HEADER_BYTES <= data.length) {
    const name = data.readUInt32LE(at);
    const length = data.readUInt32LE(at + 4);
    // Zeros, as a crash of the disk leaves them, are none either.
    if (name === 0 || name > MAX_DIGEST_BYTES) return { taken: at, isOver: true };
    const begin = at + HEADER_BYTES + name;
    if (begin + length > data.length) break;
    entries.set(data.toString("utf8", at + HEADER_BYTES, begin), data.subarray(begin, begin + length));
    at = begin + length;
  }
  return { taken: at, isOver: false };
}
