import { type ConnectionOptions, Queue } from "bullmq";
import { bounded } from "./bounded.js";
import { markCancelled } from "./cancel.js";
import { checkConnection } from "./connection.js";
import { QueueError } from "./errors.js";
import { DEFAULT_QUEUE, type RunData, runJobId } from "./jobs.js";

export interface CancelSettings {
  readonly connection: ConnectionOptions;
  /** As `startCollection` was given it. */
  readonly queue?: string | undefined;
  /** As `startCollection` was given it. */
  readonly prefix?: string | undefined;
  readonly runId: string;
  /** Milliseconds. How long Redis may be out of reach. Default a minute. */
  readonly patienceMs?: number | undefined;
}

const CLOSE_MS = 1000;

/**
 * Cancels a run that somebody else started: resolves once everybody who works for it can know. Whoever waits for the run learns of it by
 * an error of the name `AbortError`.
 *
 * @throws QueueError where the queue knows no such run, or is out of reach.
 */
export async function cancelCollection({
  connection,
  queue = DEFAULT_QUEUE,
  prefix,
  runId,
  patienceMs = 60_000,
}: CancelSettings): Promise<void> {
  checkConnection(connection);
  const runs = new Queue<RunData>(queue, { connection, ...(prefix !== undefined && { prefix }) });
  runs.on("error", () => undefined);
  try {
    await bounded(patienceMs, markCancelled(runs, runJobId(runId)));
  } catch (cause) {
    throw new QueueError(runId, `run ${runId} could not be cancelled: Redis does not answer, or knows no such run`, { cause });
  } finally {
    await bounded(CLOSE_MS, runs.close()).catch(() => undefined);
    await bounded(CLOSE_MS, runs.disconnect()).catch(() => undefined);
  }
}
