// The public face of each entry, as a file in `api/`, so that a change of it shows in review: `node scripts/api-report.mjs [--write]`.
// It reads the declarations in `dist`: build first. Without --write it fails where a file is not what the declarations say.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";
import { entries, root } from "./entries.mjs";

const write = process.argv.includes("--write");
const scratch = mkdtempSync(join(tmpdir(), "api-report-"));
const problems = [];

try {
  for (const entry of entries) report(entry);
  for (const file of readdirSync(join(root, "api"))) if (!entries.some((entry) => fileOf(entry) === file)) strayFile(file);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`api/ says what ${entries.length} entries export`);

function report(entry) {
  const declarations = join(root, entry.types);
  if (!existsSync(declarations)) {
    problems.push(`${entry.types} is not there: npm run build`);
    return;
  }
  const found = [];
  const { apiReportChanged } = Extractor.invoke(configOf(entry, declarations), {
    localBuild: write,
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === "error" || message.logLevel === "warning") found.push(message);
    },
  });
  for (const message of found.filter((each) => !isExpected(each)))
    problems.push(`${entry.specifier}: ${message.formatMessageWithLocation(root)}`);
  if (!apiReportChanged) return;
  if (write) console.log(`api/${fileOf(entry)} is new or has changed`);
  else problems.push(`api/${fileOf(entry)} is not what ${entry.specifier} exports. If that is meant: npm run api, and commit the file`);
}

/** That a file is new or differs is said below. What an entry names and doesn't export is had from the root entry. */
function isExpected({ messageId, text }) {
  if (messageId.startsWith("console-api-report")) return true;
  const [, name] = messageId === "ae-forgotten-export" ? (/^The symbol "(\w+)"/.exec(text) ?? []) : [];
  return name !== undefined && exportedByRoot().includes(name);
}

function exportedByRoot() {
  const declarations = readFileSync(join(root, entries[0].types), "utf8");
  return [...declarations.matchAll(/^export \{(.*)\}/gm)].flatMap(([, names]) =>
    names.split(",").map((name) => name.trim().split(" ").at(-1)),
  );
}

function strayFile(file) {
  if (write) rmSync(join(root, "api", file));
  else problems.push(`api/${file} belongs to no entry in package.json: npm run api removes it`);
}

function fileOf({ key }) {
  return `${key}.api.md`;
}

function configOf(entry, declarations) {
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: declarations,
      compiler: { tsconfigFilePath: join(root, "tsconfig.json") },
      apiReport: { enabled: true, reportFileName: fileOf(entry), reportFolder: join(root, "api"), reportTempFolder: scratch },
      newlineKind: "lf",
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: "warning" } },
        tsdocMessageReporting: { default: { logLevel: "warning" } },
        extractorMessageReporting: {
          default: { logLevel: "warning" },
          // Names that tell all need no sentence; everything that is exported is public.
          "ae-undocumented": { logLevel: "none" },
          "ae-missing-release-tag": { logLevel: "none" },
        },
      },
    },
  });
}
