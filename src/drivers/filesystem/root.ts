/** The directory that a driver's paths are below: where they lie on the disk, and what an error of the system says of one of them. */

import { join as osJoin } from "node:path";
import { dirname } from "../../driver.js";
import { codeOf, DriverError, messageOf, PathNotFoundError } from "../../errors.js";
import { isOnDisk, leadsNowhere } from "./disk.js";

export class Root {
  constructor(
    readonly directory: string,
    private readonly driverName: string,
  ) {}

  onDisk(path: string): string {
    return path === "/" ? this.directory : osJoin(this.directory, path);
  }

  /** Tells "not there" from "could not look": a symbolic link that leads nowhere is the latter, wherever it stands in the path. */
  async failure(verb: string, path: string, error: unknown): Promise<Error> {
    const code = codeOf(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") return this.error(path, `cannot ${verb} ${path}: ${messageOf(error)}`, error);
    if (code === "ENOTDIR" && (await isOnDisk(this.onDisk(path)))) {
      return this.error(path, `cannot ${verb} ${path}: it is no directory`, error);
    }
    const last = await this.lastOnDisk(path);
    if (last !== undefined && (await leadsNowhere(this.onDisk(last)))) {
      return this.error(path, `cannot ${verb} ${path}: the symbolic link ${last} leads nowhere: is what it leads to mounted?`, error);
    }
    return new PathNotFoundError(path, this.driverName, { cause: error });
  }

  error(path: string, message: string, cause: unknown): DriverError {
    const { driverName } = this;
    return new DriverError(`${driverName}: ${message}`, { driverName, path, cause });
  }

  /** The longest beginning of a path that is there, be it a link that leads nowhere. */
  private async lastOnDisk(path: string): Promise<string | undefined> {
    for (let each = path; ; each = dirname(each)) {
      if (await isOnDisk(this.onDisk(each))) return each;
      if (each === "/") return undefined;
    }
  }
}
