/** Images as data: everything has a name to speak of it by, its bytes and their real digest. The same every time. */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

export interface Blob {
  readonly name: string;
  readonly bytes: Buffer;
  readonly digest: string;
}

export interface Manifest extends Blob {
  readonly mediaType: string;
  /** Config and layers, or what an index names that is no manifest. */
  readonly blobs: readonly Blob[];
  readonly children: readonly Manifest[];
}

export type Format = "docker" | "oci";

interface Types {
  readonly image: string;
  readonly list: string;
  readonly config: string;
  readonly layer: string;
}

const TYPES: Readonly<Record<Format, Types>> = {
  docker: {
    image: "application/vnd.docker.distribution.manifest.v2+json",
    list: "application/vnd.docker.distribution.manifest.list.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  },
  oci: {
    image: "application/vnd.oci.image.manifest.v1+json",
    list: "application/vnd.oci.image.index.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
  },
};

const SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const BUILDKIT_CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0";

/** Every type of manifest, as a client that takes anything would say. */
export const MANIFEST_TYPES = [TYPES.docker.image, TYPES.docker.list, TYPES.oci.image, TYPES.oci.list, SCHEMA_1];

export function digestOf(bytes: Uint8Array, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

export function blob(name: string, bytes: Uint8Array): Blob {
  return { name, bytes: Buffer.from(bytes), digest: digestOf(bytes) };
}

/** A layer that clients take for a compressed one, and so leave as it is. */
export function layer(name: string): Blob {
  return blob(name, gzipSync(contentOfLayer(name)));
}

/** The same layer under the name that its sha512 gives it. */
export function underSha512(layer: Blob): Blob {
  return { ...layer, digest: digestOf(layer.bytes, "sha512") };
}

export function image(
  name: string,
  layers: readonly Blob[],
  { format = "oci", architecture = "amd64", subject }: { format?: Format; architecture?: string; subject?: Manifest } = {},
): Manifest {
  const types = TYPES[format];
  const config = json(`${name} config`, {
    created: "2024-01-01T00:00:00Z",
    architecture,
    os: "linux",
    config: { Labels: { name } },
    rootfs: { type: "layers", diff_ids: layers.map((each) => digestOf(contentOfLayer(each.name))) },
    history: layers.map((each) => ({ created: "2024-01-01T00:00:00Z", created_by: each.name })),
  });
  const document = {
    schemaVersion: 2,
    mediaType: types.image,
    config: descriptor(config, types.config),
    layers: layers.map((each) => descriptor(each, types.layer)),
    ...(subject && { subject: descriptor(subject, subject.mediaType) }),
  };
  return { ...json(name, document), mediaType: types.image, blobs: [config, ...layers], children: [] };
}

/** A manifest list or an index. */
export function list(name: string, children: readonly Manifest[], format: Format = "oci"): Manifest {
  const mediaType = TYPES[format].list;
  const architectures = ["amd64", "arm64", "s390x"];
  const manifests = children.map((child, i) => ({
    ...descriptor(child, child.mediaType),
    platform: { architecture: architectures[i], os: "linux" },
  }));
  return { ...json(name, { schemaVersion: 2, mediaType, manifests }), mediaType, blobs: [], children };
}

/** What buildx stores: an index of layers, and of a config of its own. */
export function buildxCache(name: string, layers: readonly Blob[]): Manifest {
  const { list: mediaType, layer: layerType } = TYPES.oci;
  const config = json(`${name} config`, { layers: layers.map((each) => ({ blob: each.digest })) });
  const manifests = [...layers.map((each) => descriptor(each, layerType)), descriptor(config, BUILDKIT_CACHE_CONFIG)];
  return { ...json(name, { schemaVersion: 2, mediaType, manifests }), mediaType, blobs: [...layers, config], children: [] };
}

/** A schema 1 image as a registry tells it: only a client can make one, since it is signed. */
export function schema1(name: string, bytes: Uint8Array, layers: readonly Blob[]): Manifest {
  return { ...blob(name, bytes), mediaType: SCHEMA_1, blobs: layers, children: [] };
}

function json(name: string, document: object): Blob {
  return blob(name, Buffer.from(JSON.stringify(document)));
}

function descriptor({ digest, bytes }: Blob, mediaType: string): object {
  return { mediaType, digest, size: bytes.length };
}

function contentOfLayer(name: string): Buffer {
  return Buffer.from(`${name}\n`.repeat(200));
}
