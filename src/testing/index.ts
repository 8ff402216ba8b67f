/**
 * What implementers of drivers and registries test with. It depends on no test framework.
 *
 * @packageDocumentation
 */

export type { ConformanceCheck, ConformanceSubject } from "./conformance/check.js";
export type { RegistryContents, RepositoryContents } from "./conformance/contents.js";
export { ConformanceError } from "./conformance/expecting.js";
export { namespaceConformance } from "./conformance/namespace.js";
export type { NamespaceCheck, NamespaceSubject } from "./conformance/namespaceCheck.js";
export { type StorageDriverConformanceOptions, storageDriverConformance } from "./conformance/storageDriver.js";
export { CountingDriver } from "./countingDriver.js";
export { type Descriptor, type ImageFormat, MEDIA_TYPES } from "./documents.js";
export { type Fault, type FaultAim, type FaultKind, FaultyDriver } from "./faultyDriver.js";
export { FlatDriver, type StoredObject } from "./flatDriver.js";
export { type DriverCall, type DriverMethod, type Intercept, InterceptedDriver, isChange } from "./interceptedDriver.js";
export { type OracleOptions, reachable, type Verdict } from "./oracle.js";
export { ReadOnlyDriver } from "./readOnlyDriver.js";
export { type RecordedCall, RecordingDriver } from "./recordingDriver.js";
export {
  type BuiltBlob,
  type BuiltManifest,
  type ImageOptions,
  type IndexOptions,
  type PushOptions,
  RegistryBuilder,
} from "./registryBuilder.js";
export { type LinkDamage, RegistryDamager } from "./registryDamager.js";
export { type Snapshot, type SnapshotFile, snapshotOf } from "./snapshot.js";
export { DEFAULT_ROOT, digestOf, V2Paths } from "./v2Paths.js";
