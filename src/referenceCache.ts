/**
 * Remembers between runs what each manifest names, so that a later run reads only manifests that are new. What is remembered are bytes
 * that the collector makes and checks itself: a cache may lose them, and damage in them is noticed. One that fails, or gives no answer
 * within a minute, ends no run: manifests are read instead.
 */
export interface ReferenceCache {
  /** What was set for a digest last; `undefined` where that is nothing, or is lost. */
  get(digest: string): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  set(digest: string, bytes: Uint8Array): void | Promise<void>;
}

/** A cache in memory: some hundred bytes for each manifest, as long as it is held. */
export function memoryReferenceCache(): ReferenceCache {
  const entries = new Map<string, Uint8Array>();
  return {
    get: (digest) => entries.get(digest),
    set: (digest, bytes) => {
      entries.set(digest, Uint8Array.from(bytes));
    },
  };
}
