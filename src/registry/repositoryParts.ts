/** What both ways of listing a repository share: how its links are judged, and how its uploads are dated. */

import type { FileInfo, StorageDriver } from "../driver.js";
import { mapAll } from "../internal/mapAll.js";
import type { Damage, LayerLink, LookOptions, Revision, Upload } from "../namespace.js";
import { judgeLink, readLink, readSmall } from "./links.js";
import { lookAtPath, unlessGone } from "./listing.js";
import { linkSize } from "./paths.js";

/** A driver, and how a run wants to be served. */
export interface Access {
  readonly driver: StorageDriver;
  readonly options: LookOptions;
}

/** A revision whose link a listing or a `stat` has shown. It is read only where its size doesn't fit. */
export async function judgeRevision(access: Access, digest: string, link: FileInfo): Promise<Revision | undefined> {
  if (fits(link, digest)) return { digest, modTime: link.modTime };
  return withVerdict(access, digest, link);
}

/** A layer link that a listing or a `stat` has shown. Under sha256 it is read only where its size doesn't fit, else always. */
export async function judgeLayerLink(access: Access, digest: string, link: FileInfo): Promise<LayerLink | undefined> {
  if (digest.startsWith("sha256:")) {
    if (fits(link, digest)) return { digest, modTime: link.modTime };
    return withVerdict(access, digest, link);
  }
  const { driver, options } = access;
  const content = await unlessGone(driver, link.path, options, () => readLink(driver, link.path, options));
  if (content === undefined) return undefined;
  return { digest, modTime: link.modTime, target: content.digest, damage: content.damage };
}

function fits(link: FileInfo, digest: string): boolean {
  return !link.isDirectory && (link.size === undefined || link.size === linkSize(digest));
}

async function withVerdict(
  access: Access,
  digest: string,
  link: FileInfo,
): Promise<{ digest: string; modTime: Date | undefined; damage: Damage | undefined } | undefined> {
  const { driver, options } = access;
  if (link.isDirectory) {
    const damage: Damage = { kind: "malformed-link", path: link.path, message: `${link.path} is a directory, and should be a link` };
    return { digest, modTime: link.modTime, damage };
  }
  const verdict = await unlessGone(driver, link.path, options, async () => ({
    damage: await judgeLink(driver, link.path, digest, options),
  }));
  return verdict && { digest, modTime: link.modTime, damage: verdict.damage };
}

/** An upload session, dated by the newest of what it says of itself and of its files' times. */
export async function dateUpload(access: Access, path: string, files: readonly FileInfo[]): Promise<Upload> {
  const { driver, options } = access;
  const looked = await mapAll(files, async (file) =>
    file.modTime && file.size !== undefined ? file : lookAtPath(driver, file.path, options),
  );
  const times = looked.map((file) => file?.modTime?.getTime());
  if (files.some((file) => file.path === `${path}/startedat`)) times.push(await startedAt(access, `${path}/startedat`));
  // Of a file whose time is unknown nobody knows that it is old.
  const isDated = looked.every((file) => file === undefined || file.modTime !== undefined);
  const newest = times.reduce((a, b) => (b === undefined || b <= (a ?? Number.NEGATIVE_INFINITY) ? a : b), undefined);
  return {
    path,
    newest: newest === undefined || !isDated ? undefined : new Date(newest),
    bytes: looked.reduce((sum, file) => sum + (file?.size ?? 0), 0),
    footprint: { files: [], trees: [path] },
  };
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since 1970; `undefined` where the file says no time, or is gone. */
async function startedAt({ driver, options }: Access, path: string): Promise<number | undefined> {
  const bytes = await unlessGone(driver, path, options, () => readSmall(driver, path, options));
  const text = bytes === undefined ? "" : Buffer.from(bytes).toString("utf8").trim();
  return RFC3339.test(text) ? Date.parse(text) : undefined;
}
