// The site of `npm run docs`: the pages by task, and the API of every entry that package.json lists.

import { readdirSync, readFileSync } from "node:fs";
import { entries, root, sources } from "./scripts/entries.mjs";

/** In the order in which one meets them. */
const PAGES = [
  ...[
    "docs/first-run.md",
    "docs/what-is-garbage.md",
    "docs/from-garbage-collect.md",
    "docs/online.md",
    "docs/s3.md",
    "docs/driver.md",
    "docs/namespace.md",
    "docs/examples.md",
  ],
  ...["docs/parts.md", "docs/scale.md"],
  ...["docs/report.md", "docs/telemetry.md", "docs/damage.md", "docs/errors.md", "docs/performance.md", "docs/online-model.md"],
  ...["CONTRIBUTING.md", "CHANGELOG.md"],
];

const forgotten = readdirSync(`${root}docs`).filter((file) => file.endsWith(".md") && !PAGES.includes(`docs/${file}`));
if (forgotten.length > 0) throw new Error(`PAGES of typedoc.config.js has no place for ${forgotten.join(", ")} of docs/`);

const MODULE = 2;

/** @type {import("typedoc").TypeDocOptions} */
export default {
  name: "oci-registry-gc",
  entryPoints: entries.map(({ specifier }) => sources[specifier][0]),
  projectDocuments: PAGES,
  readme: "README.md",
  out: "site",
  includeVersion: true,
  excludePrivate: true,
  excludeInternal: true,
  disableSources: true,
  sortEntryPoints: false,
  // What one calls comes first.
  kindSortOrder: ["Document", "Module", "Function", "Class"],
  groupOrder: ["Documents", "Modules", "Functions", "Classes"],
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true },
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
  plugin: [callByName],
};

/** Pages are called by their headings, modules by what a user imports. */
function callByName(app) {
  app.converter.on("createDocument", (_context, page) => {
    const file = PAGES.find((each) => each.endsWith(`${page.name}.md`));
    const [, heading] = /^# (.+)$/m.exec(readFileSync(`${root}${file}`, "utf8")) ?? [];
    if (heading !== undefined) page.name = heading.replaceAll("`", "");
  });
  app.converter.on("createDeclaration", (context, reflection) => {
    if (reflection.kind !== MODULE) return;
    const file = context.getSymbolFromReflection(reflection)?.declarations?.[0]?.getSourceFile().fileName;
    const entry = entries.find(({ specifier }) => file === `${root}${sources[specifier][0].slice(2)}`);
    if (entry !== undefined) reflection.name = entry.specifier;
  });
}
