import { createHash } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { readManifest } from "../src/manifest.js";
import type { ManifestDocument } from "../src/manifestRule.js";

const D = (name: string) => `sha256:${createHash("sha256").update(name).digest("hex")}`;
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

function read(content: string | Uint8Array, algorithm = "sha256"): ReturnType<typeof readManifest> {
  const bytes = Buffer.from(content);
  return readManifest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`, bytes);
}

function document(content: unknown): ManifestDocument {
  const result = read(typeof content === "string" ? content : JSON.stringify(content));
  if ("kind" in result) throw new Error(result.kind);
  return result;
}

const names = (content: unknown) => document(content).named.map(({ digest }) => digest);

describe("what a manifest names", () => {
  test("schema 1", () => {
    const result = document({
      schemaVersion: 1,
      fsLayers: [{ blobSum: D("a") }, { blobSum: D("b") }],
      history: [{ v1Compatibility: D("c") }],
    });
    expect(result.named).toEqual([
      { digest: D("a"), mayBeManifest: false },
      { digest: D("b"), mayBeManifest: false },
    ]);
    expect(result).toMatchObject({ isManifest: true });
  });

  test("an image: config and layers, of which none may be a manifest", () => {
    const result = document({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: D("config"), size: 2 },
      layers: [{ mediaType: LAYER, digest: D("layer"), size: 3 }],
    });
    expect(result.named).toEqual([
      { digest: D("config"), mayBeManifest: false },
      { digest: D("layer"), mayBeManifest: false },
    ]);
    expect(result).toMatchObject({ isManifest: true, subjects: [] });
  });

  test.each([
    [OCI_MANIFEST, true],
    ["application/vnd.oci.image.index.v1+json", true],
    ["application/vnd.oci.artifact.manifest.v1+json", true],
    ["application/vnd.docker.distribution.manifest.v2+json", true],
    ["application/vnd.docker.distribution.manifest.list.v2+json", true],
    ["application/vnd.docker.distribution.manifest.v1+json", true],
    ["application/vnd.docker.distribution.manifest.v1+prettyjws", true],
    [`${OCI_MANIFEST}; charset=utf-8`, true],
    [OCI_MANIFEST.toUpperCase(), true],
    [undefined, true],
    ["", true],
    [LAYER, false],
    ["application/octet-stream", false],
  ])("a child of type %s may be a manifest: %s", (mediaType, mayBeManifest) => {
    expect(document({ schemaVersion: 2, manifests: [{ mediaType, digest: D("child") }] }).named).toEqual([
      { digest: D("child"), mayBeManifest },
    ]);
    expect(document({ schemaVersion: 2, manifests: [{ digest: D("child"), mediaType }] }).named).toEqual([
      { digest: D("child"), mayBeManifest },
    ]);
  });

  test("digests stand anywhere, but not in annotations, nor under the document's subject", () => {
    expect(
      names({
        schemaVersion: 2,
        blobs: [{ digest: D("a"), annotations: { digest: D("no") }, platform: { "os.features": [{ deep: { digest: D("b") } }] } }],
        annotations: { digest: D("no"), nested: { digest: D("no") }, list: [{ digest: D("no") }] },
        subject: { digest: D("subject"), annotations: { digest: D("no") }, inner: { digest: D("no") } },
        future: { subject: { digest: D("c") } },
      }),
    ).toEqual([D("b"), D("a"), D("c")]);
  });

  test("subject", () => {
    expect(document({ subject: { digest: D("s") }, layers: [] }).subjects).toEqual([D("s")]);
    expect(document(`{"Subject":{"DIGEST":"${D("s")}"},"subject":{"digest":"${D("t")}"}}`).subjects).toEqual([D("s"), D("t")]);
    expect(document({ subject: [{ digest: D("s") }] })).toMatchObject({ subjects: [], named: [] });
    expect(document({ subject: null, layers: [{ digest: D("a") }] }).named).toHaveLength(1);
  });

  test("keys in any case, escaped, folded as Go folds them, and duplicates", () => {
    expect(names(`{"layers":[{"Digest":"${D("a")}"},{"DIGEST":"${D("b")}"}]}`)).toEqual([D("a"), D("b")]);
    expect(names(`{"\\u0064igest":"${D("a")}"}`)).toEqual([D("a")]);
    expect(names(`{"dige\u017ft":"${D("a")}"}`)).toEqual([D("a")]);
    expect(names(`{"digest":"${D("a")}","digest":"${D("b")}"}`)).toEqual([D("a"), D("b")]);
    expect(names(`{"layers":[{"digest":"${D("a")}"}],"layers":[{"digest":"${D("b")}"}]}`)).toEqual([D("a"), D("b")]);
    expect(names(`{"digest":"${D("a").replace(":", "\\u003a")}"}`)).toEqual([D("a")]);
    expect(document(`{"\u017fubject":{"digest":"${D("s")}"}}`)).toMatchObject({ subjects: [D("s")], named: [] });
  });

  test("of several types one that is a manifest's is enough", () => {
    expect(document(`{"manifests":[{"mediaType":"${OCI_MANIFEST}","digest":"${D("a")}","mediaType":"${LAYER}"}]}`).named).toEqual([
      { digest: D("a"), mayBeManifest: true },
    ]);
  });

  test("strings with quotes, slashes and brackets in them mislead nobody", () => {
    const tricky = ['"', "\\", '\\"', '{"digest":"x"}', "]},", '","digest":"', "\\\\"];
    for (const text of tricky) {
      expect(names({ a: text, [text]: text, layers: [{ digest: D("a"), x: text }] })).toEqual([D("a")]);
    }
  });

  test("what is no digest is not named", () => {
    expect(
      names({
        layers: [{ digest: "sha256:../../../etc" }, { digest: `${D("a")}\n` }, { digest: 7 }, { digest: [D("a")] }, { digest: null }],
      }),
    ).toEqual([]);
  });

  test("__proto__ and constructor are keys like any other", () => {
    expect(names(`{"__proto__":{"digest":"${D("a")}"},"constructor":{"digest":"${D("b")}"}}`)).toEqual([D("a"), D("b")]);
    expect(({} as { digest?: string }).digest).toBeUndefined();
  });

  test("sha512 names", () => {
    const digest = `sha512:${"ab".repeat(64)}`;
    expect(names({ layers: [{ digest }] })).toEqual([digest]);
  });

  test.each([
    [{ schemaVersion: 2 }, true],
    [{ mediaType: OCI_MANIFEST }, true],
    [{ manifests: [] }, true],
    [{ fsLayers: [] }, true],
    [{ LAYERS: [] }, true],
    [{ blobs: [] }, true],
    [{ architecture: "amd64", rootfs: { diff_ids: [] }, history: [{ schemaVersion: 2 }] }, false],
    [{ mediaType: LAYER }, false],
    [[], false],
    ["text", false],
  ])("%j looks like a manifest: %s", (content, isManifest) => {
    expect(document(JSON.stringify(content)).isManifest).toBe(isManifest);
  });
});

describe("a usual manifest is not scanned", () => {
  const annotations = { "org.opencontainers.image.created": "2026-01-01T00:00:00Z" };
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: D("config"), size: 2 };
  const layers = [{ mediaType: LAYER, digest: D("layer"), size: 3, annotations }];
  const subject = { mediaType: OCI_MANIFEST, digest: D("subject"), size: 4, annotations };
  const platform = { architecture: "amd64", os: "linux" };
  const manifests = [{ mediaType: OCI_MANIFEST, digest: D("image"), size: 4, platform, annotations }];

  test.each<[string, object]>([
    ["an image", { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, annotations }],
    ["an image without a type of its own", { schemaVersion: 2, config, layers }],
    ["an image about another", { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, subject }],
    ["an index", { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests, subject, annotations }],
  ])("%s", (_, content) => {
    const find = vi.spyOn(String.prototype, "indexOf");
    try {
      const usual = document(JSON.stringify(content, undefined, 2));
      const quotesOfUsual = find.mock.calls.filter(([text]) => text === '"');
      const unusual = document({ ...content, comment: "\n" });
      const quotesOfUnusual = find.mock.calls.filter(([text]) => text === '"');
      expect(usual).toMatchObject({ isManifest: true });
      expect({ ...unusual, content }).toEqual({ ...usual, content });
      expect(quotesOfUsual).toEqual([]);
      expect(quotesOfUnusual.length).toBeGreaterThan(10);
    } finally {
      find.mockRestore();
    }
  });
});

describe("what is no manifest", () => {
  test("other bytes than the digest says, be it by one bit", () => {
    const bytes = Buffer.from(JSON.stringify({ layers: [{ digest: D("a") }] }));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    bytes[3]! ^= 1;
    expect(readManifest(digest, bytes)).toMatchObject({ kind: "digest-mismatch" });
    expect(readManifest(digest, bytes.subarray(0, 10))).toMatchObject({ kind: "digest-mismatch" });
  });

  test.each(["", "{", "[1,]", '{"a":1}{', "\ufeff{}", "undefined", '{"digest":}', "{'a':1}"])("%j is no JSON", (text) => {
    expect(read(text)).toMatchObject({ kind: "not-json" });
  });

  test("4 MiB is read, one byte more is not", () => {
    const most = 4 * 1024 * 1024;
    const padded = (size: number) => {
      const start = `{"digest":"${D("a")}","x":"`;
      return `${start}${"x".repeat(size - start.length - 2)}"}`;
    };
    expect(read(padded(most))).toMatchObject({ named: [{ digest: D("a") }] });
    expect(read(padded(most + 1))).toMatchObject({ kind: "too-large" });
  });

  test("bytes are proved under every algorithm", () => {
    for (const algorithm of ["sha256", "sha384", "sha512"]) expect(read("{}", algorithm)).toMatchObject({ named: [] });
  });
});
