/** A registry's storage as files: all of it to compare byte for byte, or what is there by kind and by name. */

import { readdir, readFile, stat, utimes } from "node:fs/promises";
import { join, relative } from "node:path";
import { digestOf } from "./content.js";

/** What a storage holds, sorted: blobs by name, revisions and layer links as `repository: name`, tag index entries as `repository:tag: name`. */
export interface Contents {
  readonly blobs: readonly string[];
  readonly revisions: readonly string[];
  readonly layerLinks: readonly string[];
  readonly tagIndexEntries: readonly string[];
  /** The repository of each. */
  readonly uploads: readonly string[];
}

export async function contentsOf(storage: string, nameOf: (digest: string) => string): Promise<Contents> {
  const root = join(storage, "docker", "registry", "v2");
  return contentsOfFiles(
    (await pathsBelow(root)).map((path) => relative(root, path)),
    nameOf,
  );
}

/** The same of paths below the registry's root, wherever they lie. */
export function contentsOfFiles(files: readonly string[], nameOf: (digest: string) => string): Contents {
  const links = (pattern: RegExp) =>
    matches(files, pattern).map(([holder, algorithm, hex]) => `${holder}: ${nameOf(`${algorithm}:${hex}`)}`);
  return {
    blobs: matches(files, /^blobs\/(\w+)\/\w\w\/(\w+)\/data$/)
      .map(([algorithm, hex]) => nameOf(`${algorithm}:${hex}`))
      .sort(),
    revisions: links(/^repositories\/(.+)\/_manifests\/revisions\/(\w+)\/(\w+)\/link$/).sort(),
    layerLinks: links(/^repositories\/(.+)\/_layers\/(\w+)\/(\w+)\/link$/).sort(),
    tagIndexEntries: links(/^repositories\/(.+\/_manifests\/tags\/[^/]+)\/index\/(\w+)\/(\w+)\/link$/)
      .map((line) => line.replace("/_manifests/tags/", ":"))
      .sort(),
    uploads: matches(files, /^repositories\/(.+)\/_uploads\/[^/]+\/startedat$/)
      .map(([repository]) => repository!)
      .sort(),
  };
}

/** Everything but where locks are kept: each file and directory with its time and, of a file, its content. */
export async function snapshotOf(folder: string): Promise<ReadonlyMap<string, string>> {
  const snapshot = new Map<string, string>();
  for (const path of await pathsBelow(folder)) {
    if (path.includes("/docker/registry/lockfiles")) continue;
    const info = await stat(path);
    const content = info.isDirectory() ? "directory" : digestOf(await readFile(path));
    snapshot.set(relative(folder, path), `${content} of ${info.mtime.toISOString()}`);
  }
  return snapshot;
}

/** Makes everything as old as that. */
export async function makeOld(folder: string, time: Date): Promise<void> {
  for (const path of await pathsBelow(folder)) await utimes(path, time, time);
}

async function pathsBelow(folder: string): Promise<readonly string[]> {
  return (await readdir(folder, { recursive: true })).map((path) => join(folder, path));
}

function matches(files: readonly string[], pattern: RegExp): readonly (readonly string[])[] {
  return files.flatMap((file) => {
    const match = pattern.exec(file);
    return match === null ? [] : [match.slice(1)];
  });
}
