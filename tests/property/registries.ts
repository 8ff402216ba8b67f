/** Random registries: shared layers, nested indexes, several repositories, referrers, old layouts, damage. */

import { createHash } from "node:crypto";
import fc from "fast-check";

const ROOT = "/docker/registry/v2";
const OCI = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

/** One manifest; it names only such as were made before it, as digests have it. */
interface Item {
  readonly kind: "image" | "schema1" | "index" | "cache" | "sha512";
  readonly layers: readonly number[];
  readonly children: readonly number[];
  readonly types: "typed" | "untyped" | "bytes";
  readonly subject: number | undefined;
}

/** How a repository has a manifest. */
interface Placement {
  readonly repository: number;
  readonly item: number;
  readonly as: "revision" | "layer" | "nothing";
  readonly tag: number | undefined;
  /** A tag that named it once. */
  readonly formerTag: number | undefined;
  readonly withLinks: boolean;
  readonly signed: boolean;
}

export type Damage =
  | { readonly kind: "empty" | "malformed" | "mismatched" | "vanish"; readonly what: "revision" | "current"; readonly at: number }
  | { readonly kind: "rot" | "lose" | "nonsense"; readonly what: "manifest"; readonly at: number };

export interface Recipe {
  readonly items: readonly Item[];
  readonly placements: readonly Placement[];
  readonly extraLinks: readonly { readonly repository: number; readonly layer: number }[];
  readonly orphans: readonly number[];
  readonly strays: readonly number[];
  readonly damage: readonly Damage[];
}

const NAMES = ["foo", "foo/bar", "foo-bar", "foobar"];
const LAYERS = 6;

const below = (n: number) => fc.nat(n - 1);
const item: fc.Arbitrary<Item> = fc.record({
  kind: fc.constantFrom(
    "image" as const,
    "image" as const,
    "schema1" as const,
    "index" as const,
    "index" as const,
    "cache" as const,
    "sha512" as const,
  ),
  layers: fc.array(below(LAYERS), { maxLength: 3 }),
  children: fc.array(fc.nat(20), { maxLength: 3 }),
  types: fc.constantFrom("typed" as const, "untyped" as const, "bytes" as const),
  subject: fc.option(fc.nat(20), { nil: undefined, freq: 3 }),
});
const placement: fc.Arbitrary<Placement> = fc.record({
  repository: below(NAMES.length),
  item: fc.nat(20),
  as: fc.constantFrom("revision" as const, "revision" as const, "revision" as const, "layer" as const, "nothing" as const),
  tag: fc.option(below(3), { nil: undefined, freq: 2 }),
  formerTag: fc.option(below(3), { nil: undefined, freq: 3 }),
  withLinks: fc.boolean(),
  signed: fc.boolean(),
});
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("empty" as const, "malformed" as const, "mismatched" as const, "vanish" as const),
    what: fc.constantFrom("revision" as const, "current" as const),
    at: fc.nat(20),
  }),
  fc.record({
    kind: fc.constantFrom("rot" as const, "lose" as const, "nonsense" as const),
    what: fc.constant("manifest" as const),
    at: fc.nat(20),
  }),
);

export const recipe: fc.Arbitrary<Recipe> = fc.record({
  items: fc.array(item, { minLength: 1, maxLength: 7 }),
  placements: fc.array(placement, { minLength: 1, maxLength: 10 }),
  extraLinks: fc.array(fc.record({ repository: below(NAMES.length), layer: below(LAYERS) }), { maxLength: 3 }),
  orphans: fc.array(below(LAYERS), { maxLength: 2 }),
  strays: fc.array(fc.nat(3), { maxLength: 2 }),
  damage: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(damage, { minLength: 1, maxLength: 2 }) }),
});

const hash = (content: string, algorithm = "sha256") => `${algorithm}:${createHash(algorithm).update(content).digest("hex")}`;
const path = (digest: string) => digest.replace(":", "/");
const blobPath = (digest: string) => `${ROOT}/blobs/${digest.slice(0, 6)}/${digest.slice(7, 9)}/${digest.slice(7)}/data`;
const layerOf = (i: number) => `layer ${i}`;

/** Lays a recipe out: path -> content. */
export function layOutRecipe({ items, placements, extraLinks, orphans, strays, damage: damages }: Recipe): Map<string, string> {
  const files = new Map<string, string>();
  const manifests = write(items);
  const addBlob = (content: string) => files.set(blobPath(hash(content)), content);
  for (const each of placements) place(files, addBlob, each, items, manifests);
  for (const { repository, layer } of extraLinks) link(files, repository, hash(layerOf(layer)), hash(layerOf(layer)));
  for (const orphan of orphans) addBlob(layerOf(orphan));
  for (const stray of strays) {
    files.set(
      [
        `${ROOT}/repositories/foo/.DS_Store`,
        `${ROOT}/blobs/sha256/data`,
        `${ROOT}/repositories/README`,
        `${ROOT}/repositories/foo/_other/x`,
      ][stray]!,
      "stray",
    );
  }
  for (const each of damages) spoil(files, each);
  return files;
}

/** The documents, each naming only earlier ones. */
function write(items: readonly Item[]): string[] {
  const manifests: string[] = [];
  for (const [i, { kind, layers, children, types, subject }] of items.entries()) {
    const typed = (type: string) => (types === "untyped" ? {} : { mediaType: types === "bytes" ? "application/octet-stream" : type });
    const earlier = (n: number) => hash(manifests[n % i]!);
    const about = subject !== undefined && i > 0 ? { subject: { mediaType: OCI, digest: earlier(subject) } } : {};
    const blobs = layers.map((n) => ({ ...typed("application/vnd.oci.image.layer.v1.tar"), digest: hash(layerOf(n)) }));
    const document =
      kind === "schema1"
        ? { schemaVersion: 1, seed: i, fsLayers: layers.map((n) => ({ blobSum: hash(layerOf(n)) })) }
        : kind === "index" && i > 0
          ? {
              schemaVersion: 2,
              seed: i,
              ...about,
              manifests: children.map((n) => ({ ...typed(n % 2 === 0 ? OCI : INDEX), digest: earlier(n) })),
            }
          : kind === "cache"
            ? { schemaVersion: 2, seed: i, mediaType: INDEX, manifests: blobs }
            : kind === "sha512"
              ? {
                  schemaVersion: 2,
                  seed: i,
                  ...about,
                  layers: layers.map((n) => ({ mediaType: "x/layer", digest: hash(layerOf(n), "sha512") })),
                }
              : {
                  schemaVersion: 2,
                  seed: i,
                  mediaType: OCI,
                  ...about,
                  config: { mediaType: "x/config", digest: hash(layerOf(0)) },
                  layers: blobs,
                };
    manifests.push(JSON.stringify(document));
  }
  return manifests;
}

function place(
  files: Map<string, string>,
  addBlob: (content: string) => void,
  { repository, item: number, as, tag, formerTag, withLinks, signed }: Placement,
  items: readonly Item[],
  manifests: readonly string[],
): void {
  const at = number % items.length;
  const { kind, layers } = items[at]!;
  const manifest = manifests[at]!;
  const digest = hash(manifest);
  const base = `${ROOT}/repositories/${NAMES[repository]!}/_manifests`;
  addBlob(manifest);
  for (const n of layers) {
    addBlob(layerOf(n));
    if (!withLinks) continue;
    link(files, repository, hash(layerOf(n)), hash(layerOf(n)));
    if (kind === "sha512") link(files, repository, hash(layerOf(n), "sha512"), hash(layerOf(n)));
  }
  if (as === "layer") link(files, repository, digest, digest);
  if (as !== "revision") return;
  files.set(`${base}/revisions/${path(digest)}/link`, digest);
  if (signed) {
    addBlob(`signature ${at}`);
    files.set(`${base}/revisions/${path(digest)}/signatures/${path(hash(`signature ${at}`))}/link`, hash(`signature ${at}`));
  }
  for (const each of [formerTag, tag]) if (each !== undefined) files.set(`${base}/tags/t${each}/index/${path(digest)}/link`, digest);
  // What a tag named once, it still names, unless it names something else by now.
  for (const each of [formerTag, tag]) if (each !== undefined) files.set(`${base}/tags/t${each}/current/link`, digest);
}

function link(files: Map<string, string>, repository: number, digest: string, target: string): void {
  files.set(`${ROOT}/repositories/${NAMES[repository]!}/_layers/${path(digest)}/link`, target);
}

function spoil(files: Map<string, string>, each: Damage): void {
  const pattern = { revision: /_manifests\/revisions\/\w+\/\w+\/link$/, current: /current\/link$/, manifest: /\/blobs\// }[each.what];
  const candidates = [...files.keys()].filter(
    (file) => pattern.test(file) && (each.what !== "manifest" || files.get(file)!.startsWith("{")),
  );
  const file = candidates[each.at % Math.max(1, candidates.length)];
  if (file === undefined) return;
  const spoilt = {
    empty: "",
    malformed: `${files.get(file)!}\n`,
    mismatched: hash("another"),
    rot: `${files.get(file)!} `,
    nonsense: "no json",
  };
  if (each.kind === "vanish" || each.kind === "lose") files.delete(file);
  else files.set(file, spoilt[each.kind]);
}
