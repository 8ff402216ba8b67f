/** The conformance checks of namespaces: the v2 layout passes, listed either way, and namespaces with one thing wrong don't. */

import type { Footprint, LookOptions, Namespace, Repository, RepositoryOverview, StorageDriver } from "oci-registry-gc";
import { openRegistry } from "oci-registry-gc";
import {
  ConformanceError,
  digestOf,
  type NamespaceCheck,
  type NamespaceSubject,
  namespaceConformance,
  RegistryBuilder,
  type RegistryContents,
} from "oci-registry-gc/testing";
import { describe, expect, test } from "vitest";
import { s3Store, useStandIn } from "./s3/s3Store.js";
import { filesystemStore, flatStore, memoryStore } from "./support/stores.js";

useStandIn();

const checks = namespaceConformance();

const lacks = ({ needs }: NamespaceCheck, registry: Namespace) => needs.some((member) => !(member in registry));

/** Two repositories that share a layer, one below the other; an index, signatures, a sha512 layer, an upload, a moved tag. */
async function v2Registry(driver: StorageDriver): Promise<NamespaceSubject> {
  const registry = new RegistryBuilder(driver);
  const shared = await registry.layer("shared");
  const [old, image] = [await registry.image("app", { tag: "latest" }), await registry.image("app", { layers: [shared], tag: "latest" })];
  const index = await registry.index("app", [old, image], { tag: "all" });
  const signed = await registry.image("app/old", { format: "schema1", layers: [shared], tag: "v1" });
  const signature = await registry.signature("app/old", signed);
  const wide = await registry.sha512Layer("app/old", "wide");
  await registry.upload("app", "id", { data: "x", startedAt: "2026-01-01T00:00:00Z", hashStates: 2 });
  const [config, stored] = [digestOf("{}"), digestOf(wide.bytes)];
  const layers = [...old.layers, ...image.layers].map(({ digest }) => digest);
  const holds: RegistryContents = {
    repositories: {
      app: {
        tags: { latest: image.digest, all: index.digest },
        revisions: [old.digest, image.digest, index.digest],
        layerLinks: [...new Set([...layers, config])],
      },
      "app/old": { tags: { v1: signed.digest }, revisions: [signed.digest], layerLinks: [shared.digest, wide.digest, stored] },
    },
    blobs: [
      ...new Set([...layers, config, stored, shared.digest, old.digest, image.digest, index.digest, signed.digest, signature.digest]),
    ],
  };
  return { registry: openRegistry(driver), holds };
}

describe.each([
  ["memory, by directories", () => memoryStore().driver],
  ["filesystem, by directories", () => filesystemStore().driver],
  ["flat, by walks", () => flatStore().driver],
  ["s3, by walks", () => s3Store().driver],
])("the v2 layout on %s", (_, makeDriver) => {
  test.each(checks.map((check) => [check.name, check] as const))("%s", async (__, check) => {
    await check.run(await v2Registry(makeDriver()));
  });
});

const text = (content: string) => new TextEncoder().encode(content);
const MANIFESTS = ["one", "two", "three"];
const DIGESTS = MANIFESTS.map((content) => digestOf(content));
const LAYERS = ["x", "y"].map((content) => digestOf(content));
const first = <T>([each]: readonly T[]): T => each as T;

/** The registry of one who keeps rows, as docs/namespace.md has it: it leaves signals aside, and uses no driver. */
function rows(): NamespaceSubject {
  const file = (...parts: string[]): Footprint => ({ files: [`/${parts.join("/").replaceAll(":", "-")}`] });
  const contents = { tags: { latest: first(DIGESTS) }, revisions: DIGESTS, layerLinks: LAYERS };
  const repository = (name: string): Repository => ({
    name,
    async *revisions() {
      yield DIGESTS.slice(0, 2).map((digest) => ({ digest, modTime: new Date() }));
      yield DIGESTS.slice(2).map((digest) => ({ digest, modTime: new Date() }));
    },
    async *layerLinks() {
      yield LAYERS.map((digest) => ({ digest }));
    },
    async *tags() {
      yield [{ name: "latest", path: `${name}:latest`, digest: first(DIGESTS) }];
    },
    readManifest: async (digest) => {
      const content = MANIFESTS[DIGESTS.indexOf(digest)];
      return content === undefined ? undefined : text(content);
    },
    revisionFootprint: (digest) => file("manifests", name, digest),
    layerLinkFootprint: (digest) => file("layers", name, digest),
  });
  return {
    registry: {
      async *repositories() {
        yield* ["foo", "bar"].map(repository);
      },
      async *blobs() {
        yield LAYERS.map((digest) => ({ digest, size: 1, modTime: new Date() }));
      },
      blobFootprint: (digest) => file("blobs", digest),
    },
    holds: { repositories: { foo: contents, bar: contents }, blobs: LAYERS },
  };
}

test.each(checks.map((check) => [check.name, check] as const))("a registry of rows: %s", async (_, check) => {
  const subject = rows();
  if (!lacks(check, subject.registry)) await check.run(subject);
});

type Change<T> = (right: T) => Partial<T>;

function wrongRegistry(change: Change<Namespace>): NamespaceSubject {
  const { registry, holds } = rows();
  return { registry: { ...registry, ...change(registry) }, holds };
}

function wrongRepository(change: Change<Repository>): NamespaceSubject {
  return wrongRegistry((registry) => ({
    async *repositories(options) {
      for await (const each of registry.repositories(options)) yield { ...each, ...change(each) };
    },
  }));
}

async function* none(): AsyncIterable<never> {
  // Nothing is there.
}

const isAborted = (options?: LookOptions) => options?.signal?.aborted === true;

const MANY = "overview, packedBlobs, lookAtLayerLinks, lookAtBlobs: many at once tell what each tells";
const packed = (digests: readonly string[]) => new Uint8Array(Buffer.from(digests.map((digest) => digest.slice(7)).join(""), "hex"));

/** A repository whose overview is right but for this. */
function wrongOverview(change: Partial<RepositoryOverview>): NamespaceSubject {
  const right: RepositoryOverview = {
    ...{ revisions: packed(DIGESTS), times: new Float64Array(3), layerLinks: packed(LAYERS), tagged: packed(DIGESTS.slice(0, 1)) },
    tag: () => ({ name: "latest", path: "foo:latest" }),
  };
  return wrongRepository(() => ({ overview: async () => ({ ...right, ...change }) }));
}

/** What is wrong, a registry of that kind, and the check that names the promise. */
const WRONG: readonly (readonly [wrong: string, subject: NamespaceSubject, check: string])[] = [
  ["leaves a revision out of an overview", wrongOverview({ revisions: packed(DIGESTS.slice(1)) }), MANY],
  ["leaves a layer link out of an overview", wrongOverview({ layerLinks: packed(LAYERS.slice(1)) }), MANY],
  ["names another manifest by a tag of an overview", wrongOverview({ tagged: packed(DIGESTS.slice(1, 2)) }), MANY],
  ["names a tag of an overview otherwise", wrongOverview({ tag: () => ({ name: "newest", path: "foo:newest" }) }), MANY],
  ["cuts an overview", wrongOverview({ layerLinks: packed(LAYERS).subarray(0, -1) }), MANY],
  ["answers for many layer links with one", wrongRepository(() => ({ lookAtLayerLinks: async () => [{ digest: first(LAYERS) }] })), MANY],
  ["answers for many blobs with one", wrongRegistry(() => ({ lookAtBlobs: async () => [{ digest: first(LAYERS) }] })), MANY],
  [
    "leaves a blob out of the packed ones",
    wrongRegistry(() => ({
      async *packedBlobs() {
        yield packed(LAYERS.slice(1));
      },
    })),
    MANY,
  ],
  [
    "leaves out a repository",
    wrongRegistry((right) => ({
      async *repositories() {
        for await (const each of right.repositories()) if (each.name !== "bar") yield each;
      },
    })),
    "repositories: every one, once",
  ],
  [
    "names a repository again",
    wrongRegistry((right) => ({
      async *repositories() {
        yield* right.repositories();
        yield* right.repositories();
      },
    })),
    "repositories: every one, once",
  ],
  [
    "lists one page of revisions",
    wrongRepository((right) => ({
      async *revisions() {
        for await (const page of right.revisions()) {
          yield page;
          return;
        }
      },
    })),
    "revisions: every one, once",
  ],
  [
    "has pages that overlap",
    wrongRepository((right) => ({
      async *revisions() {
        for await (const page of right.revisions()) yield* [page, page.slice(-1)];
      },
    })),
    "revisions: every one, once",
  ],
  [
    "tells what a tag named once",
    wrongRepository(() => ({
      async *tags() {
        yield [{ name: "latest", path: "latest", digest: DIGESTS[1] }];
      },
    })),
    "tags: every one, once, with the digest that it names now",
  ],
  ["leaves out layer links", wrongRepository(() => ({ layerLinks: none })), "layerLinks: every one, once"],
  ["leaves out blobs", wrongRegistry(() => ({ blobs: none })), "blobs: every one, once"],
  [
    "tells a listing once",
    (() => {
      let looks = 0;
      return wrongRegistry((right) => ({ blobs: () => (looks++ === 0 ? right.blobs() : none()) }));
    })(),
    "listings: a second look says the same, also at the same time",
  ],
  [
    "tells times as text",
    wrongRegistry(() => ({
      async *blobs() {
        yield LAYERS.map((digest) => ({ digest, modTime: "2026-01-01" as unknown as Date }));
      },
    })),
    "listings: digests, sizes and times are well formed, and nothing sound is damaged",
  ],
  [
    "takes what is sound for damaged",
    wrongRepository(() => ({
      async *layerLinks() {
        yield LAYERS.map((digest) => ({ digest, damage: { kind: "empty-link", path: "/x", message: "empty" } as const }));
      },
    })),
    "listings: digests, sizes and times are well formed, and nothing sound is damaged",
  ],
  [
    "reads other bytes",
    wrongRepository(() => ({ readManifest: async () => text("other") })),
    "readManifest: gives the bytes of every revision",
  ],
  [
    "cuts manifests",
    wrongRepository((right) => ({
      readManifest: async (digest, options) => (await right.readManifest(digest, options))?.slice(0, options.maxBytes),
    })),
    "readManifest: never cuts silently at maxBytes",
  ],
  [
    "reads an absent manifest as an empty one",
    wrongRepository((right) => ({
      readManifest: async (digest, options) => (await right.readManifest(digest, options)) ?? new Uint8Array(),
    })),
    "readManifest: what is absent is undefined",
  ],
  ["finds every blob", wrongRegistry(() => ({ lookAtBlob: async (digest) => ({ digest }) })), "look-ups: what is absent is undefined"],
  [
    "finds no blob",
    wrongRegistry(() => ({ lookAtBlob: async () => undefined })),
    "look-ups: one link or blob, looked at alone, is as listings tell it",
  ],
  [
    "ends a listing at a signal",
    wrongRegistry((right) => ({ blobs: (options) => (isAborted(options) ? none() : right.blobs()) })),
    "signal: one that is aborted never shortens an answer",
  ],
  [
    "takes an aborted read for an absence",
    wrongRepository((right) => ({
      readManifest: async (digest, options) => (isAborted(options) ? undefined : right.readManifest(digest, options)),
    })),
    "signal: one that is aborted never shortens an answer",
  ],
  [
    "ends a listing at a signal between two pages",
    wrongRegistry((right) => ({
      async *repositories(options) {
        for await (const each of right.repositories()) {
          yield each;
          if (isAborted(options)) return;
        }
      },
    })),
    "signal: one that is aborted between two pages never shortens an answer",
  ],
  [
    "takes a driver's failure for an absence",
    wrongRegistry((right) => ({
      async *blobs(options = {}) {
        const { driver } = memoryStore();
        try {
          await (options.through?.(driver) ?? driver).stat("/");
        } catch {
          return;
        }
        yield* right.blobs();
      },
    })),
    "through: a driver that fails never makes an answer shorter",
  ],
  [
    "shares files",
    wrongRepository(() => ({ layerLinkFootprint: (digest) => ({ files: [`/layers/${digest.slice(7)}`] }) })),
    "footprints: no two things share a file, or lie within one another",
  ],
  [
    "has a tree within which others lie",
    wrongRepository(({ name }) => ({ revisionFootprint: () => ({ files: [], trees: [`/layers/${name}`] }) })),
    "footprints: no two things share a file, or lie within one another",
  ],
  [
    "names what is no path",
    wrongRepository(() => ({ layerLinkFootprint: (digest) => ({ files: [`layers/${digest}`] }) })),
    "footprints: name paths of a driver, below upTo",
  ],
  [
    "names a limit elsewhere",
    wrongRepository(() => ({ layerLinkFootprint: () => ({ files: ["/layers/x"], upTo: "/blobs" }) })),
    "footprints: name paths of a driver, below upTo",
  ],
  [
    "names other files each time",
    (() => {
      let asked = 0;
      return wrongRegistry(() => ({ blobFootprint: () => ({ files: [`/blobs/${asked++}`] }) }));
    })(),
    "footprints: say the same each time",
  ],
  [
    "has one file for all blobs",
    wrongRegistry(() => ({ blobFootprint: () => ({ files: ["/blobs"] }) })),
    "blobFootprint: names files of its own for each blob",
  ],
  [
    "would remove a repository that holds something",
    wrongRepository(() => ({ emptyFootprint: async () => ({ files: [] }) })),
    "emptyFootprint: a repository that holds something has none",
  ],
  [
    "keeps its lock among the blobs",
    wrongRegistry(() => ({ online: { lock: `/blobs/${first(LAYERS).replace(":", "-")}`, aside: "/aside" } })),
    "online: its places lie apart from all that a run removes",
  ],
  [
    "keeps aside what it lists",
    wrongRegistry(() => ({ online: { lock: "/lock", aside: "/blobs" } })),
    "online: its places lie apart from all that a run removes",
  ],
  [
    "lists less when asked again",
    wrongRepository((right) => ({ again: async () => ({ ...right, tags: none }) })),
    "again: the same repository, listed afresh",
  ],
  ["is gone when asked again", wrongRepository(() => ({ again: async () => undefined })), "again: the same repository, listed afresh"],
];

function checkOf(name: string): NamespaceCheck {
  const check = checks.find((each) => each.name === name);
  if (check === undefined) throw new Error(`there is no check ${name}`);
  return check;
}

test.each(WRONG)("a registry that %s fails", async (_, subject, name) => {
  const error: unknown = await checkOf(name)
    .run(subject)
    .catch((each: unknown) => each);
  expect(error).toBeInstanceOf(ConformanceError);
  expect((error as Error).message).toMatch(/expected .*got /);
  expect((error as Error).message.startsWith(`${name}: `)).toBe(true);
});

test("every check has a name of its own, and a registry that fails it", () => {
  expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
  expect([...new Set(WRONG.map(([, , name]) => name))].sort()).toEqual(checks.map(({ name }) => name).sort());
});

test("a check says what a namespace lacks, and that too little is held", async () => {
  const { registry, holds } = rows();
  await expect(checkOf("online: its places lie apart from all that a run removes").run({ registry, holds })).rejects.toThrow(
    /lacks online/,
  );
  for (const little of [
    { ...holds, blobs: [] },
    { ...holds, repositories: { foo: { tags: {}, revisions: DIGESTS, layerLinks: LAYERS } } },
  ]) {
    await expect(checkOf("blobs: every one, once").run({ registry, holds: little })).rejects.toThrow(/else nothing is checked/);
  }
});
