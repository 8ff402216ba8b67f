/** The package as users get it: what is in it, and that it works for everyone whom it says it works for. */

import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeOf } from "./nodeVersions.js";
import { entries, manifest, optionalPeers, Packed, runDevelopmentTool } from "./packed.js";
import { run } from "./run.js";

let packed: Packed;
beforeAll(async () => {
  packed = await Packed.make();
});
afterAll(() => {
  packed.remove();
});

describe("what is in it", () => {
  test("the entries in both formats with their declarations, what they share, documents, and nothing else", async () => {
    const listed = (await run("tar", ["-tzf", packed.tarball], { cwd: "/" })).trim().split("\n");
    const files = listed.map((path) => path.replace(/^package\//, ""));
    const documents = ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "THIRD_PARTY_NOTICES"];
    const kinds = [".js", ".js.map", ".cjs", ".cjs.map", ".d.ts", ".d.cts"];
    const built = entries.flatMap(({ file }) => kinds.map((kind) => `dist/${file}${kind}`));
    expect(files).toEqual(expect.arrayContaining([...documents, ...built]));

    const others = files.filter((file) => !documents.includes(file) && !built.includes(file));
    const shared = others.filter((file) => /^dist\/[\w-]+-[\w-]{8}\.(js|js\.map|d\.ts|d\.cts)$/.test(file));
    const pages = others.filter((file) => /^docs\/[\w-]+\.(md|svg)$/.test(file));
    expect(others.filter((file) => !shared.includes(file) && !pages.includes(file))).toEqual([]);

    // What is shared is used: a file of an older build is not.
    const folder = join(await packed.project({}), "node_modules", manifest.name);
    const names = shared.map((file) => file.replace(/^dist\//, "").replace(/\.d\.(c?)ts$/, ".$1js"));
    const code = files.filter((file) => /^dist\/.*(js|ts)$/.test(file)).map((file) => readFileSync(join(folder, file), "utf8"));
    expect(
      names.filter((name) => !code.some((text) => text.includes(`/${name}'`) || text.includes(`/${name}"`) || text.includes(`=${name}`))),
    ).toEqual([]);
  });

  test("publint has nothing to say", async () => {
    expect(await runDevelopmentTool("publint", [packed.tarball, "--strict"])).toContain("All good!");
  });

  test("are-the-types-wrong finds no problem, for any resolver", async () => {
    const { problems, analysis } = JSON.parse(await runDevelopmentTool("attw", [packed.tarball, "--format", "json"])) as {
      problems?: unknown;
      analysis: { entrypoints: Record<string, unknown> };
    };
    expect(problems ?? {}).toEqual({});
    expect(Object.keys(analysis.entrypoints)).toEqual(Object.keys(manifest.exports));
  });
});

test("the root entry has at most 174 kB, minified, its dependencies aside", async () => {
  const folder = join(await packed.project({}), "node_modules", manifest.name);
  const { outputFiles } = await build({
    entryPoints: [join(folder, "dist/index.js")],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    packages: "external",
    absWorkingDir: folder,
  });
  const bytes = outputFiles.reduce((sum, { contents }) => sum + contents.length, 0);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThanOrEqual(174_000);
});

const imports = (specifiers: readonly string[]) => specifiers.map((specifier) => `await import(${JSON.stringify(specifier)})`);
const requires = (specifiers: readonly string[]) => specifiers.map((specifier) => `require(${JSON.stringify(specifier)})`);
const specifiers = entries.map(({ specifier }) => specifier);

/** Collects a registry in memory, and prints what it deleted, and what each entry exports. */
const collection = `
  const driver = new MemoryDriver({ now: () => 0 });
  const builder = new RegistryBuilder(driver);
  await builder.image("app", { tag: "latest" });
  await builder.image("app", { tag: "latest" });
  const report = await markAndSweep({}, driver, openRegistry(driver), { readOnly: true, removeUntagged: true });
  const thrown = await driver.stat("/nowhere").catch((error) => error);
  console.log(JSON.stringify({
    version: process.version,
    deleted: report.deleted.blobs,
    text: formatReport(report).includes("Deleted 3 blobs"),
    known: isRegistryGcError(thrown) && thrown instanceof PathNotFoundError && thrown.code === "PATH_NOT_FOUND",
    names: entries.map((entry) => Object.keys(entry).filter((name) => name !== "default" && name !== "__esModule" && name !== "module.exports").sort()),
  }));`;
const used = "{ markAndSweep, openRegistry, isRegistryGcError, PathNotFoundError, MemoryDriver, RegistryBuilder, formatReport }";
const CONSUMERS = {
  "import.mjs": `const entries = [${imports(specifiers).join(", ")}];\nconst ${used} = Object.assign({}, ...entries);${collection}`,
  "require.cjs": `const entries = [${requires(specifiers).join(", ")}];\nconst ${used} = Object.assign({}, ...entries);\n(async () => {${collection}\n})();`,
};

async function collectWith(program: string, file: string, folder: string) {
  return JSON.parse(await run(program, [file], { cwd: folder })) as {
    version: string;
    deleted: number;
    text: boolean;
    known: boolean;
    names: string[][];
  };
}

describe("every entry, by import and by require", () => {
  const majors = [20, 22, 24, 26];

  test.for(majors)("on Node %i", async (major, { skip }) => {
    const program = await nodeOf(major).catch((error: unknown) => {
      if (process.env["INTEROP"] === "required") throw new Error(`INTEROP=required, but Node ${major} can't be had`, { cause: error });
      return undefined;
    });
    if (program === undefined) return skip(`Node ${major} can't be had from npm`);
    const folder = await packed.project(CONSUMERS);
    const [byImport, byRequire] = [await collectWith(program, "import.mjs", folder), await collectWith(program, "require.cjs", folder)];
    expect(byImport.version).toMatch(`v${major}.`);
    expect(byImport).toMatchObject({ deleted: 3, text: true, known: true });
    for (const names of byImport.names) expect(names).not.toEqual([]);
    expect(byRequire).toEqual(byImport);
  });

  test("one format knows the errors of the other", async () => {
    const check = `
      import { createRequire } from "node:module";
      import { isRegistryGcError, PathNotFoundError } from ${JSON.stringify(manifest.name)};
      const other = new (createRequire(import.meta.url)(${JSON.stringify(manifest.name)}).PathNotFoundError)("/a", "mine");
      console.log(isRegistryGcError(other), other instanceof PathNotFoundError);`;
    const folder = await packed.project({ "check.mjs": check });
    expect(await run(process.execPath, ["check.mjs"], { cwd: folder })).toBe("true true\n");
  });
});

/** Collects a registry of files, and prints what of its manifests was understood by the thread that read them. */
const threaded = (load: string) => `
  ${load}
  const root = mkdtempSync(join(tmpdir(), "threaded-"));
  const builder = new RegistryBuilder(new FilesystemDriver({ root }));
  const told = [];
  class Watched extends FilesystemDriver {
    async visitMany(paths, options) {
      const visits = await super.visitMany(paths, options);
      if (paths[0].endsWith("/data")) told.push(...visits.answers.map((answer) => answer !== undefined));
      return visits;
    }
  }
  const driver = new Watched({ root });
  (async () => {
    for (const tag of ["a", "b", "c"]) await builder.image("app", { tag });
    const { marked } = await markAndSweep({}, driver, openRegistry(driver), { dryRun: true, readOnly: true });
    rmSync(root, { recursive: true });
    console.log(marked.manifests, told.join());
  })();`;

test("manifests are understood by the thread that reads them: in both formats, and minified; else they are read", async () => {
  const names = ["mkdtempSync, rmSync", "join", "tmpdir", "RegistryBuilder", "FilesystemDriver", "markAndSweep, openRegistry"];
  const modules = [
    "node:fs",
    "node:path",
    "node:os",
    ...["testing", "drivers/filesystem"].map((entry) => `${manifest.name}/${entry}`),
    manifest.name,
  ];
  const load = (line: (name: string, module: string) => string) => names.map((name, i) => line(name, modules[i] ?? "")).join("\n");
  const folder = await packed.project({
    "import.mjs": threaded(load((name, module) => `import { ${name} } from "${module}";`)),
    "require.cjs": threaded(load((name, module) => `const { ${name} } = require("${module}");`)),
  });
  for (const keepNames of [false, true]) {
    const outfile = join(folder, `minified-${keepNames}.mjs`);
    await build({
      ...{ entryPoints: [join(folder, "import.mjs")], outfile, bundle: true, minify: true, keepNames, format: "esm", platform: "node" },
      external: ["@opentelemetry/api", "p-queue", "@smithy/util-stream"],
    });
  }
  for (const file of ["import.mjs", "require.cjs", "minified-false.mjs"]) {
    expect(await run(process.execPath, [file], { cwd: folder })).toBe("3 true,true,true\n");
  }
  // There a function's text calls a helper of the bundle's, by a name that nobody knows.
  expect(await run(process.execPath, ["minified-true.mjs"], { cwd: folder })).toBe("3 false,false,false\n");
});

describe("without what is optional", () => {
  /** What importing and requiring an entry comes to: `loads`, or the package that is missing. */
  async function load(specifier: string, without: readonly string[]): Promise<string[]> {
    const outcome = `.then(() => "loads", (error) => /'(?:.*node_modules\\/)?([^']+)'/.exec(error.message)?.[1] ?? error.message).then(console.log)`;
    const [imported] = imports([specifier]);
    const [required] = requires([specifier]);
    const folder = await packed.project(
      {
        "import.mjs": `(async () => ${String(imported)})()${outcome};`,
        "require.cjs": `(async () => ${String(required)})()${outcome};`,
      },
      { without },
    );
    const outcomes = [];
    for (const file of ["import.mjs", "require.cjs"]) outcomes.push((await run(process.execPath, [file], { cwd: folder })).trim());
    return outcomes;
  }

  /** An entry that is about a peer is called like it, at its end: `drivers/s3` and `@aws-sdk/client-s3`. */
  const peersOf = (specifier: string) => optionalPeers.filter((peer) => peer.endsWith(String(specifier.split("/").at(-1))));

  test.each(specifiers)("%s loads, unless it is the one about what is missing", async (specifier) => {
    for (const outcome of await load(specifier, optionalPeers)) expect(["loads", ...peersOf(specifier)]).toContain(outcome);
  });

  test("without @opentelemetry/api, a peer that is not optional, only the root entry does not load, and says why", async () => {
    const peer = "@opentelemetry/api";
    const outcomes = Object.fromEntries(await Promise.all(specifiers.map(async (each) => [each, await load(each, [peer])] as const)));
    expect(outcomes[manifest.name]).toEqual([peer, peer]);
    for (const specifier of specifiers.filter((each) => /\/(drivers\/\w+|testing|report)$/.test(each)))
      expect([specifier, outcomes[specifier]]).toEqual([specifier, ["loads", "loads"]]);
  });
});

describe("in TypeScript, with all its strictness, declarations of others included", () => {
  const esm = `${specifiers.map((specifier, index) => `import * as entry${index} from ${JSON.stringify(specifier)};`).join("\n")}
    import { markAndSweep, openRegistry, type GcReport, type StorageDriver } from ${JSON.stringify(manifest.name)};
    import { MemoryDriver } from "${manifest.name}/drivers/memory";
    export const entries = [${specifiers.map((_, index) => `entry${index}`).join(", ")}];
    const driver: StorageDriver = new MemoryDriver();
    export const report: Promise<GcReport> = markAndSweep({}, driver, openRegistry(driver), { dryRun: true });
    // @ts-expect-error an option that does not exist
    export const wrong = markAndSweep({}, driver, openRegistry(driver), { dryrun: true });`;
  const cjs = `${specifiers.map((specifier, index) => `import entry${index} = require(${JSON.stringify(specifier)});`).join("\n")}
    export const entries = [${specifiers.map((_, index) => `entry${index}`).join(", ")}];
    const driver: entry0.StorageDriver = new (require("${manifest.name}/drivers/memory").MemoryDriver)();
    export const report: Promise<entry0.GcReport> = entry0.markAndSweep({}, driver, entry0.openRegistry(driver), { dryRun: true });
    // @ts-expect-error an option that does not exist
    export const wrong = entry0.markAndSweep({}, driver, entry0.openRegistry(driver), { dryrun: true });`;

  const MODES = [
    { module: "node16", moduleResolution: "node16", files: { "consumer.mts": esm, "consumer.cts": cjs } },
    { module: "nodenext", moduleResolution: "nodenext", files: { "consumer.mts": esm, "consumer.cts": cjs } },
    { module: "esnext", moduleResolution: "bundler", files: { "consumer.ts": esm } },
  ];

  test.each(MODES)(
    "moduleResolution $moduleResolution",
    async ({ files, ...mode }) => {
      const compilerOptions = {
        ...mode,
        target: "es2022",
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
      };
      const folder = await packed.project({ ...files, "tsconfig.json": JSON.stringify({ compilerOptions }) });
      expect(await runDevelopmentTool("tsc", ["-p", folder], folder)).toBe("");
    },
    240_000,
  );
});

/** The code blocks of a page; `name` is the file that one is meant to be, by a comment before it or in its first line. */
function blocksOf(file: string): { name: string | undefined; language: string; code: string }[] {
  const page = readFileSync(fileURLToPath(new URL(`../../docs/${file}`, import.meta.url)), "utf8");
  return [...page.matchAll(/(?:<!-- file: (\S+) -->\n\n)?^```(\w+)\n([^]*?)^```$/gm)].map(([, name, language = "", code = ""]) => ({
    name: name ?? /^\/\/ (\S+)\n/.exec(code)?.[1],
    language,
    code,
  }));
}

describe("pages, followed to the letter", () => {
  /** Done already, in the way of these tests: the folder is there, and the package in it. */
  const isSetUp = (command: string) => /^(mkdir|cd|npm) /.test(command);

  test("docs/first-run.md leads to a registry that is collected", async () => {
    const folder = await packed.project({});
    let printed = "";
    let shown = 0;
    for (const { name, language, code } of blocksOf("first-run.md")) {
      const commands = code
        .trim()
        .split("\n")
        .filter((command) => !isSetUp(command));
      if (name !== undefined) writeFileSync(join(folder, name), code);
      else if (language === "sh") {
        printed = "";
        for (const command of commands) printed += await run("sh", ["-ec", command], { cwd: folder });
      } else {
        expect(language).toBe("text");
        expect(printed).toContain(code.trim());
        shown++;
      }
    }
    expect(existsSync(join(folder, "registry/docker/registry/v2"))).toBe(true);
    expect(shown).toBe(3);
  });

  test("docs/driver.md leads to a driver that passes the conformance suite", async () => {
    const named = blocksOf("driver.md").flatMap(({ name, code }) => (name === undefined ? [] : [[name, code] as const]));
    expect(named.map(([name]) => name)).toEqual(["tableDriver.ts", "tableDriver.test.ts"]);
    const folder = await packed.project(Object.fromEntries(named));
    const vitest = fileURLToPath(new URL("../../node_modules/vitest", import.meta.url));
    symlinkSync(vitest, join(folder, "node_modules/vitest"));
    const results = JSON.parse(await run(process.execPath, [join(vitest, "vitest.mjs"), "run", "--reporter=json"], { cwd: folder })) as {
      numPassedTests: number;
      numFailedTests: number;
    };
    expect(results).toMatchObject({ numFailedTests: 0 });
    expect(results.numPassedTests).toBeGreaterThan(40);
  });
});
