/** What both ways of listing a repository share: how its links are judged, and how its uploads are dated. */

import type { FileInfo, StorageDriver } from "../driver.js";
import { mapAll } from "../internal/mapAll.js";
import type { LayerLink, LookOptions, Revision, Upload } from "../namespace.js";
import { directoryForLink, type LinkContent, mismatchedLink, readLink, readSmall } from "./links.js";
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
  const content = await contentOf(access, link);
  if (content === undefined) return undefined;
  const damage = content.damage ?? (content.digest === digest ? undefined : mismatchedLink(link.path, content.digest));
  return { digest, modTime: link.modTime, damage };
}

/** A layer link that a listing or a `stat` has shown. Under sha256 it is read only where its size doesn't fit, else always. */
export async function judgeLayerLink(access: Access, digest: string, link: FileInfo): Promise<LayerLink | undefined> {
  const isStoredByIt = digest.startsWith("sha256:");
  if (isStoredByIt && fits(link, digest)) return { digest, modTime: link.modTime };
  const content = await contentOf(access, link);
  if (content === undefined) return undefined;
  const { damage, digest: target } = content;
  const isRight = target === digest || (!isStoredByIt && target?.startsWith("sha256:") === true);
  // What a wrong link names may be needed as well: the damage keeps both.
  if (damage === undefined && !isRight) return { digest, modTime: link.modTime, target, damage: mismatchedLink(link.path, target) };
  return { digest, modTime: link.modTime, target, damage };
}

/** Whether what is at a link's place is as large as a link to this digest is. */
export function fits(link: FileInfo, digest: string): boolean {
  return !link.isDirectory && (link.size === undefined || link.size === linkSize(digest));
}

/** What a link says that a listing has shown; `undefined` where it is gone by now. */
async function contentOf({ driver, options }: Access, link: FileInfo): Promise<LinkContent | undefined> {
  if (link.isDirectory) return { damage: directoryForLink(link.path) };
  return unlessGone(driver, link.path, options, () => readLink(driver, link.path, options));
}

/** An upload session, dated by the newest of what it says of itself and of its files' times. */
export async function dateUpload(access: Access, path: string, files: readonly FileInfo[]): Promise<Upload> {
  const { driver, options } = access;
  const looked = await mapAll(files, async (file) =>
    timeOf(file.modTime) !== undefined && file.size !== undefined ? file : lookAtPath(driver, file.path, options),
  );
  const times = looked.map((file) => timeOf(file?.modTime));
  if (files.some((file) => file.path === `${path}/startedat`)) times.push(await startedAt(access, `${path}/startedat`));
  // Of a file whose time is unknown nobody knows that it is old.
  const isDated = looked.every((file) => file === undefined || timeOf(file.modTime) !== undefined);
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
  return RFC3339.test(text) ? timeOf(new Date(text)) : undefined;
}

/** Milliseconds since 1970; `undefined` of a date that is none. */
function timeOf(date: Date | null | undefined): number | undefined {
  const time = date?.getTime();
  return Number.isNaN(time) ? undefined : time;
}
