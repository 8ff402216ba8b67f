/** The vectors: cases laid out as data, run on every store, forwards and backwards. */

import { type GcOptions, type GcReport, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { s3Store, useStandIn } from "./s3/s3Store.js";
import { contentOf, STORES, type Store } from "./support/stores.js";
import { allVectors, layOut, type Vector } from "./support/vectors.js";

const vectors = allVectors();

test("there are vectors", () => expect(vectors.length).toBeGreaterThan(30));

useStandIn();

describe.each(Object.entries({ ...STORES, s3: s3Store }))("on %s", (_, makeStore) => {
  describe.each(vectors)("$name", (vector) => {
    test("a dry run changes nothing and foretells", async () => {
      const store = await layOut(vector, makeStore());
      const report = await attempt(store, { ...vector.options, dryRun: true });
      expectOutcome(report, vector, store);
      expect(await contentOf(store.driver)).toEqual(new Map(Object.entries(vector.files).map(latin1)));
    });

    test("a real run removes exactly what is garbage, and a second one nothing", async () => {
      const store = await layOut(vector, makeStore());
      const report = await attempt(store, vector.options);
      expectOutcome(report, vector, store);
      await expectLeft(store, vector);
      if (vector.expected.code !== undefined) return;
      expect(report.deleted).toEqual(report.eligible);
      expect(report.failures).toEqual([]);

      const second = await attempt(store, vector.options);
      expect(second.status).toBe("completed");
      expect(second.eligible).toMatchObject({ manifests: 0, blobs: 0, layerLinks: 0, tagIndexEntries: 0 });
      await expectLeft(store, vector);
    });

    test("the order of listings does not matter", async () => {
      const store = await layOut(vector, makeStore());
      const report = await attempt({ ...store, driver: backwards(store.driver) }, vector.options);
      expectOutcome(report, vector, store);
      await expectLeft(store, vector);
    });
  });
});

async function attempt({ driver }: Store, options: GcOptions): Promise<GcReport & { code?: string }> {
  try {
    return await markAndSweep({}, driver, openRegistry(driver), options);
  } catch (error) {
    const { code, report } = error as { code?: string; report?: GcReport };
    if (report === undefined || code === undefined) throw error;
    return { ...report, code };
  }
}

function expectOutcome(report: GcReport & { code?: string }, { expected }: Vector, { hasDirectories }: Store): void {
  expect(report.code).toBe(expected.code);
  expect(report.status).toBe(expected.status);
  if (expected.eligible === undefined) return;
  // Without directories an emptied repository is gone by itself.
  const repositories = hasDirectories ? expected.eligible.repositories : report.eligible.repositories;
  expect(report.eligible).toEqual({ ...expected.eligible, repositories });
  expect(report.problems).toEqual([]);
}

async function expectLeft({ driver }: Store, { files, expected }: Vector): Promise<void> {
  const removed = new Set(expected.removed);
  const left = Object.entries(files).filter(([path]) => !removed.has(path));
  expect(await contentOf(driver)).toEqual(new Map(left.map(latin1)));
}

function latin1([path, content]: [string, string]): [string, string] {
  return [path, Buffer.from(content).toString("latin1")];
}

/** The same driver, its listings from the end to the beginning. */
function backwards(driver: StorageDriver): StorageDriver {
  return new Proxy(driver, {
    get(target, member) {
      const value = target[member as keyof StorageDriver];
      if (typeof value !== "function") return value;
      if (member !== "list" && member !== "walk") return value.bind(target);
      return async function* (path: string) {
        const pages = [];
        for await (const page of (member === "walk" ? target.walk?.(path) : target.list(path)) ?? []) pages.unshift([...page].reverse());
        yield* pages;
      };
    },
  });
}
