/** Debian's docker-registry and skopeo: whether they are here, and how a program is run to its end. */

import { execFile } from "node:child_process";
import { describe } from "vitest";
import { isOnPath } from "../../support/programs.js";

export { isOnPath };

export const missingTools: readonly string[] = ["docker-registry", "skopeo"].filter((tool) => !isOnPath(tool));

if (missingTools.length > 0 && process.env["INTEROP"] === "required") {
  throw new Error(`INTEROP=required, but there is no ${missingTools.join(" and no ")} here`);
}

/** Tests that need the real tools: skipped by name where one is missing. */
export const describeInterop = describe.skipIf(missingTools.length > 0);

/** Tests that need these programs: skipped by name where one is missing, unless all are asked for. */
export function describeWith(...tools: readonly string[]): typeof describeInterop {
  const missing = tools.filter((tool) => !isOnPath(tool));
  if (missing.length > 0 && process.env["INTEROP"] === "required") {
    throw new Error(`INTEROP=required, but there is no ${missing.join(" and no ")} here`);
  }
  return describe.skipIf(missing.length > 0);
}

/** Runs a program and returns what it printed; where it fails, the error says what it complained of. */
export function runTool(file: string, args: readonly string[], env = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { env, timeout: 60_000, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${[file, ...args].join(" ")}: ${stderr.trim() || error.message}`));
    });
  });
}
