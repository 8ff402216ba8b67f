/** The admin endpoint, over real HTTP on loopback: collections are started, watched, cancelled and reported. */

import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { type GcReport, openRegistry, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { type DriverMethod, InterceptedDriver, RegistryBuilder, snapshotOf } from "oci-registry-gc/testing";
import { afterEach, describe, expect, test } from "vitest";
import { adminApp } from "../examples/admin/app.js";
import type { Summary } from "../examples/admin/collection.js";
import { RunningExample, runExample } from "./support/exampleProgram.js";

const NOW = { readOnly: true, removeUntagged: true };

/** Holds calls back until it is opened. */
class Gate {
  reached: () => void = () => undefined;
  readonly isReached = new Promise<void>((resolve) => {
    this.reached = resolve;
  });
  open: () => void = () => undefined;
  private readonly isOpen = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  /** The driver, held back at the calls of this method that name such a path. */
  on(driver: StorageDriver, method: DriverMethod, part: string): StorageDriver {
    return new InterceptedDriver(driver, async (call, proceed) => {
      if (call.method === method && call.paths.some((path) => path.includes(part))) {
        this.reached();
        await this.isOpen;
      }
      return proceed();
    });
  }
}

interface Event {
  readonly event: string;
  readonly data: Record<string, unknown> & { readonly report?: GcReport };
}

const apps: FastifyInstance[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

/** A registry with an image that is tagged and one that is not, behind an endpoint. */
async function serve(disturbed: (driver: StorageDriver) => StorageDriver = (driver) => driver) {
  const memory = new MemoryDriver();
  const builder = new RegistryBuilder(memory);
  const image = await builder.image("app", { tag: "latest" });
  const old = await builder.image("app");
  const driver = disturbed(memory);
  const app = adminApp(driver, openRegistry(driver));
  apps.push(app);
  const host = await app.listen({ host: "127.0.0.1", port: 0 });
  const call = async (method: string, path: string, body?: unknown) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const answer = await fetch(`${host}${path}`, { method, ...init });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, text, json: () => JSON.parse(text) as Record<string, unknown> };
  };
  const start = async (options: object) => {
    const { status, json } = await call("POST", "/collections", options);
    expect(status).toBe(202);
    return `/collections/${(json() as unknown as Summary).id}`;
  };
  const pathsOf = async () => [...(await snapshotOf(memory)).files.keys()];
  return { memory, builder, image, old, app, host, call, start, pathsOf };
}

/** All events of a collection, to the end of the stream. */
async function watch(url: string): Promise<Event[]> {
  const answer = await fetch(`${url}/events`);
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  return (await answer.text())
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => ({
      event: /^event: (.*)$/m.exec(block)?.[1] ?? "",
      data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "") as Event["data"],
    }));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

const watchersOf = async ({ call }: Pick<Awaited<ReturnType<typeof serve>>, "call">, path: string) =>
  ((await call("GET", path)).json() as unknown as Summary).watchers;

describe("a collection", () => {
  test("is started, watched, and reported as JSON and as a page", async () => {
    const gate = new Gate();
    const { host, start, call, pathsOf, builder, image, old } = await serve((driver) => gate.on(driver, "deleteFiles", ""));
    const path = await start(NOW);
    const watching = watch(`${host}${path}`);
    await gate.isReached;
    expect((await call("GET", path)).json()).toMatchObject({ status: "running", options: NOW });
    expect((await call("GET", `${path}/report`)).status).toBe(409);
    gate.open();

    const events = await watching;
    expect(events.filter(({ event }) => event === "phase").map(({ data }) => data["phase"])).toEqual(["inventory", "mark", "sweep"]);
    expect(events.filter(({ event }) => event === "progress").at(-1)?.data).toMatchObject({ phase: "sweep", done: 6, total: 6 });
    expect(events.filter(({ event }) => event === "end")).toHaveLength(1);
    const { report } = events.at(-1)!.data;
    expect(report).toMatchObject({ status: "completed", deleted: { manifests: 1, blobs: 3 } });

    expect((await call("GET", `${path}/report`)).json()).toEqual(report);
    const page = await call("GET", `${path}/report.html`);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.text).toMatch(/^<!DOCTYPE html>/);
    expect(page.text).toContain(report!.runId);
    expect((await call("GET", path)).json()).toMatchObject({ status: "completed" });
    const paths = await pathsOf();
    expect(paths).toContain(builder.paths.blob(image.digest));
    expect(paths).not.toContain(builder.paths.blob(old.digest));
  });

  test("two watchers see the same phases and the same end; one who comes late, too", async () => {
    const gate = new Gate();
    const { host, start, call } = await serve((driver) => gate.on(driver, "deleteFiles", ""));
    const path = await start(NOW);
    const early = [watch(`${host}${path}`), watch(`${host}${path}`)];
    await until(async () => (await watchersOf({ call }, path)) === 2);
    gate.open();
    const [first, second] = await Promise.all(early);
    const late = await watch(`${host}${path}`);
    const told = (events: readonly Event[]) =>
      events.filter(({ event }) => event !== "progress").map(({ data }) => data["phase"] !== undefined && data.report?.runId);
    const phases = (events: readonly Event[]) => events.filter(({ event }) => event === "phase");
    expect(phases(first!)).toHaveLength(3);
    expect(told(second!)).toEqual(told(first!));
    expect(told(late)).toEqual(told(first!));
    // Of the steps between only the last is of interest to the late one.
    const steps = late.filter(({ event }) => event === "progress").map(({ data }) => [data["phase"], data["done"]]);
    expect(steps).toEqual([["sweep", 6]]);
    expect(late.at(-1)?.data.report).toEqual(first!.at(-1)?.data.report);
    expect(await watchersOf({ call }, path)).toBe(0);
  });

  test("a browser that comes back after the end is told that there is no more", async () => {
    const { host, start } = await serve();
    const path = await start(NOW);
    await watch(`${host}${path}`);
    const again = await fetch(`${host}${path}/events`, { headers: { "last-event-id": "end" } });
    expect(again.status).toBe(204);
  });

  test("a client that disconnects leaves nothing behind, and the run goes on", async () => {
    const gate = new Gate();
    const { host, start, call } = await serve((driver) => gate.on(driver, "deleteFiles", ""));
    const path = await start(NOW);
    const staying = watch(`${host}${path}`);
    const leaving = request(`${host}${path}/events`).end();
    const [answer] = (await once(leaving, "response")) as [NodeJS.ReadableStream];
    answer.resume();
    answer.on("error", () => undefined);
    await until(async () => (await watchersOf({ call }, path)) === 2);
    leaving.destroy();
    await until(async () => (await watchersOf({ call }, path)) === 1);
    gate.open();
    expect((await staying).at(-1)?.data).toMatchObject({ status: "completed" });
    expect(await watchersOf({ call }, path)).toBe(0);
  });

  test("is cancelled in the middle: what is under way ends, nothing else begins, and the report tells", async () => {
    const gate = new Gate();
    const { host, start, call, pathsOf, builder, old } = await serve((driver) => gate.on(driver, "deleteFiles", "/_layers/"));
    const path = await start(NOW);
    const watching = watch(`${host}${path}`);
    await gate.isReached;
    expect((await call("DELETE", path)).status).toBe(202);
    expect((await call("GET", path)).json()).toMatchObject({ status: "running" });
    gate.open();

    const end = (await watching).at(-1)!;
    expect(end).toMatchObject({ event: "end", data: { status: "aborted", error: { code: "CANCELLED" } } });
    expect(end.data.report).toMatchObject({ eligible: { manifests: 1, blobs: 3 }, deleted: { manifests: 1, blobs: 0 } });
    expect(await pathsOf()).toContain(builder.paths.blob(old.digest));
    expect((await call("GET", `${path}/report`)).json()).toMatchObject({ status: "aborted" });
    expect((await call("DELETE", path)).json()).toMatchObject({ error: { code: "ENDED" } });

    // The next one does the rest.
    const next = await watch(`${host}${await start(NOW)}`);
    expect(next.at(-1)?.data).toMatchObject({ status: "completed", report: { deleted: { blobs: 3 } } });
  });

  test("one at a time: a second is refused, until the first has ended", async () => {
    const gate = new Gate();
    const { host, start, call } = await serve((driver) => gate.on(driver, "deleteFiles", ""));
    const path = await start(NOW);
    const refused = await call("POST", "/collections", NOW);
    expect(refused.status).toBe(409);
    expect(refused.json()).toMatchObject({ error: { code: "RUNNING", message: expect.stringContaining(path) as string } });
    gate.open();
    await watch(`${host}${path}`);
    const next = await start({ ...NOW, dryRun: true });
    await watch(`${host}${next}`);
    const all = JSON.parse((await call("GET", "/collections")).text) as Summary[];
    expect(all.map(({ id, status }) => [`/collections/${id}`, status])).toEqual([
      [path, "completed"],
      [next, "completed"],
    ]);
  });

  test("that fails ends as well: the code, the message, and what was known by then", async () => {
    const { host, start, call, pathsOf } = await serve(
      (driver) =>
        new InterceptedDriver(driver, async ({ method, paths }, proceed) => {
          if (method === "list" && paths[0]?.endsWith("/revisions/sha256") === true) throw new Error("the disk is gone");
          return proceed();
        }),
    );
    const before = await pathsOf();
    const path = await start(NOW);
    const end = (await watch(`${host}${path}`)).at(-1)!;
    expect(end).toMatchObject({ event: "end", data: { status: "aborted", error: { code: "DRIVER_ERROR" } } });
    expect((end.data["error"] as { message: string }).message).toContain("the disk is gone");
    expect((await call("GET", `${path}/report`)).json()).toMatchObject({ status: "aborted", deleted: { blobs: 0 } });
    expect(await pathsOf()).toEqual(before);
  });

  test("that is refused says why", async () => {
    const { host, start, memory, builder } = await serve();
    await memory.delete(builder.paths.repository("app"));
    const end = (await watch(`${host}${await start(NOW)}`)).at(-1)!;
    expect(end.data).toMatchObject({ status: "refused", error: { code: "EMPTY_MARK" }, report: { status: "refused" } });
  });

  test("is stopped in order when the server is, and its watchers see the end", async () => {
    const gate = new Gate();
    const { host, start, app, pathsOf, builder, old, call } = await serve((driver) => gate.on(driver, "deleteFiles", "/_layers/"));
    const path = await start(NOW);
    const watching = watch(`${host}${path}`);
    await gate.isReached;
    await until(async () => (await watchersOf({ call }, path)) === 1);
    const closing = app.close();
    await until(async () => (await call("GET", path)).status === 503);
    gate.open();
    expect((await watching).at(-1)?.data).toMatchObject({ status: "aborted", error: { code: "CANCELLED" } });
    await closing;
    expect(await pathsOf()).toContain(builder.paths.blob(old.digest));
  });

  test("only the last twenty are remembered", async () => {
    const { host, start, call } = await serve();
    const paths: string[] = [];
    for (let i = 0; i < 21; i++) {
      paths.push(await start({ ...NOW, dryRun: true }));
      await watch(`${host}${paths.at(-1)!}`);
    }
    expect((await call("GET", paths[0]!)).status).toBe(404);
    expect((await call("GET", paths[1]!)).status).toBe(200);
  });
});

describe("what is wrong", () => {
  test.each<[body: string, type: string, status: number, message: string]>([
    ['{"shred": true}', "application/json", 400, 'there is no option "shred"; there are dryRun, removeUntagged,'],
    ['{"dryRun": "true"}', "application/json", 400, "the option dryRun must be boolean"],
    ['{"gracePeriodMs": -1}', "application/json", 400, "the option gracePeriodMs must be >= 0"],
    ['{"maxDeleteRatio": 2}', "application/json", 400, "the option maxDeleteRatio must be <= 1"],
    ['{"onDamage": "ignore"}', "application/json", 400, '"protect" or "abort"'],
    ['{"onItem": {}}', "application/json", 400, 'there is no option "onItem"'],
    ["[]", "application/json", 400, "the body must be object: the options of a collection as JSON, {} for the defaults"],
    ["{", "application/json", 400, "not valid JSON"],
    ["", "application/json", 400, "send the options as JSON"],
    ["dryRun=true", "application/x-www-form-urlencoded", 415, "send the options as JSON, with content-type: application/json"],
  ])("the body %j of type %s", async (body, type, status, message) => {
    const { host, pathsOf } = await serve();
    const before = await pathsOf();
    const answer = await fetch(`${host}/collections`, { method: "POST", body, headers: { "content-type": type } });
    expect(answer.status).toBe(status);
    const { error } = (await answer.json()) as { error: { message: string } };
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("    at ");
    expect(await pathsOf()).toEqual(before);
    expect(await (await fetch(`${host}/collections`)).json()).toEqual([]);
  });

  test("an id that is none, and a path that is none", async () => {
    const { call } = await serve();
    for (const [method, path] of [
      ["GET", ""],
      ["GET", "/events"],
      ["GET", "/report"],
      ["GET", "/report.html"],
      ["DELETE", ""],
    ] as const) {
      const { status, json } = await call(method, `/collections/none${path}`);
      expect(status).toBe(404);
      expect(json()).toMatchObject({ error: { code: "NOT_FOUND", message: 'there is no collection "none"; GET /collections lists them' } });
    }
    expect((await call("GET", "/")).json()).toMatchObject({ error: { message: "there is no GET /; begin with GET or POST /collections" } });
  });

  test.each([
    [["--port", "http"], 'option --port is "http"; expected a whole number from 0 to 65535'],
    [["--speed"], "there is no option --speed; there are --port, --help"],
    [["/nowhere/at/all"], "/nowhere/at/all: there is no such directory"],
    [["examples"], "examples is no registry: it does not hold docker/registry/v2"],
    [["a", "b"], "expected one directory, got a and b"],
  ])("on the command line: %s", async (args, message) => {
    const { code, stdout, stderr } = await runExample("admin", ...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("    at ");
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  test("a port that is in use", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await runExample("admin", "--port", String(port));
    server.close();
    expect(stderr).toContain(`port ${port} of 127.0.0.1 is in use`);
    expect(stderr).not.toContain("    at ");
    expect(code).toBe(2);
  });
});

test("as it is started: on a registry of its own, until Ctrl-C", async () => {
  const example = RunningExample.start("admin");
  const [url] = await example.printed(/http:\/\/127\.0\.0\.1:\d+\/collections/);
  const init = { method: "POST", body: JSON.stringify({ ...NOW, dryRun: true }), headers: { "content-type": "application/json" } };
  const { id } = (await (await fetch(url, init)).json()) as Summary;
  const events = await watch(`${url}/${id}`);
  expect(events.at(-1)?.data).toMatchObject({ status: "completed" });
  expect(events.at(-1)?.data.report?.eligible.blobs).toBeGreaterThan(0);
  expect(await example.stop()).toBe(0);
  expect(example.stderr).toBe("");
});
