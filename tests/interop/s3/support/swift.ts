/** A real S3 server on loopback: OpenStack Swift with its S3 API, one of each of its servers, and one copy of everything. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { describe } from "vitest";
import { isOnPath, missingTools, runTool } from "../../support/tools.js";
import { freePorts, Processes } from "./processes.js";

export const ACCESS_KEY = "test:tester";
export const SECRET_KEY = "testing";
export const REGION = "us-east-1";

const STORAGE_SERVERS = ["account", "container", "object"] as const;

const missing = [
  ...missingTools,
  ...["memcached", "swift-ring-builder", "swift-proxy-server", ...STORAGE_SERVERS.map((name) => `swift-${name}-server`)].filter(
    (tool) => !isOnPath(tool),
  ),
];

if (missing.length > 0 && process.env["INTEROP"] === "required") {
  throw new Error(`INTEROP=required, but there is no ${missing.join(" and no ")} here`);
}

/** Tests that need a real S3 server and a real registry: skipped by name where a program is missing. */
export const describeSwift = describe.skipIf(missing.length > 0);

export class Swift {
  private readonly processes = new Processes();
  private readonly clients: S3Client[] = [];

  private constructor(
    private readonly folder: string,
    readonly endpoint: string,
  ) {}

  static async start(): Promise<Swift> {
    const folder = await mkdtemp(join(tmpdir(), "oci-registry-gc-swift-"));
    const [proxy = 0, cache = 0, ...storage] = await freePorts(2 + STORAGE_SERVERS.length);
    const swift = new Swift(folder, `http://127.0.0.1:${proxy}`);
    try {
      await swift.configure(proxy, cache, storage);
      const isRoot = process.getuid?.() === 0;
      await swift.serve(cache, "memcached", ["-l", "127.0.0.1", "-p", `${cache}`, ...(isRoot ? ["-u", "nobody"] : [])]);
      for (const [i, name] of STORAGE_SERVERS.entries())
        await swift.serve(storage[i]!, `swift-${name}-server`, [join(folder, `${name}.conf`)]);
      await swift.serve(proxy, "swift-proxy-server", [join(folder, "proxy.conf")]);
      return swift;
    } catch (error) {
      await swift.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const client of this.clients.splice(0)) client.destroy();
    await this.processes.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A client of the server itself, or of a proxy before it. */
  client(endpoint = this.endpoint): S3Client {
    const client = new S3Client({
      endpoint,
      region: REGION,
      forcePathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    });
    this.clients.push(client);
    return client;
  }

  async makeBucket(bucket: string): Promise<void> {
    await this.client().send(new CreateBucketCommand({ Bucket: bucket }));
  }

  private serve(port: number, file: string, args: readonly string[]): Promise<void> {
    return this.processes.serve(port, join(this.folder, `${file}.log`), file, args);
  }

  private async configure(proxy: number, cache: number, storage: readonly number[]): Promise<void> {
    const { folder } = this;
    const disk = join(folder, "disks", "d1");
    await mkdir(disk, { recursive: true });
    const common = `swift_dir = ${folder}\nuser = ${userInfo().username}\nbind_ip = 127.0.0.1\nlog_level = WARNING\n`;
    await writeFile(
      join(folder, "swift.conf"),
      "[swift-hash]\nswift_hash_path_suffix = any\nswift_hash_path_prefix = any\n[storage-policy:0]\nname = only\ndefault = yes\n",
    );
    for (const [i, name] of STORAGE_SERVERS.entries()) {
      const port = storage[i]!;
      await writeFile(
        join(folder, `${name}.conf`),
        `[DEFAULT]\n${common}bind_port = ${port}\nworkers = 1\ndevices = ${join(folder, "disks")}\nmount_check = false\ndisable_fallocate = true\n` +
          `[pipeline:main]\npipeline = ${name}-server\n[app:${name}-server]\nuse = egg:swift#${name}\n`,
      );
      const builder = join(folder, `${name}.builder`);
      await runTool("swift-ring-builder", [builder, "create", "4", "1", "1"]);
      await runTool("swift-ring-builder", [builder, "add", `r1z1-127.0.0.1:${port}/d1`, "1"]);
      await runTool("swift-ring-builder", [builder, "rebalance"]);
    }
    const filters: Readonly<Record<string, string>> = {
      catch_errors: "",
      cache: `memcache_servers = 127.0.0.1:${cache}\n`,
      listing_formats: "",
      s3api: "s3_acl = false\ndns_compliant_bucket_names = false\n",
      tempauth: `user_${ACCESS_KEY.replace(":", "_")} = ${SECRET_KEY} .admin\n`,
      bulk: "",
      slo: "",
      dlo: "",
    };
    const egg = (name: string) => (name === "cache" ? "memcache" : name);
    await writeFile(
      join(folder, "proxy.conf"),
      `[DEFAULT]\n${common}bind_port = ${proxy}\nworkers = 2\n[pipeline:main]\npipeline = ${Object.keys(filters).join(" ")} proxy-server\n` +
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n" +
        Object.entries(filters)
          .map(([name, settings]) => `[filter:${name}]\nuse = egg:swift#${egg(name)}\n${settings}`)
          .join(""),
    );
  }
}
