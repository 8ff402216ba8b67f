/** All that runs: loaded as a whole, by the doors. */

export { explain } from "./explain.js";
export { markAndSweep } from "./markAndSweep.js";
export { heal, purge } from "./online/commands.js";
export { listRuns } from "./online/listRuns.js";
export { restore } from "./online/restore.js";
