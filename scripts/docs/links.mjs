// Links between pages, and into them: the file must be there, and the heading.

import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { root } from "../entries.mjs";

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
