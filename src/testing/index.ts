/**
 * What implementers of drivers and registries test with. It depends on no test framework.
 *
 * @packageDocumentation
 */

export { FlatDriver } from "./flatDriver.js";
export { type Files, type OracleOptions, reachable, type Verdict } from "./oracle.js";
