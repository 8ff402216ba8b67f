/** The conformance checks of drivers: every driver of the house passes, and drivers with one thing wrong don't. */

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { type StorageDriver, UnsupportedError } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import {
  type ConformanceCheck,
  ConformanceError,
  type ConformanceSubject,
  FlatDriver,
  InterceptedDriver,
  ReadOnlyDriver,
  snapshotOf,
  storageDriverConformance,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { s3Store, useStandIn } from "./s3/s3Store.js";
import { filesystemStore, flatStore, leastStore, memoryStore } from "./support/stores.js";
import { deafDriver, laxDriver, WRONG_DRIVERS } from "./support/wrongDrivers.js";

useStandIn();

const checks = storageDriverConformance();

function checkOf(name: string): ConformanceCheck {
  const check = checks.find((each) => each.name === name);
  if (check === undefined) throw new Error(`there is no check ${name}`);
  return check;
}

const lacks = ({ needs }: ConformanceCheck, driver: StorageDriver) => needs.some((member) => !(member in driver));

/** What was expected, and what came instead. */
const BROKEN = /expected .*(got |; it is gone)/;

const bytes = (text: string) => new TextEncoder().encode(text);

const DRIVERS: Readonly<Record<string, () => ConformanceSubject>> = {
  memory: () => ({ driver: memoryStore().driver }),
  filesystem: () => {
    const { driver, folder } = filesystemStore();
    // Without the syncs of putContent.
    const put = async (path: string, content: Uint8Array) => {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    };
    return { driver, put };
  },
  flat: () => ({ driver: flatStore().driver }),
  least: () => {
    const { driver, put } = leastStore();
    return { driver, put: (path, content) => put(path, content, Date.now()) };
  },
  s3: () => ({ driver: s3Store().driver }),
  intercepted: () => ({ driver: new InterceptedDriver(new FlatDriver(), (_, proceed) => proceed()) }),
  "web streams'": () => {
    const driver = new MemoryDriver();
    const reader = driver.reader.bind(driver);
    return { driver: Object.assign(driver, { reader: async (...of: Parameters<typeof reader>) => Readable.toWeb(await reader(...of)) }) };
  },
  "not atomic": () => {
    const driver = new MemoryDriver();
    const putContent = driver.putContent.bind(driver);
    return {
      driver: Object.assign(driver, {
        putContent: async (...[path, content, options]: Parameters<typeof putContent>) => {
          if (options?.ifAbsent === true && options.signal?.aborted !== true) throw new UnsupportedError("this store can't tell");
          return putContent(path, content, options);
        },
      }),
    };
  },
};

describe.each(Object.entries(DRIVERS))("the %s driver", (_, makeSubject) => {
  test.each(checks.map((check) => [check.name, check] as const))("%s", async (__, check) => {
    const subject = makeSubject();
    if (!lacks(check, subject.driver)) await check.run(subject);
  });
});

const SIGNAL = /a signal that is aborted already/;
const NO_PATH = /that is no path|what is no path/;
/** The first has `pruneDirectories`, the second `walk`. */
const BASES = [() => new MemoryDriver(), () => new FlatDriver()];

const WRONG: readonly (readonly [wrong: string, make: () => StorageDriver, check: string])[] = [
  ...WRONG_DRIVERS,
  ...BASES.flatMap((make) => {
    const fitting = checks.filter((check) => !lacks(check, make()));
    const named = (pattern: RegExp) => fitting.map(({ name }) => name).filter((name) => pattern.test(name));
    return [
      ...named(SIGNAL).map((name) => ["is deaf to signals", () => deafDriver(make()), name] as const),
      ...named(NO_PATH).map((name) => ["makes a path of anything", () => laxDriver(make()), name] as const),
    ];
  }),
];

describe("a driver that", () => {
  test.each(WRONG)("%s: fails", async (_, makeDriver, name) => {
    const error: unknown = await checkOf(name)
      .run({ driver: makeDriver() })
      .catch((each: unknown) => each);
    expect(error).toBeInstanceOf(ConformanceError);
    expect(error).toMatchObject({ code: "CONFORMANCE", message: expect.stringMatching(BROKEN) as unknown });
    expect((error as Error).message.startsWith(`${name}: `)).toBe(true);
  });
});

describe("checks", () => {
  test("have names of their own, and every member has some", () => {
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
    const members = new Set(checks.map(({ name }) => name.slice(0, name.indexOf(":"))));
    expect([...members].sort()).toEqual(
      [
        ...["name", "stat", "list", "reader", "delete", "modTime"],
        ...["getContent", "walk", "deleteFiles", "pruneDirectories", "putContent", "move"],
      ].sort(),
    );
    const optional = new Set(checks.flatMap(({ needs }) => needs));
    expect([...optional].sort()).toEqual(["deleteFiles", "getContent", "move", "pruneDirectories", "putContent", "walk"]);
  });

  test("have each a driver that fails them", () => {
    expect([...new Set(WRONG.map(([, , name]) => name))].sort()).toEqual(checks.map(({ name }) => name).sort());
  });

  test("leave a store as they found it, all at once, whether they pass or not", async () => {
    const driver = new FlatDriver();
    await driver.putContent("/conformance", bytes("someone's own"));
    await driver.putContent("/docker/file", bytes("someone's own"));
    const noSuchStat: StorageDriver = new InterceptedDriver(driver, ({ method }, proceed) => {
      if (method === "stat") throw new Error("no connection");
      return proceed();
    });
    await Promise.all(checks.filter((check) => !lacks(check, driver)).map((check) => check.run({ driver })));
    const outcomes = await Promise.allSettled(checks.map((check) => check.run({ driver: noSuchStat })));
    expect(outcomes.filter(({ status }) => status === "rejected").length).toBeGreaterThan(20);
    expect([...(await snapshotOf(driver)).files.keys()].sort()).toEqual(["/conformance", "/docker/file"]);
  });

  test.each([
    ["reader gives strings", /: what the stream of reader\(\/.*\) gives: expected bytes, a Uint8Array, got '/],
    ["getContent gives text", /: getContent of \/.*: expected bytes, a Uint8Array, got '/],
  ])("say what should have come: %s", async (wrongness, message) => {
    const [, makeDriver, name] = WRONG_DRIVERS.find(([is]) => is === wrongness)!;
    await expect(checkOf(name).run({ driver: makeDriver() })).rejects.toThrow(message);
  });

  test("take a null where nothing is told", async () => {
    const driver = new FlatDriver();
    const { walk } = driver;
    driver.walk = async function* (...args) {
      for await (const page of walk.apply(driver, args)) yield page.map((info) => ({ ...info, md5: null as never }));
    };
    for (const check of checks) if (check.name.startsWith("walk: ")) await check.run({ driver });
  });

  test("tell an error that they did not expect", async () => {
    const driver = new InterceptedDriver(new MemoryDriver(), ({ method }, proceed) => {
      if (method === "stat") throw new Error("no connection");
      return proceed();
    });
    await expect(checkOf("stat: tells a directory").run({ driver })).rejects.toThrow(/^stat: tells a directory: .*no connection$/);
  });

  test("say what a driver lacks, and that nothing can be written", async () => {
    const { driver } = leastStore();
    await expect(checkOf("walk: empty files are files").run({ driver })).rejects.toThrow(/lacks walk: leave out checks whose needs/);
    await expect(checkOf("stat: tells a directory").run({ driver })).rejects.toThrow(/nothing can be written.*no putContent/);
  });

  test("say what they could not take away", async () => {
    const inner = new MemoryDriver();
    const put = async (path: string, content: Uint8Array) => {
      await inner.putContent(path, content);
    };
    const check = checkOf("stat: tells a directory");
    await expect(check.run({ driver: new ReadOnlyDriver(inner), put })).rejects.toThrow(/\/conformance-\S+ can't be taken away.*read-only/);
  });

  test("wait for listings that lag", async () => {
    const inner = new FlatDriver();
    const listed = new FlatDriver();
    const driver = new InterceptedDriver(inner, async ({ method }, proceed) => {
      const result = await proceed();
      if (method !== "list" && method !== "walk") setTimeout(() => copy(inner, listed), 20);
      return result;
    });
    const lagging = Object.assign(driver, { list: listed.list.bind(listed), walk: listed.walk.bind(listed) });
    const name = "list: names the direct children, each once";
    await expect(checkOf(name).run({ driver: lagging })).rejects.toThrow();
    const patient = storageDriverConformance({ listingLagMs: 60 }).filter((check) =>
      /^(list|walk): (names|what|nothing|empty)/.test(check.name),
    );
    expect(patient.length).toBeGreaterThan(5);
    for (const check of patient) await check.run({ driver: lagging });
  });
});

function copy(from: FlatDriver, to: FlatDriver): void {
  to.objects.clear();
  for (const [key, object] of from.objects) to.objects.set(key, object);
}
