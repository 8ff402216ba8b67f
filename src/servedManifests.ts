/** Manifests that a repository has layer links for, and no revisions: old registries linked them so, and today's still serve them. */

import type { LayerLinks } from "./layerLinks.js";
import { MAX_MANIFEST_BYTES } from "./manifest.js";
import type { ManifestProblem } from "./manifestCatalog.js";
import type { Damage, Repository } from "./namespace.js";
import type { Run } from "./run.js";

export class ServedManifests {
  /** Whether each is one, of those that were asked for. */
  private readonly known = new Map<number, boolean>();

  constructor(
    private readonly run: Run,
    private readonly repository: Repository,
    private readonly layers: LayerLinks,
    /** Told of what may have been a manifest, and can't be believed. */
    private readonly onDamage: (damage: Damage, digest: string) => void,
  ) {}

  /** Those of these digests that are served as manifests, each by the digest that it is stored under. */
  async among(numbers: readonly number[]): Promise<readonly number[]> {
    const asked = [...new Set(numbers)];
    const unknown = asked.filter((number) => this.layers.isNamed(number) && !this.known.has(number));
    const small = await this.read(await this.layers.linked(unknown));
    for (const number of unknown) this.known.set(number, false);
    for (const number of small) {
      this.judge(number, this.run.catalog.problem(this.layers.blobOf(number)));
      this.known.set(number, this.by(number) !== undefined);
    }
    return asked.filter((number) => this.known.get(number) === true).map((number) => this.layers.blobOf(number));
  }

  /** Reads what these layer links may serve, and returns those of what is no larger than a manifest. */
  async read(layers: readonly number[]): Promise<readonly number[]> {
    const blobOf = (number: number) => this.layers.blobOf(number);
    const small = layers.filter((number) => !(this.run.sizes.get(blobOf(number)) > MAX_MANIFEST_BYTES));
    await this.run.manifests.readAll(this.repository, small.map(blobOf));
    return small;
  }

  /** The manifest that a layer link serves, as far as it was read. */
  by(layer: number): number | undefined {
    const blob = this.layers.blobOf(layer);
    return this.run.catalog.isWhole(blob) && this.run.catalog.isManifest(blob) ? blob : undefined;
  }

  /** Of a document that was not proved nobody knows what it named; whatever else is wrong with the bytes, they are a mere blob's. */
  private judge(number: number, problem: ManifestProblem | undefined): void {
    if (problem?.kind !== "digest-mismatch" || problem.mayBeDocument === false) return;
    const digest = this.run.digests.digest(number);
    const [path = ""] = this.repository.layerLinkFootprint(digest).files;
    this.onDamage({ ...problem, path, message: `${digest}, which a layer link may serve as a manifest, ${problem.message}` }, digest);
  }
}
