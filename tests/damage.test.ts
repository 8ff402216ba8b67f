/** Damage: content that was read and is wrong. It keeps everything of its repository, and ends nothing. */

import { createHash } from "node:crypto";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, DAY, filesystemStore, MONTH_AGO, STORES, type Store } from "./support/stores.js";
import { layOut, vector } from "./support/vectors.js";
import { blobPath, digestOf, ROOT } from "./support/world.js";

const UNTAGGED: GcOptions = { readOnly: true, removeUntagged: true };
const collect = ({ driver }: Store, options: GcOptions = UNTAGGED): Promise<GcReport> =>
  markAndSweep({}, driver, openRegistry(driver), options);
const paths = async ({ driver }: Store) => [...(await contentOf(driver)).keys()].filter((path) => !path.includes("/lockfiles/")).sort();

/** What `retag` has, found by what it is. */
async function find(store: Store) {
  const files = await contentOf(store.driver);
  const current = [...files].find(([path]) => path.endsWith("/current/link"))!;
  const revisions = [...files].filter(([path]) => path.includes("/revisions/"));
  const [loser, digest] = revisions.find(([, content]) => content !== current[1])!;
  return { current: current[0], tagged: current[1], loser, digest, repository: loser.slice(0, loser.indexOf("/_manifests")) };
}

type Spoil = (store: Store, found: Awaited<ReturnType<typeof find>>) => Promise<unknown>;
const missing: Spoil = ({ driver }, { digest }) => driver.delete(blobPath(digest));

const CASES: readonly (readonly [kind: string, what: string, spoil: Spoil])[] = [
  ["empty-link", "a revision link of zero bytes", (store, { loser }) => store.put(loser, "")],
  ["empty-link", "a current link of zero bytes", (store, { current }) => store.put(current, "")],
  ["malformed-link", "a revision link with a newline", (store, { loser, digest }) => store.put(loser, `${digest}\n`)],
  ["malformed-link", "a current link that is no digest", (store, { current }) => store.put(current, "sha256:../../..")],
  ["mismatched-link", "a revision link by another algorithm", (store, { loser }) => store.put(loser, `sha512:${"0".repeat(128)}`)],
  ["missing-manifest", "a manifest that is gone", missing],
  ["digest-mismatch", "a manifest that rotted", (store, { digest }) => store.put(blobPath(digest), "{}")],
  ["missing-current-link", "a tag without a current link", ({ driver }, { current }) => driver.delete(current)],
  ["dangling-tag", "a tag that names nothing", (store, { current }) => store.put(current, digestOf("nothing"))],
];

describe.each(Object.entries(STORES))("on %s", (_, makeStore) => {
  const retag = async () => {
    const store = await layOut(vector("retag"), makeStore());
    return { store, found: await find(store) };
  };

  test.each(CASES)("%s: %s keeps everything of its repository, and the rest goes", async (kind, __, spoil) => {
    const { store, found } = await retag();
    await spoil(store, found);
    const orphan = blobPath(digestOf("an orphan"));
    const before = await paths(store);
    await store.put(orphan, "an orphan");
    const report = await collect(store);
    expect(report).toMatchObject({ status: "completed", problemCount: 1, problems: [{ kind }], deleted: { blobs: 1 } });
    expect(report.problems[0]!.message).not.toBe("");
    expect(await paths(store)).toEqual(before);
    expect(report.kept.protected + report.marked.blobs).toBe(before.filter((path) => path.includes("/blobs/")).length);
  });

  test.each(CASES)("%s: %s under abort deletes nothing anywhere", async (kind, __, spoil) => {
    const { store, found } = await retag();
    await spoil(store, found);
    await store.put(blobPath(digestOf("an orphan")), "an orphan");
    const before = await paths(store);
    const refused = collect(store, { ...UNTAGGED, onDamage: "abort" });
    await expect(refused).rejects.toMatchObject({ code: "DAMAGED", report: { status: "refused", problems: [{ kind }] } });
    // With the numbers of the plan that damage would have let pass.
    const { marked, eligible } = await collect(store, { ...UNTAGGED, dryRun: true });
    expect(marked.repositories).toBeGreaterThan(0);
    await expect(refused).rejects.toMatchObject({ report: { marked, eligible } });
    expect(await paths(store)).toEqual(before);
  });

  test("abort lists all damage of a run", async () => {
    const store = await layOut(vector("siblings"), makeStore());
    for (const path of await paths(store)) if (path.endsWith("/current/link")) await store.put(path, "");
    await expect(collect(store, { ...UNTAGGED, onDamage: "abort" })).rejects.toMatchObject({ report: { problemCount: 4 } });
  });

  test("a damaged manifest damages every repository that links it", async () => {
    const store = await layOut(vector("twice-linked"), makeStore());
    const { digest } = await sharedManifest(store);
    await store.put(blobPath(digest), "rotten");
    const before = await paths(store);
    const report = await collect(store);
    expect(report.problems.map(({ repository }) => repository).sort()).toEqual(["a", "b"]);
    expect(await paths(store)).toEqual(before);
  });

  test("without layer links nothing tells what a damaged manifest needs: the run ends", async () => {
    const { store, found } = await retag();
    for (const path of await paths(store)) if (path.includes("/_layers/")) await store.driver.delete(path);
    await missing(store, found);
    const before = await paths(store);
    await expect(collect(store)).rejects.toMatchObject({ code: "DAMAGED" });
    await expect(collect(store, { ...UNTAGGED, dryRun: true })).rejects.toMatchObject({ code: "DAMAGED" });
    expect(await paths(store)).toEqual(before);
  });

  test("a dangling tag whose manifest is whole keeps what that reaches, and protects no more", async () => {
    const { store, found } = await retag();
    await store.put(`${found.repository}/_manifests/tags/lost/current/link`, found.digest);
    await store.driver.delete(found.loser);
    const before = await paths(store);
    const report = await collect(store);
    expect(report).toMatchObject({ problems: [{ kind: "dangling-tag" }], kept: { protected: 0 }, eligible: { blobs: 0 } });
    expect(await paths(store)).toEqual(before);
  });

  test("stray files and directories are counted, stay, and hide nothing", async () => {
    const { store } = await retag();
    const strays = [
      `${ROOT}/repositories/.DS_Store`,
      `${ROOT}/repositories/_stray/x`,
      `${ROOT}/repositories/foo`,
      `${ROOT}/blobs/sha256/data`,
      `${ROOT}/blobs/sha256/00/data`,
      `${ROOT}/blobs/md5/00/x`,
    ];
    for (const path of strays) await store.put(path, "stray");
    const report = await collect(store);
    expect(report).toMatchObject({ status: "completed", deleted: { blobs: 4 }, problems: [] });
    expect(report.unrecognized).toBeGreaterThanOrEqual(strays.length);
    for (const path of strays) expect(await paths(store)).toContain(path);
  });

  test.each(["-y", ".v1", "__proto__", "x".repeat(200)])(
    "a tag of a name that no client may push, %s, keeps its image all the same",
    async (tag) => {
      const { store, found } = await retag();
      await store.put(`${found.repository}/_manifests/tags/${tag}/current/link`, found.digest);
      for (const stray of [".DS_Store/x", "-z/x"]) await store.put(`${found.repository}/_manifests/tags/${stray}`, "stray");
      const before = await paths(store);
      const report = await collect(store);
      expect(report).toMatchObject({ status: "completed", marked: { tags: 2 }, eligible: { blobs: 0 }, problems: [] });
      expect(report.unrecognized).toBe(2);
      expect(await paths(store)).toEqual(before);
    },
  );

  test("online, what was a write under way is no damage when looked at again", async () => {
    const { store, found } = await retag();
    await store.put(found.current, "", MONTH_AGO);
    let reads = 0;
    const driver = new Proxy(store.driver, {
      get(target, member) {
        const value: unknown = Reflect.get(target, member);
        if (typeof value !== "function") return value;
        return (...parameters: unknown[]): unknown => {
          const isCurrent = (member === "getContent" || member === "reader") && parameters[0] === found.current;
          if (!isCurrent || ++reads > 1) return Reflect.apply(value, target, parameters);
          const first: unknown = Reflect.apply(value, target, parameters);
          return Promise.resolve(first).then(async (content) => {
            await store.put(found.current, found.tagged, MONTH_AGO);
            return content;
          });
        };
      },
    });
    const report = await markAndSweep({}, driver, openRegistry(driver), { removeUntagged: true, dryRun: true });
    expect(report).toMatchObject({ problemCount: 0, eligible: { blobs: 4 } });
  });
});

async function sharedManifest(store: Store): Promise<{ digest: string }> {
  const content = [...(await contentOf(store.driver))].find(([path, each]) => path.includes("/blobs/") && each.startsWith("{"))![1];
  return { digest: `sha256:${createHash("sha256").update(content, "latin1").digest("hex")}` };
}

describe("on a file system", () => {
  test("a symbolic link that leads nowhere ends the run with nothing deleted", async () => {
    for (const at of ["repositories/linked", "blobs/sha256/zz", "blobs/linked"]) {
      const store = await layOut(vector("retag"), filesystemStore());
      symlinkSync("/not/mounted", join(store.folder, ROOT, at));
      const before = [...(await contentOf({ ...store.driver, list: () => [] as never }).catch(() => new Map())).keys()];
      await expect(collect(store)).rejects.toMatchObject({ code: "DRIVER_ERROR", report: { status: "aborted", deleted: { blobs: 0 } } });
      expect(before).toEqual([]);
    }
  });

  test("a repository that is linked elsewhere is collected there", async () => {
    const store = await layOut(vector("retag"), filesystemStore());
    const { repository } = await find(store);
    symlinkSync(join(store.folder, repository), join(store.folder, ROOT, "repositories/alias"));
    const report = await collect(store);
    expect(report).toMatchObject({ status: "completed", marked: { repositories: 2 }, deleted: { blobs: 4 }, failureCount: 0 });
  });
});

describe("uploads", () => {
  const upload = (name: string) => `${ROOT}/repositories/a/_uploads/${name}`;
  const at = (age: number) => Date.now() - age;

  test.each(Object.entries(STORES))("on %s go by the newest of startedat and their files; one with neither stays", async (_, makeStore) => {
    const store = makeStore();
    const put = async (name: string, startedAt: number | string, fileAge: number) => {
      await store.put(
        `${upload(name)}/startedat`,
        typeof startedAt === "string" ? startedAt : new Date(at(startedAt)).toISOString(),
        at(fileAge),
      );
      await store.put(`${upload(name)}/data`, "partial", at(fileAge));
      await store.put(`${upload(name)}/hashstates/sha256/0`, "state", at(fileAge));
    };
    await put("old", 10 * DAY, 9 * DAY);
    await put("said-to-be-young", 1000, 9 * DAY);
    await put("written-lately", 10 * DAY, 1000);
    await put("no-time", "yesterday", 9 * DAY);
    await store.makeDirectory(upload("empty"));
    const report = await collect(store, { readOnly: true, removeUploadsOlderThanMs: 7 * DAY });
    expect(report.deleted.uploads).toBe(2);
    const left = (await paths(store)).map((path) => path.split("/")[7]);
    expect(new Set(left)).toEqual(new Set(["said-to-be-young", "written-lately"]));
    expect((await collect(store, { readOnly: true })).eligible.uploads).toBe(0);
  });
});
