/** OCI image layouts, written as data: on any driver with `putContent`. */

import { createHash } from "node:crypto";
import type { StorageDriver } from "oci-registry-gc";

export const INDEX = "application/vnd.oci.image.index.v1+json";
export const IMAGE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

export interface Entry {
  readonly mediaType?: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export class LayoutBuilder {
  /** Digests of all blobs that were written. */
  readonly blobs = new Set<string>();

  constructor(
    private readonly driver: StorageDriver & Required<Pick<StorageDriver, "putContent">>,
    readonly root = "/layout",
  ) {}

  pathOf(digest: string): string {
    return `${this.root}/blobs/${digest.replace(":", "/")}`;
  }

  async write(path: string, content: string): Promise<void> {
    await this.driver.putContent(path, Buffer.from(content));
  }

  async blob(content: string, mediaType = LAYER, algorithm = "sha256"): Promise<Entry> {
    const digest = `${algorithm}:${createHash(algorithm).update(content).digest("hex")}`;
    await this.write(this.pathOf(digest), content);
    this.blobs.add(digest);
    return { mediaType, digest, size: content.length };
  }

  document(members: object, mediaType: string, algorithm?: string): Promise<Entry> {
    return this.blob(JSON.stringify({ schemaVersion: 2, mediaType, ...members }), mediaType, algorithm);
  }

  /** An image with a layer and a config of its own. */
  async image(name: string, members: object = {}): Promise<Entry> {
    const layers = [await this.blob(`layer of ${name}`)];
    const config = await this.blob(JSON.stringify({ config: name }), CONFIG);
    return this.document({ config, layers, ...members }, IMAGE);
  }

  index(manifests: readonly object[], members: object = {}): Promise<Entry> {
    return this.document({ manifests, ...members }, INDEX);
  }

  /** What makes it a layout: the version, and index.json with these entries. */
  async finish(entries: Readonly<Record<string, Entry>> | readonly Entry[]): Promise<void> {
    const named = Object.entries(entries as Record<string, Entry>).map(([name, entry]) => ({
      ...entry,
      annotations: { "org.opencontainers.image.ref.name": name },
    }));
    await this.write(`${this.root}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
    await this.indexJson(JSON.stringify({ schemaVersion: 2, manifests: Array.isArray(entries) ? entries : named }));
  }

  indexJson(content: string): Promise<void> {
    return this.write(`${this.root}/index.json`, content);
  }
}
