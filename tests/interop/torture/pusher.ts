/** Pushes in several ways, each again from the start until the registry takes it. */

import { Client } from "../../../examples/registry/client.js";
import type { Manifest } from "../support/content.js";
import { RegistryClient } from "../support/registryClient.js";
import { pushWithSkopeo } from "../support/skopeo.js";
import type { Target } from "./claims.js";
import type { Tally } from "./tally.js";

const ATTEMPTS = 20;
/**
 * How registries, and skopeo in their name, say that something is not there that a manifest or a mount needs. A list that was refused
 * skopeo would try in another format, and then complains that it must not.
 */
const REFUSAL = /(BLOB|MANIFEST)_UNKNOWN|(blob|manifest) unknown|Manifest list must be converted/;

export class Pusher {
  private readonly hasty: Client;
  private readonly thorough: RegistryClient;

  constructor(
    private readonly host: string,
    /** For layouts that skopeo copies from. */
    private readonly folder: string,
    private readonly tally: Tally,
    /** Told when an answer leaves it open what has happened. */
    private readonly onDoubt: (target: Target) => void,
  ) {
    this.hasty = new Client(host);
    this.thorough = new RegistryClient(host);
  }

  /** Uploads only what the registry says it has not, and mounts what it can. */
  async skipping(target: Target, manifest: Manifest): Promise<void> {
    await this.untilTaken(target, () => this.skippingOnce(target, manifest));
  }

  /** Uploads everything, whatever is there. */
  async uploadingAll(target: Target, manifest: Manifest): Promise<void> {
    await this.untilTaken(target, () => this.thorough.push(target.repository, manifest, target.tag));
  }

  /** Puts the manifest alone, since all that it names has been there; if not, everything is pushed. */
  async puttingOnly(target: Target, manifest: Manifest): Promise<void> {
    let isFirst = true;
    await this.untilTaken(target, async () => {
      if (!isFirst) return this.skippingOnce(target, manifest);
      isFirst = false;
      return this.thorough.putManifest(target.repository, manifest, target.tag);
    });
  }

  async withSkopeo({ repository, tag }: Required<Pick<Target, "repository" | "tag">>, manifest: Manifest): Promise<void> {
    const format = manifest.mediaType.includes("docker") ? "docker" : "oci";
    const target = { repository, tag };
    await this.untilTaken(target, () => pushWithSkopeo(this.folder, { host: this.host, ...target }, manifest, format));
    this.tally.bySkopeo++;
  }

  private async skippingOnce({ repository, tag, from }: Target, manifest: Manifest): Promise<void> {
    const hints = { ...(tag !== undefined && { tag }), ...(from !== undefined && { from }) };
    const { refused, mounted } = await this.hasty.push(repository, manifest, hints);
    this.tally.refused += refused;
    this.tally.mounted += mounted;
  }

  private async untilTaken(target: Target, attempt: () => Promise<void>): Promise<void> {
    for (let left = ATTEMPTS; ; left--) {
      try {
        await attempt();
        this.tally.pushes++;
        return;
      } catch (error) {
        if (left === 0) throw error;
        if (REFUSAL.test(String(error))) this.tally.refused++;
        else {
          this.tally.addTrouble(error);
          this.onDoubt(target);
        }
      }
    }
  }
}
