// Links between pages, and into them: the file must be there, and the heading; and a page of docs/ leads to what is packed with it.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { root } from "../entries.mjs";

/** npm packs the readme whatever the list says. */
const packed = ["README.md", ...JSON.parse(readFileSync(join(root, "package.json"), "utf8")).files];
const isPacked = (file) => packed.some((each) => file === each || file.startsWith(`${each}/`));

export function linkProblems(pages) {
  return pages.flatMap(({ file, prose }) =>
    prose.split("\n").flatMap((text, index) =>
      [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => brokenBy(target, file, pages))
        .filter((problem) => problem !== undefined)
        .map((problem) => `${file}:${index + 1}: ${problem}`),
    ),
  );
}

function brokenBy(target, from, pages) {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [path, anchor] = target.split("#");
  const file = path === "" ? from : normalize(join(dirname(from), path));
  if (!existsSync(join(root, file))) return `a link to ${file}, which is not there`;
  if (from.startsWith("docs/") && !isPacked(file)) return `a link to ${file}, which is not packed with this page`;
  const page = pages.find((each) => each.file === file);
  if (anchor === undefined || page === undefined || anchorsOf(page).includes(anchor)) return undefined;
  return `a link to #${anchor}, a heading that ${file} does not have`;
}

function anchorsOf({ prose }) {
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
