/** Uploads under way. They wait in memory: a driver writes whole objects. */

import { randomUUID } from "node:crypto";
import { RegistryError } from "./registryError.js";

const MAX_BYTES = 256 * 1024 * 1024;
/** Of a client that does not come back. */
const FORGET_AFTER_MS = 3_600_000;

interface Upload {
  readonly repository: string;
  readonly chunks: Buffer[];
  size: number;
  touchedAt: number;
}

export class Uploads {
  private readonly open = new Map<string, Upload>();

  begin(repository: string): string {
    const now = Date.now();
    for (const [id, { touchedAt }] of this.open) if (now - touchedAt > FORGET_AFTER_MS) this.open.delete(id);
    const id = randomUUID();
    this.open.set(id, { repository, chunks: [], size: 0, touchedAt: now });
    return id;
  }

  /** Bytes so far. */
  size(repository: string, id: string): number {
    return this.find(repository, id).size;
  }

  /** Adds a chunk, which says with `range` (`first-last`) where it belongs; answers how many bytes there are now. */
  append(repository: string, id: string, chunk: Buffer, range?: string): number {
    const upload = this.find(repository, id);
    if (range !== undefined && !isNext(range, upload.size, chunk.length)) {
      const expected = `${upload.size}-${upload.size + chunk.length - 1}`;
      throw new RegistryError("RANGE_INVALID", `the chunk says that it is ${range}; expected ${expected}`);
    }
    if (upload.size + chunk.length > MAX_BYTES) {
      throw new RegistryError("SIZE_INVALID", `the blob is larger than the ${MAX_BYTES} bytes that this registry takes`);
    }
    upload.chunks.push(chunk);
    upload.size += chunk.length;
    upload.touchedAt = Date.now();
    return upload.size;
  }

  /** Ends an upload: its bytes. */
  take(repository: string, id: string): Buffer {
    const { chunks } = this.find(repository, id);
    this.open.delete(id);
    return Buffer.concat(chunks);
  }

  private find(repository: string, id: string): Upload {
    const upload = this.open.get(id);
    if (upload?.repository !== repository) throw new RegistryError("BLOB_UPLOAD_UNKNOWN", `${repository} has no upload ${id}`);
    return upload;
  }
}

function isNext(range: string, size: number, length: number): boolean {
  const [, first, last] = /^(\d+)-(\d+)$/.exec(range) ?? [];
  return Number(first) === size && Number(last) === size + length - 1;
}
