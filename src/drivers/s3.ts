import type { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../clock.js";
import { type AbortOptions, checkPath, type Failure, type FileInfo, isPath, type StorageDriver } from "../driver.js";
import { DriverError, InvalidOffsetError, InvalidPathError, PathNotFoundError } from "../errors.js";
import { Deleter } from "./s3/deleting.js";
import { Gate } from "./s3/gate.js";
import { Keys, type ListedObject } from "./s3/keys.js";
import { Mover } from "./s3/moving.js";
import { checkOptions } from "./s3/options.js";
import { firstObject, type Page, pagesOf, type Query } from "./s3/pages.js";
import { walkInParallel } from "./s3/parallelWalk.js";
import { openStream, readBytes } from "./s3/reading.js";
import { Requests } from "./s3/requests.js";
import { Writer } from "./s3/writing.js";

/** Places where one listing is read at once, at most. */
const WALKERS = 16;

export interface S3DriverOptions {
  /** Made, and in the end destroyed, by the caller: with region, endpoint, credentials, time-outs and sockets as they are wanted. */
  readonly client: S3Client;
  readonly bucket: string;
  /** What the registry's own driver has as its root directory; slashes at its ends don't matter. Default: none. */
  readonly prefix?: string | undefined;
  /** Milliseconds that a request may be tried again for before it counts as failed. Default 60,000. */
  readonly retryBudgetMs?: number | undefined;
  /** Requests that are started in a second, at most. Default: no limit. */
  readonly maxRequestsPerSecond?: number | undefined;
  /** Requests in flight, at most; fewer while the store is overrun. Default 32. */
  readonly maxInFlight?: number | undefined;
  /** Where waits go through. Default: the real one. */
  readonly clock?: Clock | undefined;
}

/**
 * A bucket of an S3-compatible object store, or what lies below a prefix in one.
 *
 * Keys that no path can name (with a slash at their end, doubled slashes, other characters) are told by listings under a name that
 * is no path, and are never changed: not by `delete` of a directory that holds them either.
 *
 * The `md5` of a listing is the object's `ETag`, where that can be one. Under SSE-KMS and SSE-C it looks like one, and is none: a
 * caller may conclude from an `md5` that fits, never from one that doesn't.
 */
export class S3Driver implements StorageDriver {
  readonly name = "s3";
  private readonly keys: Keys;
  private readonly requests: Requests;
  private readonly walkers: number;
  private readonly deleter: Deleter;
  private readonly writer: Writer;
  private readonly mover: Mover;

  /** @throws TypeError where an option is not what it must be. */
  constructor(options: S3DriverOptions) {
    const { client, bucket, prefix, retryBudgetMs, maxRequestsPerSecond, maxInFlight } = checkOptions(options);
    const clock = options.clock ?? systemClock;
    const gate = new Gate(maxInFlight, maxRequestsPerSecond === undefined ? 0 : 1000 / maxRequestsPerSecond, clock);
    this.keys = new Keys(prefix);
    this.requests = new Requests(client, bucket, gate, clock, retryBudgetMs);
    this.walkers = Math.min(WALKERS, maxInFlight);
    this.deleter = new Deleter(this.requests);
    this.writer = new Writer(this.requests, this.deleter);
    this.mover = new Mover(this.requests, this.deleter);
  }

  /** Requests sent so far, further tries included, by the names that S3 has for them. */
  get requestCounts(): Readonly<Record<string, number>> {
    return { ...this.requests.sent };
  }

  /** What was found out about the bucket and should be said beside a report. */
  get remarks(): readonly string[] {
    if (!this.deleter.keepsVersions) return [];
    const bucket = JSON.stringify(this.requests.bucket);
    return [`bucket ${bucket} keeps versions: what was deleted takes its space until a lifecycle rule expires noncurrent versions`];
  }

  /** By a listing: a HEAD's 404 can't tell a missing bucket from a missing key. */
  async stat(path: string, options?: AbortOptions): Promise<FileInfo> {
    this.begin(path, options);
    const info = await this.find(path, options);
    if (info === undefined) throw new PathNotFoundError(path, this.name);
    return info;
  }

  async *list(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    this.begin(path, options);
    // The first listing may have missed what another look tells of.
    for (let listing = 1; listing <= 2; listing++) {
      let isEmpty = true;
      for await (const page of this.children(path, options)) {
        isEmpty = false;
        if (page.length > 0) yield page;
      }
      if (!isEmpty || path === "/") return;
      const info = await this.find(path, options);
      if (info === undefined) throw new PathNotFoundError(path, this.name);
      if (!info.isDirectory) throw this.failure(path, `cannot list ${path}: it is an object`);
    }
    throw this.failure(path, `cannot list ${path}: one listing names keys below it, and another doesn't`);
  }

  async *walk(path: string, options?: AbortOptions): AsyncIterable<readonly FileInfo[]> {
    this.begin(path, options);
    for await (const objects of walkInParallel(this.requests, this.below(path, options), this.walkers)) {
      yield this.infosOf(objects);
    }
  }

  async reader(path: string, options?: AbortOptions & { readonly offset?: number }): Promise<Readable> {
    this.begin(path, options);
    const offset = options?.offset ?? 0;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new InvalidOffsetError(path, offset, this.name);
    const reading = { key: this.keys.keyOf(path), path, signal: options?.signal };
    return this.unlessAbsent(path, options, () => openStream(this.requests, reading, offset));
  }

  async getContent(path: string, options?: AbortOptions & { readonly maxBytes?: number }): Promise<Uint8Array> {
    this.begin(path, options);
    const reading = { key: this.keys.keyOf(path), path, signal: options?.signal };
    return this.unlessAbsent(path, options, () => readBytes(this.requests, reading, options?.maxBytes ?? Number.POSITIVE_INFINITY));
  }

  async delete(path: string, options?: AbortOptions): Promise<void> {
    this.begin(path, options);
    if (path === "/") throw new InvalidPathError(path, this.name);
    const file = await this.find(path, options);
    if (file === undefined) throw new PathNotFoundError(path, this.name);
    let deleted = 0;
    let left = 0;
    if (!file.isDirectory) {
      await this.deleter.deleteKey(this.keys.keyOf(path), path, options?.signal);
      deleted++;
    }
    for await (const { objects } of pagesOf(this.requests, this.below(path, options))) {
      const keys = objects.map(({ key }) => key).filter((key) => isPath(this.keys.pathOf(key)));
      left += objects.length - keys.length;
      const [undeleted] = await this.deleter.deleteKeys(keys, path, options?.signal);
      if (undeleted !== undefined) throw this.failure(path, `cannot delete ${undeleted.key}: ${undeleted.code}: ${undeleted.message}`);
      deleted += keys.length;
    }
    if (deleted === 0) throw this.failure(path, `left ${left} keys below ${path} that no path can name`);
  }

  async deleteFiles(paths: readonly string[], options?: AbortOptions): Promise<readonly Failure[]> {
    options?.signal?.throwIfAborted();
    for (const path of paths) checkPath(path, this.name);
    const [first] = paths;
    if (first === undefined) return [];
    const keys = paths.map((path) => this.keys.keyOf(path));
    const undeleted = await this.deleter.deleteKeys(keys, first, options?.signal);
    return undeleted.map(({ key, code, message }) => ({ path: this.keys.pathOf(key), code, message }));
  }

  async putContent(path: string, bytes: Uint8Array, options?: AbortOptions & { readonly ifAbsent?: boolean }): Promise<boolean> {
    this.begin(path, options);
    const writing = { key: this.keys.keyOf(path), path, bytes, signal: options?.signal };
    if (options?.ifAbsent === true) return this.writer.writeIfAbsent(writing);
    await this.writer.write(writing);
    return true;
  }

  /** The copy is written now: its time is that of the move. */
  async move(source: string, destination: string, options?: AbortOptions): Promise<void> {
    this.begin(source, options);
    checkPath(destination, this.name);
    await this.mover.move({
      source: this.keys.keyOf(source),
      destination: this.keys.keyOf(destination),
      path: source,
      to: destination,
      signal: options?.signal,
    });
  }

  private begin(path: string, options: AbortOptions | undefined): void {
    options?.signal?.throwIfAborted();
    checkPath(path, this.name);
  }

  private below(path: string, options: AbortOptions | undefined): Query {
    return { prefix: this.keys.prefixOf(path), path, signal: options?.signal };
  }

  private infosOf(objects: readonly ListedObject[]): FileInfo[] {
    // The marker of the prefix itself lies nowhere below it.
    return objects.filter(({ key }) => key !== this.keys.base).map((object) => this.keys.infoOf(object));
  }

  /** What is at a path. A file comes before all that begins with its name; a directory may come after some of that. */
  private async find(path: string, options: AbortOptions | undefined): Promise<FileInfo | undefined> {
    const below = this.below(path, options);
    if (path === "/") {
      await firstObject(this.requests, below);
      return { path, isDirectory: true };
    }
    const key = this.keys.keyOf(path);
    const first = await firstObject(this.requests, { ...below, prefix: key });
    if (first === undefined) return undefined;
    if (first.key === key) return this.keys.infoOf(first);
    const isBelow = first.key.startsWith(below.prefix) || (await firstObject(this.requests, below)) !== undefined;
    return isBelow ? { path, isDirectory: true } : undefined;
  }

  /** What lies in a directory, page by page; an empty page where there is nothing but the directory's marker. */
  private async *children(path: string, options: AbortOptions | undefined): AsyncIterable<readonly FileInfo[]> {
    let last: string | undefined;
    const query = { ...this.below(path, options), delimiter: "/" } as const;
    for await (const page of pagesOf(this.requests, query)) {
      // A marker of the directory itself lies nowhere below it.
      const objects = page.objects.filter(({ key }) => key !== query.prefix);
      const infos = [...this.infosOf(objects), ...this.directoriesOf(page, last)];
      last = page.prefixes.at(-1) ?? last;
      if (infos.length + page.objects.length > 0) yield infos;
    }
  }

  private directoriesOf({ prefixes }: Page, last: string | undefined): FileInfo[] {
    return prefixes
      .filter((prefix) => prefix !== last)
      .map((prefix) => ({ path: this.keys.pathOf(prefix.slice(0, -1)), isDirectory: true }));
  }

  /** What a read gives. That nothing is there is believed where a listing says so as well. */
  private async unlessAbsent<T>(path: string, options: AbortOptions | undefined, read: () => Promise<T | undefined>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const result = await read();
      if (result !== undefined) return result;
      const info = await this.find(path, options);
      if (info === undefined) throw new PathNotFoundError(path, this.name);
      if (info.isDirectory) throw this.failure(path, `cannot read ${path}: it is a directory`);
      if (attempt === 2) throw this.failure(path, `${path} can't be read, though a listing names it`);
    }
  }

  private failure(path: string, message: string): DriverError {
    return new DriverError(`${this.name}: bucket ${JSON.stringify(this.requests.bucket)}: ${message}`, { driverName: this.name, path });
  }
}
