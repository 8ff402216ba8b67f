/** Sizes and times of blobs that no listing told: they are looked up, many at once. */

import type { DigestIndex } from "./digestIndex.js";
import type { Column } from "./internal/column.js";
import { sizeIn } from "./internal/driverAnswers.js";
import { mapAll } from "./internal/mapAll.js";
import { type Marks, PRESENT } from "./marks.js";
import type { LookOptions, Namespace } from "./namespace.js";

/** What a run knows of blobs, and how it comes to know more. */
export interface BlobFacts {
  readonly registry: Pick<Namespace, "lookAtBlob" | "lookAtBlobs">;
  readonly look: LookOptions;
  readonly digests: DigestIndex;
  readonly marks: Marks;
  readonly knowsInventory: boolean;
  readonly sizes: Column;
  readonly times: Column;
}

/** Looks up sizes and times of these blobs, and returns those that are gone; nothing where the registry can't look. */
export async function lookAtBlobs({ registry, look, digests, sizes, times }: BlobFacts, numbers: readonly number[]): Promise<number[]> {
  if (registry.lookAtBlob === undefined) return [];
  const names = numbers.map((number) => digests.digest(number));
  const together = await registry.lookAtBlobs?.(names, look);
  // What is not answered is not gone.
  const isWhole = together?.length === names.length;
  const blobs = isWhole ? together : await mapAll(names, async (name) => registry.lookAtBlob?.(name, look));
  const gone: number[] = [];
  numbers.forEach((number, i) => {
    const blob = blobs[i];
    if (blob === undefined) gone.push(number);
    else {
      sizes.set(number, sizeIn(blob.size) ?? 0);
      times.set(number, blob.modTime?.getTime() ?? Number.NaN);
    }
  });
  return gone;
}

/** The sizes of those blobs that are there, though a memory knows them. Where listings tell no sizes, they are looked at. */
export async function listedSizes(facts: BlobFacts, manifests: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const { knowsInventory, marks, sizes } = facts;
  const present = knowsInventory ? manifests.filter((number) => marks.has(number, PRESENT)) : manifests;
  const unknown = present.filter((number) => Number.isNaN(sizes.get(number)));
  await lookAtBlobs(facts, unknown);
  return new Map(present.map((number) => [number, sizes.get(number)]));
}
