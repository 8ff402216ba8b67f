/** A check of a namespace: it says whose promise is broken, and passes for nothing that it has not looked at. */

import type { Namespace } from "oci-registry-gc";
import { ConformanceError, namespaceConformance } from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import type { RegistryContents } from "../../src/testing/conformance/contents.js";
import { type NamespaceMember, namespaceCheck } from "../../src/testing/conformance/namespaceCheck.js";

const registry = (...members: NamespaceMember[]) =>
  Object.fromEntries(members.map((member) => [member, () => undefined])) as unknown as Namespace;
const repository = (more: object = {}) => ({ tags: {}, revisions: [], layerLinks: [], ...more });
const ENOUGH = {
  blobs: ["b"],
  repositories: {
    tagged: repository({ tags: { latest: "m" } }),
    pushed: repository({ revisions: ["m"] }),
    linked: repository({ layerLinks: ["l"] }),
    empty: repository(),
  },
} as unknown as RegistryContents;

const run = (needs: NamespaceMember[], of: Namespace, holds = ENOUGH, body: () => Promise<void> = async () => undefined) =>
  namespaceCheck("subject: promise", needs, body).run({ registry: of, holds });

describe("a check", () => {
  test("passes where its body does, over repositories that hold enough together", async () => {
    let runs = 0;
    await run(["online"], registry("online"), ENOUGH, async () => {
      runs++;
    });
    expect(runs).toBe(1);
  });

  test.each<NamespaceMember[][]>([[[]], [["blobFootprint"]], [["online"]]])("of two members does not run with %j", async (members) => {
    let runs = 0;
    const failed = run(["online", "blobFootprint"], registry(...members), ENOUGH, async () => {
      runs++;
    });
    await expect(failed).rejects.toBeInstanceOf(ConformanceError);
    await expect(failed).rejects.toThrow(/^subject: promise: the namespace lacks online or blobFootprint/);
    expect(runs).toBe(0);
  });

  test.each<[string, object]>([
    ["blobs", { blobs: [] }],
    ["tags", { repositories: { ...ENOUGH.repositories, tagged: repository() } }],
    ["revisions", { repositories: { ...ENOUGH.repositories, pushed: repository() } }],
    ["layer links", { repositories: { ...ENOUGH.repositories, linked: repository() } }],
    ["repositories", { repositories: {} }],
  ])("of a registry without %s does not run", async (_, less) => {
    let runs = 0;
    const failed = run([], registry(), { ...ENOUGH, ...less }, async () => {
      runs++;
    });
    await expect(failed).rejects.toBeInstanceOf(ConformanceError);
    await expect(failed).rejects.toThrow(/^subject: promise: the registry is to hold a blob/);
    expect(runs).toBe(0);
  });

  test.each([
    [new ConformanceError("expected 1, got 2"), /^subject: promise: expected 1, got 2$/],
    [new Error("EIO"), /^subject: promise: expected no error, got .*EIO/],
    ["text", /^subject: promise: expected no error, got .*text/],
  ])("that fails says which it is, and keeps the cause: %s", async (cause, message) => {
    const failed = run([], registry(), ENOUGH, async () => {
      throw cause;
    });
    await expect(failed).rejects.toBeInstanceOf(ConformanceError);
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.toMatchObject({ cause });
  });
});

test("the promises are of looks, absences and footprints, each by a name of its own", () => {
  const names = namespaceConformance().map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(10);
});
