/**
 * Functions that look at a repository, or at the blobs of a prefix, where the files are: `StorageDriver.visitMany` runs their text. They
 * take what is as registries write it, to the letter. Of all else they tell nothing: it is for the listings of this folder to judge.
 */

import type { VisitedFiles } from "../driver.js";

/** What the functions are given, since they can't reach for it where their text runs. */
export interface VisitParts {
  /** What registries accept as a tag. */
  readonly tag: RegExp;
  /** What can be one component of a path. */
  readonly name: RegExp;
  /** Looks at links, in one visit: nobody is to wait for more. */
  readonly mostLinks: number;
  /** The last that a `Date` can be, in milliseconds. */
  readonly lastTime: number;
}

export function visits({ tag: tagPattern, name: namePattern, mostLinks, lastTime }: VisitParts) {
  /** The 32 bytes of each digest that these names are the hex of. */
  function packed(names: readonly string[]): Buffer {
    const hex = names.join("");
    const bytes = Buffer.from(hex, "hex");
    // Node reads other characters as hex by their lowest bits: only what comes back as it was, is.
    if (names.some((name) => name.length !== 64) || bytes.toString("hex") !== hex) throw new Error("other names than digests");
    return bytes;
  }

  /** The names of a directory that holds directories only. */
  function directories(files: VisitedFiles, path: string): string[] {
    return files.list(path).map((entry) => {
      if (!entry.isDirectory()) throw new Error("a stray");
      return entry.name;
    });
  }

  /** The hex that directories below `sha256` are named by; none where there is no such directory. */
  function sha256Below(files: VisitedFiles, path: string): string[] {
    const algorithms = directories(files, path);
    if (algorithms.some((name) => name !== "sha256")) throw new Error("another algorithm");
    return algorithms.length === 0 ? [] : directories(files, `${path}/sha256`);
  }

  function prefix(files: VisitedFiles, path: string): Uint8Array {
    const names = directories(files, path);
    const start = path.slice(-2);
    if (names.some((name) => !name.startsWith(start))) throw new Error("a blob in another's place");
    return packed(names);
  }

  /** The digests that directories are named by. */
  function digests(files: VisitedFiles, path: string): Uint8Array {
    return packed(directories(files, path));
  }

  /**
   * Revisions, then layer links, then tags, as listings look at them one after the other. The answer: three counts of four bytes; the
   * revisions' times, 8 bytes each, the lowest byte first as in the counts; digests; in lines the path, and the names of the tags.
   */
  function repository(files: VisitedFiles, path: string, hasUploads: boolean): Uint8Array {
    const manifests = directories(files, `${path}/_manifests`);
    if (manifests.some((name) => name !== "revisions" && name !== "tags")) throw new Error("a stray");
    if (hasUploads && directories(files, `${path}/_uploads`).some((name) => !namePattern.test(name))) throw new Error("a stray");

    const revisions = manifests.includes("revisions") ? sha256Below(files, `${path}/_manifests/revisions`) : [];
    if (revisions.length > mostLinks) throw new Error("too many");
    const times = Buffer.allocUnsafe(revisions.length * 8);
    revisions.forEach((hex, i) => {
      const revision = `${path}/_manifests/revisions/sha256/${hex}`;
      times.writeDoubleLE(linkTime(files, `${revision}/link`), i * 8);
      if (files.stat(`${revision}/signatures`) !== undefined) throw new Error("signatures");
    });
    const layers = sha256Below(files, `${path}/_layers`);
    const tags = manifests.includes("tags") ? directories(files, `${path}/_manifests/tags`) : [];
    if (tags.length > mostLinks) throw new Error("too many");
    const tagged = tags.map((name) => {
      if (!tagPattern.test(name)) throw new Error("no tag");
      return linked(files, `${path}/_manifests/tags/${name}/current/link`);
    });

    const names = Buffer.from([path, ...tags].join("\n"), "latin1");
    const counts = Buffer.allocUnsafe(12);
    [revisions.length, layers.length, tags.length].forEach((count, i) => counts.writeUInt32LE(count, i * 4));
    return Buffer.concat([counts, times, packed(revisions), packed(layers), packed(tagged), names]);
  }

  /** When a link was written that is as large as it should be. */
  function linkTime(files: VisitedFiles, path: string): number {
    const stats = files.stat(path);
    if (stats === undefined || stats.isDirectory() || stats.size !== 71) throw new Error("no link");
    const time = Math.round(stats.mtimeMs);
    if (!(Math.abs(time) <= lastTime)) throw new Error("no time");
    return time;
  }

  /** The hex that a link names. */
  function linked(files: VisitedFiles, path: string): string {
    const content = Buffer.from(files.read(path, 72)).toString("latin1");
    if (!/^sha256:[0-9a-f]{64}$/.test(content)) throw new Error("no link");
    return content.slice(7);
  }

  return {
    prefix,
    digests,
    repository: (files: VisitedFiles, path: string) => repository(files, path, false),
    repositoryWithUploads: (files: VisitedFiles, path: string) => repository(files, path, true),
  };
}
