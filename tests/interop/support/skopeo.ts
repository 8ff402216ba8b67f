/** skopeo as a client: it copies images from and to layouts in directories. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Blob, type Format, type Manifest } from "./content.js";
import { runTool } from "./tools.js";

/** Pushes an image or a list from a layout of its own format: `dir:` for Docker's, `oci:` for the other. */
export async function pushWithSkopeo(
  folder: string,
  { host, repository, tag }: { readonly host: string; readonly repository: string; readonly tag: string },
  manifest: Manifest,
  format: Format,
): Promise<void> {
  const layout = join(folder, hexOf(manifest));
  const source = format === "docker" ? await writeDirLayout(layout, manifest) : await writeOciLayout(layout, manifest);
  await copy(["--all", "--preserve-digests", "--dest-tls-verify=false", source, `docker://${host}/${repository}:${tag}`]);
}

/** Pushes a Docker image as a schema 1 one. */
export async function pushAsSchema1(folder: string, destination: string, manifest: Manifest): Promise<void> {
  const source = await writeDirLayout(join(folder, hexOf(manifest)), manifest);
  await copy(["--format=v2s1", "--dest-tls-verify=false", source, `docker://${destination}`]);
}

/** Pulls an image, or a list with all its images, into a directory. */
export async function pullWithSkopeo(source: string, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await copy(["--all", "--preserve-digests", "--src-tls-verify=false", `docker://${source}`, `dir:${directory}`]);
}

/** From one layout to another, with all images of an index. */
export async function copyLayout(source: string, destination: string): Promise<void> {
  await copy(["--all", "--preserve-digests", source, destination]);
}

async function copy(args: readonly string[]): Promise<void> {
  await runTool("skopeo", ["--insecure-policy", "copy", "--quiet", ...args]);
}

async function writeDirLayout(folder: string, manifest: Manifest): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "version"), "Directory Transport Version: 1.1\n");
  await writeFile(join(folder, "manifest.json"), manifest.bytes);
  const write = async ({ blobs, children }: Manifest): Promise<void> => {
    for (const each of blobs) await writeFile(join(folder, hexOf(each)), each.bytes);
    for (const child of children) {
      await writeFile(join(folder, `${hexOf(child)}.manifest.json`), child.bytes);
      await write(child);
    }
  };
  await write(manifest);
  return `dir:${folder}`;
}

/** Writes a layout of OCI with one image or index, and tells how skopeo calls it. */
export async function writeOciLayout(folder: string, manifest: Manifest): Promise<string> {
  const blobs = join(folder, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const { mediaType, digest, bytes } = manifest;
  const annotations = { "org.opencontainers.image.ref.name": "image" };
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length, annotations }] };
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(folder, "index.json"), JSON.stringify(index));
  const write = async (each: Manifest): Promise<void> => {
    for (const one of [each, ...each.blobs]) await writeFile(join(blobs, hexOf(one)), one.bytes);
    for (const child of each.children) await write(child);
  };
  await write(manifest);
  return `oci:${folder}:image`;
}

function hexOf({ digest }: Blob): string {
  return digest.slice(digest.indexOf(":") + 1);
}
