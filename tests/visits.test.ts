/** A repository and the blobs looked at where the files are: what is told by that, and that it is what the listings tell. */

import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runInNewContext } from "node:vm";
import { type GcOptions, type GcReport, markAndSweep, type Namespace, openRegistry, type Repository } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { RegistryBuilder } from "oci-registry-gc/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LAST_TIME } from "../src/clock.js";
import { NAME, type StorageDriver, type VisitedFiles } from "../src/driver.js";
import { TAG } from "../src/registry/paths.js";
import { visits } from "../src/registry/visits.js";
import { digestOf } from "./support/world.js";

const BASE = "docker/registry/v2";
const HEX = digestOf("nowhere").slice(7);

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "visits-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Two repositories with tagged, untagged and shared things, an upload, and garbage. */
async function makeRegistry() {
  const folder = mkdtempSync(join(root, "registry-"));
  const builder = new RegistryBuilder(new FilesystemDriver({ root: folder }));
  const first = await builder.image("app", { tag: "v1" });
  const second = await builder.image("app", { tag: "v2" });
  await builder.image("app", {});
  await builder.image("team/other", { tag: "v1" });
  await builder.image("team/other", {});
  // Its index names what it was.
  await builder.tag("app", "v2", first);
  for (const name of ["garbage", "more garbage", "yet more"]) await builder.blob(name);
  mkdirSync(join(folder, BASE, "repositories/app/_uploads/session"), { recursive: true });
  const on = (path: string) => join(folder, BASE, path);
  return { folder, builder, first, second, on, app: (path: string) => on(`repositories/app/${path}`) };
}

type Made = Awaited<ReturnType<typeof makeRegistry>>;

/** A driver without visits, and all else as it is. */
function plainDriver(folder: string): StorageDriver {
  return Object.assign(new FilesystemDriver({ root: folder }), { visitMany: undefined });
}

function outcomeOf({ eligible, deleted, kept, marked, problems, reasons, status, unrecognized }: GcReport) {
  const inOrder = problems.toSorted((a, b) => (a.path + a.message < b.path + b.message ? -1 : 1));
  return { eligible, deleted, kept, marked, problems: inOrder, reasons, status, unrecognized };
}

/** What a run comes to; where it fails, with what. */
async function outcome(driver: StorageDriver, options: GcOptions, registry: Namespace = openRegistry(driver)) {
  try {
    return outcomeOf(await markAndSweep({}, driver, registry, options));
  } catch (error) {
    return String(error).replaceAll(/\d{4}-\d\d-\S+/g, "");
  }
}

const OPTIONS: readonly GcOptions[] = [true, false].flatMap((removeUntagged) => [
  { dryRun: true, readOnly: true, removeUntagged },
  { dryRun: true, removeUntagged, gracePeriodMs: 0 },
]);

async function sameOutcome(folder: string): Promise<void> {
  for (const options of OPTIONS) {
    expect(await outcome(new FilesystemDriver({ root: folder }), options)).toEqual(await outcome(plainDriver(folder), options));
  }
}

/** How many repositories and prefixes of blobs were told by a visit, of how many. */
async function toldByVisits(folder: string): Promise<{ repositories: string; prefixes: string }> {
  const seen = { repositories: [0, 0], prefixes: [0, 0] };
  class Watched extends FilesystemDriver {
    override async visitMany(...[paths, options]: Parameters<FilesystemDriver["visitMany"]>) {
      const answered = await super.visitMany(paths, options);
      paths.forEach((path, i) => {
        const counts = path.includes("/blobs/") ? seen.prefixes : seen.repositories;
        if (path.endsWith("/data") || path.endsWith("/sha256")) return;
        counts[0] = (counts[0] ?? 0) + (answered.answers[i] === undefined ? 0 : 1);
        counts[1] = (counts[1] ?? 0) + 1;
      });
      return answered;
    }
  }
  const driver = new Watched({ root: folder });
  await markAndSweep({}, driver, openRegistry(driver), { dryRun: true, readOnly: true, removeUntagged: true }).catch(() => undefined);
  return { repositories: seen.repositories.join(" of "), prefixes: seen.prefixes.join(" of ") };
}

/** The same bytes, as an array that is no `Uint8Array` of ours. */
function elsewhere(bytes: Uint8Array): Uint8Array {
  const copy = runInNewContext(`new Uint8Array(${bytes.length})`) as Uint8Array;
  copy.set(bytes);
  expect(copy instanceof Uint8Array).toBe(false);
  return copy;
}

const stray = (path: string) => writeFileSync(path, "stray");
const makeLink = (path: string, content: string) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
};

describe("as the listings tell it", () => {
  test("a registry as registries write it is told by visits alone", async () => {
    const { folder } = await makeRegistry();
    const { repositories, prefixes } = await toldByVisits(folder);
    expect(repositories).toBe("2 of 2");
    const [told, all] = prefixes.split(" of ");
    expect(told).toBe(all);
    await sameOutcome(folder);
  });

  test("an overview is what revisions, layer links and tags are", async () => {
    const { folder } = await makeRegistry();
    for await (const repository of openRegistry(new FilesystemDriver({ root: folder })).repositories()) {
      const overview = await repository.overview?.();
      const hex = (bytes: Uint8Array = new Uint8Array()) =>
        Array.from({ length: bytes.length / 32 }, (_, i) => `sha256:${Buffer.from(bytes.subarray(i * 32, i * 32 + 32)).toString("hex")}`);
      const all = async <T>(pages: AsyncIterable<readonly T[]>) => {
        const found: T[] = [];
        for await (const page of pages) found.push(...page);
        return found;
      };
      const revisions = await all(repository.revisions());
      expect(hex(overview?.revisions)).toEqual(revisions.map(({ digest }) => digest));
      expect([...(overview?.times ?? [])]).toEqual(revisions.map(({ modTime }) => modTime?.getTime()));
      expect(hex(overview?.layerLinks)).toEqual((await all(repository.layerLinks())).map(({ digest }) => digest));
      const tags = (await all(repository.tags())).map(({ name, path, digest }) => ({ name, path, digest }));
      expect(hex(overview?.tagged).map((digest, i) => ({ ...overview?.tag(i), digest }))).toEqual(tags);
      expect(tags.length).toBeGreaterThan(0);
    }
  });

  const revision = (made: Made) => made.app(`_manifests/revisions/sha256/${made.first.digest.slice(7)}`);
  /** What a visit must not tell of: each is left to the listings, and comes to the same. */
  const odd: Readonly<Record<string, (made: Made) => unknown>> = {
    "a stray beside revisions and tags": ({ app }) => stray(app("_manifests/stray")),
    "an unknown directory beside them": ({ app }) => mkdirSync(app("_manifests/other")),
    "a stray beside algorithms": ({ app }) => stray(app("_manifests/revisions/stray")),
    "a stray among revisions": ({ app }) => stray(app("_manifests/revisions/sha256/stray")),
    "a file named as a revision": ({ app }) => stray(app(`_manifests/revisions/sha256/${HEX}`)),
    "a revision in upper case": ({ app }) =>
      makeLink(app(`_manifests/revisions/sha256/${"A".repeat(64)}/link`), `sha256:${"A".repeat(64)}`),
    "a revision in characters that Node takes for hex": ({ app }) => mkdirSync(app(`_manifests/revisions/sha256/${"0š".repeat(32)}`)),
    "a layer in such characters": ({ app }) => mkdirSync(app(`_layers/sha256/${"丰a".repeat(32)}`)),
    "a revision with a short name": ({ app }) => mkdirSync(app("_manifests/revisions/sha256/abc")),
    "names that make up for each other's length": ({ app }) => {
      mkdirSync(app(`_manifests/revisions/sha256/${HEX.slice(1)}`));
      mkdirSync(app(`_manifests/revisions/sha256/${HEX}0`));
    },
    "layers whose names make up for each other's length": ({ app }) => {
      mkdirSync(app(`_layers/sha256/${HEX.slice(1)}`));
      mkdirSync(app(`_layers/sha256/${HEX}0`));
    },
    "a revision of another algorithm": ({ app }) => makeLink(app(`_manifests/revisions/sha512/${HEX}${HEX}/link`), `sha512:${HEX}${HEX}`),
    "a revision without a link": (made) => rmSync(join(revision(made), "link")),
    "an empty revision link": (made) => truncateSync(join(revision(made), "link")),
    "a revision link with a newline": (made) => writeFileSync(join(revision(made), "link"), `${made.first.digest}\n`),
    "a directory for a revision link": (made) => {
      rmSync(join(revision(made), "link"));
      mkdirSync(join(revision(made), "link"));
    },
    "a revision elsewhere": (made) => {
      renameSync(revision(made), join(made.folder, "elsewhere"));
      symlinkSync(join(made.folder, "elsewhere"), revision(made));
    },
    "layers elsewhere": ({ app, folder }) => {
      renameSync(app("_layers/sha256"), join(folder, "layers"));
      symlinkSync(join(folder, "layers"), app("_layers/sha256"));
    },
    "a stray among layers": ({ app }) => stray(app(`_layers/sha256/${HEX}`)),
    "a layer link of another algorithm": ({ app }) => makeLink(app(`_layers/sha512/${HEX}${HEX}/link`), digestOf("other")),
    "a tag without a current link": ({ app }) => rmSync(app("_manifests/tags/v1/current/link")),
    "an empty tag": ({ app }) => truncateSync(app("_manifests/tags/v1/current/link")),
    "a tag with a newline": ({ app, first }) => writeFileSync(app("_manifests/tags/v1/current/link"), `${first.digest}\n`),
    "a tag of another algorithm": ({ app }) => writeFileSync(app("_manifests/tags/v1/current/link"), `sha512:${HEX}${HEX}`),
    "a tag in upper case": ({ app, first }) => writeFileSync(app("_manifests/tags/v1/current/link"), first.digest.toUpperCase()),
    "a stray among tags": ({ app }) => stray(app("_manifests/tags/stray")),
    "a name that is no tag": ({ app }) => mkdirSync(app("_manifests/tags/-v1")),
    "a temporary directory among tags": ({ app }) => mkdirSync(app("_manifests/tags/_tmp")),
    "a stray among uploads": ({ app }) => stray(app("_uploads/stray")),
    "an upload of an odd name": ({ app }) => mkdirSync(app("_uploads/a b")),
    "a file for the manifests": ({ app }) => {
      rmSync(app("_manifests"), { recursive: true });
      stray(app("_manifests"));
    },
    "revisions that are gone": ({ app }) => rmSync(app("_manifests/revisions"), { recursive: true }),
  };

  test.each(Object.keys(odd))("%s", async (name) => {
    const made = await makeRegistry();
    odd[name]?.(made);
    // Where there are no revisions, there is nothing odd about what is told.
    const isRefused = name !== "revisions that are gone";
    expect((await toldByVisits(made.folder)).repositories).toBe(isRefused ? "1 of 2" : "2 of 2");
    await sameOutcome(made.folder);
  });

  test.each<[string, (made: Made) => unknown]>([
    ["a stray among blobs", ({ on }) => stray(on(`blobs/sha256/${HEX.slice(0, 2)}/stray`))],
    ["a file named as a blob", ({ on }) => stray(on(`blobs/sha256/${HEX.slice(0, 2)}/${HEX}`))],
    [
      "a blob in characters that Node takes for hex",
      ({ on }) => mkdirSync(on(`blobs/sha256/${HEX.slice(0, 2)}/${HEX.slice(0, 2)}${"š0".repeat(31)}`)),
    ],
    ["a blob of another prefix", ({ on }) => makeLink(on(`blobs/sha256/${HEX.slice(0, 2)}/${"ff".repeat(32)}/data`), "x")],
    ["a blob in upper case", ({ on }) => makeLink(on(`blobs/sha256/${HEX.slice(0, 2)}/${HEX.toUpperCase()}/data`), "x")],
    ["blobs of another algorithm", ({ on }) => makeLink(on(`blobs/sha512/${HEX.slice(0, 2)}/${HEX}${HEX}/data`), "x")],
    [
      "blobs elsewhere",
      ({ on, folder }) => {
        const [prefix = ""] = readdirSync(on("blobs/sha256"));
        renameSync(on(`blobs/sha256/${prefix}`), join(folder, "blobs"));
        symlinkSync(join(folder, "blobs"), on(`blobs/sha256/${prefix}`));
      },
    ],
  ])("%s", async (_, change) => {
    const made = await makeRegistry();
    mkdirSync(made.on(`blobs/sha256/${HEX.slice(0, 2)}`), { recursive: true });
    change(made);
    await sameOutcome(made.folder);
  });

  test("what dangles, and what is missing, is damage as ever", async () => {
    const made = await makeRegistry();
    await made.builder.tag("app", "dangling", { digest: digestOf("nowhere") });
    rmSync(made.on(`blobs/sha256/${made.second.digest.slice(7, 9)}/${made.second.digest.slice(7)}`), { recursive: true });
    expect((await toldByVisits(made.folder)).repositories).toBe("2 of 2");
    await sameOutcome(made.folder);
    const driver = new FilesystemDriver({ root: made.folder });
    const { problems } = await markAndSweep({}, driver, openRegistry(driver), { dryRun: true, readOnly: true });
    expect(problems.map(({ kind }) => kind).toSorted()).toEqual(["dangling-tag", "missing-manifest"]);
    expect(problems.find(({ kind }) => kind === "dangling-tag")?.path).toMatch(/tags\/dangling\/current\/link$/);
  });

  test("bytes of another realm, as in a sandbox, are bytes", async () => {
    const { folder } = await makeRegistry();
    const inner = openRegistry(new FilesystemDriver({ root: folder }));
    const registry: Namespace = {
      ...inner,
      async *packedBlobs(options) {
        for await (const page of inner.packedBlobs?.(options) ?? []) yield ArrayBuffer.isView(page) ? elsewhere(page) : page;
      },
    };
    const options = { dryRun: true, readOnly: true };
    const driver = new FilesystemDriver({ root: folder });
    expect(await outcome(driver, options, registry)).toEqual(await outcome(driver, options));
  });

  test("a real run deletes the same", async () => {
    const made = [await makeRegistry(), await makeRegistry()] as const;
    const options = { readOnly: true, removeUntagged: true };
    const visited = await outcome(new FilesystemDriver({ root: made[0].folder }), options);
    const listed = await outcome(plainDriver(made[1].folder), options);
    expect(visited).toEqual(listed);
    const [left, expected] = made.map(({ folder }) => readdirSync(folder, { recursive: true }).toSorted());
    expect(left).toEqual(expected);
    expect(visited).toMatchObject({ eligible: { tagIndexEntries: 1 }, status: "completed" });
  });
});

describe("what a visit leaves to the listings", () => {
  const on = (folder: string, tell: Partial<VisitedFiles> = {}): VisitedFiles => ({
    stat: (path) => statSync(join(folder, path), { throwIfNoEntry: false }),
    list: (path) => readdirSync(join(folder, path), { withFileTypes: true }),
    read: () => Buffer.from(digestOf("any")),
    readOnce: () => expect.unreachable("a link is read to its end"),
    ...tell,
  });
  const PARTS = { tag: TAG, name: NAME, mostLinks: 100, lastTime: LAST_TIME };

  test.each([0, 1, 2, 3, 4])("links, where it may look at %d", async (mostLinks) => {
    const { folder } = await makeRegistry();
    const look = () => visits({ ...PARTS, mostLinks }).repositoryWithUploads(on(folder), `/${BASE}/repositories/app`);
    // Three revisions, two tags.
    if (mostLinks < 3) expect(look).toThrow("too many");
    else expect(look().length).toBeGreaterThan(0);
  });

  test.each([Number.NaN, LAST_TIME * 2, -LAST_TIME * 2, Number.POSITIVE_INFINITY])("a time that no date can be: %d", async (mtimeMs) => {
    const { folder } = await makeRegistry();
    const stat = (path: string) => ({ isDirectory: () => false, size: statSync(join(folder, path)).size, mtimeMs });
    expect(() => visits(PARTS).repository(on(folder, { stat }), `/${BASE}/repositories/app`)).toThrow("no time");
  });
});

describe("is not believed where it can't be right", () => {
  let first: Uint8Array | undefined;
  const ANSWERS: Readonly<Record<string, (answers: (Uint8Array | undefined)[]) => (Uint8Array | undefined)[]>> = {
    "of another repository": (answers) => answers.toReversed(),
    "of one for all": (answers) => answers.map(() => answers[0]),
    "cut within the header": (answers) => answers.map((answer) => answer?.subarray(0, 7)),
    "cut by a byte": (answers) => answers.map((answer) => answer?.subarray(0, -1)),
    "cut by a digest": (answers) => answers.map((answer) => answer?.subarray(32)),
    "too few": (answers) => answers.slice(1),
    none: () => [],
    "no bytes": (answers) => answers.map(() => "x".repeat(80) as never),
    null: (answers) => answers.map(() => null as never),
    // Each is told in an answer of its own.
    "of the first that was asked for": (answers) => {
      first ??= answers[0];
      return answers.map(() => first);
    },
  };

  test.each(Object.keys(ANSWERS))("%s", async (name) => {
    const { folder } = await makeRegistry();
    class Lying extends FilesystemDriver {
      override async visitMany(...[paths, options]: Parameters<FilesystemDriver["visitMany"]>) {
        const told = await super.visitMany(paths, options);
        const areRepositories = paths.every((path) => path.includes("/repositories/") && !path.endsWith("/sha256"));
        return areRepositories ? { ...told, answers: ANSWERS[name]?.([...told.answers]) ?? [] } : told;
      }
    }
    for (const options of OPTIONS) {
      first = undefined;
      expect(await outcome(new Lying({ root: folder }), options)).toEqual(await outcome(plainDriver(folder), options));
    }
  });
});

test("layer links that many looks leave unanswered are not gone: damage keeps what they name", async () => {
  const { folder, app } = await makeRegistry();
  truncateSync(app("_manifests/tags/v1/current/link"));
  const driver = new FilesystemDriver({ root: folder });
  const inner = openRegistry(driver);
  for (const lookAtLayerLinks of [
    async () => [],
    async () => [undefined],
    async (digests: readonly string[]) => digests.slice(1).map(() => undefined),
  ]) {
    const registry: Namespace = {
      ...inner,
      async *repositories(options): AsyncIterable<Repository> {
        for await (const repository of inner.repositories(options)) yield Object.assign(repository, { lookAtLayerLinks });
      },
    };
    const options = { dryRun: true, readOnly: true, removeUntagged: true };
    expect(await outcome(driver, options, registry)).toEqual(await outcome(plainDriver(folder), options));
  }
});

describe("goes past nobody's own member", () => {
  const asked: string[] = [];

  /** Everything of what it wraps, but for one member that tells nothing. */
  function without<T extends object>(inner: T, member: keyof T & string): T {
    return new Proxy(inner, {
      get: (target, key) => {
        if (key !== member) return Reflect.get(target, key, target) as unknown;
        return async function* () {
          asked.push(member);
        };
      },
    });
  }

  test.each(["revisions", "layerLinks", "tags"] as const)("a repository's %s", async (member) => {
    const { folder } = await makeRegistry();
    for (const driver of [new FilesystemDriver({ root: folder }), plainDriver(folder)]) {
      const inner = openRegistry(driver);
      const registry: Namespace = {
        ...inner,
        async *repositories(options): AsyncIterable<Repository> {
          for await (const repository of inner.repositories(options)) yield without(repository, member);
        },
      };
      asked.length = 0;
      const options = { dryRun: true, readOnly: true, removeUntagged: true };
      const found = await outcome(driver, options, registry);
      expect(asked.length).toBeGreaterThanOrEqual(2);
      if (member === "tags") expect(found).toMatchObject({ marked: { tags: 0 } });
      if (member === "layerLinks") expect(found).toMatchObject({ eligible: { layerLinks: 0 } });
    }
  });

  test("a repository's look at one layer link", async () => {
    const { folder } = await makeRegistry();
    const driver = new FilesystemDriver({ root: folder });
    const inner = openRegistry(driver);
    let looks = 0;
    const registry: Namespace = {
      ...inner,
      async *repositories(options): AsyncIterable<Repository> {
        for await (const repository of inner.repositories(options)) {
          const look = repository.lookAtLayerLink?.bind(repository);
          const lookAtLayerLink: Repository["lookAtLayerLink"] = async (...question) => {
            looks++;
            return look?.(...question);
          };
          yield Object.assign(repository, { lookAtLayerLink });
        }
      },
    };
    const found = await outcome(driver, { dryRun: true, readOnly: true, removeUntagged: true }, registry);
    expect(found).toEqual(await outcome(plainDriver(folder), { dryRun: true, readOnly: true, removeUntagged: true }));
    expect(looks).toBeGreaterThan(2);
  });

  test("a registry's blobs", async () => {
    const { folder } = await makeRegistry();
    const driver = new FilesystemDriver({ root: folder });
    const inner = openRegistry(driver);
    const registry: Namespace = {
      ...inner,
      async *blobs(options) {
        for await (const page of inner.blobs(options)) yield page.slice(1);
      },
    };
    const found = await outcome(driver, { dryRun: true, readOnly: true }, registry);
    const all = await outcome(driver, { dryRun: true, readOnly: true });
    expect(found).not.toEqual(all);
  });

  test("a member that somebody has put in the place of the class's own", async () => {
    const { folder } = await makeRegistry();
    const { list } = Object.getOwnPropertyDescriptors(FilesystemDriver.prototype);
    const own = list.value as FilesystemDriver["list"];
    Object.defineProperty(FilesystemDriver.prototype, "list", {
      ...list,
      value(this: FilesystemDriver, ...question: Parameters<FilesystemDriver["list"]>) {
        if (question[0].endsWith("/_layers/sha256")) throw new Error("EIO");
        return own.apply(this, question);
      },
    });
    try {
      expect(await outcome(new FilesystemDriver({ root: folder }), { dryRun: true, readOnly: true })).toContain("EIO");
    } finally {
      Object.defineProperty(FilesystemDriver.prototype, "list", list);
    }
  });

  test("a root through a link and back: threads look where single calls do", async () => {
    const { folder } = await makeRegistry();
    const other = await makeRegistry();
    await other.builder.image("app", { tag: "elsewhere" });
    mkdirSync(join(other.folder, "below"));
    symlinkSync(join(other.folder, "below"), join(folder, "link"));
    const options = { dryRun: true, readOnly: true };
    const found = await outcome(new FilesystemDriver({ root: `${folder}/link/..` }), options);
    expect(found).toEqual(await outcome(new FilesystemDriver({ root: folder }), options));
    expect(found).toEqual(
      await outcome(Object.assign(new FilesystemDriver({ root: `${folder}/link/..` }), { manyOf: undefined }), options),
    );
  });

  test("a path for reports, which may be any", async () => {
    const { folder } = await makeRegistry();
    const driver = new FilesystemDriver({ root: folder });
    for await (const repository of openRegistry(driver).repositories()) {
      const shown: Repository = Object.create(repository, { path: { value: "shown" } }) as Repository;
      expect((await shown.overview?.())?.revisions.length).toBeGreaterThan(0);
    }
  });

  test.each(["stat", "list", "getContent"] as const)("a driver's %s", async (member) => {
    const { folder } = await makeRegistry();
    const driver = new FilesystemDriver({ root: folder });
    let visited = 0;
    const visitMany = driver.visitMany.bind(driver);
    const own = driver[member].bind(driver) as never;
    Object.assign(driver, {
      visitMany: (...question: Parameters<typeof visitMany>) => {
        visited++;
        return visitMany(...question);
      },
      [member]: own,
    });
    expect(await outcome(driver, { dryRun: true, readOnly: true })).toEqual(
      await outcome(plainDriver(folder), { dryRun: true, readOnly: true }),
    );
    expect(visited).toBe(0);
  });
});
