/** What must pull: all that a push acknowledged, and that no client has deleted or pushed over since. */

import type { Manifest } from "../support/content.js";

/** Where a push goes to. */
export interface Target {
  readonly repository: string;
  /** Without one it is pushed under its digest alone. */
  readonly tag?: string;
  /** Where layers may be mounted from. */
  readonly from?: string;
}

export interface Claim {
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string;
  readonly manifest: Manifest;
  /** When the push began that was acknowledged last: milliseconds since 1970. */
  readonly since: number;
}

/** The claims of one client. Its tags are its own, so each has one last acknowledged value. */
export class Claims {
  private readonly byTag = new Map<string, Claim>();
  private readonly byDigest = new Map<string, Claim>();

  get tags(): readonly Claim[] {
    return [...this.byTag.values()];
  }

  /** Digests, tagged or not, those of the images that an index names included. */
  get digests(): readonly Claim[] {
    return [...this.byDigest.values()];
  }

  acknowledge({ repository, tag }: Target, manifest: Manifest, since: number): void {
    if (tag !== undefined) this.byTag.set(`${repository}:${tag}`, { repository, reference: tag, manifest, since });
    for (const each of [manifest, ...manifest.children]) {
      this.byDigest.set(`${repository}@${each.digest}`, { repository, reference: each.digest, manifest: each, since });
    }
  }

  /** The answer was none that tells whether the tag has moved. */
  doubt({ repository, tag }: Target): void {
    if (tag !== undefined) this.byTag.delete(`${repository}:${tag}`);
  }

  /** A digest is about to be deleted, and with it all tags that name it: from now on nobody may count on them. */
  giveUp({ repository, manifest: { digest } }: Claim): void {
    this.byDigest.delete(`${repository}@${digest}`);
    for (const [key, claim] of this.byTag) {
      if (claim.repository === repository && claim.manifest.digest === digest) this.byTag.delete(key);
    }
  }
}
