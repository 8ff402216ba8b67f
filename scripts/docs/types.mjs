// Blocks of TypeScript and JavaScript, compiled as modules of this project: they import `oci-registry-gc` by name, and each other by
// the names that their page gives them.

import { join } from "node:path";
import ts from "typescript";
import { root } from "../entries.mjs";

const EXTENSIONS = { ts: "ts", js: "mjs" };

export function typeProblems(blocks) {
  const modules = new Map(blocks.map((block, index) => [pathOf(block, index), moduleOf(block)]));
  const program = ts.createProgram([...modules.keys()], ...compilerFor(modules));
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, " ");
    const module = modules.get(file?.fileName);
    if (module === undefined) return `${file?.fileName ?? "docs"}: ${message}`;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return `${module.block.file}:${module.block.line + line - module.linesBefore}: ${message}`;
  });
}

/** Below a folder for each page, which is nowhere on disk. */
function pathOf({ file, name, language }, index) {
  return join(root, file.replace(/\.\w+$/, ".blocks"), name ?? `${index}.${EXTENSIONS[language]}`);
}

function moduleOf(block) {
  const before = block.given === "" ? "" : `${block.given.replaceAll("\n", " ")}\n`;
  return { block, linesBefore: before === "" ? 0 : 1, source: `${before}${block.code}export {};\n` };
}

function compilerFor(modules) {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  // A block shows how something is had, and need not use it.
  const settings = { ...options, noUnusedLocals: false, noUnusedParameters: false, allowJs: true, checkJs: true };
  const host = ts.createCompilerHost(settings);
  const { fileExists, readFile } = host;
  const { getSourceFile } = host;
  host.directoryExists = undefined;
  host.fileExists = (name) => modules.has(name) || fileExists(name);
  host.readFile = (name) => modules.get(name)?.source ?? readFile(name);
  host.getSourceFile = (name, version, ...rest) =>
    modules.has(name) ? ts.createSourceFile(name, modules.get(name).source, version, true) : getSourceFile(name, version, ...rest);
  return [settings, host];
}
