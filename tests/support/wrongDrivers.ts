/** Drivers with one thing wrong each, and the check that must see it. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { type FileInfo, isRegistryGcError, PathNotFoundError, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { FlatDriver } from "oci-registry-gc/testing";

type Changes<D extends StorageDriver> = (right: D) => Partial<StorageDriver>;

/** A driver that is right but for what is given. */
function wrong<D extends StorageDriver>(right: D, changes: Changes<D>): StorageDriver {
  const changed = changes(right);
  return new Proxy<StorageDriver>(right, {
    get: (target, key): unknown => {
      const value: unknown = Reflect.get(changed, key) ?? Reflect.get(target, key);
      return typeof value === "function" && !(key in changed) ? (value as (...of: unknown[]) => unknown).bind(target) : value;
    },
  });
}

const flat = (changes: Changes<FlatDriver>) => () => wrong(new FlatDriver(), changes);
const memory = (changes: Changes<MemoryDriver>) => () => wrong(new MemoryDriver(), changes);

async function all(pages: AsyncIterable<readonly FileInfo[]>): Promise<FileInfo[]> {
  const infos: FileInfo[] = [];
  for await (const page of pages) infos.push(...page);
  return infos;
}

async function* first<T>(pages: AsyncIterable<T>): AsyncIterable<T> {
  for await (const page of pages) {
    yield page;
    return;
  }
}

/** What a call gives, and something else where nothing is there. */
async function orAbsent<T, U>(call: () => Promise<T>, instead: () => U): Promise<T | Awaited<U>> {
  try {
    return await call();
  } catch (error) {
    if (isRegistryGcError(error) && error.code === "PATH_NOT_FOUND") return await instead();
    throw error;
  }
}

const notThere = (): never => {
  throw new Error("ENOENT: no such file or directory");
};
const nothing = () => Readable.from([]);
const later = () => new Promise((resolve) => setImmediate(resolve));

/** What was told of a path first. */
function remembered(known: Map<string, FileInfo>, info: FileInfo): FileInfo {
  const first = known.get(info.path) ?? info;
  known.set(info.path, first);
  return first;
}

async function* endsQuietly<T>(pages: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
  signal?.throwIfAborted();
  for await (const page of pages) {
    yield page;
    if (signal?.aborted) return;
  }
}

/** What is wrong, a driver of that kind, and the check that names the promise. */
type WrongDriver = readonly [wrong: string, make: () => StorageDriver, check: string];

export const WRONG_DRIVERS: readonly WrongDriver[] = [
  ["list names all below", flat((d) => ({ list: (path) => d.walk(path) })), "list: names the direct children, each once"],
  [
    "list names a directory for each file in it",
    flat((d) => ({
      async *list(path) {
        const depth = path.split("/").length + 1;
        yield (await all(d.walk(path))).map((info) => {
          const child = info.path.split("/").slice(0, depth).join("/");
          return child === info.path ? info : { path: child, isDirectory: true };
        });
      },
    })),
    "list: names the direct children, each once",
  ],
  [
    "list goes by the beginning of names",
    flat((d) => ({
      async *list(path) {
        const rests = [...d.objects.keys()].filter((key) => key.startsWith(path)).map((key) => key.slice(path.length + 1));
        const names = new Set(rests.map((rest) => rest.split("/")[0]));
        yield [...names].map((name) => ({ path: `${path}/${name}`, isDirectory: rests.some((rest) => rest.startsWith(`${name}/`)) }));
      },
    })),
    "list: names that begin alike are told apart",
  ],
  [
    "list of nothing is empty",
    memory((d) => ({
      async *list(path) {
        yield await orAbsent(
          () => all(d.list(path)),
          () => [],
        );
      },
    })),
    "list: what is absent is PATH_NOT_FOUND",
  ],
  ["list is one page", memory((d) => ({ list: (path) => first(d.list(path)) })), "list: goes on past a thousand, each once"],
  ["list is one page", flat((d) => ({ list: (path) => first(d.list(path)) })), "list: goes on past a thousand directories, each once"],
  [
    "pages of list overlap",
    memory((d) => ({
      async *list(path) {
        let last: readonly FileInfo[] = [];
        for await (const page of d.list(path)) {
          yield [...last, ...page];
          last = page.slice(-1);
        }
      },
    })),
    "list: goes on past a thousand, each once",
  ],
  [
    "list leaves out hidden files",
    memory((d) => ({
      async *list(path) {
        for await (const page of d.list(path)) yield page.filter((info) => !info.path.includes("/."));
      },
    })),
    "list: every name that a path may have",
  ],
  [
    "list tells a checksum of something else",
    memory((d) => ({
      async *list(path) {
        for await (const page of d.list(path)) yield page.map((info) => ({ ...info, md5: new Uint8Array(16) }));
      },
    })),
    "list: sizes, times and checksums are right where it tells them",
  ],
  [
    "stat of a prefix answers",
    flat((d) => ({
      stat: (path) =>
        orAbsent(
          () => d.stat(path),
          () => ([...d.objects.keys()].some((key) => key.startsWith(path)) ? { path, isDirectory: true } : d.stat(path)),
        ),
    })),
    "stat: a mere prefix of a name is absent",
  ],
  [
    "absence is any error",
    memory((d) => ({ stat: (path) => orAbsent(() => d.stat(path), notThere) })),
    "stat: what is absent is PATH_NOT_FOUND",
  ],
  [
    "absence is any error",
    memory((d) => ({ reader: (path) => orAbsent(() => d.reader(path), notThere) })),
    "reader: what is absent is PATH_NOT_FOUND",
  ],
  [
    "stat tells no time",
    memory((d) => ({
      async stat(path) {
        return { ...(await d.stat(path)), modTime: undefined };
      },
    })),
    "stat: tells a file, with its size and time",
  ],
  [
    "list remembers",
    memory((d) => {
      const known = new Map<string, FileInfo>();
      return {
        async *list(path) {
          for await (const page of d.list(path)) yield page.map((info) => remembered(known, info));
        },
      };
    }),
    "list: tells of a file that was written anew what it is now",
  ],
  [
    "walk tells the first checksum",
    flat((d) => {
      const known = new Map<string, Uint8Array>();
      return {
        async *walk(path) {
          for await (const page of d.walk(path))
            yield page.map((info) => {
              const md5 =
                known.get(info.path) ??
                createHash("md5")
                  .update(d.objects.get(info.path)?.bytes ?? "")
                  .digest();
              known.set(info.path, md5);
              return { ...info, md5 };
            });
        },
      };
    }),
    "walk: tells of a file that was written anew what it is now",
  ],
  ...(["size", "modTime"] as const).map(
    (fact): WrongDriver => [
      `walk tells the first ${fact}`,
      flat((d) => {
        const known = new Map<string, FileInfo>();
        return {
          async *walk(path) {
            for await (const page of d.walk(path)) yield page.map((info) => ({ ...info, [fact]: remembered(known, info)[fact] }));
          },
        };
      }),
      "walk: tells of a file that was written anew what it is now",
    ],
  ),
  [
    "list ends when it is aborted",
    memory((d) => ({ list: (path, options) => endsQuietly(d.list(path), options?.signal) })),
    "list: a signal that is aborted between two pages never shortens it",
  ],
  [
    "walk ends when it is aborted",
    flat((d) => ({ walk: (path, options) => endsQuietly(d.walk(path), options?.signal) })),
    "walk: a signal that is aborted between two pages never shortens it",
  ],
  ["walk is one page", flat((d) => ({ walk: (path) => first(d.walk(path)) })), "walk: goes on past a thousand, each once"],
  [
    "walk names directories",
    flat((d) => ({
      async *walk(path) {
        yield* d.walk(path);
        yield (await all(d.list(path))).filter((info) => info.isDirectory);
      },
    })),
    "walk: names every file below, with size and time, and no directory",
  ],
  [
    "walk of nothing is an absence",
    flat((d) => ({
      async *walk(path) {
        await d.stat(path);
        yield* d.walk(path);
      },
    })),
    "walk: nothing below is an empty listing",
  ],
  [
    "walk leaves out empty files",
    flat((d) => ({
      async *walk(path) {
        for await (const page of d.walk(path)) yield page.filter((info) => info.size !== 0);
      },
    })),
    "walk: empty files are files",
  ],
  [
    "walk goes by the beginning of names",
    flat((d) => ({
      async *walk(path) {
        yield (await all(d.walk("/"))).filter((info) => info.path.startsWith(path));
      },
    })),
    "walk: names that begin alike are told apart",
  ],
  ["reader ignores its offset", memory((d) => ({ reader: (path) => d.reader(path) })), "reader: begins at its offset"],
  [
    "reader takes any offset",
    memory((d) => ({ reader: (path, options) => d.reader(path, { offset: Math.max(0, Math.floor(options?.offset ?? 0)) || 0 }) })),
    "reader: a negative offset is INVALID_OFFSET",
  ],
  [
    "reader gives text",
    memory((d) => ({ reader: async (path) => Readable.from([Buffer.from(Buffer.from(await d.getContent(path)).toString("utf8"))]) })),
    "reader: gives the bytes that were written",
  ],
  [
    "a directory is an empty file",
    memory((d) => ({ reader: async (path) => ((await d.stat(path)).isDirectory ? nothing() : d.reader(path)) })),
    "reader: a directory has no content",
  ],
  [
    "empty files are lost",
    memory((d) => ({ putContent: async (path, bytes) => bytes.length > 0 && d.putContent(path, bytes) })),
    "reader: an empty file is there, and empty",
  ],
  [
    "getContent cuts at maxBytes",
    memory((d) => ({ getContent: async (path, options) => (await d.getContent(path)).slice(0, options?.maxBytes) })),
    "getContent: never cuts silently at maxBytes",
  ],
  [
    "getContent ends at a mebibyte",
    memory((d) => ({ getContent: async (path, options) => (await d.getContent(path, options)).slice(0, 1_048_576) })),
    "getContent: gives the bytes that were written",
  ],
  [
    "getContent remembers",
    memory((d) => {
      const known = new Map<string, Uint8Array>();
      return {
        async getContent(path, options) {
          const content = known.get(path) ?? (await d.getContent(path, options));
          known.set(path, content);
          return content;
        },
      };
    }),
    "getContent: gives the bytes of the last write",
  ],
  [
    "reader ends at a mebibyte",
    memory((d) => ({ reader: async (path) => Readable.from([(await d.getContent(path)).slice(0, 1_048_576)]) })),
    "reader: gives the bytes that were written",
  ],
  [
    "reader remembers",
    memory((d) => {
      const known = new Map<string, Uint8Array>();
      return {
        async reader(path) {
          const content = known.get(path) ?? (await d.getContent(path));
          known.set(path, content);
          return Readable.from([content]);
        },
      };
    }),
    "reader: gives the bytes of the last write",
  ],
  [
    "getContent of nothing is empty",
    memory((d) => ({
      getContent: (path) =>
        orAbsent(
          () => d.getContent(path),
          () => new Uint8Array(),
        ),
    })),
    "getContent: what is absent is PATH_NOT_FOUND",
  ],
  [
    "delete takes all that begins alike",
    flat((d) => ({
      async delete(path) {
        for (const key of [...d.objects.keys()]) if (key.startsWith(path)) d.objects.delete(key);
      },
    })),
    "delete: what stands beside the path stays, also what begins like it",
  ],
  [
    "delete of nothing is fine",
    memory((d) => ({
      delete: (path) =>
        orAbsent(
          () => d.delete(path),
          () => undefined,
        ),
    })),
    "delete: what is absent is PATH_NOT_FOUND, and nothing goes",
  ],
  [
    "delete takes one page",
    flat((d) => ({
      async delete(path) {
        await d.stat(path);
        for await (const page of d.walk(path)) {
          await d.deleteFiles([path, ...page.map((info) => info.path)]);
          return;
        }
        await d.deleteFiles([path]);
      },
    })),
    "delete: removes more than a thousand",
  ],
  [
    "deleteFiles takes directories",
    memory((d) => ({
      async deleteFiles(paths) {
        for (const path of paths)
          await orAbsent(
            () => d.delete(path),
            () => undefined,
          );
        return [];
      },
    })),
    "deleteFiles: a directory is left, with all in it",
  ],
  [
    "deleteFiles goes by the beginning of names",
    flat((d) => ({
      async deleteFiles(paths) {
        for (const key of [...d.objects.keys()]) if (paths.some((path) => key.startsWith(path))) d.objects.delete(key);
        return [];
      },
    })),
    "deleteFiles: removes exactly these files",
  ],
  [
    "deleteFiles takes an absent file amiss",
    memory((d) => ({
      async deleteFiles(paths) {
        for (const path of paths) await d.delete(path);
        return [];
      },
    })),
    "deleteFiles: an absent one counts as removed",
  ],
  [
    "deleteFiles ends at a thousand",
    memory((d) => ({ deleteFiles: (paths) => d.deleteFiles(paths.slice(0, 1000)) })),
    "deleteFiles: takes more than a thousand",
  ],
  [
    "pruneDirectories takes all below",
    memory((d) => ({
      async pruneDirectories(paths) {
        for (const path of paths)
          await orAbsent(
            () => d.delete(path),
            () => undefined,
          );
      },
    })),
    "pruneDirectories: never removes what holds anything",
  ],
  [
    "pruneDirectories knows no end",
    memory((d) => ({ pruneDirectories: (paths) => d.pruneDirectories(paths, { upTo: "/" }) })),
    "pruneDirectories: stops below upTo",
  ],
  [
    "pruneDirectories leaves parents",
    memory((d) => ({
      pruneDirectories: (paths) => d.pruneDirectories(paths.slice(0, 1), { upTo: (paths[0] ?? "").replace(/\/[^/]*$/, "") }),
    })),
    "pruneDirectories: removes empty directories, then their empty parents",
  ],
  [
    "ifAbsent overwrites",
    memory((d) => ({ putContent: (path, bytes) => d.putContent(path, bytes) })),
    "putContent: with ifAbsent it writes once and says so, or is UNSUPPORTED",
  ],
  [
    "ifAbsent looks first, and writes later",
    memory((d) => ({
      async putContent(path, bytes, options) {
        if (
          options?.ifAbsent === true &&
          (await orAbsent(
            () => d.stat(path),
            () => undefined,
          )) !== undefined
        )
          return false;
        await later();
        return d.putContent(path, bytes);
      },
    })),
    "putContent: of many with ifAbsent at once, one writes",
  ],
  [
    "putContent writes over what is there",
    memory((d) => ({
      async putContent(path, bytes) {
        const old = await orAbsent(
          () => d.getContent(path),
          () => new Uint8Array(),
        );
        return d.putContent(path, Buffer.concat([bytes, old.slice(bytes.length)]));
      },
    })),
    "putContent: replaces the whole content",
  ],
  [
    "putContent writes in two steps",
    memory((d) => ({
      async putContent(path, bytes) {
        await d.putContent(path, bytes.slice(0, bytes.length / 2));
        await later();
        return d.putContent(path, bytes);
      },
    })),
    "putContent: readers see the old content or the new, whole",
  ],
  [
    "times are those of the first write",
    () => {
      const times = new Map<string, Date>();
      return wrong(new MemoryDriver(), (d) => ({
        async putContent(path, bytes) {
          times.set(path, times.get(path) ?? new Date());
          return d.putContent(path, bytes);
        },
        async stat(path) {
          return { ...(await d.stat(path)), modTime: times.get(path) };
        },
      }));
    },
    "modTime: is that of the last write, and moves forward",
  ],
  [
    "move keeps a large source",
    memory((d) => ({
      async move(source, destination) {
        const content = await d.getContent(source);
        await d.move(source, destination);
        if (content.length > 1_048_576) await d.putContent(source, content);
      },
    })),
    "move: brings the content, and the source is gone",
  ],
  [
    "move overwrites",
    memory((d) => ({
      async move(source, destination) {
        await d.putContent(destination, await d.getContent(source));
        await d.delete(source);
      },
    })),
    "move: never overwrites, and loses nothing",
  ],
  [
    "move stumbles where something is",
    memory((d) => ({
      async move(source, destination) {
        const there = await d.stat(destination).catch(() => undefined);
        if (there !== undefined) throw new TypeError("there.push is not a function");
        await d.move(source, destination);
      },
    })),
    "move: never overwrites, and loses nothing",
  ],
  [
    "move calls what is in the way an absence",
    memory((d) => ({
      async move(source, destination) {
        const there = await d.stat(destination).catch(() => undefined);
        if (there !== undefined) throw new PathNotFoundError(destination, d.name);
        await d.move(source, destination);
      },
    })),
    "move: never overwrites, and loses nothing",
  ],
  [
    "reader gives strings",
    memory((d) => ({ reader: async (path) => Readable.from([Buffer.from(await d.getContent(path)).toString("utf8")]) })),
    "reader: gives the bytes that were written",
  ],
  [
    "getContent gives text",
    memory((d) => ({ getContent: async (path) => Buffer.from(await d.getContent(path)).toString("utf8") as never })),
    "getContent: gives the bytes that were written",
  ],
  [
    "reader stumbles over directories",
    memory((d) => ({
      async reader(path, options) {
        const { isDirectory } = await d.stat(path);
        if (isDirectory) throw new TypeError("Cannot read properties of undefined (reading 'toFixed')");
        return d.reader(path, options);
      },
    })),
    "reader: a directory has no content",
  ],
  [
    "move leaves the source",
    memory((d) => ({
      async move(source, destination) {
        await d.putContent(destination, await d.getContent(source), { ifAbsent: true });
      },
    })),
    "move: brings the content, and the source is gone",
  ],
  [
    "anything is a path",
    memory((d) => ({ stat: (path, options) => d.stat(path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1"), options) })),
    "stat: what is no path is INVALID_PATH",
  ],
  [
    "list ignores a signal",
    memory((d) => ({ list: (path) => d.list(path) })),
    "list: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "walk ends at a signal",
    flat((d) => ({ walk: (path, options) => (options?.signal?.aborted === true ? first(d.walk("/none")) : d.walk(path)) })),
    "walk: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "delete ignores a signal",
    memory((d) => ({ delete: (path) => d.delete(path) })),
    "delete: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "putContent looks at its signal last",
    memory((d) => ({
      async putContent(path, bytes, options) {
        await d.putContent(path, bytes);
        options?.signal?.throwIfAborted();
        return true;
      },
    })),
    "putContent: a signal that is aborted already rejects, and nothing is done",
  ],
  [
    "an aborted call rejects with an error of its own",
    memory((d) => ({
      stat: async (path, options) => {
        if (options?.signal?.aborted === true) throw new Error("aborted");
        return d.stat(path);
      },
    })),
    "stat: a signal that is aborted already rejects, and nothing is done",
  ],
  ["has no name", memory(() => ({ name: "" })), "name: is something to show"],
  [
    "knows files only",
    memory((d) => ({ stat: async (path) => ((await d.stat(path)).isDirectory ? d.stat(`${path}/none/at/all`) : d.stat(path)) })),
    "stat: tells a directory",
  ],
  [
    "list takes a file for an absence",
    memory((d) => ({
      async *list(path) {
        yield* d.list((await d.stat(path)).isDirectory ? path : `${path}/none`);
      },
    })),
    "list: of a file is no absence",
  ],
  [
    "list of an empty directory fails",
    memory((d) => ({
      async *list(path) {
        const infos = await all(d.list(path));
        if (infos.length === 0) throw new Error("nothing to list");
        yield infos;
      },
    })),
    "list: a directory that was emptied is an empty listing, or absent",
  ],
  [
    "reader past the end fails",
    memory((d) => ({
      async reader(path, options) {
        if ((options?.offset ?? 0) > (await d.getContent(path)).length) throw new Error("416");
        return d.reader(path, options);
      },
    })),
    "reader: past the end there is nothing",
  ],
  [
    "getContent gives text",
    memory((d) => ({ getContent: async (path) => Buffer.from(Buffer.from(await d.getContent(path)).toString("utf8")) })),
    "getContent: gives the bytes that were written",
  ],
  [
    "getContent of a directory is empty",
    memory((d) => ({ getContent: async (path) => ((await d.stat(path)).isDirectory ? new Uint8Array() : d.getContent(path)) })),
    "getContent: a directory has no content",
  ],
  [
    "delete leaves files",
    memory((d) => ({ delete: async (path) => ((await d.stat(path)).isDirectory ? d.delete(path) : undefined) })),
    "delete: removes a file, and stat and reader see it",
  ],
  [
    "delete takes what is directly below",
    flat((d) => ({
      async delete(path) {
        await d.deleteFiles([path, ...(await all(d.list(path))).filter((info) => !info.isDirectory).map((info) => info.path)]);
      },
    })),
    "delete: removes all below",
  ],
  [
    "deleteFiles of nothing fails",
    memory((d) => ({
      async deleteFiles(paths) {
        if (paths.length === 0) throw new Error("MalformedXML");
        return d.deleteFiles(paths);
      },
    })),
    "deleteFiles: an empty list is nothing to do",
  ],
  [
    "putContent makes no directories",
    memory((d) => ({
      async putContent(path, bytes) {
        await d.stat(path.slice(0, path.lastIndexOf("/")) || "/");
        return d.putContent(path, bytes);
      },
    })),
    "putContent: writes a whole file, with the directories that it needs",
  ],
  [
    "ifAbsent takes an empty file for nothing",
    memory((d) => ({
      async putContent(path, bytes, options) {
        const size = await orAbsent(
          async () => (await d.stat(path)).size,
          () => 0,
        );
        return d.putContent(path, bytes, { ifAbsent: options?.ifAbsent === true && size !== 0 });
      },
    })),
    "putContent: with ifAbsent it leaves an empty file as it is",
  ],
  [
    "move of nothing is fine",
    memory((d) => ({
      move: (source, destination) =>
        orAbsent(
          () => d.move(source, destination),
          () => undefined,
        ),
    })),
    "move: an absent source is PATH_NOT_FOUND",
  ],
];

/** Every call of a driver, with other arguments. */
function withArguments(right: StorageDriver, change: (argument: unknown) => unknown): StorageDriver {
  return new Proxy(right, {
    get: (target, key): unknown => {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => Reflect.apply(value, target, args.map(change));
    },
  });
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/** A driver that never looks at a signal. */
export function deafDriver(right: StorageDriver): StorageDriver {
  return withArguments(right, (each) => (isObject(each) && "signal" in each ? { ...each, signal: undefined } : each));
}

/** A driver that makes a path of anything. */
export function laxDriver(right: StorageDriver): StorageDriver {
  const tidy = (path: string) => `/${(path.match(/[A-Za-z0-9._-]+/g) ?? []).filter((part) => !/^\.\.?$/.test(part)).join("/")}`;
  const tidied = (each: unknown) => (typeof each === "string" ? tidy(each) : each);
  return withArguments(right, (each) => (Array.isArray(each) ? each.map(tidied) : tidied(each)));
}
