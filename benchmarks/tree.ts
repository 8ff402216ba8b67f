/**
 * A registry's tree in the v2 layout, made up from a shape: the same shape gives the same tree, byte for byte. Digests are real and
 * manifests valid: images and lists of four platforms, Docker's and OCI's, with layers shared within repositories and between them,
 * older versions that tags named once, signatures, images that several repositories have, interrupted pushes and orphaned blobs.
 */

import { createHash } from "node:crypto";
import { closeSync, existsSync, futimesSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a tree is to hold. */
export interface TreeShape {
  readonly repositories: number;
  /** Tags in all, at least: every push that has not lost its tag has one. Where there are more tags than pushes, several name the same. */
  readonly tags: number;
  /** Revision links in all. */
  readonly manifests: number;
  /** Blobs in all, manifests included; what images don't take are orphans. */
  readonly blobs: number;
  /** Layer links to orphans, as interrupted pushes leave them. */
  readonly looseLinks: number;
  /** One push in so many is a list of four images and not an image; 0 for none. */
  readonly listEvery: number;
  /** One push in so many has lost its tag to a later one. */
  readonly oldEvery: number;
  /** Layers that the images of one repository draw from: its own, and those that other repositories have, too. */
  readonly bases: number;
  readonly commonBases: number;
}

const ROOT = "docker/registry/v2";
/** Long ago, so that nothing is young. */
const WRITTEN_AT = new Date("2024-01-01T00:00:00Z");
const PLATFORMS = ["amd64", "arm64", "ppc64le", "s390x"] as const;
/** Layers that only one image has. */
const OWN_LAYERS = 3;
/** One image in so many is one that the repository before has, too; and one is signed. */
const COPIED_EVERY = 40;
const SIGNED_EVERY = 60;

/** Makes the tree at `directory`, unless it is there already; returns its path. */
export function makeTree(directory: string, shape: TreeShape): string {
  const done = join(directory, "shape.json");
  const text = JSON.stringify({ version: 1, ...shape });
  if (existsSync(done) && readFileSync(done, "utf8") === text) return directory;
  rmSync(directory, { recursive: true, force: true });
  new TreeWriter(directory, shape).write();
  writeFileSync(done, text);
  return directory;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** One image or list, as it is pushed. */
interface Push {
  readonly manifest: Descriptor;
  /** Whether it is about another one, and never tagged. */
  readonly isSignature: boolean;
  /** The images of a list. */
  readonly children: readonly Descriptor[];
  readonly layers: readonly string[];
}

class TreeWriter {
  private readonly blobs = new Set<string>();
  /** Files and directories that are there. */
  private readonly there = new Set<string>(["/", "."]);
  private readonly commonBases: Descriptor[];
  private revisionLinks = 0;
  private pushed = 0;

  constructor(
    private readonly directory: string,
    private readonly shape: TreeShape,
  ) {
    this.commonBases = Array.from({ length: shape.commonBases }, (_, i) => this.layer("oci", `common base ${i}`));
  }

  write(): void {
    const { repositories, manifests, tags } = this.shape;
    let before: readonly Push[] = [];
    for (let i = 0; i < repositories; i++) {
      before = this.repository(i, shareOf(manifests, repositories, i), shareOf(tags, repositories, i), before);
    }
    this.orphans();
    if (this.revisionLinks !== manifests) throw new Error(`made ${this.revisionLinks} revision links, not ${manifests}`);
  }

  private repository(index: number, manifests: number, tags: number, before: readonly Push[]): readonly Push[] {
    const path = repositoryPath(index);
    const own: Push[] = [];
    const current: Push[] = [];
    const old: Push[] = [];
    const ownBases = Array.from({ length: this.shape.bases }, (_, i) => this.layer("oci", `base ${i} of ${path}`));
    const bases = [...ownBases, ...this.commonBases];
    for (let left = manifests; left > 0; ) {
      const push = this.nextPush(index, own.length, left, bases, before, current);
      const size = push.children.length + 1;
      const isOld = own.length % this.shape.oldEvery === this.shape.oldEvery - 1;
      left -= size;
      own.push(push);
      if (!push.isSignature) (isOld ? old : current).push(push);
      this.link(path, push);
    }
    const names = Math.max(tags, current.length);
    for (let tag = 0; tag < names; tag++) this.tag(path, tag, names, current, old);
    if (index % 5 === 0) this.upload(path, index);
    return own;
  }

  private nextPush(
    index: number,
    serial: number,
    left: number,
    bases: readonly Descriptor[],
    before: readonly Push[],
    current: readonly Push[],
  ): Push {
    const { listEvery } = this.shape;
    const signed = current.at(-1);
    if (serial % SIGNED_EVERY === SIGNED_EVERY - 1 && signed !== undefined) return this.signature(signed.manifest);
    const copied = before[serial];
    if (serial % COPIED_EVERY === COPIED_EVERY - 1 && copied !== undefined && copied.children.length === 0) return copied;
    const kind = (index + serial) % 2 === 0 ? "oci" : "docker";
    if (listEvery > 0 && left > PLATFORMS.length && serial % listEvery === listEvery - 1) return this.list(kind, bases);
    return this.image(kind, PLATFORMS[0], bases);
  }

  private image(kind: "oci" | "docker", architecture: string, bases: readonly Descriptor[]): Push {
    const serial = this.pushed++;
    const shared = [bases[serial % bases.length], bases[(serial * 7 + 1) % bases.length]];
    const layers: Descriptor[] = [...new Set(shared.filter((base) => base !== undefined))].map((base) => ({
      ...base,
      mediaType: TYPES[kind].layer,
    }));
    for (let i = 0; i < OWN_LAYERS; i++) layers.push(this.layer(kind, `layer ${i} of image ${serial}`));
    const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digestOf(`content of ${digest}`)) };
    const config = this.json(TYPES[kind].config, {
      architecture,
      os: "linux",
      config: { Cmd: ["/bin/sh"] },
      rootfs,
      history: [{ created_by: `image ${serial}` }],
    });
    const manifest = this.json(TYPES[kind].manifest, { schemaVersion: 2, mediaType: TYPES[kind].manifest, config, layers });
    return { manifest, isSignature: false, children: [], layers: [config.digest, ...layers.map(({ digest }) => digest)] };
  }

  private list(kind: "oci" | "docker", bases: readonly Descriptor[]): Push {
    const images = PLATFORMS.map((architecture) => this.image(kind, architecture, bases));
    const manifests = images.map(({ manifest }, i) => ({ ...manifest, platform: { architecture: PLATFORMS[i], os: "linux" } }));
    const manifest = this.json(TYPES[kind].list, { schemaVersion: 2, mediaType: TYPES[kind].list, manifests });
    return {
      manifest,
      isSignature: false,
      children: images.map((image) => image.manifest),
      layers: images.flatMap((image) => image.layers),
    };
  }

  private signature(subject: Descriptor): Push {
    const config = this.json("application/vnd.oci.empty.v1+json", {});
    const layers = [this.layer("oci", `signature of ${subject.digest}`)];
    const document = { schemaVersion: 2, mediaType: TYPES.oci.manifest, artifactType: SIGNATURE, config, layers, subject };
    return {
      manifest: this.json(TYPES.oci.manifest, document),
      isSignature: true,
      children: [],
      layers: [config.digest, ...layers.map(({ digest }) => digest)],
    };
  }

  /** Links what was pushed into a repository. */
  private link(path: string, { manifest, children, layers }: Push): void {
    for (const digest of layers) this.layerLink(path, digest);
    for (const { digest } of [...children, manifest]) {
      if (this.file(`${path}/_manifests/revisions/${onDisk(digest)}/link`, digest)) this.revisionLinks++;
    }
  }

  private layerLink(path: string, digest: string): void {
    this.file(`${path}/_layers/${onDisk(digest)}/link`, digest);
  }

  /** A tag, and those that it named before. */
  private tag(path: string, index: number, tags: number, current: readonly Push[], old: readonly Push[]): void {
    const name = `v${index}`;
    const now = current[index % Math.max(1, current.length)];
    const { digest } = now?.manifest ?? { digest: "" };
    if (digest === "") return;
    this.file(`${path}/_manifests/tags/${name}/current/link`, digest);
    const before = old.filter((_, i) => i % tags === index);
    for (const each of [digest, ...before.map(({ manifest }) => manifest.digest)]) {
      this.file(`${path}/_manifests/tags/${name}/index/${onDisk(each)}/link`, each);
    }
  }

  private upload(path: string, index: number): void {
    const directory = `${path}/_uploads/00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
    this.file(`${directory}/startedat`, WRITTEN_AT.toISOString());
    this.file(`${directory}/data`, "half a layer");
  }

  /** What makes the numbers full: blobs that nothing names, the first of them with a link that an interrupted push left. */
  private orphans(): void {
    const { blobs, looseLinks, repositories } = this.shape;
    const orphans = blobs - this.blobs.size;
    if (orphans < looseLinks) throw new Error(`the shape does not fit: ${orphans} blobs are left for orphans`);
    for (let i = 0; i < orphans; i++) {
      const { digest } = this.layer("oci", `orphan ${i}`);
      if (i < looseLinks) this.layerLink(repositoryPath(i % repositories), digest);
    }
  }

  private layer(kind: "oci" | "docker", content: string): Descriptor {
    return this.blob(TYPES[kind].layer, content);
  }

  private json(mediaType: string, document: object): Descriptor {
    return this.blob(mediaType, JSON.stringify(document, undefined, 2));
  }

  private blob(mediaType: string, content: string): Descriptor {
    const digest = digestOf(content);
    if (!this.blobs.has(digest)) {
      const hex = digest.slice(7);
      this.file(`blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, content);
      this.blobs.add(digest);
    }
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }

  /** Whether the file is new. */
  private file(path: string, content: string): boolean {
    const full = join(this.directory, ROOT, path);
    if (this.there.has(full)) return false;
    this.there.add(full);
    this.makeDirectory(dirname(full));
    const file = openSync(full, "wx");
    writeSync(file, content);
    futimesSync(file, WRITTEN_AT, WRITTEN_AT);
    closeSync(file);
    return true;
  }

  private makeDirectory(path: string): void {
    if (this.there.has(path)) return;
    this.makeDirectory(dirname(path));
    mkdirSync(path, { recursive: true });
    this.there.add(path);
  }
}

const SIGNATURE = "application/vnd.example.signature";

const TYPES = {
  oci: {
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
    config: "application/vnd.oci.image.config.v1+json",
    manifest: "application/vnd.oci.image.manifest.v1+json",
    list: "application/vnd.oci.image.index.v1+json",
  },
  docker: {
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    config: "application/vnd.docker.container.image.v1+json",
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    list: "application/vnd.docker.distribution.manifest.list.v2+json",
  },
} as const;

/** Half of the repositories lie a level deeper. */
function repositoryPath(index: number): string {
  return index % 2 === 0 ? `repositories/app${index}` : `repositories/team${index % 7}/app${index}`;
}

/** A fair share of a total: shares add up to it. */
function shareOf(total: number, parts: number, index: number): number {
  return Math.floor((total * (index + 1)) / parts) - Math.floor((total * index) / parts);
}

function digestOf(content: string): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

function onDisk(digest: string): string {
  return digest.replace(":", "/");
}
