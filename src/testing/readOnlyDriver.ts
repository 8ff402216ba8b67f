import type { StorageDriver } from "../driver.js";
import { DriverError } from "../errors.js";
import { InterceptedDriver, isChange } from "./interceptedDriver.js";

/** A driver that can only be looked at: whatever would change something rejects, and is remembered in {@link ReadOnlyDriver.refused}. */
export class ReadOnlyDriver extends InterceptedDriver {
  /** What was refused: method and path. A dry run leaves it empty. */
  readonly refused: readonly string[];

  constructor(inner: StorageDriver) {
    const refused: string[] = [];
    super(inner, async ({ method, paths }, proceed) => {
      if (!isChange(method)) return proceed();
      refused.push(`${method} ${paths.join(" ")}`);
      throw new DriverError(`${inner.name}: ${method} ${paths.join(" ")}: this driver is read-only`, { driverName: inner.name });
    });
    this.refused = refused;
  }
}
