/** One client: it pushes, pushes again, retags, mounts, deletes and pulls as fast as it can. */

import { Client, UnexpectedAnswer } from "../../../examples/registry/client.js";
import type { Manifest } from "../support/content.js";
import { type Claim, Claims, type Target } from "./claims.js";
import { COMMON, imagesOf, SHARED_REPOSITORIES, STANDING } from "./images.js";
import { Pusher } from "./pusher.js";
import { Random } from "./random.js";
import type { Tally } from "./tally.js";

const TAGS = ["t0", "t1"];

export interface TormentorOptions {
  readonly name: string;
  readonly host: string;
  /** For what skopeo needs. */
  readonly folder: string;
  readonly tally: Tally;
  /** The share of its pushes that skopeo makes: each starts a process, so most clients do without. */
  readonly skopeoShare: number;
}

export class Tormentor {
  readonly claims = new Claims();
  private readonly client: Client;
  private readonly pusher: Pusher;
  private readonly random: Random;
  private readonly repositories: readonly string[];
  private readonly own: readonly Manifest[];

  constructor(private readonly options: TormentorOptions) {
    const { name, host, folder, tally } = options;
    this.client = new Client(host);
    this.random = new Random(name);
    this.repositories = [...SHARED_REPOSITORIES, `own/${name}`];
    this.own = imagesOf(name);
    this.pusher = new Pusher(host, folder, tally, (target) => this.claims.doubt(target));
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const dice = this.random.next();
      if (dice < 0.55) await this.push();
      else if (dice < 0.7) await this.retag();
      else if (dice < 0.75) await this.pushUntagged();
      else if (dice < 0.9) await this.delete();
      else if (dice < 0.95) await this.pullStanding();
      else await this.pullOwn();
    }
  }

  /** Only pushes, and only by digest. */
  async runWithoutTags(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await this.pushUntagged();
  }

  private async push(): Promise<void> {
    const target = { repository: this.random.of(this.repositories), tag: this.tag(), from: this.random.of(this.repositories) };
    const manifest = this.random.of(this.random.next() < 0.5 ? this.own : COMMON);
    await this.acknowledged(target, manifest, () => {
      if (this.random.next() < this.options.skopeoShare) return this.pusher.withSkopeo(target, manifest);
      return this.random.next() < 0.2 ? this.pusher.uploadingAll(target, manifest) : this.pusher.skipping(target, manifest);
    });
  }

  /** Another tag for what the repository has got from this client: tagged still, or garbage by now. */
  private async retag(): Promise<void> {
    const claim = this.anyOf(this.claims.digests);
    if (claim === undefined) return;
    const target = { repository: claim.repository, tag: this.tag() };
    await this.acknowledged(target, claim.manifest, () => this.pusher.puttingOnly(target, claim.manifest));
  }

  private async pushUntagged(): Promise<void> {
    const target = { repository: this.random.of(this.repositories), from: this.random.of(this.repositories) };
    const manifest = this.random.of(this.own);
    await this.acknowledged(target, manifest, () => this.pusher.skipping(target, manifest));
  }

  private async acknowledged(target: Target, manifest: Manifest, push: () => Promise<void>): Promise<void> {
    const since = Date.now();
    await push();
    this.claims.acknowledge(target, manifest, since);
  }

  /** Deletes a digest, which takes all tags of it: hence one that no other client pushes. */
  private async delete(): Promise<void> {
    const claim = this.anyOf(this.claims.tags.filter(({ manifest }) => this.own.includes(manifest)));
    if (claim === undefined) return;
    this.claims.giveUp(claim);
    try {
      if (await this.client.deleteManifest(claim.repository, claim.manifest.digest)) this.options.tally.deletes++;
    } catch (error) {
      this.options.tally.addTrouble(error);
    }
  }

  /** What is tagged all the time is never out of sight. */
  private async pullStanding(): Promise<void> {
    const { tally } = this.options;
    const [repository, manifest] = [this.random.of(SHARED_REPOSITORIES), this.random.of(STANDING)];
    try {
      await this.client.pull(repository, manifest.digest);
      tally.pulls++;
    } catch (error) {
      if (error instanceof UnexpectedAnswer && error.status >= 500) tally.addTrouble(error);
      else tally.missing.push(`standing, while the collector was at work: ${String(error)}`);
    }
  }

  /** What was pushed a moment ago may miss something until the run under way has looked again. */
  private async pullOwn(): Promise<void> {
    const claim = this.anyOf(this.claims.tags);
    if (claim === undefined) return;
    try {
      await this.client.pull(claim.repository, claim.reference);
      this.options.tally.pulls++;
    } catch {
      this.options.tally.incomplete++;
    }
  }

  private tag(): string {
    return `${this.options.name}-${this.random.of(TAGS)}`;
  }

  private anyOf(claims: readonly Claim[]): Claim | undefined {
    return claims.length === 0 ? undefined : this.random.of(claims);
  }
}
