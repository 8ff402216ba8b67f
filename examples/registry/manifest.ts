/** What a manifest says of itself. */

import { isDigest } from "./names.js";
import { RegistryError } from "./registryError.js";

const IMAGE = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

export interface ManifestFacts {
  readonly mediaType: string;
  /** Digests of its config and layers. */
  readonly blobs: readonly string[];
  /** Digests of the manifests that an index names. */
  readonly manifests: readonly string[];
}

/** @throws RegistryError that says what is wrong with the document. */
export function readManifest(bytes: Uint8Array): ManifestFacts {
  const document = parse(bytes);
  const { schemaVersion, mediaType, config, layers, manifests } = document;
  if (schemaVersion !== 2) throw invalid(`its schemaVersion is ${JSON.stringify(schemaVersion)}; expected 2`);
  const isIndex = manifests !== undefined;
  if (!isIndex && config === undefined) throw invalid("it has neither manifests nor a config");
  if (mediaType !== undefined && typeof mediaType !== "string") throw invalid("its mediaType is no text");
  return {
    mediaType: mediaType ?? (isIndex ? INDEX : IMAGE),
    blobs: [...(config === undefined ? [] : [digestIn(config, "config")]), ...digestsIn(layers, "layers")],
    manifests: digestsIn(manifests, "manifests"),
  };
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    throw invalid("it is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is no JSON object");
  return value as Readonly<Record<string, unknown>>;
}

function digestsIn(list: unknown, where: string): string[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw invalid(`its ${where} are no list`);
  return list.map((each, i) => digestIn(each, `${where}[${i}]`));
}

function digestIn(descriptor: unknown, where: string): string {
  const digest = typeof descriptor === "object" && descriptor !== null && "digest" in descriptor ? descriptor.digest : undefined;
  if (!isDigest(digest))
    throw invalid(`the digest of its ${where} is ${digest === undefined ? "missing" : JSON.stringify(digest)}; expected a sha256 one`);
  return digest;
}

function invalid(why: string): RegistryError {
  return new RegistryError("MANIFEST_INVALID", `the manifest can't be taken: ${why}`);
}
