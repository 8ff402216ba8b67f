// Checks the pages for readers: `node scripts/check-docs.mjs`. TypeScript and JavaScript compile, JSON parses, commands are there with
// their options, links lead somewhere. Blocks of docs/first-run.md are run besides: tests/package.test.ts follows that page.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readPage } from "./docs/blocks.mjs";
import { commandProblems } from "./docs/commands.mjs";
import { blocksOfComments } from "./docs/docstrings.mjs";
import { linkProblems } from "./docs/links.mjs";
import { typeProblems } from "./docs/types.mjs";
import { root } from "./entries.mjs";

const CODE = ["ts", "js"];
const LANGUAGES = [...CODE, "sh", "json", "text"];

const folders = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
const files = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...folders.map((name) => `docs/${name}`)];
const pages = files.map((file) => readPage(file, readFileSync(join(root, file), "utf8")));
const sources = readdirSync(join(root, "src"), { recursive: true }).filter((name) => name.endsWith(".ts"));
const comments = sources.flatMap((name) => blocksOfComments(`src/${name}`, readFileSync(join(root, "src", name), "utf8")));
const blocks = [...pages.flatMap((page) => page.blocks), ...comments];

const problems = [
  ...blocks.filter(({ language }) => !LANGUAGES.includes(language)).map(unknownLanguage),
  ...typeProblems(blocks.filter(({ language }) => CODE.includes(language))),
  ...blocks.filter(({ language }) => language === "json").flatMap(jsonProblems),
  ...pages.flatMap((page) => commandProblems(page, writtenFiles(page))),
  ...linkProblems(pages),
];
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${blocks.length} code blocks of ${pages.length} pages and of the source are right`);

function unknownLanguage({ file, line, language }) {
  return `${file}:${line - 1}: a code block in ${language === "" ? "no language" : language}: say one of ${LANGUAGES.join(", ")}`;
}

function jsonProblems({ file, line, code }) {
  try {
    JSON.parse(code);
    return [];
  } catch (error) {
    return [`${file}:${line}: ${error.message}`];
  }
}

/** Files that a reader is told to write. */
function writtenFiles({ blocks }) {
  return new Set(blocks.map(({ name }) => name).filter((name) => name !== undefined));
}
