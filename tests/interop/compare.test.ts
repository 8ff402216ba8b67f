/**
 * The collector beside `docker-registry garbage-collect`, on copies of one storage. Where they leave different things, it is told
 * here what, and which rule of ours is the reason. Any other difference fails, and so does one that has gone.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect, FilledStorage } from "./support/filledStorage.js";
import { collectAsDistribution, storageOf } from "./support/registryServer.js";
import { describeInterop } from "./support/tools.js";
import type { Contents } from "./support/tree.js";

/** What only one of the two leaves. */
interface Difference {
  /** The heading in docs/what-is-garbage.md, and what it comes to here. */
  readonly rule: string;
  readonly left: "by us" | "by docker-registry";
  readonly what: Partial<Contents>;
}

const configAndLayer = (...images: readonly string[]) => images.flatMap((name) => [`${name} config`, `${name} layer`]);

const links = (repository: string, ...names: readonly string[]) => names.map((name) => `${repository}: ${name}`);

/** Whatever the options. */
const ALWAYS: readonly Difference[] = [
  {
    rule: "2, Layer-linked children: an index's child that was pushed as a blob is served as a manifest, and so followed",
    left: "by us",
    what: {
      blobs: ["image pushed as a blob config", "layer of an image pushed as a blob"],
    },
  },
  {
    rule: "2, sha512 names are resolved to the stored sha256 blob through the layer links",
    left: "by us",
    what: {
      blobs: ["sha512 layer"],
    },
  },
  {
    rule: "5, removeLayerLinks: links to layers that no kept manifest reaches go, be it that their blob stays or that it is gone",
    left: "by docker-registry",
    what: {
      layerLinks: [
        ...links("team/deleted", "deleted image config", "deleted layer"),
        "team/docker: orphan beside an image",
        ...links("team/emptied", "layer of an emptied repository", "the only image of its repository, deleted config"),
        "team/mount-only: base",
        "team/orphans: orphan in a repository without manifests",
        ...links("team/sparse", ...configAndLayer("child deleted here only", "deleted child")),
      ],
    },
  },
];

/** With `removeUntagged` as well. */
const WITHOUT_UNTAGGED: readonly Difference[] = [
  {
    rule: "2, Downward: what a kept index names is a live manifest in turn, to any depth",
    left: "by us",
    what: {
      blobs: [
        ...configAndLayer("OCI index, amd64", "OCI index, arm64", "manifest list, amd64", "manifest list, arm64"),
        ...configAndLayer("kept child", "child deleted here only"),
        ...["image in an index in an index", "image in an index in an index config", "deep layer"],
      ],
      revisions: [
        ...links("team/index", "OCI index, amd64", "OCI index, arm64"),
        ...links("team/list", "manifest list, amd64", "manifest list, arm64"),
        ...links("team/nested", "inner index", "image in an index in an index"),
        ...["team/sparse: kept child", "team/whole: child deleted here only"],
      ],
    },
  },
  {
    rule: "2, Sideways: a manifest whose subject is alive is alive, and so on",
    left: "by us",
    what: {
      blobs: [
        ...["signature of signed image", ...configAndLayer("signature of signed image")],
        ...["signature of signature of signed image", "signature of signature of signed image config"],
      ],
      revisions: links("team/signed", "signature of signed image", "signature of signature of signed image"),
    },
  },
  {
    rule: "5, removeLayerLinks: the layer links of a removed manifest go with it",
    left: "by docker-registry",
    what: {
      layerLinks: [
        ...links("team/cache", "buildx cache, untagged config", "old cache layer"),
        ...links("team/docker", ...configAndLayer("docker image, retagged away")),
        ...links("team/oci", ...configAndLayer("OCI image, retagged away")),
        ...links("team/list", ...configAndLayer("manifest list, retagged away, amd64", "manifest list, retagged away, arm64")),
        ...links("team/signed", ...configAndLayer("untagged signed image", "signature of untagged signed image")),
        "team/signed: signature of signature of untagged signed image config",
        ...links("team/twice-b", "image tagged here, untagged there config", "twice linked layer"),
      ],
    },
  },
];

const PARTS = ["blobs", "revisions", "layerLinks", "tagIndexEntries", "uploads"] as const satisfies (keyof Contents)[];

describeInterop("beside docker-registry garbage-collect", () => {
  let filled: FilledStorage;
  beforeAll(async () => {
    filled = await FilledStorage.make();
  });
  afterAll(() => filled.remove());

  describe.each([
    { removeUntagged: false, differences: ALWAYS },
    { removeUntagged: true, differences: [...ALWAYS, ...WITHOUT_UNTAGGED] },
  ])("with removeUntagged $removeUntagged", ({ removeUntagged, differences }) => {
    let ours: Contents;
    let theirs: Contents;
    beforeAll(async () => {
      ours = await afterOurs(filled, removeUntagged);
      theirs = await afterTheirs(filled, removeUntagged);
    });

    test.each(differences.map((each) => [each.rule, each] as const))("rule %s", (_, { left, what }) => {
      const [leaving, taking] = left === "by us" ? [ours, theirs] : [theirs, ours];
      for (const [part, names] of Object.entries(what) as [keyof Contents, readonly string[]][]) {
        expect(leaving[part]).toEqual(expect.arrayContaining([...names]));
        expect(taking[part].filter((name) => names.includes(name))).toEqual([]);
      }
    });

    test.each(PARTS)("no other difference in %s", (part) => {
      expect(onlyIn(ours, theirs, part)).toEqual(told(differences, "by us", part));
      expect(onlyIn(theirs, ours, part)).toEqual(told(differences, "by docker-registry", part));
    });
  });

  test("rule 4, Absent: a repository without tags ends docker-registry's collection with removeUntagged, and not ours", async () => {
    const folder = await filled.copy();
    await expect(collectAsDistribution(folder, { removeUntagged: true })).rejects.toThrow("failed to retrieve tags");
    expect((await collect(folder, { readOnly: true, removeUntagged: true })).status).toBe("completed");
  });
});

async function afterOurs(filled: FilledStorage, removeUntagged: boolean): Promise<Contents> {
  const folder = await filled.copy();
  await collect(folder, { readOnly: true, removeUntagged });
  return filled.contents(folder);
}

async function afterTheirs(filled: FilledStorage, removeUntagged: boolean): Promise<Contents> {
  const folder = await filled.copy();
  // Else it would end here: see rule 4 below.
  for (const { repository } of filled.filling.holdings) {
    await mkdir(join(storageOf(folder), "docker/registry/v2/repositories", repository, "_manifests/tags"), { recursive: true });
  }
  await collectAsDistribution(folder, { removeUntagged });
  return filled.contents(folder);
}

function onlyIn(one: Contents, other: Contents, part: keyof Contents): readonly string[] {
  return one[part].filter((name) => !other[part].includes(name));
}

function told(differences: readonly Difference[], left: Difference["left"], part: keyof Contents): readonly string[] {
  return differences
    .filter((difference) => difference.left === left)
    .flatMap(({ what }) => what[part] ?? [])
    .sort();
}
