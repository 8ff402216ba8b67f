/** What checks say when a promise is broken: what was expected, and what came instead. */

import { inspect, isDeepStrictEqual } from "node:util";
import { codeOf, isPathNotFound, messageOf } from "../../errors.js";

/** A promise that was broken. The message begins with the name of the check, and says what came instead. */
export class ConformanceError extends Error {
  readonly code = "CONFORMANCE";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "ConformanceError";
  }
}

/** A value, short enough for a message. */
export function show(value: unknown): string {
  return inspect(value, { breakLength: Number.POSITIVE_INFINITY, compact: true, depth: 4, maxArrayLength: 12, maxStringLength: 120 });
}

/** @throws {@link ConformanceError} unless it holds. */
export function holds(condition: boolean, broken: string): asserts condition {
  if (!condition) throw new ConformanceError(broken);
}

/** @throws {@link ConformanceError} unless both are the same, deeply. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (!isDeepStrictEqual(actual, expected)) throw new ConformanceError(`${what}: expected ${show(expected)}, got ${show(actual)}`);
}

/** @throws {@link ConformanceError} unless the lists hold the same strings, each as often; says which are missing, and which too many. */
export function sameSet(actual: readonly string[], expected: readonly string[], what: string): void {
  const left = countOf(actual);
  for (const each of expected) left.set(each, (left.get(each) ?? 0) - 1);
  const missing = [...left].filter(([, n]) => n < 0).map(([each]) => each);
  const extra = [...left].filter(([, n]) => n > 0).map(([each]) => each);
  if (missing.length === 0 && extra.length === 0) return;
  const parts = [
    ...(missing.length > 0 ? [`${missing.length} missing: ${show(missing)}`] : []),
    ...(extra.length > 0 ? [`${extra.length} too many, or told again: ${show(extra)}`] : []),
  ];
  throw new ConformanceError(`${what}: expected ${expected.length}, got ${actual.length}; ${parts.join("; ")}`);
}

/** How a call came out; one that throws before it returns a promise has rejected. */
export type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export async function outcomeOf<T>(call: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error };
  }
}

/** A call must reject with this code. */
export async function rejectsWith(code: string, what: string, call: () => Promise<unknown>): Promise<void> {
  const outcome = await outcomeOf(call);
  if (!("error" in outcome)) throw new ConformanceError(`${what}: expected a rejection with code ${code}, got ${show(outcome.value)}`);
  const { error } = outcome;
  if (codeOf(error) === code) return;
  throw new ConformanceError(`${what}: expected a rejection with code ${code}, got ${describeError(error)}`, { cause: error });
}

/** A call must be refused, with whatever, which is returned: but a mistake in the driver that got in the way is no refusal. */
export async function refuses(what: string, call: () => Promise<unknown>): Promise<unknown> {
  const outcome = await outcomeOf(call);
  if (!("error" in outcome)) throw new ConformanceError(`${what}: expected a rejection, got ${show(outcome.value)}`);
  const { error } = outcome;
  const isMistake = (error instanceof TypeError || error instanceof ReferenceError) && codeOf(error) === undefined;
  if (!isMistake) return error;
  throw new ConformanceError(`${what}: expected a refusal, got what looks like a mistake in the driver: ${describeError(error)}`, {
    cause: error,
  });
}

/** The same, and not as an absence: something is in the way. */
export async function refusesWhatIsThere(what: string, call: () => Promise<unknown>): Promise<void> {
  const error = await refuses(what, call);
  if (!isPathNotFound(error)) return;
  const message = `${what}: expected another rejection than that of an absent source, got ${describeError(error)}`;
  throw new ConformanceError(message, { cause: error });
}

/** A call must reject with exactly this value: the reason of a signal. */
export async function rejectsAs(reason: unknown, what: string, call: () => Promise<unknown>): Promise<void> {
  const outcome = await outcomeOf(call);
  if ("error" in outcome && outcome.error === reason) return;
  const came = "error" in outcome ? describeError(outcome.error) : show(outcome.value);
  throw new ConformanceError(`${what}: expected a rejection with the signal's reason, got ${came}`);
}

/** An error of anyone's, for a message. */
export function describeError(error: unknown): string {
  const code = codeOf(error);
  return `${error instanceof Error ? error.name : typeof error}${code === undefined ? " without a code" : ` ${code}`}: ${messageOf(error)}`;
}

function countOf(all: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const each of all) counts.set(each, (counts.get(each) ?? 0) + 1);
  return counts;
}
