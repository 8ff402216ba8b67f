/** The endpoint: collections are started, watched, cancelled and reported over HTTP. It asks nobody who they are: keep it on loopback. */

import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import type { Namespace, StorageDriver } from "oci-registry-gc";
import { renderReport } from "oci-registry-gc/report";
import { Collection, type Told } from "./collection.js";
import { type CollectionOptions, complaintAbout, OPTIONS_SCHEMA } from "./options.js";

/** So many collections are remembered. */
const REMEMBERED = 20;
/** How long watchers may take to read the end, when the server stops. */
const STOP_MS = 1000;
/** What a browser says that comes again after the end. */
const END_ID = "end";

/** An answer that is no success. */
class Refusal extends Error {
  constructor(
    readonly statusCode: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Of ours, or of Fastify. */
interface Complaint extends Error {
  readonly statusCode?: number;
  readonly code?: string;
}

interface ById {
  Params: { id: string };
}

export function adminApp(driver: StorageDriver, registry: Namespace): FastifyInstance {
  const collections = new Map<string, Collection>();
  let latest: Collection | undefined;
  // Left to itself Fastify drops unknown options in silence, and takes "true" for true.
  const app = fastify({
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
    schemaErrorFormatter: ([error]) => new Error(error === undefined ? "the body is wrong" : complaintAbout(error)),
  });

  const find = ({ params }: FastifyRequest<ById>): Collection => {
    const found = collections.get(params.id);
    if (found === undefined)
      throw new Refusal(404, "NOT_FOUND", `there is no collection ${JSON.stringify(params.id)}; GET /collections lists them`);
    return found;
  };
  const reportOf = (request: FastifyRequest<ById>) => {
    const { report, isRunning, id } = find(request);
    if (report !== undefined) return report;
    throw isRunning
      ? new Refusal(409, "RUNNING", `the collection ${id} is running: its report comes with its end`)
      : new Refusal(404, "NO_REPORT", `the collection ${id} ended before it knew anything to report`);
  };

  app.get("/collections", async () => [...collections.values()].map((each) => each.summary()));

  app.post<{ Body: CollectionOptions }>("/collections", { schema: { body: OPTIONS_SCHEMA } }, async ({ body }, reply) => {
    if (latest?.isRunning === true) {
      throw new Refusal(
        409,
        "RUNNING",
        `the collection ${latest.id} is running: wait for its end, or cancel it with DELETE /collections/${latest.id}`,
      );
    }
    latest = new Collection(driver, registry, body);
    collections.set(latest.id, latest);
    const [oldest] = collections.keys();
    if (collections.size > REMEMBERED && oldest !== undefined) collections.delete(oldest);
    return reply.code(202).header("location", `/collections/${latest.id}`).send(latest.summary());
  });

  app.get<ById>("/collections/:id", async (request) => find(request).summary());

  app.delete<ById>("/collections/:id", async (request, reply) => {
    const collection = find(request);
    if (!collection.isRunning) throw new Refusal(409, "ENDED", `the collection ${collection.id} has ended: there is nothing to cancel`);
    collection.cancel();
    return reply.code(202).send(collection.summary());
  });

  app.get<ById>("/collections/:id/report", async (request) => reportOf(request));
  app.get<ById>("/collections/:id/report.html", async (request, reply) => {
    return reply.type("text/html; charset=utf-8").send(renderReport(reportOf(request)));
  });
  app.get<ById>("/collections/:id/events", async (request, reply) => sendEvents(find(request), request, reply));

  app.setNotFoundHandler(async ({ method, url }) => {
    throw new Refusal(404, "NOT_FOUND", `there is no ${method} ${url}; begin with GET or POST /collections`);
  });
  app.setErrorHandler<Complaint>(async (error, _, reply) => {
    const { statusCode = 500, code = "UNKNOWN", message } = error;
    const hint = code.startsWith("FST_ERR_CTP_") ? "; send the options as JSON, with content-type: application/json" : "";
    return reply.code(statusCode).send({ error: { code: statusCode < 500 ? code : "UNKNOWN", message: `${message}${hint}` } });
  });

  // A run is stopped in order before the process goes: then every watcher has its end, and whoever still hangs on is cut off.
  app.addHook("preClose", async () => {
    latest?.cancel();
    await latest?.ended;
    void sleep(STOP_MS, undefined, { ref: false }).then(() => app.server.closeAllConnections());
  });
  return app;
}

/** Server-sent events. When the client goes away, the watching ends, and nothing of it is left. */
async function sendEvents(collection: Collection, { headers }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  // A browser asks again whenever the connection ends, until it is told that there is nothing more.
  if (headers["last-event-id"] === END_ID) return reply.code(204).send();
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return reply
    .type("text/event-stream; charset=utf-8")
    .header("cache-control", "no-store")
    .send(Readable.from(asText(collection.watch(gone.signal)), { objectMode: false, highWaterMark: 1 }));
}

async function* asText(events: AsyncIterable<Told>): AsyncGenerator<string> {
  for await (const { event, data } of events) {
    yield `${event === "end" ? `id: ${END_ID}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
  }
}
