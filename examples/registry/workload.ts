/** Clients that push, push again, retag and delete as fast as they can, and remember what the registry acknowledged. */

import { Client, type Image } from "./client.js";
import { commonImages, imageOf } from "./images.js";

const SHARED = "shared/app";
const TAGS = 3;

export class Workload {
  readonly counts = { pushes: 0, refused: 0, mounted: 0, uploaded: 0, deletes: 0, pulls: 0 };
  /** `repository:tag` -> the digest that was acknowledged last. Each client has tags of its own, so there is one last. */
  private readonly acknowledged = new Map<string, string>();
  private readonly client: Client;
  private readonly images = commonImages();

  constructor(host: string) {
    this.client = new Client(host);
  }

  /** Lets some clients work until the signal fires. */
  async run(clients: number, signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: clients }, (_, i) => this.work(`client-${i}`, randomOf(i + 1), signal)));
  }

  /** Pulls everything that was acknowledged and not deleted since; answers how much that is, and what is wrong. */
  async pullAll(): Promise<{ tags: number; missing: readonly string[] }> {
    const missing: string[] = [];
    for (const [key, digest] of this.acknowledged) {
      const [repository = "", tag = ""] = key.split(":");
      try {
        const pulled = await this.client.pull(repository, tag);
        if (pulled !== digest) missing.push(`${key} is ${pulled}, and should be ${digest}`);
        await this.client.pull(repository, digest);
      } catch (error) {
        missing.push(`${key}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return { tags: this.acknowledged.size, missing };
  }

  private async work(name: string, random: () => number, signal: AbortSignal): Promise<void> {
    const own = `${name}/app`;
    for (let step = 0; !signal.aborted; step++) {
      const tag = `t${Math.floor(random() * TAGS)}`;
      const dice = random();
      if (dice < 0.15) await this.delete(own, tag);
      else if (dice < 0.3) await this.pull(own, tag);
      else if (dice < 0.6) await this.push(own, tag, imageOf(`${name} ${step}`, ["base", `${name} ${step}`]), SHARED);
      else if (dice < 0.8) await this.push(own, tag, this.commonImage(random), SHARED);
      else await this.push(SHARED, `${name}-${tag}`, this.commonImage(random), own);
    }
  }

  private commonImage(random: () => number): Image {
    return this.images[Math.floor(random() * this.images.length)]!;
  }

  private async push(repository: string, tag: string, image: Image, from: string): Promise<void> {
    const { refused, mounted, uploaded } = await this.client.push(repository, image, { tag, from });
    this.acknowledged.set(`${repository}:${tag}`, image.digest);
    this.counts.pushes++;
    this.counts.refused += refused;
    this.counts.mounted += mounted;
    this.counts.uploaded += uploaded;
  }

  /** Deletes what a tag names: all tags of that digest go with it. */
  private async delete(repository: string, tag: string): Promise<void> {
    const digest = this.acknowledged.get(`${repository}:${tag}`);
    if (digest === undefined || !(await this.client.deleteManifest(repository, digest))) return;
    for (const [key, each] of this.acknowledged) {
      if (each === digest && key.startsWith(`${repository}:`)) this.acknowledged.delete(key);
    }
    this.counts.deletes++;
  }

  private async pull(repository: string, tag: string): Promise<void> {
    const digest = this.acknowledged.get(`${repository}:${tag}`);
    if (digest === undefined) return;
    await this.client.pull(repository, digest);
    this.counts.pulls++;
  }
}

/** Numbers from 0 to 1, the same every time. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
