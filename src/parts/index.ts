/**
 * A run in parts: made by many processes, on many machines. No engine is in here: `oci-registry-gc/bullmq` is one.
 *
 * @packageDocumentation
 */

export { collectInParts, type PartedOptions, type PartedRun, tidyUp } from "./collectInParts.js";
export { PartDamagedError, WorkerRefusedError } from "./errors.js";
export { type Execute, type ExecuteOptions, Suspension } from "./lead.js";
export { type PartWorker, runPart } from "./runPart.js";
export type { PartJob, PlannedOptions, RunPlan, WorkerHooks } from "./runPlan.js";
