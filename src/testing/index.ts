/**
 * What implementers of drivers and registries test with. It depends on no test framework.
 *
 * @packageDocumentation
 */

export { FlatDriver } from "./flatDriver.js";
