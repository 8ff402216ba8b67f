import { RegistryGcError } from "../errors.js";

/**
 * The queue, not the registry: Redis is out of reach, has lost the run, or has given up one of its jobs. Nothing more is deleted on
 * the run's behalf by then, or somebody goes on with it: start it again with the same `runId`.
 */
export class QueueError extends RegistryGcError {
  readonly runId: string;

  constructor(runId: string, message: string, options?: { cause?: unknown }) {
    super("QUEUE_FAILED", message, options);
    this.runId = runId;
  }
}
