/** What the distribution API does, request by request. */

import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import type { ReadableStream as WebStream } from "node:stream/web";
import { checkDigest, checkRepository, checkTag } from "./names.js";
import { RegistryError } from "./registryError.js";
import type { RegistryStorage } from "./registryStorage.js";
import type { Uploads } from "./uploads.js";

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_CHUNK_BYTES = 256 * 1024 * 1024;

export interface Request {
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Reads the whole body, if it is not larger than that. */
  body(maxBytes: number): Promise<Buffer>;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array | Readable;
}

/** `args`: what the pattern of the route found. */
export type Handler = (request: Request, ...args: string[]) => Promise<Answer>;

export interface Route {
  readonly pattern: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
}

export function routesOf(storage: RegistryStorage, uploads: Uploads): readonly Route[] {
  const blobs = blobHandlers(storage);
  const sessions = uploadHandlers(storage, uploads);
  const manifests = manifestHandlers(storage);
  return [
    { pattern: /^\/v2\/?$/, methods: { GET: async () => json({}) } },
    { pattern: /^\/v2\/(.+)\/blobs\/uploads\/?$/, methods: { POST: sessions.begin } },
    {
      pattern: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
      methods: { GET: sessions.status, PATCH: sessions.append, PUT: sessions.commit, DELETE: sessions.cancel },
    },
    { pattern: /^\/v2\/(.+)\/blobs\/([^/]+)$/, methods: { HEAD: blobs.head, GET: blobs.get } },
    {
      pattern: /^\/v2\/(.+)\/manifests\/([^/]+)$/,
      methods: { HEAD: manifests.head, GET: manifests.get, PUT: manifests.put, DELETE: manifests.delete },
    },
    { pattern: /^\/v2\/(.+)\/tags\/list$/, methods: { GET: tagsHandler(storage) } },
  ];
}

function blobHandlers(storage: RegistryStorage): Record<"head" | "get", Handler> {
  return {
    async head(_, name = "", digest = "") {
      const size = await storage.blobSize(checkRepository(name), checkDigest(digest));
      if (size === undefined) throw new RegistryError("BLOB_UNKNOWN", `${name} has no blob ${digest}`);
      return { status: 200, headers: blobHeaders(digest, size) };
    },
    async get(_, name = "", digest = "") {
      const { size, stream } = await storage.readBlob(checkRepository(name), checkDigest(digest));
      const body = stream instanceof Readable ? stream : Readable.fromWeb(stream as WebStream);
      return { status: 200, headers: blobHeaders(digest, size), body };
    },
  };
}

function blobHeaders(digest: string, size: number): Record<string, string | number> {
  return { "content-type": "application/octet-stream", "content-length": size, "docker-content-digest": digest };
}

function uploadHandlers(storage: RegistryStorage, uploads: Uploads): Record<"begin" | "status" | "append" | "commit" | "cancel", Handler> {
  const accepted = (name: string, id: string, size: number, status = 202): Answer => ({
    status,
    headers: { location: `/v2/${name}/blobs/uploads/${id}`, range: `0-${Math.max(0, size - 1)}`, "docker-upload-uuid": id },
  });
  const created = (name: string, digest: string): Answer => ({
    status: 201,
    headers: { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest },
  });
  return {
    /** Begins a session; or mounts, or takes the whole blob at once, where that is asked for. */
    async begin({ query, body }, name = "") {
      const repository = checkRepository(name);
      const mount = query.get("mount");
      const from = query.get("from");
      if (mount !== null && from !== null && (await storage.mountBlob(repository, checkDigest(mount), checkRepository(from)))) {
        return created(name, mount);
      }
      const digest = query.get("digest");
      if (digest === null) return accepted(name, uploads.begin(repository), 0);
      await storage.commitBlob(repository, checkDigest(digest), await body(MAX_CHUNK_BYTES));
      return created(name, digest);
    },
    async status(_, name = "", id = "") {
      return accepted(name, id, uploads.size(checkRepository(name), id), 204);
    },
    async append({ headers, body }, name = "", id = "") {
      const repository = checkRepository(name);
      return accepted(name, id, uploads.append(repository, id, await body(MAX_CHUNK_BYTES), headers["content-range"]));
    },
    async commit({ query, headers, body }, name = "", id = "") {
      const repository = checkRepository(name);
      const digest = query.get("digest");
      if (digest === null) throw new RegistryError("DIGEST_INVALID", "the upload says no digest; expected ?digest=sha256:...");
      checkDigest(digest);
      const rest = await body(MAX_CHUNK_BYTES);
      if (rest.length > 0) uploads.append(repository, id, rest, headers["content-range"]);
      await storage.commitBlob(repository, digest, uploads.take(repository, id));
      return created(name, digest);
    },
    async cancel(_, name = "", id = "") {
      uploads.take(checkRepository(name), id);
      return { status: 204 };
    },
  };
}

function manifestHandlers(storage: RegistryStorage): Record<"head" | "get" | "put" | "delete", Handler> {
  const headersOf = (digest: string, mediaType: string, bytes: Uint8Array) => ({
    "content-type": mediaType,
    "content-length": bytes.length,
    "docker-content-digest": digest,
  });
  return {
    async head(_, name = "", reference = "") {
      const { digest, mediaType, bytes } = await storage.promiseManifest(checkRepository(name), checkReference(reference));
      return { status: 200, headers: headersOf(digest, mediaType, bytes) };
    },
    async get(_, name = "", reference = "") {
      const { digest, mediaType, bytes } = await storage.getManifest(checkRepository(name), checkReference(reference));
      return { status: 200, headers: headersOf(digest, mediaType, bytes), body: bytes };
    },
    async put({ headers, body }, name = "", reference = "") {
      const repository = checkRepository(name);
      checkReference(reference);
      const digest = await storage.putManifest(repository, reference, await body(MAX_MANIFEST_BYTES), headers["content-type"]);
      return { status: 201, headers: { location: `/v2/${name}/manifests/${digest}`, "docker-content-digest": digest } };
    },
    async delete(_, name = "", reference = "") {
      await storage.deleteManifest(checkRepository(name), checkReference(reference));
      return { status: 202 };
    },
  };
}

function checkReference(reference: string): string {
  return reference.includes(":") ? checkDigest(reference) : checkTag(reference);
}

function tagsHandler(storage: RegistryStorage): Handler {
  return async ({ query }, name = "") => {
    const tags = await storage.listTags(checkRepository(name));
    const last = query.get("last");
    const rest = last === null ? tags : tags.filter((tag) => tag > last);
    const n = query.get("n");
    if (n === null) return json({ name, tags: rest });
    if (!/^\d{1,6}$/.test(n)) throw new RegistryError("PAGINATION_NUMBER_INVALID", `n is ${JSON.stringify(n)}; expected a number`);
    const page = rest.slice(0, Number(n));
    const next = page.length > 0 && page.length < rest.length ? `</v2/${name}/tags/list?n=${n}&last=${page.at(-1) ?? ""}>; rel="next"` : "";
    return json({ name, tags: page }, next === "" ? {} : { link: next });
  };
}

function json(value: object, headers: Readonly<Record<string, string>> = {}): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return { status: 200, headers: { "content-type": "application/json", "content-length": body.length, ...headers }, body };
}
