/** What a worker process is told: on what it works, and by which queue. */

import { S3Client } from "@aws-sdk/client-s3";
import type { StorageDriver } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { S3Driver } from "oci-registry-gc/drivers/s3";

export type Storage =
  | { readonly kind: "filesystem"; readonly root: string }
  | { readonly kind: "s3"; readonly endpoint: string; readonly bucket: string };

export interface Serve {
  readonly redis: number;
  readonly queue: string;
  readonly storage: Storage;
  /** Before each storage call, so that there is a middle to be killed in. */
  readonly delayMs: number;
  readonly lockMs: number;
}

export function openStorage(storage: Storage): StorageDriver {
  if (storage.kind === "filesystem") return new FilesystemDriver({ root: storage.root });
  const credentials = { accessKeyId: "key", secretAccessKey: "secret" };
  const client = new S3Client({ endpoint: storage.endpoint, region: "us-east-1", forcePathStyle: true, credentials });
  return new S3Driver({ client, bucket: storage.bucket });
}
