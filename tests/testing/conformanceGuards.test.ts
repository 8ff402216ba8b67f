/** Drivers that would lose data and that each check but one takes for right. */

import type { StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { storageDriverConformance } from "oci-registry-gc/testing";
import { expect, test } from "vitest";
import { changed } from "../support/tree.js";

const wrong = (changes: (right: MemoryDriver) => Partial<StorageDriver>) => () => {
  const right = new MemoryDriver();
  const driver: StorageDriver = right;
  return changed(driver, changes(right));
};
const isThere = (right: MemoryDriver, path: string) =>
  right.stat(path).then(
    () => true,
    () => false,
  );

const overwriting = wrong((right) => ({
  async putContent(path, bytes, options) {
    const hasWritten = await right.putContent(path, bytes, options);
    if (!hasWritten) await right.putContent(path, bytes);
    return hasWritten;
  },
}));
/** A move with something before it, where something is in the way. */
const movingOver = (what: (right: MemoryDriver, source: string, destination: string) => Promise<unknown>) =>
  wrong((right) => ({
    async move(source, destination, options) {
      if (await isThere(right, destination)) await what(right, source, destination);
      await right.move(source, destination, options);
    },
  }));

test.each([
  [
    "with ifAbsent overwrites, and says that it didn't",
    overwriting,
    "putContent: with ifAbsent it writes once and says so, or is UNSUPPORTED",
  ],
  ["with ifAbsent overwrites an empty file", overwriting, "putContent: with ifAbsent it leaves an empty file as it is"],
  ["leaves the content of the last who took a lock", overwriting, "putContent: of many with ifAbsent at once, one writes"],
  [
    "tells each who takes a lock that it is his",
    wrong((right) => ({ putContent: async (path, bytes, options) => (await right.putContent(path, bytes, options)) || true })),
    "putContent: of many with ifAbsent at once, one writes",
  ],
  [
    "moves over an empty file",
    movingOver(async (right, _, destination) => (await right.stat(destination)).size === 0 && right.delete(destination)),
    "move: never overwrites, and loses nothing",
  ],
  ["drops what it does not move", movingOver((right, source) => right.delete(source)), "move: never overwrites, and loses nothing"],
  [
    "cuts what it moves",
    wrong((right) => ({
      async move(source, destination, options) {
        const bytes = await right.getContent(source);
        await right.move(source, destination, options);
        if (bytes.length > 1_000_000) await right.putContent(destination, bytes.subarray(1));
      },
    })),
    "move: brings the content, and the source is gone",
  ],
  [
    "prunes directories of empty files",
    wrong((right) => ({
      async pruneDirectories(paths, options) {
        for (const path of paths) if (path.endsWith("/zero")) await right.delete(path);
        await right.pruneDirectories(paths, options);
      },
    })),
    "pruneDirectories: never removes what holds anything",
  ],
  [
    "deletes, and then heeds the signal",
    wrong((right) => ({
      async delete(path, options) {
        await right.delete(path).catch(() => undefined);
        options?.signal?.throwIfAborted();
      },
    })),
    "delete: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "writes, and then heeds the signal, where nothing was",
    wrong((right) => ({
      async putContent(path, bytes, options) {
        if (!(await isThere(right, path))) await right.putContent(path, bytes);
        return right.putContent(path, bytes, options);
      },
    })),
    "putContent: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "gives as many bytes as it should, and others",
    wrong((right) => ({
      getContent: async (path, options) =>
        (await right.getContent(path, options)).map((byte) => (options?.maxBytes === 999 ? byte ^ 1 : byte)),
    })),
    "getContent: never cuts silently at maxBytes",
  ],
] as const)("a driver that %s fails", async (_, makeDriver, name) => {
  const check = storageDriverConformance().find((each) => each.name === name);
  await expect(check?.run({ driver: makeDriver() })).rejects.toMatchObject({ code: "CONFORMANCE" });
});
