/** What a registry holds, as the library's own view of it tells. */

import type { Namespace } from "oci-registry-gc";
import { count, formatBytes, table } from "./format.js";

export async function describeContents(registry: Namespace): Promise<string> {
  const rows: [string, string, number, number][] = [];
  for await (const repository of registry.repositories()) {
    const tags = await all(repository.tags());
    const revisions = await all(repository.revisions());
    const layerLinks = await all(repository.layerLinks());
    rows.push([
      repository.name,
      tags
        .map(({ name }) => name)
        .sort()
        .join(", ") || "-",
      revisions.length,
      layerLinks.length,
    ]);
  }
  rows.sort(([a], [b]) => (a < b ? -1 : 1));

  const blobs = await all(registry.blobs());
  let bytes = 0;
  for (const blob of blobs) bytes += blob.size ?? (await registry.lookAtBlob?.(blob.digest))?.size ?? 0;
  return `${table(["Repository", "Tags", "Manifests", "Layer links"], rows)}\n${count(blobs.length, "blob")}, ${formatBytes(bytes)}`;
}

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}
