/** Small images for the clients to push. */

import { createHash } from "node:crypto";
import type { Blob, Image } from "./client.js";

const TYPES = {
  image: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
};

export function imageOf(name: string, layerNames: readonly string[]): Image {
  const layers = layerNames.map((each) => blobOf(Buffer.from(`${each}\n`.repeat(100))));
  const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
  const config = json({ architecture: "amd64", os: "linux", config: { Labels: { name } }, rootfs });
  const document = {
    schemaVersion: 2,
    mediaType: TYPES.image,
    config: descriptor(config, TYPES.config),
    layers: layers.map((layer) => descriptor(layer, TYPES.layer)),
  };
  return { ...json(document), mediaType: TYPES.image, blobs: [config, ...layers], children: [] };
}

export function indexOf(children: readonly Image[]): Image {
  const manifests = children.map((child) => descriptor(child, child.mediaType));
  return { ...json({ schemaVersion: 2, mediaType: TYPES.index, manifests }), mediaType: TYPES.index, blobs: [], children };
}

/** A few images that share layers, and an index of two of them: what is pushed again and again. */
export function commonImages(): Image[] {
  const images = Array.from({ length: 6 }, (_, i) => imageOf(`common ${i}`, ["base", `layer ${i % 3}`, `layer ${(i % 2) + 3}`]));
  return [...images, indexOf(["arm64", "s390x"].map((each) => imageOf(each, ["base", `layer for ${each}`])))];
}

function descriptor({ digest, bytes }: Blob, mediaType: string): object {
  return { mediaType, digest, size: bytes.length };
}

function json(document: object): Blob {
  return blobOf(Buffer.from(JSON.stringify(document)));
}

function blobOf(bytes: Buffer): Blob {
  return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
}
