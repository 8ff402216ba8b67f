// A whole run over a registry that is not there: a driver that makes up what it is asked for, and holds nothing but the digests of
// its manifests. It has the five members that every driver has, and `getContent`.
//
//   node benchmarks/synthetic.mjs MANIFESTS
//
// Ten blobs for each manifest: itself, a config and eight layers. A manifest in twenty has lost its tag.

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { markAndSweep, openRegistry, PathNotFoundError } from "../dist/index.js";
import { hexMaker } from "./madeUpDigests.mjs";

const CONCURRENCY = 16;
const OF_REPOSITORY = 500;
const LAYERS = 9;
const UNTAGGED_EVERY = 20;
const PAGE = 1000;
const ROOT = "/docker/registry/v2";
const WRITTEN_AT = new Date("2024-01-01T00:00:00Z");

const manifests = Number(process.argv[2]);
const repositories = Math.ceil(manifests / OF_REPOSITORY);
const hexOf = hexMaker(32);
const layersOf = (manifest) => Array.from({ length: LAYERS }, (_, i) => hexOf(manifest * LAYERS + i));

function contentOf(manifest) {
  const [config, ...layers] = layersOf(manifest).map((hex, i) => ({
    mediaType: `application/vnd.oci.image.${i === 0 ? "config.v1+json" : "layer.v1.tar+gzip"}`,
    digest: `sha256:${hex}`,
    size: 1000,
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers });
}

// The digests of all manifests, which have the same first byte, and a hash table of them: some 50 bytes a manifest. What is looked up
// must take no longer in a larger registry: it would be told as the collector's time.
const digests = Buffer.alloc(manifests * 32);
const byPrefix = Array.from({ length: 256 }, () => []);
const slots = new Int32Array(2 ** Math.ceil(Math.log2(manifests * 2))).fill(-1);
const firstSlot = (digest, at) => digest.readUInt32LE(at) & (slots.length - 1);
const nextSlot = (slot) => (slot + 1) & (slots.length - 1);
for (let i = 0; i < manifests; i++) {
  createHash("sha256")
    .update(contentOf(i))
    .digest()
    .copy(digests, i * 32);
  byPrefix[digests[i * 32]].push(i);
  let slot = firstSlot(digests, i * 32);
  while (slots[slot] >= 0) slot = nextSlot(slot);
  slots[slot] = i;
}
const manifestHex = (i) => digests.toString("hex", i * 32, i * 32 + 32);
const wanted = Buffer.alloc(32);
function manifestOf(hex) {
  wanted.write(hex, "hex");
  for (let slot = firstSlot(wanted, 0); slots[slot] >= 0; slot = nextSlot(slot)) {
    const i = slots[slot];
    if (digests.compare(wanted, 0, 32, i * 32, i * 32 + 32) === 0) return i;
  }
  return undefined;
}

const repositoryOf = (i) => `app-${String(i).padStart(6, "0")}`;
const rangeOf = (name) => {
  const first = Number(name.slice(4)) * OF_REPOSITORY;
  return Array.from({ length: Math.min(OF_REPOSITORY, manifests - first) }, (_, i) => first + i);
};
const isTagged = (i) => i % UNTAGGED_EVERY !== 0;

/** The names below a directory. */
function* namesIn(path) {
  const [top, one, two, three, four, five] = path.slice(ROOT.length + 1).split("/");
  if (top === "blobs" && one === undefined) yield "sha256";
  else if (top === "blobs" && two === undefined) for (let i = 0; i < 256; i++) yield i.toString(16).padStart(2, "0");
  else if (top === "blobs") {
    const prefix = Number.parseInt(two, 16);
    for (let i = prefix; i < manifests * LAYERS; i += 256) yield hexOf(i);
    for (const i of byPrefix[prefix]) yield manifestHex(i);
  } else if (one === undefined) for (let i = 0; i < repositories; i++) yield repositoryOf(i);
  else if (two === undefined) yield* ["_layers", "_manifests"];
  else if (two === "_layers" && three === undefined) yield "sha256";
  else if (two === "_layers") for (const i of rangeOf(one)) yield* layersOf(i);
  else if (three === undefined) yield* ["revisions", "tags"];
  else if (three === "revisions" && four === undefined) yield "sha256";
  else if (three === "revisions" && five === undefined) for (const i of rangeOf(one)) yield manifestHex(i);
  else if (three === "revisions") yield "link";
  else if (four === undefined) for (const i of rangeOf(one)) if (isTagged(i)) yield `v${i}`;
  if (three === "tags" && four !== undefined && five === undefined) yield* ["current", "index"];
}

const held = { now: 0, most: 0 };

async function manifestContent(hex, path) {
  const i = manifestOf(hex);
  if (i === undefined) throw new PathNotFoundError(path, "synthetic");
  held.most = Math.max(held.most, ++held.now);
  await new Promise((resolve) => setImmediate(resolve));
  held.now--;
  return Buffer.from(contentOf(i));
}

const driver = {
  name: "synthetic",
  async stat(path) {
    if (!path.endsWith("/link") && !path.endsWith("/data")) throw new PathNotFoundError(path, "synthetic");
    return { path, isDirectory: false, size: path.endsWith("/link") ? 71 : 1000, modTime: WRITTEN_AT };
  },
  async *list(path) {
    if (!/^\/docker\/registry\/v2\/(blobs|repositories)(\/|$)/.test(path)) throw new PathNotFoundError(path, "synthetic");
    let page = [];
    for (const name of namesIn(path)) {
      page.push({ path: `${path}/${name}`, isDirectory: name !== "link" });
      if (page.length < PAGE) continue;
      yield page;
      page = [];
    }
    yield page;
  },
  async getContent(path) {
    const tag = /\/tags\/v(\d+)\/current\/link$/.exec(path)?.[1];
    if (tag !== undefined) return Buffer.from(`sha256:${manifestHex(Number(tag))}`);
    return manifestContent(path.split("/").at(-2), path);
  },
  async reader(path) {
    return Readable.from([await driver.getContent(path)]);
  },
  async delete() {
    throw new Error("nothing of this can be deleted");
  },
};

// It waits for nothing: its processor time is what it takes, whatever else the machine does.
const before = process.cpuUsage();
const report = await markAndSweep({}, driver, openRegistry(driver), {
  dryRun: true,
  readOnly: true,
  removeUntagged: true,
  concurrency: CONCURRENCY,
});
const { user, system } = process.cpuUsage(before);
const ms = (user + system) / 1000;
const { status, eligible, storageCalls } = report;
const bytes = process.resourceUsage().maxRSS * 1024;
console.log(
  JSON.stringify({
    manifests,
    blobs: manifests * (LAYERS + 1),
    status,
    eligible,
    storageCalls,
    mostHeld: held.most,
    concurrency: CONCURRENCY,
    ms,
    bytes,
  }),
);
