/**
 * Garbage collection for the storage of OCI and Docker registries.
 *
 * @packageDocumentation
 */

export type { Clock } from "./clock.js";
export type { GcContext } from "./context.js";
export { DigestSet } from "./digestSet.js";
export type { AbortOptions, Failure, FileInfo, StorageDriver, VisitedFiles, Visits } from "./driver.js";
export {
  ClockSkewError,
  DamagedRegistryError,
  DatabaseInUseError,
  DeleteRatioError,
  DriverError,
  EmptyMarkError,
  type ErrorCode,
  InvalidDigestError,
  InvalidOffsetError,
  InvalidPathError,
  isRegistryGcError,
  LockedError,
  PathNotFoundError,
  RegistryGcError,
  UnsupportedError,
} from "./errors.js";
export { type Explanation, type ExplanationStep, explain } from "./explain.js";
export { fromPino, type LogFields, type Logger, type PinoLike } from "./logger.js";
export { markAndSweep } from "./markAndSweep.js";
export type {
  BlobInfo,
  Damage,
  DamageKind,
  Footprint,
  LayerLink,
  LookOptions,
  Namespace,
  NamespacePieces,
  OnlinePlaces,
  Repository,
  RepositoryOverview,
  Revision,
  Signature,
  SurveyedRepository,
  Tag,
  TagIndexEntry,
  Upload,
} from "./namespace.js";
export { heal, purge } from "./online/commands.js";
export { listRuns, type QuarantinedRun } from "./online/listRuns.js";
export { type RestoreReport, type RestoreTarget, restore } from "./online/restore.js";
export type { DeletedItem, GcOptions, ItemKind, ManifestInfo, Phase, PlannedItem, Progress, Reason } from "./options.js";
export { memoryReferenceCache, type ReferenceCache } from "./referenceCache.js";
export { openRegistry } from "./registry/openRegistry.js";
export type { Removal, RemovalOptions, VacuumResult } from "./remover.js";
export type { AsideCounts, GcReport, Problem, RepositoryCounts, RunStatus, Safety, SweepCounts } from "./report.js";
export { Vacuum, type VacuumOptions } from "./vacuum.js";
export { VERSION } from "./version.js";
export type { RootReason } from "./watch.js";
export { createWriteBarrier, type WriteBarrier } from "./writeBarrier.js";
