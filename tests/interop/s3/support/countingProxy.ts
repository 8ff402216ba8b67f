/** Stands before an S3 server and counts what goes through, whoever asks. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse, request as send } from "node:http";
import type { AddressInfo } from "node:net";

export class CountingProxy {
  readonly counts: Record<string, number> = {};

  private constructor(private readonly server: ReturnType<typeof createServer>) {}

  static async before(target: string): Promise<CountingProxy> {
    const server = createServer();
    const proxy = new CountingProxy(server);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => proxy.pass(request, response, new URL(target)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, n) => sum + n, 0);
  }

  reset(): void {
    for (const operation of Object.keys(this.counts)) Reflect.deleteProperty(this.counts, operation);
  }

  async stop(): Promise<void> {
    const closed = once(this.server, "close");
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private pass(request: IncomingMessage, response: ServerResponse, { hostname, port }: URL): void {
    const operation = operationOf(request);
    this.counts[operation] = (this.counts[operation] ?? 0) + 1;
    const { method, url, headers } = request;
    // The host stays as the client named it: it is signed.
    const onward = send({ hostname, port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  }
}

function operationOf({ method = "", url = "", headers }: IncomingMessage): string {
  const { pathname, searchParams } = new URL(url, "http://localhost");
  const isBucket = pathname.split("/").filter((part) => part !== "").length < 2;
  if (isBucket) return method === "GET" ? "LIST" : method === "POST" && searchParams.has("delete") ? "DELETE many" : `${method} bucket`;
  return method === "PUT" && headers["x-amz-copy-source"] !== undefined ? "COPY" : method;
}
