/** Manifest documents, as clients write them. They are pure data: nothing is stored here. */

/** The media types that registries know manifests by. */
export const MEDIA_TYPES = {
  schema1: "application/vnd.docker.distribution.manifest.v1+prettyjws",
  docker: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  oci: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociArtifact: "application/vnd.oci.artifact.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
  cacheConfig: "application/vnd.buildkit.cacheconfig.v0",
} as const;

/** What a document says of something that it names. */
export interface Descriptor {
  readonly mediaType?: string | undefined;
  readonly digest: string;
  readonly size: number;
}

/** The dialects of an image's manifest. */
export type ImageFormat = "oci" | "docker" | "schema1" | "artifact";

/** What an image's manifest is made of. */
export interface ImageParts {
  readonly format: ImageFormat;
  /** Tells two images of the same layers apart. */
  readonly name: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
}

/** An image's manifest. */
export function imageDocument({ format, name, config, layers, subject }: ImageParts): object {
  const about = subject === undefined ? {} : { subject };
  if (format === "schema1") {
    return { schemaVersion: 1, name, tag: "latest", architecture: "amd64", fsLayers: layers.map(({ digest }) => ({ blobSum: digest })) };
  }
  const annotations = { "org.opencontainers.image.title": name };
  if (format === "artifact")
    return { mediaType: MEDIA_TYPES.ociArtifact, artifactType: "x/artifact", blobs: layers, ...about, annotations };
  const isDocker = format === "docker";
  return {
    schemaVersion: 2,
    mediaType: isDocker ? MEDIA_TYPES.docker : MEDIA_TYPES.oci,
    config: { ...config, mediaType: isDocker ? MEDIA_TYPES.dockerConfig : MEDIA_TYPES.ociConfig },
    layers: layers.map((layer) => ({ ...layer, mediaType: isDocker ? MEDIA_TYPES.dockerLayer : MEDIA_TYPES.ociLayer })),
    ...about,
    annotations,
  };
}

/** What an index, or a manifest list, is made of. */
export interface IndexParts {
  readonly format: "oci" | "docker";
  readonly name: string;
  readonly children: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
}

/** An index of manifests: of any, also of such as no registry has. */
export function indexDocument({ format, name, children, subject }: IndexParts): object {
  return {
    schemaVersion: 2,
    mediaType: format === "docker" ? MEDIA_TYPES.dockerList : MEDIA_TYPES.ociIndex,
    manifests: children.map((child, i) => ({ ...child, platform: { os: "linux", architecture: `arch${i}` } })),
    ...(subject === undefined ? {} : { subject }),
    annotations: { name },
  };
}

/** What buildx stores as its cache: an index whose "manifests" are layers and a config. */
export function cacheDocument(name: string, layers: readonly Descriptor[], config: Descriptor): object {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [
      ...layers.map((layer) => ({ ...layer, mediaType: MEDIA_TYPES.ociLayer, annotations: { "buildkit/createdat": name } })),
      { ...config, mediaType: MEDIA_TYPES.cacheConfig },
    ],
  };
}
