/** What is done to each request on its way, so that the driver sees what the store says, and stores of all kinds take it. */

import { createHash } from "node:crypto";
import type { ServiceInputTypes, ServiceOutputTypes } from "@aws-sdk/client-s3";

/** `sdk`: as the client has it. `md5`: `Content-MD5`, and no other, as older and simpler stores want it. */
export type ChecksumStyle = "sdk" | "md5";

/** The stack of a command, as far as it is used here. */
export interface Stack {
  add(middleware: (next: Handler) => Handler, options: StackOptions): void;
}

type Handler = (args: { input: ServiceInputTypes; request?: unknown }) => Promise<{ response: unknown; output: ServiceOutputTypes }>;

interface StackOptions {
  readonly name: string;
  readonly step: "build" | "finalizeRequest" | "deserialize";
  readonly priority: "high" | "low";
  readonly override: true;
}

interface Request {
  headers: Record<string, string>;
  readonly body?: unknown;
}

interface Response {
  readonly headers: Record<string, string>;
}

/** Each request is tried once: the SDK's own further tries would hide from the driver that the store is overrun. */
export function withoutRetries(stack: Stack): void {
  stack.add((next) => (args) => next(args), { name: "retryMiddleware", step: "finalizeRequest", priority: "high", override: true });
}

/** Checksums in the way that this store takes; before the request is signed. */
export function withChecksums(stack: Stack, style: ChecksumStyle): void {
  if (style === "sdk") return;
  const rewrite = (next: Handler) => async (args: Parameters<Handler>[0]) => {
    if (!isRequest(args.request)) return next(args);
    const { request } = args;
    dropChecksums(request.headers);
    const { body } = request;
    if (typeof body === "string" || body instanceof Uint8Array) {
      request.headers["content-md5"] = createHash("md5").update(body).digest("base64");
    }
    return next(args);
  };
  stack.add(rewrite, { name: "ociRegistryGcChecksums", step: "build", priority: "low", override: true });
}

/**
 * No checksums either way: of what is read here, a digest tells more; and the stream that the SDK puts around a body to check it is
 * not destroyed with it.
 */
export function withoutChecksums(stack: Stack): void {
  const ask = (next: Handler) => async (args: Parameters<Handler>[0]) => {
    if (isRequest(args.request)) dropChecksums(args.request.headers);
    return next(args);
  };
  const hear = (next: Handler) => async (args: Parameters<Handler>[0]) => {
    const result = await next(args);
    if (isResponse(result.response)) dropChecksums(result.response.headers);
    return result;
  };
  stack.add(ask, { name: "ociRegistryGcChecksums", step: "build", priority: "low", override: true });
  stack.add(hear, { name: "ociRegistryGcNoChecksums", step: "deserialize", priority: "low", override: true });
}

function dropChecksums(headers: Record<string, string>): void {
  for (const name of Object.keys(headers)) {
    if (/^x-amz-(checksum-|sdk-checksum-)/i.test(name)) Reflect.deleteProperty(headers, name);
  }
}

function isRequest(value: unknown): value is Request {
  return hasHeaders(value);
}

function isResponse(value: unknown): value is Response {
  return hasHeaders(value);
}

function hasHeaders(value: unknown): boolean {
  return typeof value === "object" && value !== null && "headers" in value;
}
