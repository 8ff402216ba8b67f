/** A client of the distribution API, as hasty as they come: it uploads only what the registry says it has not. */

import { createHash } from "node:crypto";

export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface Image extends Blob {
  readonly mediaType: string;
  /** Its config and layers. */
  readonly blobs: readonly Blob[];
  /** The images that an index names. */
  readonly children: readonly Image[];
}

export interface PushOutcome {
  /** How often the registry refused the manifest, since it knew no longer what it had said to have. */
  readonly refused: number;
  readonly mounted: number;
  readonly uploaded: number;
}

/** An answer that was not expected. */
export class UnexpectedAnswer extends Error {
  constructor(
    request: string,
    readonly status: number,
    text: string,
  ) {
    super(`${request}: ${status} ${text.trim()}`);
  }
}

const ATTEMPTS = 20;
const MANIFEST_TYPES = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

export class Client {
  constructor(private readonly host: string) {}

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    return (await this.call("HEAD", `${repository}/blobs/${digest}`, [200, 404])).status === 200;
  }

  /** Whether the registry mounted it; else it waits for an upload, which is given up. */
  async mount(repository: string, digest: string, from: string): Promise<boolean> {
    const answer = await this.call("POST", `${repository}/blobs/uploads/?mount=${digest}&from=${from}`, [201, 202]);
    if (answer.status === 201) return true;
    await this.call("DELETE", this.locationOf(answer), [204]);
    return false;
  }

  async upload(repository: string, { digest, bytes }: Blob): Promise<void> {
    const begun = this.locationOf(await this.call("POST", `${repository}/blobs/uploads/`, [202]));
    const headers = { "content-type": "application/octet-stream" };
    const half = Math.floor(bytes.length / 2);
    const patched = await this.call("PATCH", begun, [202], { body: bytes.subarray(0, half), headers });
    const end = this.locationOf(patched);
    end.searchParams.set("digest", digest);
    await this.call("PUT", end, [201], { body: bytes.subarray(half), headers });
  }

  /** Whether the registry took it; it does not where it knows of something that the manifest names no longer. */
  async putManifest(repository: string, { digest, bytes, mediaType }: Image, tag?: string): Promise<boolean> {
    const init = { body: bytes, headers: { "content-type": mediaType } };
    const answer = await this.call("PUT", `${repository}/manifests/${tag ?? digest}`, [201, 400, 404], init);
    if (answer.status === 201) return true;
    const text = await answer.text();
    if (/BLOB_UNKNOWN|MANIFEST_UNKNOWN/.test(text)) return false;
    throw new UnexpectedAnswer(`PUT ${repository}/manifests/${tag ?? digest}`, answer.status, text);
  }

  /** Pushes an image with all that it names, again and again until the registry takes it. */
  async push(repository: string, image: Image, { tag, from }: { tag?: string; from?: string } = {}): Promise<PushOutcome> {
    const sum = { refused: 0, mounted: 0, uploaded: 0 };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      for (const child of image.children) add(sum, await this.push(repository, child, from === undefined ? {} : { from }));
      for (const blob of image.blobs) {
        if (await this.hasBlob(repository, blob.digest)) continue;
        if (from !== undefined && (await this.mount(repository, blob.digest, from))) {
          sum.mounted++;
          continue;
        }
        await this.upload(repository, blob);
        sum.uploaded++;
      }
      if (await this.putManifest(repository, image, tag)) return sum;
      sum.refused++;
    }
    throw new Error(`${repository} refused ${image.digest} ${ATTEMPTS} times`);
  }

  /** Whether it was there. */
  async deleteManifest(repository: string, digest: string): Promise<boolean> {
    return (await this.call("DELETE", `${repository}/manifests/${digest}`, [202, 404])).status === 202;
  }

  /** Pulls an image with all that it names, checks every digest, and answers its own. */
  async pull(repository: string, reference: string): Promise<string> {
    const headers = { accept: MANIFEST_TYPES.join(",") };
    const answer = await this.call("GET", `${repository}/manifests/${reference}`, [200], { headers });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const digest = digestOf(bytes);
    if (reference.includes(":") && reference !== digest) throw new Error(`${repository}: asked for ${reference}, got ${digest}`);
    const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString()) as Document;
    for (const each of [...(config === undefined ? [] : [config]), ...layers]) await this.pullBlob(repository, each.digest);
    for (const each of manifests) await this.pull(repository, each.digest);
    return digest;
  }

  private async pullBlob(repository: string, digest: string): Promise<void> {
    const answer = await this.call("GET", `${repository}/blobs/${digest}`, [200]);
    const got = digestOf(Buffer.from(await answer.arrayBuffer()));
    if (got !== digest) throw new Error(`${repository}: asked for the blob ${digest}, got ${got}`);
  }

  private locationOf(answer: Response): URL {
    return new URL(answer.headers.get("location") ?? "", `http://${this.host}/`);
  }

  private async call(method: string, target: string | URL, expected: readonly number[], init: RequestInit = {}): Promise<Response> {
    const url = typeof target === "string" ? new URL(`http://${this.host}/v2/${target}`) : target;
    const answer = await fetch(url, { method, ...init });
    if (!expected.includes(answer.status)) throw new UnexpectedAnswer(`${method} ${url.pathname}`, answer.status, await answer.text());
    if (method !== "GET" && answer.ok) await answer.arrayBuffer();
    return answer;
  }
}

interface Document {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function add(sum: { refused: number; mounted: number; uploaded: number }, more: PushOutcome): void {
  sum.refused += more.refused;
  sum.mounted += more.mounted;
  sum.uploaded += more.uploaded;
}
