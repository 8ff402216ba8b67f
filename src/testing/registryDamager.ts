import { dirname } from "../driver.js";
import type { Descriptor } from "./documents.js";
import type { RegistryBuilder } from "./registryBuilder.js";
import { digestOf } from "./v2Paths.js";

/** What can be wrong with a link: empty (a crash), not exactly a digest, or another digest than its path says. */
export type LinkDamage = "empty" | "malformed" | "mismatched";

/** Breaks what a {@link RegistryBuilder} has built, as crashes, bad disks and people with a shell do. */
export class RegistryDamager {
  constructor(private readonly registry: RegistryBuilder) {}

  revisionLink(repository: string, { digest }: Pick<Descriptor, "digest">, damage: LinkDamage): Promise<void> {
    return this.link(this.registry.paths.revision(repository, digest), damage);
  }

  layerLink(repository: string, { digest }: Pick<Descriptor, "digest">, damage: LinkDamage): Promise<void> {
    return this.link(this.registry.paths.layerLink(repository, digest), damage);
  }

  currentLink(repository: string, tag: string, damage: LinkDamage): Promise<void> {
    return this.link(this.registry.paths.currentLink(repository, tag), damage);
  }

  /** A tag that has index entries, but names nothing now. */
  loseCurrentLink(repository: string, tag: string): Promise<void> {
    return this.registry.remove(this.registry.paths.currentLink(repository, tag));
  }

  /** A tag that goes on to name what the repository no longer has. */
  loseRevision(repository: string, { digest }: Pick<Descriptor, "digest">): Promise<void> {
    return this.registry.remove(this.registry.paths.revision(repository, digest));
  }

  /** A blob that is gone, of a layer or of a manifest. */
  loseBlob({ digest }: Pick<Descriptor, "digest">): Promise<void> {
    // With its directory: that is how registries and collectors remove one.
    return this.registry.remove(dirname(this.registry.paths.blob(digest)));
  }

  /** A blob whose bytes are no longer what its digest says. `content`: what they are now. */
  corruptBlob({ digest }: Pick<Descriptor, "digest">, content = "rotten"): Promise<void> {
    return this.registry.file(this.registry.paths.blob(digest), content);
  }

  /** Any link at all. */
  async link(path: string, damage: LinkDamage): Promise<void> {
    const content = (await this.registry.content(path)) ?? "";
    await this.registry.file(path, { empty: "", malformed: `${content}\n`, mismatched: digestOf(`not ${content}`) }[damage]);
  }
}
