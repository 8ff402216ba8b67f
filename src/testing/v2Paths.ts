/** Where the v2 layout keeps things, written down once more: who asks the collector believes its mistakes. */

import { createHash } from "node:crypto";

/** The root of the layout, unless a registry was told otherwise. */
export const DEFAULT_ROOT = "/docker/registry/v2";

/** `<algorithm>:<hex>` of some content. */
export function digestOf(content: string | Uint8Array, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest("hex")}`;
}

/** Paths of the v2 layout below one root. Nothing is checked: damage is laid out with them too. */
export class V2Paths {
  constructor(readonly root: string = DEFAULT_ROOT) {}

  blob(digest: string): string {
    const [algorithm = "", hex = ""] = digest.split(":");
    return `${this.root}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
  }

  repository(name: string): string {
    return `${this.root}/repositories/${name}`;
  }

  revision(repository: string, digest: string): string {
    return `${this.repository(repository)}/_manifests/revisions/${part(digest)}/link`;
  }

  /** Of a schema 1 manifest's signature. */
  signature(repository: string, digest: string, signature: string): string {
    return `${this.repository(repository)}/_manifests/revisions/${part(digest)}/signatures/${part(signature)}/link`;
  }

  tag(repository: string, tag: string): string {
    return `${this.repository(repository)}/_manifests/tags/${tag}`;
  }

  currentLink(repository: string, tag: string): string {
    return `${this.tag(repository, tag)}/current/link`;
  }

  indexEntry(repository: string, tag: string, digest: string): string {
    return `${this.tag(repository, tag)}/index/${part(digest)}/link`;
  }

  layerLink(repository: string, digest: string): string {
    return `${this.repository(repository)}/_layers/${part(digest)}/link`;
  }

  upload(repository: string, id: string): string {
    return `${this.repository(repository)}/_uploads/${id}`;
  }
}

function part(digest: string): string {
  return digest.replace(":", "/");
}
