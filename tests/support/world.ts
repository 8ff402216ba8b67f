/** A registry in memory whose time is moved by hand, and that others write to while the collector runs. */

import { createHash } from "node:crypto";
import { type GcOptions, type GcReport, heal, markAndSweep, openRegistry, purge } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { contentOf, DAY } from "./stores.js";
import { vector } from "./vectors.js";

export const ROOT = "/docker/registry/v2";
const OPTIONS: GcOptions = { removeUntagged: true };

export const digestOf = (content: string) => `sha256:${createHash("sha256").update(content).digest("hex")}`;
export const blobPath = (digest: string) => `${ROOT}/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`;

/** A registry in memory whose time is moved by hand. */
export class World {
  now = Date.parse("2026-01-01T00:00:00Z");
  readonly driver = new MemoryDriver({ now: () => this.now });
  readonly slept: number[] = [];
  /** What happens while the collector drains. */
  meanwhile: () => Promise<void> = async () => undefined;
  readonly clock = {
    now: () => this.now,
    sleep: async (ms: number) => {
      this.slept.push(ms);
      this.now += ms;
      await this.meanwhile();
    },
  };

  async load(file: string, age = 30 * DAY): Promise<this> {
    const now = this.now;
    this.now -= age;
    for (const [path, content] of Object.entries(vector(file).files)) await this.put(path, content);
    this.now = now;
    return this;
  }

  async put(path: string, content: string): Promise<void> {
    await this.driver.putContent(path, Buffer.from(content));
  }

  collect(options: GcOptions = {}): Promise<GcReport> {
    return markAndSweep({ clock: this.clock }, this.driver, openRegistry(this.driver), { ...OPTIONS, ...options });
  }

  heal(options: GcOptions = {}): Promise<GcReport> {
    return heal({ clock: this.clock }, this.driver, openRegistry(this.driver), { ...OPTIONS, ...options });
  }

  purge(options: GcOptions = {}): Promise<GcReport> {
    return purge({ clock: this.clock }, this.driver, openRegistry(this.driver), { ...OPTIONS, ...options });
  }

  /** The registry's own files: without what the collector keeps beside them. */
  async files(): Promise<Map<string, string>> {
    const all = await contentOf(this.driver);
    return new Map([...all].filter(([path]) => !path.startsWith(`${ROOT}/_gc/`) && !path.startsWith("/docker/registry/lockfiles/")));
  }

  async aside(): Promise<string[]> {
    return [...(await contentOf(this.driver)).keys()].filter((path) => path.startsWith(`${ROOT}/_gc/`) && path.includes("/blobs/"));
  }
}
