// The floor: what a dry run must read, read by plain synchronous calls and nothing around them. It knows sha256 and a tree without
// damage, and checks what the collector checks: that links are there, and that manifests hash to their digests.
//
//   node benchmarks/floor.mjs DIRECTORY [--remove-untagged]
//
// Blob names come from 256 listings; a revision's link is looked at, a layer link only where nothing reaches the layer; current links
// are read; a manifest is read once; index entries, sizes and links of what is to go are looked up, and of nothing else. Beside what it
// found it tells how long it took since the process began, and how much of that went to manifests.

import { createHash } from "node:crypto";
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";

const [directory, mode] = process.argv.slice(2);
const removeUntagged = mode === "--remove-untagged";
const root = `${directory}/docker/registry/v2`;
const buffer = Buffer.allocUnsafe(4 * 1024 * 1024 + 1);

/** Reads a small file: three system calls. */
function read(path) {
  const file = openSync(path, "r");
  const length = readSync(file, buffer, 0, buffer.length, 0);
  closeSync(file);
  return buffer.subarray(0, length);
}

function list(path) {
  try {
    return readdirSync(path);
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

const isThere = (path) => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** What a document names, and what it is about. */
function namesIn(value, names, isSubject) {
  for (const key in value) {
    const each = value[key];
    if (typeof each === "object" && each !== null) {
      if (key !== "annotations") namesIn(each, names, isSubject || key === "subject");
    } else if (key === "digest" || key === "blobSum") (isSubject ? names.subjects : names.digests).push(each.slice(7));
  }
}

const manifests = new Map();
let manifestsMs = 0;
function manifest(hex) {
  let names = manifests.get(hex);
  if (names !== undefined) return names;
  const began = performance.now();
  const bytes = read(`${root}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  if (createHash("sha256").update(bytes).digest("hex") !== hex) throw new Error(`${hex} has other content`);
  names = { digests: [], subjects: [] };
  namesIn(JSON.parse(bytes.latin1Slice()), names, false);
  manifests.set(hex, names);
  manifestsMs += performance.now() - began;
  return names;
}

const blobs = new Set();
for (const prefix of list(`${root}/blobs/sha256`)) for (const hex of list(`${root}/blobs/sha256/${prefix}`)) blobs.add(hex);

const marked = new Set();
const eligible = { manifests: 0, blobs: 0, bytes: 0, layerLinks: 0, tagIndexEntries: 0 };

function collect(path, names) {
  const revisions = new Set();
  if (names.includes("_manifests")) {
    for (const hex of list(`${path}/_manifests/revisions/sha256`)) {
      if (isThere(`${path}/_manifests/revisions/sha256/${hex}/link`)) revisions.add(hex);
    }
  }
  const layers = names.includes("_layers") ? list(`${path}/_layers/sha256`) : [];
  const tags = list(`${path}/_manifests/tags`);
  const tagged = tags.map((tag) => read(`${path}/_manifests/tags/${tag}/current/link`).latin1Slice(7));

  const referrers = new Map();
  for (const hex of revisions) {
    for (const subject of manifest(hex).subjects) referrers.set(subject, [...(referrers.get(subject) ?? []), hex]);
  }
  const reached = new Set();
  const stack = removeUntagged ? tagged : [...tagged, ...revisions];
  for (let hex = stack.pop(); hex !== undefined; hex = stack.pop()) {
    if (reached.has(hex)) continue;
    reached.add(hex);
    if (!revisions.has(hex)) continue;
    for (const digest of manifest(hex).digests) stack.push(digest);
    for (const referrer of referrers.get(hex) ?? []) stack.push(referrer);
  }
  for (const hex of reached) marked.add(hex);

  for (const hex of layers) if (!reached.has(hex) && isThere(`${path}/_layers/sha256/${hex}/link`)) eligible.layerLinks++;
  const doomed = new Set([...revisions].filter((hex) => !reached.has(hex)));
  eligible.manifests += doomed.size;
  if (doomed.size === 0) return;
  for (const tag of tags) {
    const index = `${path}/_manifests/tags/${tag}/index/sha256`;
    for (const hex of list(index)) if (doomed.has(hex) && isThere(`${index}/${hex}/link`)) eligible.tagIndexEntries++;
  }
}

const open = [`${root}/repositories`];
for (let path = open.pop(); path !== undefined; path = open.pop()) {
  const names = list(path);
  for (const name of names) if (!name.startsWith("_")) open.push(`${path}/${name}`);
  if (names.some((name) => name.startsWith("_"))) collect(path, names);
}
for (const hex of blobs) {
  if (marked.has(hex)) continue;
  eligible.blobs++;
  eligible.bytes += statSync(`${root}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`).size;
}
console.log(JSON.stringify({ eligible, ms: performance.now(), manifestsMs }));
