import { RegistryGcError } from "../errors.js";

/** What one part of a run left for the next is not there, or not what it wrote. The run ends, and nothing is deleted on its strength. */
export class PartDamagedError extends RegistryGcError {
  readonly path: string;

  constructor(path: string, what: string) {
    super("PART_DAMAGED", `${path}, which a part of this run wrote, can't be believed: ${what}; the run ends here. Start it anew`);
    this.path = path;
  }
}

/** A worker can't make this part: it is of another version, or lacks what the run needs. */
export class WorkerRefusedError extends RegistryGcError {
  constructor(message: string) {
    super("WORKER_REFUSED", message);
  }
}
