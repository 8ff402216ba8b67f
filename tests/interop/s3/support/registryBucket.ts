/** A bucket that a real registry serves from, and copies of it for tests to spoil. */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CopyObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { type GcContext, type GcOptions, type GcReport, markAndSweep, openRegistry } from "oci-registry-gc";
import { S3Driver } from "oci-registry-gc/drivers/s3";
import { collectAsDistributionByConfig, type RegistryServer, whileServingConfig, writeConfigFor } from "../../support/registryServer.js";
import { ACCESS_KEY, REGION, SECRET_KEY, type Swift } from "./swift.js";

/** Registries call it their root directory. */
const PREFIX = "some/prefix";
const ROOT = `${PREFIX}/docker/registry/v2/`;

export class RegistryBucket {
  private constructor(
    private readonly swift: Swift,
    readonly bucket: string,
    private readonly client: S3Client,
    readonly folder: string,
  ) {}

  static async make(swift: Swift, bucket: string): Promise<RegistryBucket> {
    await swift.makeBucket(bucket);
    const folder = await mkdtemp(join(tmpdir(), "oci-registry-gc-s3-"));
    return new RegistryBucket(swift, bucket, swift.client(), folder);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  async copy(bucket: string): Promise<RegistryBucket> {
    const copy = await RegistryBucket.make(this.swift, bucket);
    const keys = await this.keys();
    const work = async () => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
        const CopySource = `${this.bucket}/${encodeURIComponent(key)}`;
        await this.client.send(new CopyObjectCommand({ Bucket: bucket, Key: key, CopySource }));
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    return copy;
  }

  /** A driver at the server, or at a proxy before it. */
  driver(endpoint?: string): S3Driver {
    return new S3Driver({ client: this.swift.client(endpoint), bucket: this.bucket, prefix: PREFIX });
  }

  collect(options: GcOptions, ctx: GcContext = {}, driver = this.driver()): Promise<GcReport> {
    return markAndSweep(ctx, driver, openRegistry(driver), { drainMs: 200, ...options });
  }

  async collectAsDistribution(endpoint?: string): Promise<void> {
    await collectAsDistributionByConfig(await this.config(endpoint), { removeUntagged: true });
  }

  async whileServing<T>(work: (server: RegistryServer) => Promise<T>): Promise<T> {
    return whileServingConfig(await this.config(), work);
  }

  /** All files of the registry, below its root. */
  async files(): Promise<string[]> {
    return (await this.keys()).filter((key) => key.startsWith(ROOT)).map((key) => key.slice(ROOT.length));
  }

  private async keys(): Promise<string[]> {
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.client.send(new ListObjectsV2Command({ Bucket: this.bucket, ContinuationToken: token }));
      for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key);
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return keys;
  }

  private async config(endpoint = this.swift.endpoint): Promise<string> {
    await mkdir(this.folder, { recursive: true });
    return writeConfigFor(this.folder, {
      s3: {
        accesskey: ACCESS_KEY,
        secretkey: SECRET_KEY,
        region: REGION,
        regionendpoint: endpoint,
        bucket: this.bucket,
        rootdirectory: `/${PREFIX}`,
        secure: false,
        v4auth: true,
        encrypt: false,
      },
    });
  }
}
