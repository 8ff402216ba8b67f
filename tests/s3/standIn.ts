/**
 * A small S3 in this process, for what no real server does on command. It counts requests by operation, and lets tests come between
 * a request and its answer.
 */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface StoredObject {
  readonly bytes: Buffer;
  /** More than there are bytes, of an object that only seems large. */
  readonly size: number;
  readonly etag: string;
  readonly modTime: Date;
}

/** A request, as tests look at it. */
export interface S3Request {
  readonly operation: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  /** How many of this operation came before. */
  readonly nth: number;
}

export interface S3Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
  /** Ends the connection after so many bytes of the body. */
  readonly cutAt?: number;
}

/** Comes between: an answer of its own, or `undefined` for the true one. May change the true one. */
export type Interrupt = (request: S3Request, truth: () => S3Answer) => S3Answer | undefined | Promise<S3Answer | undefined>;

/** What a weaker store can't do. */
export interface Weaknesses {
  /** 400 to a DeleteObjects without `Content-MD5`. */
  readonly needsContentMd5?: boolean;
  /** 501 to any `x-amz-checksum-*`. */
  readonly refusesChecksums?: boolean;
  readonly hasNoDeleteObjects?: boolean;
  /** MalformedXML for more keys in one DeleteObjects. */
  readonly mostDeletes?: number;
  readonly ignoresConditions?: boolean;
  /** What a condition is answered with. */
  readonly refusesConditions?: 501 | 400 | 405;
  readonly ignoresStartAfter?: boolean;
  readonly pageSize?: number;
  /** Deletes leave a marker. */
  readonly isVersioned?: boolean;
  /** The most bytes that one copy takes. Default 5 GiB. */
  readonly mostCopyBytes?: number;
}

export class S3StandIn {
  readonly objects = new Map<string, StoredObject>();
  readonly counts: Record<string, number> = {};
  readonly requests: Omit<S3Request, "body">[] = [];
  maxInFlight = 0;
  now = () => Date.now();
  /** What passes before each answer. */
  delay: () => Promise<unknown> = () => Promise.resolve();
  interrupt: Interrupt = () => undefined;
  weak: Weaknesses = {};
  private inFlight = 0;
  private sorted: string[] | undefined;
  private uploads = 0;
  private readonly parts = new Map<string, { source: string; range: string }[]>();

  private constructor(
    private readonly server: Server,
    readonly bucket: string,
  ) {}

  static async start(bucket = "bucket"): Promise<S3StandIn> {
    const server = createServer();
    const standIn = new S3StandIn(server, bucket);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => void standIn.serve(request, response));
    server.keepAliveTimeout = 60_000;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return standIn;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.server, "close");
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Puts an object in, past the protocol. `size`: what it seems to have. */
  put(key: string, content: string | Uint8Array, { time = this.now(), size }: { time?: number; size?: number } = {}): void {
    const bytes = Buffer.from(content);
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    this.store(key, { bytes, size: size ?? bytes.length, etag, modTime: new Date(time) });
  }

  /** Requests of an operation, or of all. */
  count(operation?: string): number {
    if (operation !== undefined) return this.counts[operation] ?? 0;
    return Object.values(this.counts).reduce((sum, n) => sum + n, 0);
  }

  resetCounts(): void {
    for (const operation of Object.keys(this.counts)) Reflect.deleteProperty(this.counts, operation);
    this.requests.length = 0;
    this.maxInFlight = 0;
  }

  /** After objects were changed from outside. */
  forgetOrder(): void {
    this.sorted = undefined;
  }

  /** Sorts the keys now, and not when the first listing asks. */
  sort(): void {
    this.keys();
  }

  private store(key: string, object: StoredObject): void {
    if (!this.objects.has(key)) this.sorted = undefined;
    this.objects.set(key, object);
  }

  private remove(key: string): void {
    if (this.objects.delete(key)) this.sorted = undefined;
  }

  private keys(): readonly string[] {
    this.sorted ??= [...this.objects.keys()].sort(compareBytes);
    return this.sorted;
  }

  private async serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.inFlight++;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of message) chunks.push(chunk as Buffer);
      const url = new URL(message.url ?? "/", "http://localhost");
      const [bucket = "", ...rest] = url.pathname.slice(1).split("/").map(decodeURIComponent);
      const operation = operationOf(message, url.searchParams, rest.join("/"));
      const nth = this.count(operation);
      this.counts[operation] = nth + 1;
      const { headers } = message;
      const request = { operation, key: rest.join("/"), query: url.searchParams, headers, body: Buffer.concat(chunks), nth };
      this.requests.push({ operation, key: request.key, query: url.searchParams, headers, nth });
      await this.delay();
      const truth = () => (bucket === this.bucket ? this.answer(request) : fault(404, "NoSuchBucket"));
      send(response, (await this.interrupt(request, truth)) ?? truth());
    } catch (error) {
      if (!response.destroyed) send(response, fault(500, "InternalError", String(error)));
    } finally {
      this.inFlight--;
    }
  }

  private answer(request: S3Request): S3Answer {
    const { weak } = this;
    if (weak.refusesChecksums === true && Object.keys(request.headers).some((name) => name.startsWith("x-amz-checksum-"))) {
      return fault(501, "NotImplemented", "A header you provided implies functionality that is not implemented.");
    }
    const condition = request.headers["if-none-match"];
    if (condition !== undefined && weak.refusesConditions !== undefined) {
      if (weak.refusesConditions === 501) return fault(501, "NotImplemented", "If-None-Match");
      return fault(weak.refusesConditions, "InvalidRequest", "Unsupported header 'if-none-match' received for this API call.");
    }
    if (condition !== undefined && weak.ignoresConditions !== true && this.objects.has(request.key))
      return fault(412, "PreconditionFailed");
    switch (request.operation) {
      case "ListObjectsV2":
        return this.list(request.query);
      case "GetObject":
        return this.get(request);
      case "PutObject":
        return this.putObject(request);
      case "DeleteObject":
        this.remove(request.key);
        return { status: 204, headers: weak.isVersioned === true ? { "x-amz-delete-marker": "true" } : {} };
      case "DeleteObjects":
        return this.deleteObjects(request);
      case "CopyObject":
        return this.copy(request);
      case "CreateMultipartUpload":
        return this.createUpload(request);
      case "UploadPartCopy":
        return this.copyPart(request);
      case "CompleteMultipartUpload":
        return this.complete(request);
      case "AbortMultipartUpload":
        this.parts.delete(request.query.get("uploadId") ?? "");
        return { status: 204 };
      default:
        return fault(405, "MethodNotAllowed");
    }
  }

  /** How many uploads were begun and neither completed nor abandoned. */
  get openUploads(): number {
    return this.parts.size;
  }

  private list(query: URLSearchParams): S3Answer {
    const prefix = query.get("prefix") ?? "";
    const delimiter = query.get("delimiter");
    const token = query.get("continuation-token");
    const startAfter = this.weak.ignoresStartAfter === true ? null : query.get("start-after");
    const after = token === null ? startAfter : Buffer.from(token, "base64").toString();
    const most = Math.min(Number(query.get("max-keys") ?? 1000), this.weak.pageSize ?? 1000);
    const keys = this.keys();
    const contents: string[] = [];
    const prefixes: string[] = [];
    let last = "";
    let isTruncated = false;
    const isDirectory = delimiter !== null && after?.endsWith(delimiter) === true;
    for (let i = lowerBound(keys, after === null || compareBytes(after, prefix) < 0 ? prefix : after); i < keys.length; i++) {
      const key = keys[i]!;
      if (!key.startsWith(prefix)) break;
      // No key of the rest stands before this place.
      if (key === after || (isDirectory && key.startsWith(after))) continue;
      const slash = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      const group = slash === -1 ? undefined : key.slice(0, slash + 1);
      if (group !== undefined && group === prefixes.at(-1)) continue;
      if (contents.length + prefixes.length === most) {
        isTruncated = true;
        break;
      }
      last = group ?? key;
      if (group === undefined) contents.push(key);
      else prefixes.push(group);
    }
    const encode = query.get("encoding-type") === "url" ? (key: string) => encodeURIComponent(key).replaceAll("%2F", "/") : escapeXml;
    const body = [
      `<Name>${this.bucket}</Name><KeyCount>${contents.length + prefixes.length}</KeyCount><IsTruncated>${isTruncated}</IsTruncated>`,
      query.get("encoding-type") === "url" ? "<EncodingType>url</EncodingType>" : "",
      isTruncated ? `<NextContinuationToken>${Buffer.from(last).toString("base64")}</NextContinuationToken>` : "",
      ...contents.map((key) => {
        const { size, etag, modTime } = this.objects.get(key)!;
        const time = modTime.toISOString();
        return `<Contents><Key>${encode(key)}</Key><LastModified>${time}</LastModified><ETag>${escapeXml(etag)}</ETag><Size>${size}</Size></Contents>`;
      }),
      ...prefixes.map((each) => `<CommonPrefixes><Prefix>${encode(each)}</Prefix></CommonPrefixes>`),
    ];
    return xml("ListBucketResult", body.join(""));
  }

  private get({ key, headers }: S3Request): S3Answer {
    const object = this.objects.get(key);
    if (object === undefined) return fault(404, "NoSuchKey");
    const { bytes, etag, modTime } = object;
    const common = { etag, "last-modified": modTime.toUTCString() };
    const from = /^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1];
    if (from === undefined) return { status: 200, headers: common, body: bytes };
    if (Number(from) >= bytes.length) return fault(416, "InvalidRange");
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
    return { status: 206, headers: { ...common, "content-range": range }, body: bytes.subarray(Number(from)) };
  }

  private putObject({ key, body }: S3Request): S3Answer {
    this.put(key, body);
    return { status: 200, headers: { etag: this.objects.get(key)!.etag } };
  }

  private deleteObjects({ body, headers }: S3Request): S3Answer {
    if (this.weak.hasNoDeleteObjects === true) return fault(501, "NotImplemented");
    const md5 = headers["content-md5"];
    if (this.weak.needsContentMd5 === true && md5 === undefined) {
      return fault(400, "InvalidRequest", "Missing required header for this request: Content-MD5");
    }
    if (md5 !== undefined && md5 !== createHash("md5").update(body).digest("base64")) return fault(400, "BadDigest");
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => unescapeXml(match[1]!));
    if (keys.length === 0 || keys.length > (this.weak.mostDeletes ?? 1000)) return fault(400, "MalformedXML");
    for (const key of keys) this.remove(key);
    const marker = this.weak.isVersioned === true ? "<DeleteMarker>true</DeleteMarker>" : "";
    return xml("DeleteResult", keys.map((key) => `<Deleted><Key>${escapeXml(key)}</Key>${marker}</Deleted>`).join(""));
  }

  private copy({ key, headers }: S3Request): S3Answer {
    const source = this.objects.get(sourceOf(headers, this.bucket));
    if (source === undefined) return fault(404, "NoSuchKey");
    if (source.size > (this.weak.mostCopyBytes ?? 5 * 1024 ** 3)) {
      return fault(
        400,
        "InvalidRequest",
        "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
      );
    }
    this.store(key, { ...source, modTime: new Date(this.now()) });
    return xml("CopyObjectResult", `<ETag>${escapeXml(source.etag)}</ETag><LastModified>${new Date().toISOString()}</LastModified>`);
  }

  private createUpload({ key }: S3Request): S3Answer {
    const id = `upload-${++this.uploads}`;
    this.parts.set(id, []);
    return xml("InitiateMultipartUploadResult", `<Bucket>${this.bucket}</Bucket><Key>${escapeXml(key)}</Key><UploadId>${id}</UploadId>`);
  }

  private copyPart({ query, headers }: S3Request): S3Answer {
    const parts = this.parts.get(query.get("uploadId") ?? "");
    if (parts === undefined) return fault(404, "NoSuchUpload");
    const range = String(headers["x-amz-copy-source-range"]);
    parts[Number(query.get("partNumber")) - 1] = { source: sourceOf(headers, this.bucket), range };
    return xml("CopyPartResult", `<ETag>"${"0".repeat(32)}"</ETag>`);
  }

  private complete({ key, query }: S3Request): S3Answer {
    const id = query.get("uploadId") ?? "";
    const parts = this.parts.get(id) ?? [];
    let size = 0;
    for (const { range } of parts) {
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
      if (Number(start) !== size) return fault(400, "InvalidPart");
      size = Number(end) + 1;
    }
    const { bytes } = this.objects.get(parts[0]?.source ?? "")!;
    this.parts.delete(id);
    this.store(key, { bytes, size, etag: `"${"1".repeat(32)}-${parts.length}"`, modTime: new Date(this.now()) });
    return xml("CompleteMultipartUploadResult", `<Key>${escapeXml(key)}</Key><ETag>"${"1".repeat(32)}-${parts.length}"</ETag>`);
  }
}

/** An error as S3 tells it. */
export function fault(status: number, code: string, message = code, headers: Readonly<Record<string, string>> = {}): S3Answer {
  return { status, headers, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>` };
}

/** A document as S3 tells it. */
export function xml(root: string, content: string): S3Answer {
  return { status: 200, headers: { "content-type": "application/xml" }, body: `<?xml version="1.0"?><${root}>${content}</${root}>` };
}

function operationOf({ method, headers }: IncomingMessage, query: URLSearchParams, key: string): string {
  if (key === "")
    return method === "POST" && query.has("delete") ? "DeleteObjects" : method === "GET" ? "ListObjectsV2" : `${method} bucket`;
  if (method === "GET") return "GetObject";
  if (method === "HEAD") return "HeadObject";
  if (method === "DELETE") return query.has("uploadId") ? "AbortMultipartUpload" : "DeleteObject";
  if (method === "POST") return query.has("uploads") ? "CreateMultipartUpload" : "CompleteMultipartUpload";
  if (headers["x-amz-copy-source"] === undefined) return "PutObject";
  return query.has("partNumber") ? "UploadPartCopy" : "CopyObject";
}

function sourceOf(headers: IncomingMessage["headers"], bucket: string): string {
  return decodeURIComponent(String(headers["x-amz-copy-source"])).replace(/^\//, "").slice(`${bucket}/`.length);
}

function send(response: ServerResponse, { status, headers = {}, body = "", cutAt }: S3Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, ...(status !== 204 && { "content-length": bytes.length }) });
  if (cutAt === undefined) response.end(bytes);
  else response.write(bytes.subarray(0, cutAt), () => response.destroy());
}

const ASCII = /^[\0-\x7f]*$/;

function compareBytes(a: string, b: string): number {
  if (ASCII.test(a) && ASCII.test(b)) return a < b ? -1 : Number(a > b);
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The first place whose key is not before this one. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareBytes(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}
