/** What a check of a driver is, and the directory of its own that it works in. */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { types } from "node:util";
import type { FileInfo, StorageDriver } from "../../driver.js";
import { isPathNotFound, messageOf } from "../../errors.js";
import { InterceptedDriver } from "../interceptedDriver.js";
import { ConformanceError, describeError, holds, show } from "./expecting.js";

/** A driver to be checked. */
export interface ConformanceSubject {
  readonly driver: StorageDriver;
  /** Writes a whole file, with the directories that it needs, and the time of now. For drivers that have no `putContent`. */
  readonly put?: ((path: string, bytes: Uint8Array) => Promise<void>) | undefined;
}

/** One promise of a driver, as any test runner can ask for it. */
export interface ConformanceCheck {
  /** `<member>: <promise>`. It never changes between minors, so that one may be left out by name. */
  readonly name: string;
  /** The optional members of a driver that it uses: without one of them there is nothing to check. */
  readonly needs: readonly string[];
  /**
   * Works below a directory of its own, `/conformance-<uuid>`, which it makes and takes away.
   *
   * @throws {@link ConformanceError} where the promise is broken, a needed member is missing, or nothing can be written.
   */
  run(subject: ConformanceSubject): Promise<void>;
}

/** The optional members of a driver. */
export type OptionalMember = "getContent" | "walk" | "deleteFiles" | "pruneDirectories" | "putContent" | "move";

/** A driver that has these members. */
export type DriverWith<N extends OptionalMember> = StorageDriver & Required<Pick<StorageDriver, N>>;

/** Makes a check; the body works in a place that is taken away afterwards, however it ends. */
export type MakeCheck = <N extends OptionalMember>(
  name: string,
  needs: readonly N[],
  body: (place: Place, driver: DriverWith<N>) => Promise<void>,
) => ConformanceCheck;

/** @param listingLagMs - Milliseconds after a change until listings are sure to show it. */
export function checksWith(listingLagMs: number): MakeCheck {
  return (name, needs, body) => ({
    name,
    needs,
    run: async ({ driver, put }) => {
      const failedCalls = new Map<unknown, string>();
      const traced = tracedDriver(driver, failedCalls);
      if (!hasMembers(traced, needs)) {
        throw new ConformanceError(`${name}: the driver ${driver.name} lacks ${needs.join(" or ")}: leave out checks whose needs it lacks`);
      }
      const place = new Place(traced, put, listingLagMs);
      const broken = await failureOf(() => body(place, traced));
      const left = await failureOf(() => place.takeAway());
      if (broken === undefined && left === undefined) return;
      const messages = [
        ...(broken === undefined ? [] : [messageOfBroken(broken.error, failedCalls)]),
        ...(left === undefined ? [] : [`${place.root} can't be taken away, and may be left: ${messageOf(left.error)}`]),
      ];
      throw new ConformanceError(`${name}: ${messages.join("; ")}`, { cause: (broken ?? left)?.error });
    },
  });
}

/** Remembers which call each error came from: what a check did not expect is told with it. */
function tracedDriver(driver: StorageDriver, failedCalls: Map<unknown, string>): StorageDriver {
  return new InterceptedDriver(driver, async ({ method, paths }, proceed) => {
    try {
      const answer = await proceed();
      if (method === "getContent") bytesOf(`getContent of ${paths.join()}`, answer);
      return answer;
    } catch (error) {
      failedCalls.set(error, `${method} of ${paths.slice(0, 3).join(", ")}`);
      throw error;
    }
  });
}

/** @throws {@link ConformanceError} unless it is bytes. */
function bytesOf<T>(what: string, value: T): T {
  holds(types.isUint8Array(value), `${what}: expected bytes, a Uint8Array, got ${show(value)}`);
  return value;
}

function messageOfBroken(error: unknown, failedCalls: ReadonlyMap<unknown, string>): string {
  if (error instanceof ConformanceError) return error.message;
  return `${failedCalls.get(error) ?? "reading or writing"}: expected no error, got ${describeError(error)}`;
}

function hasMembers<N extends OptionalMember>(driver: StorageDriver, needs: readonly N[]): driver is DriverWith<N> {
  return needs.every((need) => typeof driver[need] === "function");
}

async function failureOf(work: () => Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return { error };
  }
}

/** Writes in flight. */
const AT_ONCE = 16;

/** A directory of a check's own, and what checks do there. */
export class Place {
  readonly root = `/conformance-${randomUUID()}`;

  constructor(
    private readonly driver: StorageDriver,
    private readonly put: ConformanceSubject["put"],
    private readonly listingLagMs: number,
  ) {}

  /** The path of a name in here; `""` is the place itself. */
  at(name: string): string {
    return name === "" ? this.root : `${this.root}/${name}`;
  }

  /** Writes one file. */
  async write(name: string, content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    if (this.put !== undefined) return this.put(this.at(name), bytes);
    if (this.driver.putContent === undefined) {
      throw new ConformanceError(`nothing can be written: the driver ${this.driver.name} has no putContent, and the subject no put`);
    }
    await this.driver.putContent(this.at(name), bytes);
  }

  /** Writes files whose content is their name, and waits until listings show them. */
  async files(...names: string[]): Promise<void> {
    for (let start = 0; start < names.length; start += AT_ONCE) {
      await Promise.all(names.slice(start, start + AT_ONCE).map((name) => this.write(name, name)));
    }
    await this.settle();
  }

  /** Waits until listings show what was changed. */
  async settle(): Promise<void> {
    if (this.listingLagMs > 0) await sleep(this.listingLagMs);
  }

  /** The content of a file, from an offset. */
  async read(name: string, offset?: number): Promise<Uint8Array> {
    return readAll(this.driver, this.at(name), offset);
  }

  /** The content of a file, as text. */
  async text(name: string): Promise<string> {
    return new TextDecoder().decode(await this.read(name));
  }

  /** What is at a name. */
  stat(name: string): Promise<FileInfo> {
    return this.driver.stat(this.at(name));
  }

  /** What is at a name; `undefined` where nothing is. */
  async find(name: string): Promise<FileInfo | undefined> {
    try {
      return await this.stat(name);
    } catch (error) {
      if (isPathNotFound(error)) return undefined;
      throw error;
    }
  }

  /** What a listing of a directory in here names, below the place. */
  async names(name: string): Promise<string[]> {
    const infos = await all(this.driver.list(this.at(name)));
    return infos.map((info) => this.nameOf(info));
  }

  /** The name of a path in here; any other path as it is. */
  nameOf({ path }: Pick<FileInfo, "path">): string {
    return path.startsWith(`${this.root}/`) ? path.slice(this.root.length + 1) : path;
  }

  /** Removes the place, where there is one. */
  async takeAway(): Promise<void> {
    try {
      await this.driver.delete(this.root);
    } catch (error) {
      if (!isPathNotFound(error)) throw error;
    }
  }
}

/** All pages of a listing; one that throws before it begins has rejected. */
export async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const page of pages) found.push(...page);
  return found;
}

/** The whole content that `reader` gives. */
export async function readAll(driver: StorageDriver, path: string, offset?: number): Promise<Uint8Array> {
  const stream = await driver.reader(path, offset === undefined ? undefined : { offset });
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(bytesOf(`what the stream of reader(${path}) gives`, chunk));
  return Uint8Array.from(Buffer.concat(chunks));
}
