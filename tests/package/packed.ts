/** The package as `npm pack` makes it, and projects that use it: each in a folder of its own, with nothing but what it declares. */

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./run.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Target {
  readonly types: string;
  readonly default: string;
}

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | { readonly import: Target; readonly require: Target }>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

export const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

/** What a user imports, for each entry; `file` is its path in `dist` without what follows the name. */
export const entries = Object.keys(manifest.exports)
  .filter((subpath) => typeof manifest.exports[subpath] !== "string")
  .map((subpath) => ({ specifier: subpath.replace(/^\./, manifest.name), file: subpath === "." ? "index" : subpath.slice(2) }));

export const optionalPeers = Object.keys(manifest.peerDependencies).filter(
  (peer) => manifest.peerDependenciesMeta[peer]?.optional === true,
);

/** What of this project the package is made from. */
const INGREDIENTS = [
  "package.json",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
  "THIRD_PARTY_NOTICES",
  "docs",
  "scripts",
  "src",
  "tsup.config.ts",
  "tsconfig.json",
];

export class Packed {
  private constructor(
    private readonly folder: string,
    readonly tarball: string,
  ) {}

  /** Builds and packs a copy of this project: nobody else's `dist` is in the way, and nothing is built elsewhere. */
  static async make(): Promise<Packed> {
    const folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-package-"));
    try {
      return new Packed(folder, await packCopy(folder));
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A project that has installed the package, and these of its dependencies and peers. Files are what it consists of. */
  async project(files: Readonly<Record<string, string>>, { without = [] as readonly string[] } = {}): Promise<string> {
    const folder = mkdtempSync(join(this.folder, "project-"));
    const installed = join(folder, "node_modules", manifest.name);
    mkdirSync(installed, { recursive: true });
    await run("tar", ["-xzf", this.tarball, "-C", installed, "--strip-components=1"], { cwd: folder });
    const names = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, "@types/node": "" });
    for (const name of names.filter((each) => !without.includes(each))) {
      mkdirSync(dirname(join(folder, "node_modules", name)), { recursive: true });
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    }
    for (const [name, content] of Object.entries({ "package.json": '{ "private": true }', ...files }))
      writeFileSync(join(folder, name), content);
    return folder;
  }
}

/** The tarball's path. */
async function packCopy(folder: string): Promise<string> {
  const copy = join(folder, "copy");
  for (const each of INGREDIENTS) cpSync(join(root, each), join(copy, each), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: copy });
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error("npm pack made no tarball");
  return join(folder, tarball);
}

/** Runs a program of a package that this project has for development. */
export function runDevelopmentTool(name: string, args: readonly string[], cwd = root): Promise<string> {
  return run(join(root, "node_modules/.bin", name), args, { cwd });
}
