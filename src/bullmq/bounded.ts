/** Calls to Redis, which wait for ever where it is gone. */

import { Suspension } from "../parts/index.js";

/** @throws Error where there is no answer in time. */
export async function bounded<T>(ms: number, call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} seconds`)), ms);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
    // Whoever no longer waits for an answer need not hear that there is none.
    call.catch(() => undefined);
  }
}

const LEADER_MS = 30_000;

/** What a leader asks of the queue: without an answer he lets go of the run, and whoever takes it up goes on with it. */
export async function ask<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await bounded(LEADER_MS, call());
  } catch (error) {
    throw new Suspension("the queue does not answer", { cause: error });
  }
}
