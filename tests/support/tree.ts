/** A registry's tree by hand: single links and images, wherever a test wants them. */

import { createHash } from "node:crypto";
import type { Namespace, Repository, StorageDriver } from "oci-registry-gc";
import { blobPath, digestOf, ROOT } from "./world.js";

export type Put = (path: string, content: string) => Promise<unknown>;

export const sha512 = (content: string) => `sha512:${createHash("sha512").update(content).digest("hex")}`;
export const linkOf = (base: string, digest: string) => `${base}/${digest.replace(":", "/")}/link`;
export const repo = (name: string) => `${ROOT}/repositories/${name}`;
export const revision = (name: string, digest: string) => linkOf(`${repo(name)}/_manifests/revisions`, digest);
export const layer = (name: string, digest: string) => linkOf(`${repo(name)}/_layers`, digest);
export const currentLink = (name: string, tag: string) => `${repo(name)}/_manifests/tags/${tag}/current/link`;

export const IMAGE = "application/vnd.oci.image.manifest.v1+json";

/** An image's manifest over these layers. */
export const image = (...layers: readonly string[]) =>
  JSON.stringify({ schemaVersion: 2, mediaType: IMAGE, layers: layers.map((digest) => ({ mediaType: "application/x-layer", digest })) });

/** Pushes a manifest with its layers as a registry writes them; answers its digest. */
export async function push(put: Put, name: string, manifest: string, layers: readonly string[], tag?: string): Promise<string> {
  for (const content of layers) {
    await put(blobPath(digestOf(content)), content);
    await put(layer(name, digestOf(content)), digestOf(content));
  }
  const digest = digestOf(manifest);
  await put(blobPath(digest), manifest);
  await put(revision(name, digest), digest);
  if (tag !== undefined) {
    await put(linkOf(`${repo(name)}/_manifests/tags/${tag}/index`, digest), digest);
    await put(currentLink(name, tag), digest);
  }
  return digest;
}

/** A driver, or a repository, with some members of one's own. */
export function changed<T extends Namespace | Repository | StorageDriver = StorageDriver>(of: T, members: Partial<T>): T {
  return new Proxy(of, {
    get(target, member) {
      if (member in members) return members[member as keyof T];
      const value: unknown = Reflect.get(target, member);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A driver that can't delete these paths. */
export function unable(driver: StorageDriver, ...stuck: readonly string[]): StorageDriver {
  return changed(driver, {
    delete: async (path, options) => {
      if (stuck.includes(path)) throw Object.assign(new Error("no"), { code: "EPERM" });
      return driver.delete(path, options);
    },
    deleteFiles: async (paths, options) => {
      const can = paths.filter((path) => !stuck.includes(path));
      const left = (await driver.deleteFiles?.(can, options)) ?? [];
      return [...left, ...paths.filter((path) => stuck.includes(path)).map((path) => ({ path, code: "EPERM", message: "no" }))];
    },
  });
}
