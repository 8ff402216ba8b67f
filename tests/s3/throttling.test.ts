/** A store that can't keep up: fewer requests in flight, patience, and no failure before the budget is gone. */

import { describe, expect, test } from "vitest";
import { Gate } from "../../src/drivers/s3/gate.js";
import { InstantClock, s3World, useStandIn } from "./s3Store.js";
import { fault, xml } from "./standIn.js";

useStandIn();

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("the number in flight", () => {
  const enter = (gate: Gate, count: number) => Promise.all(Array.from({ length: count }, () => gate.enter(undefined)));

  test("is halved once for all that were under way, and grows by one a round", async () => {
    const gate = new Gate(16, 0, new InstantClock());
    const tickets = await enter(gate, 16);
    for (const ticket of tickets) gate.leave(ticket, "overrun");
    expect(gate.limit).toBe(8);
    for (let round = 9; round <= 16; round++) {
      const count = gate.limit;
      for (const ticket of await enter(gate, count)) gate.leave(ticket, "fine");
      for (const ticket of await enter(gate, 1)) gate.leave(ticket, "fine");
      expect(gate.limit).toBe(round);
    }
    for (const ticket of await enter(gate, 16)) gate.leave(ticket, "fine");
    expect(gate.limit).toBe(16);
  });

  test("is what was really in flight, halved, and never below one", async () => {
    const gate = new Gate(32, 0, new InstantClock());
    for (const ticket of await enter(gate, 6)) gate.leave(ticket, "overrun");
    expect(gate.limit).toBe(3);
    for (let i = 0; i < 5; i++) for (const ticket of await enter(gate, 1)) gate.leave(ticket, "overrun");
    expect(gate.limit).toBe(1);
  });

  test("bounds who comes later, and a signal ends the waiting", async () => {
    const gate = new Gate(1, 0, new InstantClock());
    const ticket = await gate.enter(undefined);
    const controller = new AbortController();
    const second = gate.enter(controller.signal);
    const third = gate.enter(undefined);
    controller.abort(new Error("stop"));
    await expect(second).rejects.toThrow("stop");
    gate.leave(ticket, "fine");
    gate.leave(await third, "fine");
    gate.leave(await gate.enter(undefined), "fine");
  });

  test("what may take minutes leaves a place to the others, and both get theirs in turn", async () => {
    const gate = new Gate(3, 0, new InstantClock());
    const log: string[] = [];
    const enter = async (name: string, isLong: boolean) => {
      const ticket = await gate.enter(undefined, isLong);
      log.push(name);
      return ticket;
    };
    const first = await enter("copy 1", true);
    const second = await enter("copy 2", true);
    const third = enter("copy 3", true);
    const get = await enter("get 1", false);
    const later = enter("get 2", false);
    await nextTurn();
    expect(log).toEqual(["copy 1", "copy 2", "get 1"]);
    gate.leave(get, "fine");
    gate.leave(await later, "fine");
    expect(log).toEqual(["copy 1", "copy 2", "get 1", "get 2"]);
    gate.leave(first, "fine");
    gate.leave(second, "fine");
    gate.leave(await third, "fine");
    expect(log.at(-1)).toBe("copy 3");
    expect(gate.limit).toBe(3);
  });

  test("of one place, copies take it, too", async () => {
    const gate = new Gate(1, 0, new InstantClock());
    gate.leave(await gate.enter(undefined, true), "fine");
    gate.leave(await gate.enter(undefined, false), "fine");
    const copy = await gate.enter(undefined, true);
    const controller = new AbortController();
    const waiting = gate.enter(controller.signal, true);
    controller.abort(new Error("stop"));
    await expect(waiting).rejects.toThrow("stop");
    gate.leave(copy, "fine");
    gate.leave(await gate.enter(undefined, true), "fine");
  });

  test("a run's short requests go on beside copies that take long, two at once in all", async () => {
    const { s3, driver } = s3World({ maxInFlight: 2 });
    for (const name of ["a", "b", "c", "d"]) s3.put(name, name);
    // By then it knows what the store makes of conditions.
    await driver.move("/d", "/moved/d");
    let copies = 0;
    let answer: () => void = () => undefined;
    s3.interrupt = async ({ headers }) => {
      if (headers["x-amz-copy-source"] !== undefined && copies++ === 0) await new Promise<void>((resolve) => (answer = resolve));
      return undefined;
    };
    const moves = ["a", "b"].map((name) => driver.move(`/${name}`, `/moved/${name}`));
    while (copies === 0) await nextTurn();
    expect(await driver.getContent("/c")).toHaveLength(1);
    expect(copies).toBe(1);
    answer();
    await Promise.all(moves);
  });

  test("a clock that is set back holds nobody: requests a second are counted from then", async () => {
    const clock = new InstantClock();
    const gate = new Gate(4, 100, clock);
    for (const ticket of await enter(gate, 3)) gate.leave(ticket, "fine");
    clock.advance(-3_600_000);
    clock.slept.length = 0;
    for (const ticket of await enter(gate, 2)) gate.leave(ticket, "fine");
    expect(clock.slept.every((ms) => ms <= 300)).toBe(true);
    expect(clock.slept.length).toBeGreaterThan(0);
  });

  test("is halved too for what a good answer puts off", async () => {
    const gate = new Gate(16, 0, new InstantClock());
    const tickets = await enter(gate, 16);
    gate.cut();
    expect(gate.limit).toBe(8);
    for (const ticket of tickets) gate.leave(ticket, "overrun");
    expect(gate.limit).toBe(8);
  });

  test("other failures leave it as it is", async () => {
    const gate = new Gate(4, 0, new InstantClock());
    for (const ticket of await enter(gate, 4)) gate.leave(ticket, "other");
    expect(gate.limit).toBe(4);
  });

  test("a store that takes four at once is soon asked four at once", async () => {
    const { s3, driver } = s3World();
    s3.put("a", "x");
    let now = 0;
    let refused = 0;
    s3.interrupt = async () => {
      now++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      const isOverrun = now > 4;
      now--;
      if (isOverrun) refused++;
      return isOverrun ? fault(503, "SlowDown") : undefined;
    };
    await Promise.all(Array.from({ length: 300 }, () => driver.getContent("/a")));
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(200);
  });
});

describe("patience", () => {
  test.each([
    ["503 SlowDown", () => fault(503, "SlowDown")],
    ["429", () => ({ status: 429, body: "slow" })],
    ["500", () => fault(500, "InternalError")],
    ["400 RequestTimeout", () => fault(400, "RequestTimeout")],
    ["a connection that breaks", () => ({ status: 200, body: "x", cutAt: 0 })],
  ])("%s is tried again, by the driver and nobody else", async (_, answer) => {
    const { s3, driver, clock } = s3World({}, { maxAttempts: 5 });
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth < 3 ? answer() : undefined);
    expect(await driver.getContent("/a")).toHaveLength(1);
    expect(s3.count()).toBe(4);
    expect(clock.slept).toHaveLength(3);
    expect(driver.requestCounts).toEqual({ GetObject: 4 });
  });

  test("the client's time-outs are tried again", async () => {
    const { s3, driver } = s3World({}, { requestHandler: { requestTimeout: 50, throwOnRequestTimeout: true } });
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth === 0 ? new Promise(() => undefined) : undefined);
    expect(await driver.getContent("/a")).toHaveLength(1);
    expect(s3.count()).toBe(2);
  });

  test("ends with the budget, and says how often it tried", async () => {
    const { s3, driver, clock } = s3World();
    s3.interrupt = () => fault(503, "SlowDown", "Please reduce your request rate.");
    await expect(driver.getContent("/a")).rejects.toMatchObject({
      code: "DRIVER_ERROR",
      message: expect.stringMatching(/after \d+ tries: SlowDown \(HTTP 503\): Please reduce/) as unknown,
    });
    const waited = clock.slept.reduce((a, b) => a + b, 0);
    expect(waited).toBeLessThanOrEqual(60_000);
    expect(waited).toBeGreaterThan(45_000);
    expect(Math.max(...clock.slept)).toBeLessThanOrEqual(10_000);
  });

  test("waits are drawn anew: no two callers come back together", async () => {
    const { s3, driver, clock } = s3World();
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth < 20 ? fault(503, "SlowDown") : undefined);
    await Promise.all(Array.from({ length: 10 }, () => driver.getContent("/a")));
    expect(new Set(clock.slept).size).toBe(clock.slept.length);
  });

  test("a budget of nothing tries once", async () => {
    const { s3, driver } = s3World({ retryBudgetMs: 0 });
    s3.interrupt = () => fault(503, "SlowDown");
    await expect(driver.stat("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(s3.count()).toBe(1);
  });

  test.each([
    ["seconds", () => "7", 7000],
    ["a date", () => new Date(Date.now() + 9000).toUTCString(), 7000],
  ])("Retry-After in %s is honoured", async (_, header, ms) => {
    const { s3, driver, clock } = s3World();
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth === 0 ? { status: 429, headers: { "retry-after": header() }, body: "" } : undefined);
    await driver.getContent("/a");
    expect(clock.slept[0]).toBeGreaterThanOrEqual(ms);
  });

  test("Retry-After beyond the budget: asked again when the budget is over, and then given up", async () => {
    const { s3, driver, clock } = s3World();
    s3.interrupt = () => ({ status: 503, headers: { "retry-after": "120" }, body: "" });
    await expect(driver.getContent("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect([s3.count(), clock.slept]).toEqual([2, [60_000]]);
  });

  test("Retry-After beyond the budget is no failure where the store answers by then, and holds the others no longer", async () => {
    const { s3, driver, clock } = s3World({ retryBudgetMs: 2000 });
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth === 0 ? { status: 429, headers: { "retry-after": "3600" }, body: "" } : undefined);
    expect(await driver.getContent("/a")).toHaveLength(1);
    expect(await driver.getContent("/a")).toHaveLength(1);
    expect(Math.max(...clock.slept)).toBeLessThanOrEqual(2000);
  });

  test("a date in Retry-After is one of the store's clock", async () => {
    const { s3, driver, clock } = s3World();
    s3.put("a", "x");
    const theirs = clock.now() + 240_000;
    const [date, later] = [theirs, theirs + 5000].map((time) => new Date(time).toUTCString());
    s3.interrupt = ({ nth }) =>
      nth === 0 ? { status: 429, headers: { "retry-after": later ?? "", date: date ?? "" }, body: "" } : undefined;
    expect(await driver.getContent("/a")).toHaveLength(1);
    expect(Math.max(...clock.slept)).toBe(5000);
  });

  test("the budget is for further tries: neither a first one that takes all of it nor one's turn is counted", async () => {
    const { s3, driver, clock } = s3World({ maxInFlight: 1 });
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => {
      if (nth >= 4) return undefined;
      clock.advance(59_999);
      return fault(503, "SlowDown");
    };
    const all = await Promise.all(Array.from({ length: 4 }, () => driver.getContent("/a")));
    expect(all.map((bytes) => bytes.length)).toEqual([1, 1, 1, 1]);
  });

  test("Retry-After is asked of all: nobody else goes on meanwhile", async () => {
    const { s3, driver, clock } = s3World({ maxInFlight: 1 });
    s3.put("a", "x");
    s3.interrupt = ({ nth }) => (nth === 0 ? { status: 503, headers: { "retry-after": "5" }, body: "" } : undefined);
    await Promise.all([driver.getContent("/a"), driver.getContent("/a")]);
    expect(clock.slept.filter((ms) => ms > 4500).length).toBeGreaterThanOrEqual(1);
  });

  test("what is wrong for good is not tried again", async () => {
    const { s3, driver } = s3World();
    s3.interrupt = () => fault(403, "AccessDenied");
    await expect(driver.getContent("/a")).rejects.toMatchObject({ code: "DRIVER_ERROR" });
    expect(s3.count()).toBe(1);
  });

  test("a signal ends the waiting", async () => {
    const { s3, driver } = s3World({ clock: undefined });
    const controller = new AbortController();
    const reason = new Error("stop");
    s3.interrupt = () => {
      setTimeout(() => controller.abort(reason), 10);
      return { status: 503, headers: { "retry-after": "30" }, body: "" };
    };
    await expect(driver.getContent("/a", { signal: controller.signal })).rejects.toBe(reason);
  });

  test("maxRequestsPerSecond spaces requests", async () => {
    const { s3, driver, clock } = s3World({ maxRequestsPerSecond: 10 });
    s3.put("a", "x");
    for (let i = 0; i < 5; i++) await driver.getContent("/a");
    expect(clock.slept.length).toBe(4);
    expect(clock.slept.every((ms) => ms > 50 && ms <= 100)).toBe(true);
  });

  test("walks are patient too", async () => {
    const { s3, driver } = s3World();
    for (let i = 0; i < 3000; i++) s3.put(`d/${i % 20}/${i}`, "");
    s3.weak = { pageSize: 100 };
    s3.interrupt = ({ nth }) => (nth % 3 === 1 ? fault(503, "SlowDown") : undefined);
    const paths = new Set<string>();
    for await (const page of driver.walk("/d")) for (const { path } of page) paths.add(path);
    expect(paths.size).toBe(3000);
  });
});

describe("single keys of a DeleteObjects", () => {
  const answer = (deleted: readonly string[], errors: Readonly<Record<string, string>>) =>
    xml(
      "DeleteResult",
      deleted.map((key) => `<Deleted><Key>${key}</Key></Deleted>`).join("") +
        Object.entries(errors)
          .map(([key, code]) => `<Error><Key>${key}</Key><Code>${code}</Code><Message>no</Message></Error>`)
          .join(""),
    );

  test("that the store puts off are tried again, and no others", async () => {
    const { s3, driver, clock } = s3World();
    const bodies: string[] = [];
    s3.interrupt = ({ nth, body }) => {
      bodies.push(body.toString());
      return nth === 0 ? answer(["a"], { b: "SlowDown", c: "InternalError", d: "AccessDenied" }) : undefined;
    };
    expect(await driver.deleteFiles(["/a", "/b", "/c", "/d"])).toEqual([{ path: "/d", code: "AccessDenied", message: "no" }]);
    expect(bodies[1]).toContain("<Key>b</Key>");
    expect(bodies[1]).toContain("<Key>c</Key>");
    expect(bodies[1]).not.toMatch(/<Key>[ad]</);
    expect(clock.slept).toHaveLength(1);
  });

  test("that it puts off for ever are failures at the end of the budget", async () => {
    const { s3, driver, clock } = s3World();
    s3.interrupt = () => answer(["a"], { b: "SlowDown" });
    expect(await driver.deleteFiles(["/a", "/b"])).toEqual([{ path: "/b", code: "SlowDown", message: "no" }]);
    expect(clock.slept.reduce((x, y) => x + y, 0)).toBeLessThanOrEqual(60_000);
  });

  test("that it does not name are not gone", async () => {
    const { s3, driver } = s3World();
    s3.interrupt = () => answer(["a"], {});
    expect(await driver.deleteFiles(["/a", "/b"])).toMatchObject([{ path: "/b", code: "NOT_CONFIRMED" }]);
    s3.interrupt = () => ({ status: 200, body: `${String(fault(200, "InternalError").body)}\n` });
    expect(await driver.deleteFiles(["/a", "/b"])).toMatchObject([{ path: "/a" }, { path: "/b" }]);
  });

  test("that were not there are gone", async () => {
    const { s3, driver } = s3World();
    s3.interrupt = () => answer(["a"], { b: "NoSuchKey" });
    expect(await driver.deleteFiles(["/a", "/b"])).toEqual([]);
  });
});
