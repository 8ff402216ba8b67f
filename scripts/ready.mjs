// Makes a fresh clone ready to run: `node scripts/ready.mjs [--interop | --redis]`. It needs nothing but Node itself.
//
// - `npm ci`, where node_modules is missing or is not what package-lock.json says.
// - With --interop also Debian's docker-registry and skopeo, chromium for the report's page, redis-server for caches and for runs in
//   parts, and OpenStack Swift for a real S3 server, where they are missing and apt-get may install them. Where it may not, the tests that
//   need them are skipped, by name; with INTEROP=required that is an error.
// - With --redis only redis-server of these.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

if (!isInstalled()) run("npm", ["ci", "--no-audit", "--no-fund"]);
if (process.argv.includes("--redis")) readyInterop({ "redis-server": ["redis-server"] });
if (process.argv.includes("--interop")) {
  readyInterop({ "docker-registry": ["docker-registry"], skopeo: ["skopeo"] });
  readyInterop({ chromium: ["chromium"] });
  readyInterop({ "redis-server": ["redis-server"] });
  readyInterop({
    memcached: ["memcached"],
    "swift-ring-builder": ["swift"],
    "swift-proxy-server": ["swift-proxy"],
    "swift-account-server": ["swift-account"],
    "swift-container-server": ["swift-container"],
    "swift-object-server": ["swift-object"],
  });
}

/** Whether node_modules holds what the lock file says: npm writes down at the end of an installation what it installed. */
function isInstalled() {
  const installed = packagesOf("node_modules/.package-lock.json");
  if (installed === undefined) return false;
  return Object.entries(packagesOf("package-lock.json") ?? {}).every(([path, { version, optional }]) => {
    if (path === "") return true;
    return path in installed ? installed[path].version === version : optional === true;
  });
}

function packagesOf(file) {
  const path = join(root, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

/** Programs, and the packages that have them. */
function readyInterop(tools) {
  const missing = Object.keys(tools).filter((tool) => !isOnPath(tool));
  if (missing.length === 0) return;
  const problem = installWithApt(missing.flatMap((tool) => tools[tool]));
  if (problem === undefined) return;
  const message = `${missing.join(" and ")} could not be installed: ${problem}`;
  if (process.env.INTEROP === "required") fail(`${message}; INTEROP=required asks for them`);
  console.error(`${message}. The tests that need them will be skipped.`);
}

/** Returns what went wrong, or nothing. */
function installWithApt(tools) {
  if (!isOnPath("apt-get")) return "there is no apt-get here";
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && !(isOnPath("sudo") && spawnSync("sudo", ["-n", "true"]).status === 0))
    return "that takes root, or sudo without a password";
  const privileged = (command) => {
    const [file, ...args] = [...(isRoot ? [] : ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", ...command];
    const { status, stdout, stderr } = spawnSync(file, args, { encoding: "utf8" });
    return status === 0 ? undefined : `${command.join(" ")} failed:\n${stdout ?? ""}${stderr ?? ""}`.trim();
  };
  console.error(`Installing ${tools.join(" and ")} with apt-get ...`);
  const problem =
    privileged(["apt-get", "update", "-q"]) ?? privileged(["apt-get", "install", "-q", "-y", "--no-install-recommends", ...tools]);
  // Debian starts them as services where there are services: only the programs are wanted.
  if (existsSync("/run/systemd/system"))
    for (const tool of tools.filter((each) => !["skopeo", "swift", "chromium"].includes(each)))
      privileged(["systemctl", "disable", "--now", tool]);
  return problem;
}

function isOnPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) fail(`${command} ${args.join(" ")} failed`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
