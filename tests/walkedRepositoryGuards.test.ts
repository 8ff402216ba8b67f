/** A repository out of a flat walk: each file is taken for what it is and nothing else, and what a walk doesn't tell is looked up. */

import { createHash } from "node:crypto";
import type { FileInfo, LookOptions, StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { describe, expect, test } from "vitest";
import { DigestIndex } from "../src/digestIndex.js";
import { Layout } from "../src/registry/paths.js";
import { splitKey, WalkedRepository } from "../src/registry/walkedRepository.js";
import { changed } from "./support/tree.js";
import { digestOf, ROOT } from "./support/world.js";

const REPO = `${ROOT}/repositories/app`;
const TIME = new Date("2026-01-01T00:00:00Z");
const hexOf = (content: string) => digestOf(content).slice(7);
const linkIn = (directory: string, content: string) => `${directory}/sha256/${hexOf(content)}/link`;
const REVISIONS = "_manifests/revisions";
const md5Of = (text: string) => new Uint8Array(createHash("md5").update(text).digest());
const SIZE = 71;

/** What a repository tells, of files that a walk named; `there`: what a reader finds, by path below the repository. */
async function told(
  files: readonly (string | readonly [string, Partial<FileInfo>])[],
  there: Readonly<Record<string, string>> = {},
  wrap: (driver: StorageDriver) => StorageDriver = (driver) => driver,
) {
  const memory = new MemoryDriver({ now: () => TIME.getTime() });
  for (const [path, content] of Object.entries(there)) await memory.putContent(`${REPO}/${path}`, Buffer.from(content));
  const reads: string[] = [];
  const driver = wrap(
    changed(memory, {
      getContent: async (path, options) => {
        reads.push(path.slice(REPO.length + 1));
        return memory.getContent(path, options);
      },
    }),
  );
  const repository = new WalkedRepository("app", driver, new Layout(ROOT), new DigestIndex());
  for (const each of files) {
    const [path, info] = typeof each === "string" ? [each, {}] : each;
    repository.take(path.split("/"), { path: `${REPO}/${path}`, isDirectory: false, size: SIZE, modTime: TIME, ...info });
  }
  const unrecognized: string[] = [];
  const damage: string[] = [];
  const options: LookOptions = {
    onUnrecognized: (path) => unrecognized.push(path.slice(REPO.length + 1)),
    onDamage: ({ kind, path }) => damage.push(`${kind} ${path.slice(REPO.length + 1)}`),
  };
  const all = async <T>(pages: AsyncIterable<readonly T[]>) => {
    const items: T[] = [];
    for await (const page of pages) items.push(...page);
    return items;
  };
  return {
    repository,
    revisions: await all(repository.revisions(options)),
    layers: await all(repository.layerLinks(options)),
    tags: await all(repository.tags(options)),
    uploads: await all(repository.uploads(options)),
    indexed: async (...contents: string[]) => all(repository.tagIndexEntries(new Set(contents.map(digestOf)))),
    unrecognized,
    damage,
    reads,
  };
}

describe("a key", () => {
  test.each<[string, { name: string; rest: string[] } | undefined]>([
    ["a/_layers/x", { name: "a", rest: ["_layers", "x"] }],
    ["a/b/_manifests", { name: "a/b", rest: ["_manifests"] }],
    ["a/_uploads/_layers/x", { name: "a", rest: ["_uploads", "_layers", "x"] }],
    ["_layers/x", undefined],
    ["a//_layers/x", undefined],
    ["/_layers/x", undefined],
    ["a/_other/_layers/x", undefined],
    ["a/b/c", undefined],
    ["", undefined],
  ])("%j is of a repository, or of none", (key, split) => expect(splitKey(key)).toEqual(split));
});

describe("a link", () => {
  const link = linkIn(REVISIONS, "m");
  const layer = linkIn("_layers", "l");

  test("whose size fits is not read, and keeps its time", async () => {
    const { revisions, layers, reads, unrecognized } = await told([link, layer]);
    expect(revisions).toEqual([{ digest: digestOf("m"), modTime: TIME, hasSignatures: false }]);
    expect(layers).toEqual([{ digest: digestOf("l"), modTime: TIME }]);
    expect({ reads, unrecognized }).toEqual({ reads: [], unrecognized: [] });
  });

  test("whose size is not told is believed; whose time is not told has none", async () => {
    const { revisions, reads } = await told([[link, { size: undefined, modTime: undefined }]]);
    expect(revisions).toEqual([{ digest: digestOf("m"), modTime: undefined, hasSignatures: false }]);
    expect(reads).toEqual([]);
  });

  test.each<[string, Partial<FileInfo>]>([
    ["size", { size: 70 }],
    ["emptiness", { size: 0 }],
    ["MD5", { md5: md5Of(digestOf("other")) }],
    ["MD5, and no size,", { size: undefined, md5: md5Of(digestOf("other")) }],
  ])("whose %s doesn't fit is read and judged", async (_, info) => {
    const { revisions, layers, reads } = await told(
      [
        [link, info],
        [layer, info],
      ],
      { [link]: digestOf("other"), [layer]: digestOf("other") },
    );
    expect(revisions).toMatchObject([{ digest: digestOf("m"), damage: { kind: "mismatched-link" } }]);
    expect(layers).toMatchObject([{ digest: digestOf("l"), target: digestOf("other"), damage: { kind: "mismatched-link" } }]);
    expect(reads).toEqual([link, layer]);
  });

  test("whose MD5 fits is not read", async () => {
    const { revisions, reads } = await told([[link, { md5: md5Of(digestOf("m")) }]]);
    expect({ revisions, reads }).toMatchObject({ revisions: [{ digest: digestOf("m"), modTime: TIME }], reads: [] });
  });

  test("of which there are thousands keeps its own size and time", async () => {
    const numbers = Array.from({ length: 2500 }, (_, i) => i);
    const files = numbers.map((i): [string, Partial<FileInfo>] => [
      linkIn(REVISIONS, `${i}`),
      { modTime: new Date(TIME.getTime() + i), size: i === 2345 ? 3 : SIZE },
    ]);
    const { revisions, reads } = await told(files, { [linkIn(REVISIONS, "2345")]: "odd" });
    expect(revisions.map(({ digest, modTime }) => `${digest} ${modTime?.getTime()}`)).toEqual(
      numbers.map((i) => `${digestOf(`${i}`)} ${TIME.getTime() + i}`),
    );
    expect(reads).toEqual([linkIn(REVISIONS, "2345")]);
    expect(revisions[2345]?.damage?.kind).toBe("malformed-link");
  });

  test.each([
    `${REVISIONS}/sha256/${hexOf("m")}/link/more`,
    `${REVISIONS}/sha256/${hexOf("m")}/other`,
    `${REVISIONS}/sha256/${hexOf("m").slice(1)}/link`,
    `${REVISIONS}/md5/${hexOf("m")}/link`,
    `${REVISIONS}/sha256/${hexOf("m")}`,
    `_layers/sha256/${hexOf("m").toUpperCase()}/link`,
    `_layers/sha256/${hexOf("m")}/link/more`,
    `_manifests/other/sha256/${hexOf("m")}/link`,
    `_manifests/sha256/${hexOf("m")}/link`,
    `_manifests/tags/v1/current/other`,
    `_manifests/tags/v1/current/link/more`,
    `_manifests/tags/v1/link`,
    `_manifests/tags/v1/index/sha256/${hexOf("m")}/other`,
    `_other/sha256/${hexOf("m")}/link`,
    `${REVISIONS}/sha256/${hexOf("m")}/others/sha256/${hexOf("s")}/link`,
    `${REVISIONS}/sha256/${hexOf("m")}/signatures/sha256/${hexOf("s")}/other`,
  ])("is nothing else: %s", async (path) => {
    const { repository, revisions, layers, tags, unrecognized, indexed } = await told([path]);
    expect({ revisions, layers, tags }).toEqual({ revisions: [], layers: [], tags: [] });
    expect(await indexed("m", "s")).toEqual([]);
    expect(await repository.signatures(digestOf("m"))).toEqual([]);
    expect(unrecognized).toEqual([path]);
  });

  test("of a path that nobody could name is unrecognized", async () => {
    const { revisions, unrecognized } = await told([[link, { path: `${REPO}/a/../${link}` }]]);
    expect({ revisions, unrecognized }).toEqual({ revisions: [], unrecognized: [`a/../${link}`] });
  });

  test("of a signature belongs to its revision", async () => {
    const signature = `${REVISIONS}/sha256/${hexOf("m")}/signatures/sha256/${hexOf("s")}/link`;
    const { repository, revisions, unrecognized } = await told([signature, signature.replace(hexOf("s"), hexOf("t"))]);
    expect((await repository.signatures(digestOf("m"))).map(({ digest }) => digest)).toEqual([digestOf("s"), digestOf("t")]);
    expect(await repository.signatures(digestOf("s"))).toEqual([]);
    expect({ revisions, unrecognized }).toEqual({ revisions: [], unrecognized: [] });
  });
});

describe("a tag", () => {
  const current = "_manifests/tags/v1/current/link";
  const entry = (content: string) => linkIn("_manifests/tags/v1/index", content);

  test("is read, and told with its time", async () => {
    const { tags, reads } = await told([current, entry("m")], { [current]: digestOf("m") });
    expect(tags).toMatchObject([{ name: "v1", digest: digestOf("m"), modTime: TIME }]);
    expect(reads).toEqual([current]);
  });

  test.each([[[current, entry("m")]], [[entry("m"), current]]])("in whatever order its files come: %j", async (files) => {
    const { tags } = await told(files, { [current]: digestOf("other") });
    expect(tags).toMatchObject([{ name: "v1", digest: digestOf("other") }]);
  });

  test("without a current link is damage", async () => {
    expect((await told([entry("m")])).tags).toMatchObject([{ name: "v1", damage: { kind: "missing-current-link" } }]);
  });

  test("whose current link has gone is gone where all of it is, and damage where the rest is there", async () => {
    expect((await told([current, entry("m")])).tags).toEqual([]);
    const half = await told([current, entry("m")], { [entry("m")]: digestOf("m") });
    expect(half.tags).toMatchObject([{ name: "v1", damage: { kind: "missing-current-link" } }]);
  });

  test.each([
    ["its index", [entry("other"), entry("m")]],
    ["a revision", [linkIn(REVISIONS, "other"), linkIn(REVISIONS, "m")]],
  ])("of which the MD5 is that of a digest in %s is not read", async (_, files) => {
    const { tags, reads } = await told([...files, [current, { md5: md5Of(digestOf("m")) }]]);
    expect(tags).toMatchObject([{ name: "v1", digest: digestOf("m"), modTime: TIME }]);
    expect(reads).toEqual([]);
  });

  test("of which the MD5 is nobody's is read", async () => {
    const files = [entry("m"), linkIn(REVISIONS, "m"), [current, { md5: md5Of(digestOf("other")) }]] as const;
    const { tags, reads } = await told(files, { [current]: digestOf("other") });
    expect(tags).toMatchObject([{ digest: digestOf("other") }]);
    expect(reads).toEqual([current]);
  });

  test("has those index entries that are asked for", async () => {
    const { indexed } = await told([current, entry("a"), entry("b")], { [current]: digestOf("a") });
    expect((await indexed("b", "c")).map(({ tag, digest }) => `${tag} ${digest}`)).toEqual([`v1 ${digestOf("b")}`]);
  });
});

describe("an upload", () => {
  const data = "_uploads/id/data";

  test("is dated by its files, and by none where one can't be named", async () => {
    expect((await told([data])).uploads).toMatchObject([{ path: `${REPO}/_uploads/id`, newest: TIME, bytes: SIZE }]);
    const odd = await told([data, ["_uploads/id/odd", { path: `${REPO}/_uploads/id/./odd` }]]);
    expect(odd.uploads).toMatchObject([{ newest: undefined }]);
    expect(odd.unrecognized).toEqual(["_uploads/id/./odd"]);
  });

  test.each(["_uploads/id", "_uploads/id/", "_uploads/id/hashstates/"])(
    "is dated where a store marks its directory: %s",
    async (marker) => {
      const { uploads } = await told([data, [marker, { path: `${REPO}/${marker}` }]]);
      expect(uploads).toMatchObject([{ newest: TIME }]);
    },
  );

  test("is none of a stray file among them", async () => {
    expect(await told(["_uploads/notes"])).toMatchObject({ uploads: [], unrecognized: ["_uploads/notes"], damage: [] });
  });
});

describe("a file in the place of a directory", () => {
  const PLACES = {
    _manifests: [linkIn(REVISIONS, "m"), "_manifests/tags/v1/current/link"],
    "_manifests/tags": ["_manifests/tags/v1/current/link", linkIn("_manifests/tags/v1/index", "m")],
    [REVISIONS]: [linkIn(REVISIONS, "m")],
    [`${REVISIONS}/sha256`]: [linkIn(REVISIONS, "m")],
    _layers: [linkIn("_layers", "l")],
    "_layers/sha256": [linkIn("_layers", "l")],
  };

  test.each(Object.entries(PLACES))("is damage at %s, unless something lies below it", async (place, below) => {
    const there = { "_manifests/tags/v1/current/link": digestOf("m") };
    expect((await told([place], there)).damage).toEqual([`misplaced-file ${place}`]);
    for (const path of below) expect((await told([place, path], there)).damage).toEqual([]);
    const elsewhere = place.startsWith("_layers") ? linkIn(REVISIONS, "m") : linkIn("_layers", "l");
    expect((await told([place, elsewhere], there)).damage).toEqual([`misplaced-file ${place}`]);
  });

  test.each(["_uploads", "_manifests/tags/v1", `${REVISIONS}/sha256/${hexOf("m")}`, "_layers/md5", "x_layers"])(
    "is none at %s: only unrecognized",
    async (place) => {
      expect(await told([place])).toMatchObject({ damage: [], unrecognized: [place] });
    },
  );
});

describe("looked at again", () => {
  const walking = (driver: StorageDriver) =>
    changed(driver, {
      async *walk(path: string): AsyncIterable<readonly FileInfo[]> {
        const open = [path];
        for (let next = open.pop(); next !== undefined; next = open.pop()) {
          try {
            for await (const page of driver.list(next)) {
              open.push(...page.filter(({ isDirectory }) => isDirectory).map((info) => info.path));
              yield page.filter(({ isDirectory }) => !isDirectory);
            }
          } catch {
            // Nothing there, or a file.
          }
        }
      },
    });
  const again = async (there: Readonly<Record<string, string>>) => {
    const { repository } = await told([linkIn(REVISIONS, "m")], there, walking);
    return { fresh: await repository.again(), footprint: await repository.emptyFootprint() };
  };

  test("it is gone where nothing is left of it, though one nested in it is there; then nothing more is to go", async () => {
    expect(await again({ "inner/_layers/x": "1" })).toEqual({ fresh: undefined, footprint: { files: [] } });
  });

  test.each([linkIn(REVISIONS, "new"), linkIn("_layers", "new"), "_uploads/id/data", "_manifests/stray"])(
    "it is there where %s is",
    async (path) => {
      const { fresh, footprint } = await again({ [path]: digestOf("new") });
      expect(fresh).toBeInstanceOf(WalkedRepository);
      expect(footprint).toBeUndefined();
    },
  );

  test("it has what is there now, and nothing of before", async () => {
    const { fresh } = await again({ [linkIn(REVISIONS, "new")]: digestOf("new") });
    const digests: string[] = [];
    for await (const page of fresh!.revisions()) digests.push(...page.map(({ digest }) => digest));
    expect(digests).toEqual([digestOf("new")]);
  });

  test.each(["_manifests", "_layers"])("a file in the place of %s is damage then, and it is not gone", async (place) => {
    const { fresh, footprint } = await again({ [place]: "a file" });
    const kinds: string[] = [];
    for await (const page of fresh!.revisions({ onDamage: ({ kind }) => kinds.push(kind) })) expect(page).toEqual([]);
    expect(kinds).toEqual(["misplaced-file"]);
    expect(footprint).toBeUndefined();
  });

  test("a file in the place of uploads is none of it", async () => {
    expect((await again({ _uploads: "a file" })).fresh).toBeUndefined();
  });
});
