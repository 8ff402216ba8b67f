/** Layouts that skopeo writes, collected by the example of a namespace of one's own: skopeo then reads all that index.json names. */

import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GcOptions, markAndSweep } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ociLayout } from "../../examples/oci-layout/ociLayout.js";
import { image, list as index, layer, type Manifest } from "./support/content.js";
import { copyLayout, writeOciLayout } from "./support/skopeo.js";
import { describeInterop, runTool } from "./support/tools.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "oci-layout-interop-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const layout = () => join(folder, "layout");

/** `skopeo copy` into the layout, of an image or an index with all its images. */
async function push(manifest: Manifest, tag: string): Promise<void> {
  const source = await writeOciLayout(join(folder, `source ${manifest.name}`), manifest);
  await copyLayout(source, `oci:${layout()}:${tag}`);
}

function collect(options: GcOptions = {}) {
  const driver = new FilesystemDriver({ root: layout() });
  return markAndSweep({}, driver, ociLayout(driver, ""), { readOnly: true, removeUntagged: true, ...options });
}

/** Takes the entries without a name out of index.json; how many there were. */
async function dropUnnamed(): Promise<number> {
  const path = join(layout(), "index.json");
  const document = JSON.parse(await readFile(path, "utf8")) as { manifests: readonly { readonly annotations?: object }[] };
  const named = document.manifests.filter(({ annotations }) => annotations !== undefined);
  await writeFile(path, JSON.stringify({ ...document, manifests: named }));
  return document.manifests.length - named.length;
}

const hexOf = ({ digest }: { readonly digest: string }) => digest.slice("sha256:".length);
const blobsOf = async () => (await readdir(join(layout(), "blobs", "sha256"))).sort();
const hexesOf = (...manifests: readonly Manifest[]): string[] => [
  ...new Set(manifests.flatMap((each) => [hexOf(each), ...each.blobs.map(hexOf), ...hexesOf(...each.children)])),
];

describeInterop("layouts of skopeo", () => {
  test("what a moved tag left goes; indexes with all their images, and shared layers, stay", async () => {
    const base = layer("base");
    const old = index("old", [image("old amd64", [base, layer("a")]), image("old arm64", [layer("b")])]);
    const now = index("now", [image("new amd64", [base, layer("c")]), image("new arm64", [layer("d")])]);
    const beside = image("beside", [base]);
    await push(old, "latest");
    await push(now, "latest");
    await push(beside, "beside");
    const kept = hexesOf(now, beside).sort();
    expect(await blobsOf()).toEqual([...new Set([...hexesOf(old), ...kept])].sort());

    // skopeo takes the name from the entry of what the tag named before, and leaves the entry: what it reaches stays.
    expect((await collect()).eligible).toMatchObject({ blobs: 0, manifests: 0, layerLinks: 0 });
    expect(await dropUnnamed()).toBe(1);

    const dry = await collect({ dryRun: true });
    const report = await collect();
    expect(report).toMatchObject({ status: "completed", problems: [], failures: [], unrecognized: 0, eligible: dry.eligible });
    expect(report.deleted).toMatchObject({ manifests: 3, blobs: hexesOf(old).length - 1 });
    expect(await blobsOf()).toEqual(kept);

    for (const [tag, { digest }] of Object.entries({ latest: now, beside })) {
      await copyLayout(`oci:${layout()}:${tag}`, `oci:${join(folder, "out")}:${tag}`);
      const raw = await runTool("skopeo", ["inspect", "--raw", `oci:${layout()}:${tag}`]);
      expect(raw).toBe([now, beside].find((each) => each.digest === digest)?.bytes.toString());
    }
    expect((await collect()).eligible).toMatchObject({ blobs: 0, manifests: 0, layerLinks: 0 });
  });

  test("a layout whose tags are all in use stays as it is", async () => {
    const both = [image("one", [layer("1")]), index("many", [image("two", [layer("2")])])] as const;
    await push(both[0], "one");
    await push(both[1], "many");
    expect((await collect()).eligible).toMatchObject({ blobs: 0, manifests: 0, layerLinks: 0 });
    expect(await blobsOf()).toEqual(hexesOf(...both).sort());
  });
});
