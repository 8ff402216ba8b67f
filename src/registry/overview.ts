/** Repositories and blobs, as {@link visits} tells of them. */

import { LAST_TIME } from "../clock.js";
import { SHA256_BYTES } from "../digestIndex.js";
import { NAME } from "../driver.js";
import { bufferOf, viewOf } from "../internal/bufferOf.js";
import type { RepositoryOverview } from "../namespace.js";
import { digestOf, TAG } from "./paths.js";
import { visits } from "./visits.js";

const HEADER_BYTES = 12;
/** Some tens of milliseconds where the disk is warm. */
const MOST_LINKS = 8192;

/** The texts of a visit to a repository's directory. */
export const REPOSITORY_VISIT = { withUploads: textOf("repositoryWithUploads"), withoutUploads: textOf("repository") } as const;
/** The text of a visit to a directory of blobs of one prefix. */
export const PREFIX_VISIT = textOf("prefix");

/** The text of a visit to a directory that holds digests of one algorithm, as a tag's index does. */
export const DIGESTS_VISIT = textOf("digests");

function textOf(visit: keyof ReturnType<typeof visits>): string {
  const parts = `{ tag: ${String(TAG)}, name: ${String(NAME)}, mostLinks: ${MOST_LINKS}, lastTime: ${LAST_TIME} }`;
  // A transformer that keeps functions' names puts calls of `__name` in.
  return `() => {
    const __name = (target) => target;
    return (${String(visits)})(${parts}).${visit};
  }`;
}

/** The digests whose bytes stand one after the other. */
export function digestsIn(packed: Uint8Array): string[] {
  const hex = bufferOf(packed).toString("hex");
  return Array.from({ length: packed.length / SHA256_BYTES }, (_, i) => digestOf("sha256", hex.slice(i * 64, (i + 1) * 64)));
}

/** What a visit told of the repository at a path; `undefined` where it is not all there, or about another one. */
export function readOverview(bytes: Uint8Array, path: string, linkOf: (tag: string) => string): RepositoryOverview | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  const [revisions = 0, layers = 0, tags = 0] = [0, 4, 8].map((at) => view.getUint32(at, true));
  const digestsAt = HEADER_BYTES + revisions * 8;
  const namesAt = digestsAt + (revisions + layers + tags) * SHA256_BYTES;
  const [about, ...names] = Buffer.from(bytes.subarray(namesAt)).toString("latin1").split("\n");
  if (about !== path || names.length !== tags) return undefined;
  const digests = (from: number, count: number) =>
    bytes.subarray(digestsAt + from * SHA256_BYTES, digestsAt + (from + count) * SHA256_BYTES);
  return {
    revisions: digests(0, revisions),
    times: Float64Array.from({ length: revisions }, (_, i) => view.getFloat64(HEADER_BYTES + i * 8, true)),
    layerLinks: digests(revisions, layers),
    tagged: digests(revisions + layers, tags),
    tag: (index) => ({ name: names[index] ?? "", path: linkOf(names[index] ?? "") }),
  };
}
