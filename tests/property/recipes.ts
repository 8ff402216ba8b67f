/** Random registries as lists of steps that a builder carries out: pushes, retags, deletions, old layouts, damage. They shrink step by step. */

import fc from "fast-check";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import {
  type BuiltBlob,
  type BuiltManifest,
  type Descriptor,
  digestOf,
  type LinkDamage,
  MEDIA_TYPES,
  RegistryBuilder,
  RegistryDamager,
  type Snapshot,
  snapshotOf,
} from "oci-registry-gc/testing";

export const NOW = Date.parse("2026-06-01T12:00:00Z");
export const HOUR = 3_600_000;
const REPOSITORIES = ["foo", "foo/bar", "foo-bar", "foobar", "foo/bar/baz", "zoo"];

/** One step. What a number means depends on `does`; each is taken modulo what there is. */
export interface Step {
  readonly does: (typeof STEPS)[number];
  readonly repository: number;
  readonly picks: readonly number[];
  readonly tag: number | undefined;
  readonly as: "revision" | "layer" | "nothing";
  readonly types: "typed" | "untyped" | "bytes";
  readonly format: "oci" | "docker" | "schema1" | "artifact";
  readonly layerLinks: boolean;
  /** Whether it happened an hour ago, and not a month. */
  readonly young: boolean;
}

export interface Recipe {
  readonly steps: readonly Step[];
  readonly damage: readonly { readonly does: (typeof DAMAGE)[number]; readonly at: number; readonly how: LinkDamage }[];
}

const STEPS = [
  ...["image", "image", "index", "index", "place", "referrer", "referrerOfIndex", "cache", "sha512", "signature", "tag", "untag"],
  ...["deleteManifest", "orphan", "layerLink", "upload", "stray", "foreignIndex", "loseLayer", "sparseIndex"],
] as const;

const DAMAGE = ["revisionLink", "currentLink", "loseCurrent", "loseRevision", "loseManifest", "rot", "nonsense", "layerLink"] as const;

const step: fc.Arbitrary<Step> = fc.record({
  does: fc.constantFrom(...STEPS),
  repository: fc.nat(REPOSITORIES.length - 1),
  picks: fc.array(fc.nat(30), { minLength: 1, maxLength: 3 }),
  tag: fc.option(fc.nat(2), { nil: undefined, freq: 2 }),
  as: fc.constantFrom("revision" as const, "revision" as const, "revision" as const, "layer" as const, "nothing" as const),
  types: fc.constantFrom("typed" as const, "untyped" as const, "bytes" as const),
  format: fc.constantFrom("oci" as const, "docker" as const, "schema1" as const, "artifact" as const),
  layerLinks: fc.boolean(),
  young: fc.boolean(),
});

const damage = fc.record({
  does: fc.constantFrom(...DAMAGE),
  at: fc.nat(30),
  how: fc.constantFrom<LinkDamage>("empty", "malformed", "mismatched"),
});

/** Any registry; one in three is damaged. */
export const recipes: fc.Arbitrary<Recipe> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 14 }),
  damage: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(damage, { minLength: 1, maxLength: 3 }) }),
});

/** Registries without damage. */
export const wholeRecipes: fc.Arbitrary<Recipe> = recipes.map(({ steps }) => ({ steps, damage: [] }));

/** Lays a recipe out, and holds what came out. */
export async function cook({ steps, damage: damages }: Recipe): Promise<Snapshot> {
  const kitchen = new Kitchen();
  for (const each of steps) await kitchen.take(each);
  for (const each of damages) await kitchen.spoil(each);
  return snapshotOf(kitchen.driver);
}

class Kitchen {
  private time = NOW - 30 * 24 * HOUR;
  readonly driver = new MemoryDriver({ now: () => this.time });
  private readonly registry = new RegistryBuilder(this.driver);
  private readonly damager = new RegistryDamager(this.registry);
  private readonly manifests: { readonly manifest: BuiltManifest; readonly repository: string }[] = [];
  private readonly indexes: BuiltManifest[] = [];
  private steps = 0;

  async take(each: Step): Promise<void> {
    this.time = each.young ? NOW - HOUR : NOW - 30 * 24 * HOUR;
    this.steps++;
    const repository = REPOSITORIES[each.repository]!;
    const tag = each.tag === undefined ? undefined : `t${each.tag}`;
    const push = { tag, as: each.as, layerLinks: each.layerLinks, name: `step ${this.steps}` };
    const picked = each.picks.map((n) => this.pick(n));
    const target = picked[0];
    switch (each.does) {
      case "image":
        return this.add(
          repository,
          await this.registry.image(repository, { ...push, format: each.format, layers: await this.layers(each) }),
        );
      case "index":
      case "foreignIndex": {
        // Children that another repository has, or this one: whatever there is.
        const children = picked.filter((manifest) => manifest !== undefined);
        const format = each.format === "docker" ? "docker" : "oci";
        const index = await this.registry.index(repository, children, { ...push, format, types: each.types });
        this.indexes.push(index);
        if (each.does === "index") for (const child of children) await this.registry.place(repository, child, { as: each.as });
        return this.add(repository, index);
      }
      case "sparseIndex": {
        const missing: Descriptor = { digest: digestOf(`missing ${this.steps}`), size: 1 };
        return this.add(repository, await this.registry.index(repository, [missing, ...picked.slice(0, 1).filter(isThere)], push));
      }
      case "place":
        if (target !== undefined) {
          await this.registry.place(repository, target, { tag, as: each.as });
          if (each.layerLinks) for (const { digest } of target.layers) await this.registry.layerLink(repository, digest);
          this.manifests.push({ manifest: target, repository });
        }
        return;
      case "referrer":
        if (target !== undefined) {
          this.add(repository, await this.registry.referrer(repository, target, { ...push, layers: await this.layers(each) }));
        }
        return;
      case "referrerOfIndex": {
        const subject = this.indexes[each.picks[0]! % Math.max(1, this.indexes.length)];
        if (subject !== undefined)
          this.add(repository, await this.registry.index(repository, picked.filter(isThere), { ...push, subject }));
        return;
      }
      case "cache":
        return this.add(repository, await this.registry.cache(repository, { ...push, layers: await this.layers(each) }));
      case "sha512": {
        const layers: BuiltBlob[] = [];
        for (const n of each.picks) layers.push(await this.registry.sha512Layer(repository, `shared ${n % 6}`));
        return this.add(repository, await this.registry.image(repository, { ...push, layers }));
      }
      case "signature":
        // Registries kept them beside revisions of schema 1 manifests only.
        if (target?.mediaType !== MEDIA_TYPES.schema1) return;
        if (each.as === "revision") await this.registry.place(repository, target);
        else if ((await this.registry.content(this.registry.paths.revision(repository, target.digest))) === undefined) return;
        await this.registry.signature(repository, target, `of step ${this.steps}`);
        return;
      case "tag":
        if (target !== undefined) await this.registry.tag(repository, tag ?? "t0", target);
        return;
      case "untag":
        return this.registry.deleteTag(repository, tag ?? "t0");
      case "deleteManifest": {
        const known = this.manifests[each.picks[0]! % Math.max(1, this.manifests.length)];
        if (known !== undefined) await this.registry.deleteManifest(known.repository, known.manifest);
        return;
      }
      case "orphan":
        await this.registry.layer(`orphan ${each.picks[0]!}`);
        return;
      case "layerLink":
        return this.registry.layerLink(repository, (await this.layers(each))[0]!.digest);
      case "loseLayer":
        return this.damager.loseBlob((await this.layers(each))[0]!);
      case "upload":
        return this.upload(repository, each);
      case "stray":
        await this.registry.layer("shared 0");
        return this.registry.file(this.strayPath(repository, each.picks[0]!), "stray");
    }
    throw new Error("no such step");
  }

  async spoil({ does, at, how }: Recipe["damage"][number]): Promise<void> {
    const pattern = {
      revisionLink: /_manifests\/revisions\/\w+\/\w+\/link$/,
      currentLink: /\/current\/link$/,
      loseCurrent: /\/current\/link$/,
      loseRevision: /_manifests\/revisions\/\w+\/\w+\/link$/,
      loseManifest: /\/blobs\//,
      rot: /\/blobs\//,
      nonsense: /\/blobs\//,
      layerLink: /_layers\/sha256\/\w+\/link$/,
    }[does];
    const { files } = await snapshotOf(this.driver);
    const isManifest = (path: string) => this.manifests.some(({ manifest }) => path === this.registry.paths.blob(manifest.digest));
    const candidates = [...files.keys()].filter((path) => pattern.test(path) && (!path.includes("/blobs/") || isManifest(path))).sort();
    const path = candidates[at % Math.max(1, candidates.length)];
    if (path === undefined) return;
    if (does === "loseManifest") return this.registry.remove(path.replace(/\/data$/, ""));
    if (does.startsWith("lose")) return this.registry.remove(path);
    if (does === "rot") return this.registry.file(path, `${(await this.registry.content(path))!} `);
    if (does === "nonsense") return this.registry.file(path, "no json");
    return this.damager.link(path, how);
  }

  private add(repository: string, manifest: BuiltManifest): void {
    this.manifests.push({ manifest, repository });
  }

  private pick(n: number): BuiltManifest | undefined {
    // Mostly the latest ones, so that graphs get deep.
    return this.manifests[this.manifests.length - 1 - (n % Math.max(1, this.manifests.length))]?.manifest;
  }

  private async layers({ picks }: Step): Promise<BuiltBlob[]> {
    const layers: BuiltBlob[] = [];
    for (const n of picks) layers.push(await this.registry.layer(`shared ${n % 6}`));
    return layers;
  }

  private async upload(repository: string, { picks, young, format }: Step): Promise<void> {
    const startedAt = {
      oci: new Date(this.time).toISOString().replace(".000", ""),
      docker: undefined,
      schema1: "nonsense",
      artifact: new Date(NOW - HOUR).toISOString(),
    }[format];
    const id = `5f0c1a2b-0000-4000-8000-0000000000${String(picks[0]! + 10)}`;
    await this.registry.upload(repository, id, {
      data: "partial",
      hashStates: young ? 1 : 0,
      ...(startedAt === undefined ? {} : { startedAt }),
    });
  }

  private strayPath(repository: string, n: number): string {
    const { root } = this.registry.paths;
    const base = this.registry.paths.repository(repository);
    const strays = [
      `${root}/repositories/.DS_Store`,
      `${root}/repositories/${REPOSITORIES[0]!}/.DS_Store`,
      `${root}/repositories/_stray/_manifests/revisions/x`,
      `${base}/_stray/_layers/x`,
      `${base}/_manifests/_stray/x`,
      `${base}/_manifests/revisions/sha256/README`,
      `${base}/_manifests/revisions/sha256/abc/link`,
      `${base}/_layers/sha256/${"a".repeat(64)}/link.5f0c.tmp`,
      `${base}/_layers/md5/${"a".repeat(32)}/link`,
      `${base}/_manifests/tags/.DS_Store`,
      `${base}/_uploads/.DS_Store`,
      `${root}/blobs/sha256/data`,
      `${root}/blobs/sha256/aa/${"b".repeat(64)}/data`,
      `${root}/blobs/sha256/aa/aa/data`,
      `${this.registry.paths.blob(digestOf("layer shared 0"))}.5f0c.tmp`,
      `${root}/blobs/.DS_Store`,
    ];
    return strays[n % strays.length]!;
  }
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}
