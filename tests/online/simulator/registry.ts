/** A registry's handlers, which look and write in exactly the order of distribution 2.8: see the table in docs/online.md. */

import type { StorageDriver } from "oci-registry-gc";
import { blobPath, digestOf, ROOT } from "../../support/world.js";

export interface Image {
  readonly name: string;
  /** Contents of its layers; its config is the first. */
  readonly layers: readonly string[];
  /** Images that an index names; then it has no layers. */
  readonly children: readonly Image[];
}

export function manifestOf({ name, layers, children }: Image): string {
  const descriptor = (content: string, mediaType: string) => ({ mediaType, digest: digestOf(content), size: content.length });
  if (children.length > 0) {
    const type = "application/vnd.oci.image.manifest.v1+json";
    return JSON.stringify({ schemaVersion: 2, name, manifests: children.map((child) => descriptor(manifestOf(child), type)) });
  }
  const [config = "", ...rest] = layers;
  const type = "application/vnd.oci.image.layer.v1.tar";
  return JSON.stringify({
    schemaVersion: 2,
    name,
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: rest.map((layer) => descriptor(layer, type)),
  });
}

export class RegistryHandlers {
  constructor(
    private readonly driver: StorageDriver,
    /** A descriptor cache: what it has seen is there for ever, until it is emptied. */
    private readonly cache?: Set<string>,
  ) {}

  async headBlob(repository: string, content: string): Promise<boolean> {
    return (await this.hasLink(layerLink(repository, content))) && (await this.hasData(content));
  }

  async upload(repository: string, content: string): Promise<void> {
    if (!(await this.isThere(blobPath(digestOf(content))))) await this.put(blobPath(digestOf(content)), content);
    await this.put(layerLink(repository, content), digestOf(content));
    this.remember(layerLink(repository, content), content);
  }

  async mount(from: string, to: string, content: string): Promise<boolean> {
    if (!(await this.headBlob(from, content))) return false;
    await this.put(layerLink(to, content), digestOf(content));
    this.remember(layerLink(to, content), content);
    return true;
  }

  /** Whether it was accepted. */
  async putManifest(repository: string, image: Image, tag?: string): Promise<boolean> {
    for (const layer of image.layers) if (!(await this.headBlob(repository, layer))) return false;
    for (const child of image.children) {
      const known = await this.hasLink(revisionLink(repository, manifestOf(child)));
      if (!known || !(await this.hasData(manifestOf(child)))) return false;
    }
    const manifest = manifestOf(image);
    const digest = digestOf(manifest);
    if (!(await this.hasData(manifest))) await this.put(blobPath(digest), manifest);
    this.cache?.add(blobPath(digest));
    await this.put(revisionLink(repository, manifest), digest);
    this.cache?.add(revisionLink(repository, manifest));
    if (tag === undefined) return true;
    await this.put(`${tagDirectory(repository, tag)}/index/sha256/${digest.slice(7)}/link`, digest);
    await this.put(currentLink(repository, tag), digest);
    return true;
  }

  async deleteManifest(repository: string, image: Image): Promise<void> {
    const digest = digestOf(manifestOf(image));
    this.cache?.delete(revisionLink(repository, manifestOf(image)));
    await this.remove(revisionLink(repository, manifestOf(image)));
    for (const tag of await this.tags(repository)) {
      if ((await this.read(currentLink(repository, tag))) === digest) await this.remove(tagDirectory(repository, tag));
    }
  }

  async deleteTag(repository: string, tag: string): Promise<void> {
    await this.remove(tagDirectory(repository, tag));
  }

  /** Whether everything that a pull asks for is there. */
  async pull(repository: string, image: Image, isDeleted: (child: Image) => boolean): Promise<string | undefined> {
    const manifest = manifestOf(image);
    if (!(await this.isThere(revisionLink(repository, manifest)))) return `no revision link of ${image.name} in ${repository}`;
    if ((await this.read(blobPath(digestOf(manifest)))) !== manifest) return `no manifest ${image.name}`;
    for (const layer of image.layers) {
      if (!(await this.isThere(layerLink(repository, layer)))) return `no link to ${layer} in ${repository}`;
      if ((await this.read(blobPath(digestOf(layer)))) !== layer) return `no data of ${layer}`;
    }
    for (const child of image.children) {
      if (isDeleted(child)) continue;
      const missing = await this.pull(repository, child, isDeleted);
      if (missing !== undefined) return missing;
    }
    return undefined;
  }

  async currentOf(repository: string, tag: string): Promise<string | undefined> {
    return this.read(currentLink(repository, tag));
  }

  hasRevision(repository: string, image: Image): Promise<boolean> {
    return this.isThere(revisionLink(repository, manifestOf(image)));
  }

  private async tags(repository: string): Promise<string[]> {
    const tags: string[] = [];
    try {
      for await (const page of this.driver.list(`${ROOT}/repositories/${repository}/_manifests/tags`)) {
        tags.push(...page.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)));
      }
    } catch {
      // None.
    }
    return tags;
  }

  private remember(link: string, content: string): void {
    this.cache?.add(link);
    this.cache?.add(blobPath(digestOf(content)));
  }

  private hasLink(path: string): Promise<boolean> {
    return this.cached(path);
  }

  private hasData(content: string): Promise<boolean> {
    return this.cached(blobPath(digestOf(content)));
  }

  private async cached(path: string): Promise<boolean> {
    if (this.cache?.has(path) === true) return true;
    const there = await this.isThere(path);
    if (there) this.cache?.add(path);
    return there;
  }

  private async isThere(path: string): Promise<boolean> {
    try {
      return !(await this.driver.stat(path)).isDirectory;
    } catch {
      return false;
    }
  }

  private async read(path: string): Promise<string | undefined> {
    try {
      return Buffer.from(await this.driver.getContent!(path)).toString();
    } catch {
      return undefined;
    }
  }

  private async put(path: string, content: string): Promise<void> {
    await this.driver.putContent!(path, Buffer.from(content));
  }

  private async remove(path: string): Promise<void> {
    try {
      await this.driver.delete(path);
    } catch {
      // Gone already.
    }
  }
}

function layerLink(repository: string, content: string): string {
  return `${ROOT}/repositories/${repository}/_layers/sha256/${digestOf(content).slice(7)}/link`;
}

function revisionLink(repository: string, manifest: string): string {
  return `${ROOT}/repositories/${repository}/_manifests/revisions/sha256/${digestOf(manifest).slice(7)}/link`;
}

function tagDirectory(repository: string, tag: string): string {
  return `${ROOT}/repositories/${repository}/_manifests/tags/${tag}`;
}

function currentLink(repository: string, tag: string): string {
  return `${tagDirectory(repository, tag)}/current/link`;
}
