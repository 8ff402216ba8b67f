/** Many clients and a collector on one registry, all at once for a while. */

import { type GcOptions, type GcReport, heal, openRegistry } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { Collector } from "../../../examples/registry/collector.js";
import { RegistryClient } from "../support/registryClient.js";
import { storageOf } from "../support/registryServer.js";
import { type Claim, Claims } from "./claims.js";
import { SHARED_REPOSITORIES, STANDING } from "./images.js";
import { watchRequests } from "./longestRequest.js";
import { Tally } from "./tally.js";
import { Tormentor } from "./tormentor.js";

const CLIENTS = 8;

export class Torture {
  readonly tally = new Tally();
  readonly collector: Collector;
  private readonly driver: FilesystemDriver;
  private readonly standing = new Claims();
  private clients: readonly Tormentor[] = [];
  private longestRequestMs = 0;

  constructor(
    private readonly folder: string,
    private readonly options: GcOptions,
  ) {
    this.driver = new FilesystemDriver({ root: storageOf(folder) });
    this.collector = new Collector(this.driver, options);
  }

  /** Ends once the clients have stopped and the run under way is done; what fails in between ends it early. */
  async run(host: string, seconds: number): Promise<void> {
    await this.pushStanding(host);
    this.clients = this.newClients(host);
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    const requests = watchRequests();
    try {
      await allUntil(stop, [...this.clients.map((client) => client.run(stop.signal)), this.collector.loop(stop.signal)]);
    } finally {
      clearTimeout(timer);
      this.longestRequestMs = requests.stop();
    }
  }

  /** During one run clients push by digest alone, what lies aside included. Answers what of it that run must have left, being young. */
  async runOnUntagged(host: string, gracePeriodMs: number): Promise<readonly Claim[]> {
    const clients = this.newClients(host);
    const collector = new Collector(this.driver, { ...this.options, gracePeriodMs });
    const stop = new AbortController();
    const collected = collector.once().finally(() => stop.abort());
    await allUntil(stop, [...clients.map((client) => client.runWithoutTags(stop.signal)), collected]);
    const { finishedAt } = await collected;
    return clients.flatMap(({ claims }) => claims.digests).filter(({ since }) => since > Date.parse(finishedAt) - gracePeriodMs);
  }

  once(options: GcOptions = {}): Promise<GcReport> {
    return new Collector(this.driver, { ...this.options, ...options }).once();
  }

  /** Every revision is needed without `removeUntagged`, so everything comes back that was not purged. */
  healAll(): Promise<GcReport> {
    return heal({}, this.driver, openRegistry(this.driver), { ...this.options, removeUntagged: false });
  }

  get tags(): readonly Claim[] {
    return this.claims.flatMap((claims) => claims.tags);
  }

  get digests(): readonly Claim[] {
    return this.claims.flatMap((claims) => claims.digests);
  }

  /** All numbers in one line. */
  get line(): string {
    const { pushes, bySkopeo, refused, mounted, deletes, pulls, incomplete, troubles } = this.tally;
    const { counts, brokenOff } = this.collector;
    return [
      `${pushes} pushes (${bySkopeo} by skopeo), ${refused} refused, ${mounted} mounts, ${deletes} deletes, ${troubles} errors`,
      `${pulls} pulls, ${incomplete} too early; longest request ${this.longestRequestMs} ms`,
      `${counts.runs} runs, ${brokenOff.length} more broken off, ${counts.failures} failures`,
      `${counts.aside} blobs moved aside, ${counts.restored} restored, ${counts.returned} returned, ${counts.purged} purged`,
    ].join("; ");
  }

  /** What may help to understand a failure. */
  get details(): string {
    const { drainMs = 0 } = this.options;
    const premise = this.longestRequestMs < drainMs ? [] : [`A request took longer than drainMs, ${drainMs}: then nothing is promised.`];
    return [this.line, ...premise, ...this.tally.examplesOfTrouble, ...this.collector.brokenOff].join("\n");
  }

  private get claims(): readonly Claims[] {
    return [this.standing, ...this.clients.map(({ claims }) => claims)];
  }

  private async pushStanding(host: string): Promise<void> {
    const client = new RegistryClient(host);
    for (const repository of SHARED_REPOSITORIES) {
      for (const [i, manifest] of STANDING.entries()) {
        const target = { repository, tag: `standing-${i}` };
        await client.push(repository, manifest, target.tag);
        this.standing.acknowledge(target, manifest, Date.now());
      }
    }
  }

  private newClients(host: string): readonly Tormentor[] {
    return Array.from({ length: CLIENTS }, (_, i) => {
      const name = `client-${i}`;
      // One in four leaves half of its pushes to skopeo.
      const skopeoShare = i % 4 === 0 ? 0.5 : 0;
      return new Tormentor({ name, host, folder: `${this.folder}/${name}`, tally: this.tally, skopeoShare });
    });
  }
}

/** Waits for everything, whatever fails; the first failure stops the others. */
async function allUntil(stop: AbortController, work: readonly Promise<unknown>[]): Promise<void> {
  const settled = await Promise.allSettled(
    work.map((each) =>
      each.catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  for (const each of settled) if (each.status === "rejected") throw each.reason;
}
