/** The storage's clock: what is young is told by times that the storage gave, compared with a time that it gives now. */

import { ClockSkewError, DriverError } from "../errors.js";
import type { Run } from "../run.js";
import { removeFile, unlessAbsent, writeFile } from "./files.js";

const MAX_SKEW_MS = 5 * 60_000;
/** Listings may lag, and a look may be one: so long, twice as long each time, before what was written is looked for again. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 32_000;

/**
 * How far the storage's clock is ahead of ours (milliseconds; negative: behind), by an object written and looked at; 0 where the
 * store gives no times. It has one name for all: what a run that died has left, the next one takes away.
 *
 * @throws DriverError where what was written is not seen a minute later.
 */
export async function measureOffset(run: Run, lock: string): Promise<number> {
  const { clock, driver, settlingDriver } = run;
  const probe = `${lock}.clock`;
  const before = clock.now();
  let modTime: Date | undefined;
  let after: number;
  try {
    modTime = await timeOfWriting(run, probe);
    after = clock.now();
    await removeFile(driver, probe);
  } catch (error) {
    await removeFile(settlingDriver, probe).catch(() => undefined);
    throw error;
  }
  if (modTime === undefined) return 0;
  const time = modTime.getTime();
  // Within the time that it took nothing can be told apart.
  if (time >= before && time <= after) return 0;
  return time < before ? time - before : time - after;
}

async function timeOfWriting({ clock, driver, signal }: Run, probe: string): Promise<Date | undefined> {
  for (let wait = FIRST_WAIT_MS; ; wait *= 2) {
    await writeFile(driver, probe, Buffer.from("the storage's time"));
    const seen = await unlessAbsent(() => driver.stat(probe));
    if (seen !== undefined) return seen.modTime;
    if (wait > LONGEST_WAIT_MS) {
      throw new DriverError(
        `${driver.name}: ${probe} was written, and is not seen a minute later: nothing was deleted. Where listings lag that much, this storage can't be collected`,
        { driverName: driver.name, path: probe },
      );
    }
    // Or another run, which measures at the same moment, has taken it away.
    await clock.sleep(wait, signal);
  }
}

/** @throws ClockSkewError */
export function refuseSkew(offset: number): void {
  if (Math.abs(offset) <= MAX_SKEW_MS) return;
  const seconds = Math.round(Math.abs(offset) / 1000);
  throw new ClockSkewError(
    `the storage's clock is ${seconds} seconds ${offset > 0 ? "ahead of" : "behind"} ours, more than five minutes: what is young can't be told; nothing was deleted. Set the clocks right, or collect with readOnly: true while nothing writes`,
  );
}
