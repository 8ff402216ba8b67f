/** The collector on the storage of a real registry: what it leaves is all that the registry needs, and no more. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestOf, image, layer } from "./support/content.js";
import { collect, FilledStorage } from "./support/filledStorage.js";
import { RegistryClient } from "./support/registryClient.js";
import { storageOf, whileServing } from "./support/registryServer.js";
import type { Filling } from "./support/scenario.js";
import { pullWithSkopeo } from "./support/skopeo.js";
import { describeInterop } from "./support/tools.js";
import { type Contents, makeOld, snapshotOf } from "./support/tree.js";

const DAY = 86_400_000;
const MONTH_AGO = new Date(Date.now() - 30 * DAY);

describeInterop("on the storage of docker-registry, filled by skopeo and over HTTP", () => {
  let filled: FilledStorage;
  beforeAll(async () => {
    filled = await FilledStorage.make();
  });
  afterAll(() => filled.remove());

  describe.each([{ removeUntagged: false }, { removeUntagged: true }])("with removeUntagged $removeUntagged", ({ removeUntagged }) => {
    const options = { readOnly: true, removeUntagged };

    test("a dry run foretells the real one and changes nothing on disk", async () => {
      const folder = await filled.copy();
      const before = await snapshotOf(folder);
      const dry = await collect(folder, { ...options, dryRun: true });
      expect(await snapshotOf(folder)).toEqual(before);

      const real = await collect(folder, options);
      expect(real.eligible).toEqual(dry.eligible);
      expect(real.deleted).toEqual(dry.eligible);
    });

    test("what is needed stays, all else goes, and a second run deletes nothing", async () => {
      const folder = await filled.copy();
      const report = await collect(folder, options);
      expect(report).toMatchObject({ status: "completed", problems: [], failures: [], unrecognized: 0 });
      expect(await filled.contents(folder)).toEqual(expectedContents(filled, removeUntagged));

      const after = await snapshotOf(folder);
      const second = await collect(folder, options);
      expect(second.eligible).toEqual({ manifests: 0, blobs: 0, bytes: 0, layerLinks: 0, tagIndexEntries: 0, uploads: 0, repositories: 0 });
      expect(await snapshotOf(folder)).toEqual(after);
    });

    test("the registry then serves every tag and every kept digest with all their blobs", async () => {
      const folder = await filled.copy();
      await collect(folder, options);
      await whileServing(folder, async ({ host }) => {
        const client = new RegistryClient(host);
        await expectEveryTag(client, filled);
        const kept = new Set(filled.kept(removeUntagged));
        for (const holding of filled.filling.holdings) {
          const { repository, manifest } = holding;
          if (kept.has(holding)) await client.pull(repository, manifest.digest, filled.filling.absent);
          else expect(await client.has(repository, "manifests", manifest.digest), `${repository}: ${manifest.name}`).toBe(false);
        }
        for (const { digest } of filled.filling.orphans) expect(await client.has("team/docker", "blobs", digest)).toBe(false);
      });
    });

    test("skopeo then pulls every tag that it could pull before", async () => {
      const folder = await filled.copy();
      await collect(folder, options);
      await whileServing(folder, async ({ host }) => {
        for (const tag of filled.filling.tags.keys()) {
          if (!filled.filling.notForSkopeo.has(tag))
            await pullWithSkopeo(`${host}/${tag}`, join(folder, "pulled", tag.replaceAll(/[/:]/g, "-")));
        }
      });
    });

    test("a registry that is up serves the same after an online run, once things are old", async () => {
      const folder = await filled.copy();
      await makeOld(storageOf(folder), MONTH_AGO);
      await whileServing(folder, async ({ host }) => {
        const report = await collect(folder, { removeUntagged });
        expect(report.status).toBe("completed");
        const client = new RegistryClient(host);
        await expectEveryTag(client, filled);
        for (const { repository, manifest } of filled.kept(removeUntagged)) {
          await client.pull(repository, manifest.digest, filled.filling.absent);
        }
      });
    });
  });

  test("a store that was filled a moment ago is too young for an online run", async () => {
    const folder = await filled.copy();
    const before = await filled.contents(folder);
    const report = await collect(folder, { removeUntagged: true });
    expect(report.kept.young).toBeGreaterThan(0);
    expect(await filled.contents(folder)).toEqual(before);
  });

  test("an image that is pushed during the run, on a layer that was garbage, can be pulled after it", async () => {
    const folder = await filled.copy();
    await makeOld(storageOf(folder), MONTH_AGO);
    const [orphan] = filled.filling.orphans;
    const pushed = image("image pushed during the run", [orphan!, layer("new layer")]);
    await whileServing(folder, async ({ host }) => {
      const client = new RegistryClient(host);
      let push: Promise<void> | undefined;
      const pushDuringMark = async () => {
        push ??= client.mountBlob("team/new", orphan!, "team/docker").then(() => client.push("team/new", pushed, "1"));
        await push;
        return false;
      };
      await collect(folder, { removeUntagged: true, keep: pushDuringMark });
      expect(push).toBeDefined();
      await expectEveryTag(client, filled, new Map([["team/new:1", pushed.digest]]));
    });
  });

  test("half-finished uploads and empty repositories go where that is asked for", async () => {
    const folder = await filled.copy();
    const report = await collect(folder, { readOnly: true, removeUploadsOlderThanMs: 0, removeEmptyRepositories: true });
    const empty = ["team/emptied", "team/mount-only", "team/orphans", "team/upload-only"];
    expect(report.deleted).toMatchObject({ uploads: filled.filling.uploads.length, repositories: empty.length });
    expect((await filled.contents(folder)).uploads).toEqual([]);
    await whileServing(folder, async ({ host }) => {
      const left = new Set(filled.filling.holdings.map(({ repository }) => repository).filter((name) => !empty.includes(name)));
      expect(new Set(await new RegistryClient(host).repositories())).toEqual(left);
    });
  });
});

/** Every tag names what it named, and pulls; and there are no others. */
async function expectEveryTag(client: RegistryClient, { filling }: FilledStorage, more: Filling["tags"] = new Map()): Promise<void> {
  const served = new Map<string, string>();
  for (const repository of await client.repositories()) {
    for (const tag of await client.tags(repository)) {
      served.set(`${repository}:${tag}`, await client.pull(repository, tag, filling.absent));
    }
  }
  expect(served).toEqual(new Map([...filling.tags, ...more]));
}

/** Worked out from what was pushed, with nothing of the collector's: what kept manifests name, and the links to it. */
function expectedContents({ filling, kept, nameOf }: FilledStorage, removeUntagged: boolean): Contents {
  const holdings = kept(removeUntagged);
  const revisions = holdings.filter(({ asLayer }) => !asLayer).map(({ repository, manifest }) => `${repository}: ${manifest.name}`);
  const layerLinks = holdings.flatMap(({ repository, manifest, asLayer }) =>
    [...manifest.blobs, ...(asLayer ? [manifest] : [])].flatMap(({ digest, bytes }) =>
      [digest, digestOf(bytes)].map((each) => `${repository}: ${nameOf(each)}`),
    ),
  );
  const history = filling.history.filter(({ repository, tag }) => filling.tags.has(`${repository}:${tag}`));
  const tagIndexEntries = history.filter(({ repository, name }) => revisions.includes(`${repository}: ${name}`));
  return {
    blobs: sorted(holdings.flatMap(({ manifest }) => [manifest, ...manifest.blobs, ...manifest.children].map(({ name }) => name))),
    revisions: sorted(revisions),
    layerLinks: sorted(layerLinks),
    tagIndexEntries: sorted(tagIndexEntries.map(({ repository, tag, name }) => `${repository}:${tag}: ${name}`)),
    uploads: sorted(filling.uploads),
  };
}

function sorted(lines: Iterable<string>): readonly string[] {
  return [...new Set(lines)].sort();
}
