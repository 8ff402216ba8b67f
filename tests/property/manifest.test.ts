/** Manifests that are nearly as usual: read by their members, or scanned, they name the same. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readManifest } from "../../src/manifest.js";
import type { ManifestDocument } from "../../src/manifestRule.js";
import { factsOf } from "../../src/testing/manifestFacts.js";

function read(text: string): ManifestDocument {
  const bytes = Buffer.from(text);
  const result = readManifest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes);
  if ("kind" in result) throw new Error(`${result.kind}: ${text}`);
  return result;
}

/** What does not depend on how the document was read: not on the order in which it was. */
function meaningOf({ named, subjects, isManifest }: ManifestDocument) {
  return {
    named: named.map(({ digest, mayBeManifest }) => `${digest} ${mayBeManifest}`).sort(),
    subjects: [...subjects].sort(),
    isManifest,
  };
}

const string = (value: string) => fc.constant(JSON.stringify(value));
const digest = fc.integer({ min: 0, max: 9 }).map((n) => `"sha256:${String(n).repeat(64)}"`);
const type = fc.oneof(
  { weight: 3, arbitrary: string("application/vnd.oci.image.layer.v1.tar+gzip") },
  { weight: 2, arbitrary: string("application/vnd.oci.image.manifest.v1+json") },
  string("application/vnd.docker.distribution.manifest.list.v2+json"),
  string("application/vnd.docker.distribution.manifest.v3+json"),
  string(""),
);
const number = fc.constantFrom("0", "1", "2", "null");
const scalar = fc.oneof(digest, type, number, fc.constantFrom('"digest"', '"a:b"', '"mediaType"', '"\u00e9"', '"\\u0041"', '":"', '"{"'));

/** A key as it should be written, or seldom in another way that registries read as the same. */
function key(name: string): fc.Arbitrary<string> {
  const written = [
    name.toUpperCase(),
    name.replace("s", "\u017f"),
    `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}`,
    `${name.slice(0, -1)}\\u00${name.charCodeAt(name.length - 1).toString(16)}`,
    `${name}s`,
  ];
  return fc.oneof({ weight: 40, arbitrary: fc.constant(name) }, fc.constantFrom(...written)).map((each) => `"${each}"`);
}

const member = (name: string, value: fc.Arbitrary<string>) => fc.tuple(key(name), value).map(([left, right]) => `${left}: ${right}`);

/** An object that has most of these members, seldom one twice or one that nobody expects, in any order. */
function object(members: readonly fc.Arbitrary<string>[], others: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const some = members.map((each) =>
    fc.oneof(
      { weight: 12, arbitrary: each.map((one) => [one]) },
      { weight: 3, arbitrary: fc.constant([]) },
      fc.tuple(each, each).map((two): string[] => two),
    ),
  );
  const more = fc.oneof(
    { weight: 8, arbitrary: fc.constant([]) },
    others.map((one) => [one]),
  );
  return fc
    .tuple(...some, more)
    .chain((all) => fc.shuffledSubarray(all.flat(), { minLength: all.flat().length }))
    .map((each) => `{${each.join(", ")}}`);
}

const annotations = member(
  "annotations",
  object([member("vendor", scalar)], fc.oneof(member("digest", digest), member("mediaType", type))),
);
const others = fc.oneof(
  member("size", number),
  member("blobSum", digest),
  annotations,
  member("platform", object([member("os", scalar)], member("digest", digest))),
  member("subject", fc.oneof(scalar, object([member("digest", digest)], member("mediaType", type)))),
);
const descriptor = fc.oneof(
  { weight: 20, arbitrary: object([member("mediaType", type), member("digest", digest), member("size", number)], others) },
  scalar,
  digest.map((each) => `[{"digest": ${each}}]`),
  member("digest", scalar).map((each) => `{${each}}`),
  member("mediaType", scalar).map((each) => `{${each}}`),
);
const list = fc.oneof({ weight: 20, arbitrary: fc.array(descriptor, { maxLength: 4 }).map((each) => `[${each.join(", ")}]`) }, descriptor);
const version = fc.oneof({ weight: 12, arbitrary: fc.constant("2") }, number);
const parts = [
  member("schemaVersion", version),
  member("mediaType", type),
  fc.oneof(member("config", descriptor), member("manifests", list)),
  member("layers", list),
];
const document = object(
  parts,
  fc.oneof(others, annotations, member("subject", descriptor), member("blobs", list), member("digest", digest)),
);

test("a document names what its text says, whatever it is read by", () => {
  fc.assert(
    fc.property(document, (text) => {
      const { named, subjects } = meaningOf(read(text));
      const facts = factsOf(text);
      expect(named).toEqual(facts.names.map((each) => `${each.digest} ${each.mayBeManifest}`).sort());
      expect(subjects).toEqual([...facts.subjects].sort());
    }),
    { numRuns: 3000 },
  );
});

test("an escape somewhere else changes nothing: with it a document is scanned", () => {
  fc.assert(
    fc.property(document, (text) => {
      expect(meaningOf(read(text))).toEqual(meaningOf(read(text.replace("{", '{"other": "\\u0041", ').replace(", }", "}"))));
    }),
    { numRuns: 3000 },
  );
});
