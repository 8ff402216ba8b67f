/** A real registry on loopback, with a directory for its storage. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./tools.js";

const START_MS = 20_000;

export interface RegistryServer {
  /** Host and port, as image names begin with. */
  readonly host: string;
  stop(): Promise<void>;
}

/** Runs some work while a registry serves a storage; whatever happens, it has stopped afterwards. */
export async function whileServing<T>(folder: string, work: (server: RegistryServer) => Promise<T>): Promise<T> {
  return whileServingConfig(await writeConfig(folder), work);
}

/** The same with a configuration of any kind. */
export async function whileServingConfig<T>(config: string, work: (server: RegistryServer) => Promise<T>): Promise<T> {
  const server = await serve(config);
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

/** `docker-registry garbage-collect`, on a storage that nothing serves. */
export async function collectAsDistribution(folder: string, { removeUntagged }: { readonly removeUntagged: boolean }): Promise<void> {
  await collectAsDistributionByConfig(await writeConfig(folder), { removeUntagged });
}

/** The same with a configuration of any kind. */
export async function collectAsDistributionByConfig(
  config: string,
  { removeUntagged }: { readonly removeUntagged: boolean },
): Promise<void> {
  await runTool("docker-registry", ["garbage-collect", config, ...(removeUntagged ? ["--delete-untagged"] : [])], registryEnvironment());
}

/** Its S3 driver can't stand this one variable. */
function registryEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, AWS_CA_BUNDLE: undefined };
}

/** Where in a folder of a test the registry has its storage. */
export function storageOf(folder: string): string {
  return join(folder, "storage");
}

async function serve(config: string): Promise<RegistryServer> {
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "pipe", "pipe"], env: registryEnvironment() });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async () => {
    process.off("exit", kill);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  };
  try {
    return { host: await addressOf(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The system chooses the port; the registry's log tells it. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let log = "";
    const fail = (why: string) => reject(new Error(`docker-registry ${why}:\n${log}`));
    const timer = setTimeout(() => fail("did not start in time"), START_MS);
    const read = (chunk: Buffer) => {
      log = `${log}${chunk.toString()}`.slice(-10_000);
      const host = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
      if (host === undefined) return;
      clearTimeout(timer);
      resolve(host);
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("error", reject);
    child.once("close", () => fail("ended"));
  });
}

function writeConfig(folder: string): Promise<string> {
  return writeConfigFor(folder, { filesystem: { rootdirectory: storageOf(folder) } });
}

/** Writes a configuration into a folder, for a storage of any kind; `more` is what stands beside it. */
export async function writeConfigFor(folder: string, storage: object, more: object = {}): Promise<string> {
  const file = join(folder, "config.json");
  // JSON is YAML too. Without a cache, unless the storage says so, since what is collected behind its back must be seen.
  const config = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: {
      ...storage,
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: "127.0.0.1:0", secret: "not a secret" },
    compatibility: { schema1: { enabled: true } },
    ...more,
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}
