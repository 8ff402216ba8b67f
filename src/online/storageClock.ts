/** The storage's clock: what is young is told by times that the storage gave, compared with a time that it gives now. */

import type { Clock } from "../clock.js";
import type { StorageDriver } from "../driver.js";
import { ClockSkewError } from "../errors.js";

const MAX_SKEW_MS = 5 * 60_000;

/**
 * How far the storage's clock is ahead of ours (milliseconds; negative: behind), by an object written and looked at; 0 where the
 * store gives no times. The object is taken away by `settlingDriver`, which an abort does not stop.
 */
export async function measureOffset(driver: StorageDriver, settlingDriver: StorageDriver, clock: Clock, probe: string): Promise<number> {
  const before = clock.now();
  let after = before;
  let modTime: Date | undefined;
  try {
    await driver.putContent?.(probe, Buffer.from("the storage's time"));
    modTime = (await driver.stat(probe)).modTime;
    after = clock.now();
    await driver.delete(probe);
  } catch (error) {
    await settlingDriver.delete(probe).catch(() => undefined);
    throw error;
  }
  if (modTime === undefined) return 0;
  const time = modTime.getTime();
  // Within the time that it took nothing can be told apart.
  if (time >= before && time <= after) return 0;
  return time < before ? time - before : time - after;
}

/** @throws ClockSkewError */
export function refuseSkew(offset: number): void {
  if (Math.abs(offset) <= MAX_SKEW_MS) return;
  const seconds = Math.round(Math.abs(offset) / 1000);
  throw new ClockSkewError(
    `the storage's clock is ${seconds} seconds ${offset > 0 ? "ahead of" : "behind"} ours, more than five minutes: what is young can't be told; nothing was deleted. Set the clocks right, or collect with readOnly: true while nothing writes`,
  );
}
