/** The registry on S3 that is collected: groups of repositories that share their manifests. */

import { createHash } from "node:crypto";
import type { S3StandIn } from "../tests/s3/standIn.js";

export const ROOT = "docker/registry/v2";
const MONTH_AGO = Date.now() - 30 * 86_400_000;
/** A config and two layers. */
export const BLOBS_OF_MANIFEST = 3;

export interface Shape {
  /** Groups of repositories that share their manifests. */
  readonly groups: number;
  /** Repositories of a group. */
  readonly sharing: number;
  /** Of each repository. */
  readonly manifests: number;
  readonly tags: number;
}

/** Fills a bucket. The tags of a group's repositories overlap so that just over half of its manifests have one. */
export function fill(s3: S3StandIn, { groups, sharing, manifests, tags }: Shape): void {
  const put = (key: string, content: string) => s3.put(`${ROOT}/${key}`, content, { time: MONTH_AGO });
  const blob = (content: string) => {
    const hex = createHash("sha256").update(content).digest("hex");
    put(`blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, content);
    return hex;
  };
  const step = Math.ceil((0.506 * manifests - tags) / Math.max(1, sharing - 1));
  for (let group = 0; group < groups; group++) {
    const images = Array.from({ length: manifests }, (_, i) => {
      const blobs = Array.from({ length: BLOBS_OF_MANIFEST }, (__, n) => blob(`blob ${n} of ${group} ${i}`));
      const [config, ...layers] = blobs.map((hex) => ({ mediaType: "application/octet-stream", digest: `sha256:${hex}`, size: 20 }));
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      return { hex: blob(JSON.stringify({ schemaVersion: 2, mediaType, config, layers, annotations: { n: `${group} ${i}` } })), blobs };
    });
    for (let n = 0; n < sharing; n++) {
      const repository = `repositories/team-${group}/app-${n}`;
      for (const { hex, blobs } of images) {
        put(`${repository}/_manifests/revisions/sha256/${hex}/link`, `sha256:${hex}`);
        for (const each of blobs) put(`${repository}/_layers/sha256/${each}/link`, `sha256:${each}`);
      }
      for (let tag = 0; tag < tags; tag++) {
        const { hex } = images[n * step + tag]!;
        put(`${repository}/_manifests/tags/v${tag}/current/link`, `sha256:${hex}`);
        put(`${repository}/_manifests/tags/v${tag}/index/sha256/${hex}/link`, `sha256:${hex}`);
      }
    }
  }
}
