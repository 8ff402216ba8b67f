/** Signatures of old registries stay with their revision, whatever manifest lies beside them, and go with it. */

import { markAndSweep, openRegistry } from "oci-registry-gc";
import { describe, expect, test } from "vitest";
import { contentOf, STORES } from "./support/stores.js";
import { image, linkOf, push, revision } from "./support/tree.js";
import { blobPath, digestOf } from "./support/world.js";

const SCHEMA_1 = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: digestOf("layer") }] });
const MANIFESTS: readonly (readonly [string, string])[] = [
  ["an image", image(digestOf("layer"))],
  ["schema 1", SCHEMA_1],
  ["no JSON", "{"],
];
const SIGNATURE = blobPath(digestOf("signature"));

describe.each(Object.entries(STORES))("%s", (_, makeStore) => {
  async function lay(manifest: string, tag?: string) {
    const { driver, put } = makeStore();
    const link = linkOf(revision("app", digestOf(manifest)).replace(/link$/, "signatures"), digestOf("signature"));
    await push(put, "app", image(digestOf("other")), ["other"], "other");
    await push(put, "app", manifest, ["layer"], tag);
    await put(SIGNATURE, "signature");
    await put(link, digestOf("signature"));
    const collect = async (removeUntagged: boolean) => {
      const options = { readOnly: true, removeUntagged, maxDeleteRatio: 1 };
      const { problems } = await markAndSweep({}, driver, openRegistry(driver), options);
      const files = await contentOf(driver);
      return { problems, isKept: files.has(SIGNATURE), isLinked: files.has(link) };
    };
    return collect;
  }

  test.each(MANIFESTS)("beside %s they are kept where untagged ones are, and go where these go", async (kind, manifest) => {
    const collect = await lay(manifest);
    expect(await collect(false)).toMatchObject({ isKept: true, isLinked: true });
    const isDamaged = kind === "no JSON";
    expect(await collect(true)).toMatchObject({ isKept: isDamaged, isLinked: isDamaged });
  });

  test.each(MANIFESTS)("beside %s that is tagged they are kept", async (_, manifest) => {
    const collect = await lay(manifest, "latest");
    expect(await collect(true)).toMatchObject({ isKept: true, isLinked: true });
  });
});
