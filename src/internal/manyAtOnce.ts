/** Many small questions to a driver, together where it takes them so: a promise for each would cost as much as the answer. */

import type { AbortOptions, FileInfo, StorageDriver } from "../driver.js";
import { mapAll, slicesOf } from "./mapAll.js";

/** Questions in one call. */
const AT_ONCE = 256;

/** Asks for what is at each of these paths; `single` tells of those that are to be asked for one by one. */
export function statAll<A>(
  driver: StorageDriver,
  paths: readonly string[],
  options: AbortOptions,
  single: (index: number) => Promise<A>,
): Promise<(FileInfo | A)[]> {
  const many = areOwn(driver, ["stat"]) ? driver.statMany?.bind(driver) : undefined;
  return askAll(many && ((some) => many(some, options)), paths, single);
}

/** What a function makes of each of these paths, where the driver has it look at them; `undefined` for those that are to be looked at. */
export async function visitAll(
  driver: StorageDriver,
  paths: readonly string[],
  options: AbortOptions & { readonly visit: string },
): Promise<readonly (Uint8Array | undefined)[]> {
  if (!mayVisit(driver) || driver.visitMany === undefined) return paths.map(() => undefined);
  const answers = await toldOfAll(async (some) => (await driver.visitMany?.(some, options))?.answers ?? [], paths);
  // What is no bytes tells nothing.
  return answers.map((answer) => (ArrayBuffer.isView(answer) ? answer : undefined));
}

/** Whether a function may look at things in the driver's place. */
export function mayVisit(driver: StorageDriver): boolean {
  return driver.visitMany !== undefined && areOwn(driver, ["stat", "list", "getContent"]);
}

/**
 * Whether members are those that an owner's many stand for. A wrapper or a subclass that has put a member of its own in the single one's
 * place is asked by that.
 */
export function areOwn<Member extends string>(
  owner: { readonly [Name in Member]?: unknown } & { readonly manyOf?: { readonly [Name in Member]?: unknown } | undefined },
  members: readonly Member[],
): boolean {
  return members.every((member) => owner.manyOf?.[member] !== undefined && owner.manyOf[member] === owner[member]);
}

type Many<A> = (paths: readonly string[]) => Promise<readonly (A | undefined)[]>;

async function askAll<A, B>(
  many: Many<A> | undefined,
  paths: readonly string[],
  single: (index: number) => Promise<B>,
): Promise<(A | B)[]> {
  // One alone is faster asked as it is.
  if (many === undefined || paths.length < 2) return mapAll(paths, (_, i) => single(i));
  const told = await toldOfAll(many, paths);
  const open = told.flatMap((answer, i) => (answer === undefined ? [i] : []));
  const singly = new Map<number, B>();
  await mapAll(open, async (i) => singly.set(i, await single(i)));
  return told.map((answer, i) => (answer === undefined ? (singly.get(i) as B) : answer));
}

async function toldOfAll<A>(many: Many<A>, paths: readonly string[]): Promise<(A | undefined)[]> {
  return (await Promise.all(Array.from(slicesOf(paths, AT_ONCE), (some) => toldOf(many, some)))).flat();
}

/** What many answer, `undefined` for each that they don't. */
async function toldOf<A>(many: Many<A>, paths: readonly string[]): Promise<(A | undefined)[]> {
  try {
    const answers = await many(paths);
    return paths.map((_, i) => answers[i]);
  } catch {
    // The single calls tell why.
    return paths.map(() => undefined);
  }
}
