import type { StorageDriver } from "../driver.js";
import { type DriverMethod, InterceptedDriver, isChange } from "./interceptedDriver.js";

/** A call that was made: a listing counts once, however many pages it has. */
export interface RecordedCall {
  readonly method: DriverMethod;
  readonly paths: readonly string[];
}

/** A driver that writes down what it is asked, in order. */
export class RecordingDriver extends InterceptedDriver {
  /** Every call, in the order in which they began. */
  readonly log: readonly RecordedCall[];

  constructor(inner: StorageDriver) {
    const log: RecordedCall[] = [];
    super(inner, ({ method, paths, page }, proceed) => {
      if (page === 0) log.push({ method, paths: [...paths] });
      return proceed();
    });
    this.log = log;
  }

  /** The calls that change what is stored. */
  get changes(): readonly RecordedCall[] {
    return this.log.filter(({ method }) => isChange(method));
  }
}
