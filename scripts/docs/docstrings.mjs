// Code blocks in comments of the source. They are short: what they take for granted stands here.

import { readPage } from "./blocks.mjs";

const GIVEN = `
  import { test } from "vitest";
  import type { Namespace, StorageDriver } from "oci-registry-gc";
  import { namespaceConformance, RegistryBuilder, storageDriverConformance, type RegistryContents } from "oci-registry-gc/testing";
  declare const driver: StorageDriver, registry: Namespace, holds: RegistryContents;`;

export function blocksOfComments(file, text) {
  const comments = text.split("\n").map((line) => /^\s*\*(?!\/) ?(.*)$/.exec(line)?.[1] ?? "");
  // In a scope of its own, a block may use the same names for something else.
  return readPage(file, comments.join("\n")).blocks.map((block) => ({ ...block, given: `${GIVEN} {`, code: `${block.code}}\n` }));
}
