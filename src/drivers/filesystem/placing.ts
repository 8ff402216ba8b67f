/**
 * Files put in their places: written whole, or moved; never over another one that must stay, and at no moment is there none. What is made
 * belongs to whom the place belongs: a collector that runs as root leaves nothing that a registry of another user can't use.
 */

import { randomUUID } from "node:crypto";
import { constants, promises as fs, type Stats } from "node:fs";
import { basename, dirname, isAbsolute, join, relative } from "node:path";
import * as process from "node:process";
import { codeOf, isPathNotFound, messageOf, UnsupportedError } from "../../errors.js";
import { isOnDisk, syncDirectory, syncFile, writeDurably } from "./disk.js";
import type { Root } from "./root.js";

/** How a file system says that it has no second names for a file, or not for this one. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

const UNFINISHED = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

const mayGive = process.geteuid?.() === 0;

/** Writes a file, whole; whether it did: with `ifAbsent` not where something is. */
export async function putFile(
  root: Root,
  path: string,
  file: string,
  { bytes, ifAbsent }: { readonly bytes: Uint8Array; readonly ifAbsent: boolean },
): Promise<boolean> {
  const directory = dirname(file);
  const temporary = temporaryIn(directory);
  try {
    const owner = (await statsOf(file)) ?? (await makeDirectory(directory));
    try {
      await writeDurably(temporary, bytes);
      await give(temporary, owner);
      if (!ifAbsent) await fs.rename(temporary, file);
      else if (!(await linkIfAbsent(temporary, file, path))) return false;
    } finally {
      await remove(temporary);
    }
    await syncDirectory(directory);
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    throw await cannot(root, "write", path, error);
  }
}

/** Makes a second name where nothing is; whether it did. */
async function linkIfAbsent(from: string, to: string, path: string): Promise<boolean> {
  try {
    await fs.link(from, to);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "EEXIST") return false;
    if (!NO_LINKS.has(code)) throw error;
    throw new UnsupportedError(`filesystem: cannot write ${path} only where nothing is: there are no hard links (${messageOf(error)})`);
  }
}

/** Moves a file to a place where nothing is. */
export async function moveFile(root: Root, source: string, destination: string): Promise<void> {
  const [from, to] = [root.onDisk(source), root.onDisk(destination)];
  let stats: Stats;
  try {
    // First, since nothing is to be made for what is not there.
    stats = await fs.lstat(from);
  } catch (error) {
    throw await root.failure("move", source, error);
  }
  try {
    await makeDirectory(dirname(to));
    const isDone = await place(from, to, stats);
    await syncDirectory(dirname(to));
    // Where that fails both stay: what was to come back is back, and an unlink that timed out may yet be done.
    if (!isDone) await fs.unlink(from);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw root.error(destination, `cannot move ${source} to ${destination}: something is there`, error);
    if (codeOf(error) === "ENOENT" && !(await isOnDisk(from))) throw await root.failure("move", source, error);
    throw await cannot(root, "move", source, error);
  }
}

/** Makes a second name, or a copy. Whether the first is gone by that: where a file system has no second names it is renamed. */
async function place(from: string, to: string, stats: Stats): Promise<boolean> {
  if (stats.isSymbolicLink()) {
    await fs.symlink(await targetFrom(from, dirname(to)), to);
    return false;
  }
  try {
    await fs.link(from, to);
    return false;
  } catch (error) {
    if (codeOf(error) === "EXDEV") {
      await copy(from, to, stats);
      return false;
    }
    if (!NO_LINKS.has(codeOf(error))) throw error;
    await rename(from, to);
    return true;
  }
}

async function copy(from: string, to: string, { atime, mtime, uid, gid }: Stats): Promise<void> {
  await removeUnfinished(to);
  const temporary = temporaryIn(dirname(to), `${basename(to)}.`);
  try {
    await fs.copyFile(from, temporary, constants.COPYFILE_EXCL);
    await give(temporary, { uid, gid });
    await fs.utimes(temporary, atime, mtime);
    await syncFile(temporary);
    await linkOrRename(temporary, to);
  } finally {
    await remove(temporary);
  }
}

async function linkOrRename(from: string, to: string): Promise<void> {
  try {
    await fs.link(from, to);
  } catch (error) {
    if (!NO_LINKS.has(codeOf(error))) throw error;
    await rename(from, to);
  }
}

/** Where there are no second names, a look before is all there is. */
async function rename(from: string, to: string): Promise<void> {
  if (await isOnDisk(to)) throw Object.assign(new Error(`${to} is there`), { code: "EEXIST" });
  await fs.rename(from, to);
}

/** What a symbolic link says, as it must say it in another directory: a relative target leads elsewhere from there. */
async function targetFrom(link: string, directory: string): Promise<string> {
  const target = await fs.readlink(link);
  if (isAbsolute(target)) return target;
  // Not joined as text: directories on the way may be links themselves.
  const place = await fs.realpath(`${dirname(link)}/${dirname(target)}`);
  return relative(await fs.realpath(directory), join(place, basename(target)));
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Makes a directory with all above it, and tells whose it is: of those above that were there. */
async function makeDirectory(directory: string): Promise<Owner | undefined> {
  const first = await fs.mkdir(directory, { recursive: true });
  if (!mayGive) return undefined;
  const owner = await fs.stat(first === undefined ? directory : dirname(first));
  for (let each = directory; first !== undefined && each.length >= first.length; each = dirname(each)) await give(each, owner);
  return owner;
}

/** Only root can, and what root made is root's. */
async function give(file: string, owner: Owner | undefined): Promise<void> {
  if (!mayGive || owner === undefined || (owner.uid === 0 && owner.gid === 0)) return;
  try {
    await fs.chown(file, owner.uid, owner.gid);
  } catch {
    // A file system that knows no owners, or not this one.
  }
}

async function statsOf(file: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(file);
  } catch {
    return undefined;
  }
}

async function remove(temporary: string): Promise<void> {
  try {
    await fs.unlink(temporary);
  } catch {
    // It has its own name by now, or was never made. What went wrong before says more.
  }
}

function temporaryIn(directory: string, name = ""): string {
  return join(directory, `.${name}${randomUUID()}.tmp`);
}

/** What was left of a copy to this place, which may be large, by somebody who was killed: nobody else comes by there. */
async function removeUnfinished(file: string): Promise<void> {
  const prefix = `.${basename(file)}.`;
  for (const name of await fs.readdir(dirname(file))) {
    if (name.startsWith(prefix) && UNFINISHED.test(name.slice(prefix.length))) await remove(join(dirname(file), name));
  }
}

/** That something can't be made does not say that something is not there: Node says `ENOENT` of a full disk, too. */
async function cannot(root: Root, verb: string, path: string, error: unknown): Promise<Error> {
  const failure = await root.failure(verb, path, error);
  if (!isPathNotFound(failure)) return failure;
  return root.error(path, `cannot ${verb} ${path}: ${messageOf(error)}. Is the disk full, or mounted read-only?`, error);
}
