import { MEDIA_TYPES } from "./documents.js";
import { JsonObject, type JsonTree, parseJsonTree } from "./jsonTree.js";

/** A digest that a document names. */
export interface Naming {
  readonly digest: string;
  /** Whether what the document says of it lets it be a manifest: a manifest's media type, or none. */
  readonly mayBeManifest: boolean;
}

/** What a manifest document says. */
export interface ManifestFacts {
  readonly names: readonly Naming[];
  readonly subjects: readonly string[];
  /** Whether it has the shape of a manifest, an index or an artifact. */
  readonly isManifest: boolean;
}

const DIGEST = /^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const { dockerConfig, dockerLayer, ociConfig, ociLayer, cacheConfig, ...manifestTypes } = MEDIA_TYPES;
const NO_MANIFESTS: readonly string[] = [dockerConfig, dockerLayer, ociConfig, ociLayer, cacheConfig];
const MANIFEST_TYPES: ReadonlySet<string> = new Set([
  ...Object.values(manifestTypes).filter((type) => !NO_MANIFESTS.includes(type)),
  "application/vnd.docker.distribution.manifest.v1+json",
]);
const SHAPES: ReadonlySet<string> = new Set(["schemaversion", "fslayers", "layers", "manifests", "blobs"]);

/** Whether a text is exactly a digest. */
export function isDigest(text: unknown): text is string {
  return typeof text === "string" && DIGEST.test(text);
}

/**
 * What a document says; keys are read without regard to case, and all duplicates count.
 *
 * @throws SyntaxError for what is no JSON.
 */
export function factsOf(text: string): ManifestFacts {
  const document = parseJsonTree(text);
  const top = document instanceof JsonObject ? document.members : [];
  const subjects = top.filter(([key]) => fold(key) === "subject").flatMap(([, subject]) => valuesOf(subject, "digest"));
  const names = [...ownNames(document), ...top.filter(([key]) => fold(key) !== "subject").flatMap((member) => memberNames(member))];
  return {
    names: document instanceof JsonObject ? names : namesIn(document),
    subjects: subjects.filter(isDigest),
    isManifest: top.some(([key]) => SHAPES.has(fold(key))),
  };
}

/** Below the top, `subject` is a key like any other: what it names is kept, to be on the safe side. */
function namesIn(tree: JsonTree): Naming[] {
  if (isList(tree)) return tree.flatMap(namesIn);
  return tree instanceof JsonObject ? [...ownNames(tree), ...tree.members.flatMap((member) => memberNames(member))] : [];
}

function memberNames([key, value]: readonly [string, JsonTree]): Naming[] {
  return fold(key) === "annotations" ? [] : namesIn(value);
}

function ownNames(tree: JsonTree): Naming[] {
  const types = valuesOf(tree, "mediatype")
    .filter((type) => typeof type === "string")
    .filter((type) => type !== "");
  const mayBeManifest = types.length === 0 || types.some((type) => MANIFEST_TYPES.has(type));
  const digests = valuesOf(tree, "digest").filter(isDigest);
  const sums = valuesOf(tree, "blobsum").filter(isDigest);
  return [...digests.map((digest) => ({ digest, mayBeManifest })), ...sums.map((digest) => ({ digest, mayBeManifest: false }))];
}

function valuesOf(tree: JsonTree, key: string): JsonTree[] {
  return tree instanceof JsonObject ? tree.members.filter(([each]) => fold(each) === key).map(([, value]) => value) : [];
}

function isList(tree: JsonTree): tree is readonly JsonTree[] {
  return Array.isArray(tree);
}

/** As Go's encoding/json folds: `ſ` is an s and `K` (Kelvin) a k. */
function fold(key: string): string {
  return key.toUpperCase().toLowerCase().replaceAll("\u212a", "k");
}
