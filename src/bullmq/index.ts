/**
 * A run in parts as jobs on BullMQ: many processes collect one registry.
 *
 * @packageDocumentation
 */

export type { PartedOptions, PlannedOptions, WorkerHooks } from "../parts/index.js";
export { type CancelSettings, cancelCollection } from "./cancelCollection.js";
export { type CollectionWorker, createWorker, type WorkerSettings } from "./createWorker.js";
export { QueueError } from "./errors.js";
export { type CollectionSettings, startCollection } from "./startCollection.js";
