/** The registry on a loopback port. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { WriteBarrier } from "oci-registry-gc";
import { type Answer, type Request, type Route, routesOf } from "./handlers.js";
import { RegistryError } from "./registryError.js";
import { type RegistryDriver, RegistryStorage } from "./registryStorage.js";
import { Uploads } from "./uploads.js";

export interface RegistryOptions {
  readonly driver: RegistryDriver;
  /** The one that the collector is given. */
  readonly barrier: WriteBarrier;
  /** How long the registry keeps what it said to be there, in milliseconds; a day by default. */
  readonly promiseMs?: number;
  /** Told of errors that are no client's fault. */
  readonly onError?: (error: unknown) => void;
}

export interface RunningRegistry {
  /** Host and port. */
  readonly host: string;
  stop(): Promise<void>;
}

const STOP_MS = 1000;

/** Starts a registry on 127.0.0.1; `port` 0: the system chooses. */
export async function startRegistry(options: RegistryOptions, port = 0): Promise<RunningRegistry> {
  const routes = routesOf(new RegistryStorage(options.driver, options.barrier, options.promiseMs), new Uploads());
  const server = createServer((message, response) => void serve(routes, message, response, options.onError));
  await listen(server, port);
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Answers under way may end; who holds a connection for longer loses it.
        setTimeout(() => server.closeAllConnections(), STOP_MS).unref();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function serve(
  routes: readonly Route[],
  message: IncomingMessage,
  response: ServerResponse,
  onError: (error: unknown) => void = () => {},
): Promise<void> {
  try {
    await send(response, await answer(routes, message));
  } catch (error) {
    if (!(error instanceof RegistryError) && !hasLeft(error)) onError(error);
    // Too late for an answer: the client must not take what it has for the whole.
    if (response.headersSent) response.destroy();
    else await send(response, complaint(error));
  }
}

async function answer(routes: readonly Route[], message: IncomingMessage): Promise<Answer> {
  const { method = "GET", url = "/" } = message;
  const { pathname, searchParams } = new URL(url, "http://registry");
  const path = decode(pathname);
  for (const { pattern, methods } of routes) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const handler = methods[method];
    if (handler !== undefined) return handler(requestOf(message, searchParams), ...match.slice(1));
    throw new RegistryError("UNSUPPORTED", `${method} is not supported here; there is ${Object.keys(methods).join(", ")}`);
  }
  throw new RegistryError("NAME_UNKNOWN", `there is nothing at ${path}`);
}

function requestOf(message: IncomingMessage, query: URLSearchParams): Request {
  return {
    query,
    headers: message.headers,
    async body(maxBytes) {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of message as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxBytes) throw new RegistryError("SIZE_INVALID", `the body is larger than ${maxBytes} bytes`);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    },
  };
}

async function send(response: ServerResponse, { status, headers = {}, body }: Answer): Promise<void> {
  response.writeHead(status, { "docker-distribution-api-version": "registry/2.0", ...headers });
  if (body instanceof Readable) await pipeline(body, response);
  else response.end(body);
}

/** Whether it was the client who went away. */
function hasLeft(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ERR_STREAM_PREMATURE_CLOSE" || error.code === "ECONNRESET");
}

function complaint(error: unknown): Answer {
  const known = error instanceof RegistryError ? error : undefined;
  const told = { code: known?.code ?? "UNKNOWN", message: known?.message ?? "something went wrong in the registry" };
  const body = Buffer.from(JSON.stringify({ errors: [told] }));
  return { status: known?.status ?? 500, headers: { "content-type": "application/json", "content-length": body.length }, body };
}

function decode(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    throw new RegistryError("NAME_INVALID", `the path ${JSON.stringify(pathname)} is not well encoded`);
  }
}
