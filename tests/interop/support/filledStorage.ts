/** A storage that a real registry was filled into once, and copies of it for tests to spoil. */

import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GcContext, type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { digestOf } from "./content.js";
import { storageOf, whileServing } from "./registryServer.js";
import { type Filling, fillRegistry, type Holding } from "./scenario.js";
import { type Contents, contentsOf } from "./tree.js";

export class FilledStorage {
  private constructor(
    private readonly folder: string,
    readonly filling: Filling,
    private readonly names: ReadonlyMap<string, string>,
  ) {}

  static async make(): Promise<FilledStorage> {
    const folder = await mkdtemp(join(tmpdir(), "oci-registry-gc-interop-"));
    try {
      const original = join(folder, "original");
      await mkdir(original);
      const filling = await whileServing(original, ({ host }) => fillRegistry(host, original));
      return new FilledStorage(folder, filling, namesIn(filling));
    } catch (error) {
      await rm(folder, { recursive: true });
      throw error;
    }
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A copy, times included: the folder of a registry of its own. */
  async copy(): Promise<string> {
    const copy = await mkdtemp(join(this.folder, "copy-"));
    await cp(storageOf(join(this.folder, "original")), storageOf(copy), { recursive: true, preserveTimestamps: true });
    return copy;
  }

  contents(folder: string): Promise<Contents> {
    return contentsOf(storageOf(folder), this.nameOf);
  }

  readonly nameOf = (digest: string): string => this.names.get(digest) ?? digest;

  /** What repositories still have after a collection. */
  readonly kept = (removeUntagged: boolean): readonly Holding[] =>
    this.filling.holdings.filter(({ stays }) => stays === "always" || (stays !== "never" && !removeUntagged));
}

export function collect(folder: string, options: GcOptions, ctx: GcContext = {}): Promise<GcReport> {
  const driver = new FilesystemDriver({ root: storageOf(folder) });
  // Nobody else writes but the test itself, which waits for its own requests.
  return markAndSweep(ctx, driver, openRegistry(driver), { drainMs: 200, ...options });
}

/** Digest -> name of everything that was pushed. A layer of a sha512 name is stored under its sha256. */
function namesIn({ holdings, orphans }: Filling): Map<string, string> {
  const names = new Map<string, string>();
  for (const { name, digest, bytes } of [...holdings.flatMap(({ manifest }) => [manifest, ...manifest.blobs]), ...orphans]) {
    names.set(digestOf(bytes), name);
    if (digest !== digestOf(bytes)) names.set(digest, `${name}, by sha512`);
  }
  return names;
}
