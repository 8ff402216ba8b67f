import type { StorageDriver } from "../driver.js";
import { areOwn } from "../internal/manyAtOnce.js";
import type { BlobInfo, Footprint, LookOptions, Namespace } from "../namespace.js";
import { openRegistry } from "./openRegistry.js";

/** A namespace that tells where its blobs lie. */
export interface CompleteNamespace extends Namespace {
  packedBlobs(options?: LookOptions): AsyncIterable<readonly BlobInfo[] | Uint8Array>;
  blobFootprint(digest: string): Footprint;
}

/**
 * A namespace as the collector needs it. One that lists repositories and blobs, and says nothing of where they lie, is taken to wrap
 * the v2 layout on the run's driver: so its lock is heeded, too.
 */
export function completeRegistry(registry: Namespace, driver: StorageDriver): CompleteNamespace {
  const inner = registry.blobFootprint === undefined ? openRegistry(driver) : registry;
  return {
    repositories: (options) => registry.repositories(options),
    blobs: (options) => registry.blobs(options),
    packedBlobs: (options) =>
      registry.packedBlobs !== undefined && areOwn(registry, ["blobs"]) ? registry.packedBlobs(options) : registry.blobs(options),
    blobFootprint: (digest) => inner.blobFootprint?.(digest) ?? { files: [] },
    online: registry.online ?? inner.online,
    pieces: isWhole(registry) ? registry.pieces : undefined,
    ...(inner.lookAtBlob && { lookAtBlob: (digest, options) => inner.lookAtBlob?.(digest, options) ?? Promise.resolve(undefined) }),
    ...(inner.lookAtBlobs !== undefined &&
      areOwn(inner, ["lookAtBlob"]) && {
        lookAtBlobs: (digests, options) => inner.lookAtBlobs?.(digests, options) ?? Promise.resolve([]),
      }),
    ...(inner.guard && { guard: (options) => inner.guard?.(options) ?? Promise.resolve([]) }),
  };
}

/** Whether a namespace's pieces are its own: a wrapper that has put listings of its own in their place has none. */
function isWhole(registry: Namespace): boolean {
  const whole = registry.pieces?.of;
  return whole !== undefined && whole.repositories === registry.repositories && whole.blobs === registry.blobs;
}
