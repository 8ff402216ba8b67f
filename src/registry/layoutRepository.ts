/** What both ways of listing a repository share: where its parts lie, and a look at one of them. */

import type { StorageDriver } from "../driver.js";
import type { Footprint, LayerLink, LookOptions, Revision, Signature } from "../namespace.js";
import { readManifestBlob } from "./blobs.js";
import { lookAtPath } from "./listing.js";
import type { Layout, RepositoryLayout } from "./paths.js";
import { type Access, judgeLayerLink, judgeRevision } from "./repositoryParts.js";

export abstract class LayoutRepository {
  protected readonly paths: RepositoryLayout;

  constructor(
    readonly name: string,
    protected readonly driver: StorageDriver,
    protected readonly layout: Layout,
  ) {
    this.paths = layout.repository(name);
  }

  get path(): string {
    return this.paths.directory;
  }

  readManifest(digest: string, options: LookOptions & { readonly maxBytes: number }): Promise<Uint8Array | undefined> {
    return readManifestBlob(this.access(options), this.layout, digest, options.maxBytes);
  }

  revisionFootprint(digest: string, signatures: readonly Signature[]): Footprint {
    return this.paths.revisionFootprint(digest, signatures);
  }

  layerLinkFootprint(digest: string): Footprint {
    return this.paths.layerLinkFootprint(digest);
  }

  async lookAtRevision(digest: string, options: LookOptions = {}): Promise<Revision | undefined> {
    const access = this.access(options);
    const link = await lookAtPath(access.driver, this.paths.revisionLink(digest), options);
    return link && judgeRevision(access, digest, link);
  }

  async lookAtLayerLink(digest: string, options: LookOptions = {}): Promise<LayerLink | undefined> {
    const access = this.access(options);
    const link = await lookAtPath(access.driver, this.paths.layerLink(digest), options);
    return link && judgeLayerLink(access, digest, link);
  }

  protected access(options: LookOptions): Access {
    return { driver: options.through?.(this.driver) ?? this.driver, options };
  }
}
