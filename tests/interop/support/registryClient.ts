/** A client of the registry's HTTP API, that believes no answer before it has checked its digest. */

import { type Blob, digestOf, MANIFEST_TYPES, type Manifest } from "./content.js";

interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
}

interface Document {
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly manifests?: readonly Descriptor[];
  readonly fsLayers?: readonly { readonly blobSum: string }[];
  readonly signatures?: readonly { readonly protected: string }[];
}

export class RegistryClient {
  constructor(private readonly host: string) {}

  async pushBlob(repository: string, { bytes, digest }: Blob): Promise<void> {
    const upload = await this.beginUpload(repository);
    upload.searchParams.set("digest", digest);
    await this.call("PUT", upload, 201, { body: bytes, headers: { "content-type": "application/octet-stream" } });
  }

  /** Half of a push: what a client leaves that went away. */
  async leaveUpload(repository: string, bytes: Buffer): Promise<void> {
    const upload = await this.beginUpload(repository);
    await this.call("PATCH", upload, 202, { body: bytes, headers: { "content-type": "application/octet-stream" } });
  }

  async mountBlob(repository: string, { digest }: Blob, from: string): Promise<void> {
    await this.call("POST", this.url(`${repository}/blobs/uploads/?mount=${digest}&from=${from}`), 201);
  }

  /** Puts a manifest alone, under a tag or, where none is given, under its digest. */
  async putManifest(repository: string, { bytes, digest, mediaType }: Manifest, tag?: string): Promise<void> {
    const url = this.url(`${repository}/manifests/${tag ?? digest}`);
    await this.call("PUT", url, 201, { body: bytes, headers: { "content-type": mediaType } });
  }

  /** Puts a manifest with all that it names. */
  async push(repository: string, manifest: Manifest, tag?: string): Promise<void> {
    for (const each of manifest.blobs) await this.pushBlob(repository, each);
    for (const child of manifest.children) await this.push(repository, child);
    await this.putManifest(repository, manifest, tag);
  }

  async deleteManifest(repository: string, { digest }: Blob): Promise<void> {
    await this.call("DELETE", this.url(`${repository}/manifests/${digest}`), 202);
  }

  async repositories(): Promise<readonly string[]> {
    const answer = await this.call("GET", new URL(`http://${this.host}/v2/_catalog?n=1000`), 200);
    return ((await answer.json()) as { repositories: string[] }).repositories;
  }

  /** The tags of a repository; one that the registry doesn't know has none. */
  async tags(repository: string): Promise<readonly string[]> {
    const url = this.url(`${repository}/tags/list`);
    const answer = await fetch(url);
    if (answer.status !== 200 && answer.status !== 404) throw new Error(`GET ${url.href}: ${answer.status}`);
    return ((await answer.json()) as { tags?: string[] | null }).tags ?? [];
  }

  /** Whether a manifest or blob is served. */
  async has(repository: string, kind: "manifests" | "blobs", digest: string): Promise<boolean> {
    const url = this.url(`${repository}/${kind}/${digest}`);
    const { status } = await fetch(url, { method: "HEAD", headers: { accept: MANIFEST_TYPES.join(",") } });
    if (status !== 200 && status !== 404) throw new Error(`HEAD ${url.href}: ${status}`);
    return status === 200;
  }

  async getManifest(repository: string, reference: string): Promise<{ bytes: Buffer; digest: string }> {
    const headers = { accept: MANIFEST_TYPES.join(",") };
    const answer = await this.call("GET", this.url(`${repository}/manifests/${reference}`), 200, { headers });
    const bytes = unsigned(Buffer.from(await answer.arrayBuffer()));
    const digest = digestOf(bytes);
    if (reference.includes(":") && reference !== digest) throw new Error(`${repository}: asked for ${reference}, got ${digest}`);
    return { bytes, digest };
  }

  /**
   * Pulls a manifest with all that it names, as deep as that goes, and returns its digest. `absent`: the manifests that an index
   * names and that this repository has not any more.
   */
  async pull(repository: string, reference: string, absent: ReadonlySet<string> = new Set()): Promise<string> {
    const { bytes, digest } = await this.getManifest(repository, reference);
    const { config, layers = [], fsLayers = [], manifests = [] } = JSON.parse(bytes.toString()) as Document;
    const isManifest = ({ mediaType }: Descriptor) => mediaType !== undefined && MANIFEST_TYPES.includes(mediaType);
    const blobs = [...(config ? [config] : []), ...layers, ...manifests.filter((each) => !isManifest(each))].map((each) => each.digest);
    for (const each of [...blobs, ...fsLayers.map(({ blobSum }) => blobSum)]) await this.pullBlob(repository, each);
    for (const child of manifests.filter(isManifest)) if (!absent.has(child.digest)) await this.pull(repository, child.digest, absent);
    return digest;
  }

  private async pullBlob(repository: string, digest: string): Promise<void> {
    const answer = await this.call("GET", this.url(`${repository}/blobs/${digest}`), 200);
    const got = digestOf(Buffer.from(await answer.arrayBuffer()), digest.split(":", 1)[0]);
    if (got !== digest) throw new Error(`${repository}: asked for ${digest}, got ${got}`);
  }

  private async beginUpload(repository: string): Promise<URL> {
    const url = this.url(`${repository}/blobs/uploads/`);
    const answer = await this.call("POST", url, 202);
    return new URL(answer.headers.get("location") ?? "", url);
  }

  private url(path: string): URL {
    return new URL(`http://${this.host}/v2/${path}`);
  }

  private async call(method: string, url: URL, status: number, init: RequestInit = {}): Promise<Response> {
    const answer = await fetch(url, { method, ...init });
    if (answer.status !== status) throw new Error(`${method} ${url.href}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
}

/** A schema 1 manifest is signed anew each time it is served; its digest is that of what was signed. */
function unsigned(bytes: Buffer): Buffer {
  const [signature] = (JSON.parse(bytes.toString()) as Document).signatures ?? [];
  if (signature === undefined) return bytes;
  const format = Buffer.from(signature.protected, "base64url").toString();
  const { formatLength, formatTail } = JSON.parse(format) as { formatLength: number; formatTail: string };
  return Buffer.concat([bytes.subarray(0, formatLength), Buffer.from(formatTail, "base64url")]);
}
