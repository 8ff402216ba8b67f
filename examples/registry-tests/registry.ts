/** A small registry over the v2 layout, as far as its users see it: they tag, pull and delete. */

import { createHash } from "node:crypto";
import { isRegistryGcError, type StorageDriver } from "oci-registry-gc";

type RegistryDriver = StorageDriver & Required<Pick<StorageDriver, "getContent" | "putContent">>;

interface Document {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

const ROOT = "/docker/registry/v2";

export class Registry {
  constructor(private readonly driver: RegistryDriver) {}

  /** All that an image, or an index with its images, consists of: digest -> bytes. Rejects where anything is missing or wrong. */
  async pull(repository: string, reference: string): Promise<ReadonlyMap<string, Uint8Array>> {
    const pulled = new Map<string, Uint8Array>();
    const digest = reference.includes(":") ? reference : await this.text(this.tag(repository, reference, "current"));
    await this.pullManifest(repository, digest, pulled);
    return pulled;
  }

  async setTag(repository: string, tag: string, digest: string): Promise<void> {
    const bytes = Buffer.from(digest);
    await this.driver.putContent(this.tag(repository, tag, `index/${digest.replace(":", "/")}`), bytes);
    await this.driver.putContent(this.tag(repository, tag, "current"), bytes);
  }

  async deleteTag(repository: string, tag: string): Promise<void> {
    await this.driver.delete(`${ROOT}/repositories/${repository}/_manifests/tags/${tag}`);
  }

  async deleteManifest(repository: string, digest: string): Promise<void> {
    await this.driver.delete(this.revision(repository, digest));
  }

  private async pullManifest(repository: string, digest: string, pulled: Map<string, Uint8Array>): Promise<void> {
    await this.text(this.revision(repository, digest));
    const { config, layers = [], manifests = [] } = JSON.parse(Buffer.from(await this.pullBlob(digest, pulled)).toString()) as Document;
    for (const blob of config === undefined ? layers : [config, ...layers]) {
      await this.text(`${ROOT}/repositories/${repository}/_layers/${blob.digest.replace(":", "/")}/link`);
      await this.pullBlob(blob.digest, pulled);
    }
    for (const child of manifests) await this.pullManifest(repository, child.digest, pulled);
  }

  private async pullBlob(digest: string, pulled: Map<string, Uint8Array>): Promise<Uint8Array> {
    const hex = digest.slice("sha256:".length);
    const bytes = await this.content(`${ROOT}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
    if (createHash("sha256").update(bytes).digest("hex") !== hex) throw new Error(`${digest} is damaged`);
    pulled.set(digest, bytes);
    return bytes;
  }

  private async text(path: string): Promise<string> {
    return Buffer.from(await this.content(path)).toString();
  }

  private async content(path: string): Promise<Uint8Array> {
    try {
      return await this.driver.getContent(path);
    } catch (error) {
      if (isRegistryGcError(error) && error.code === "PATH_NOT_FOUND") throw new Error(`unknown: ${path}`);
      throw error;
    }
  }

  private tag(repository: string, tag: string, what: string): string {
    return `${ROOT}/repositories/${repository}/_manifests/tags/${tag}/${what}/link`;
  }

  private revision(repository: string, digest: string): string {
    return `${ROOT}/repositories/${repository}/_manifests/revisions/${digest.replace(":", "/")}/link`;
  }
}
