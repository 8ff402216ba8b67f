// What a page holds: its code blocks, and its text without them.

const FENCE = /^(\s*)(`{3,})([^\s`]*)/;
const GIVEN = /<!-- given: ((?:(?!-->)[^])*) -->\s*$/;
const NAME = /<!-- file: (\S+) -->\s*$/;

/**
 * `line` is the number of a block's first line of code. `given` is what a comment before it takes for granted, and readers don't see.
 * `name` is the file that it is meant to be: its first line says so in a comment, or a comment before it does.
 */
export function readPage(file, text) {
  const blocks = [];
  const prose = [];
  let open;
  text.split("\n").forEach((content, index) => {
    const [, , ticks, language] = FENCE.exec(content) ?? [];
    if (open === undefined && ticks === undefined) prose.push(content);
    else if (open === undefined) {
      const before = prose.join("\n");
      open = { file, language, ticks, line: index + 2, lines: [], given: GIVEN.exec(before)?.[1] ?? "", name: NAME.exec(before)?.[1] };
      prose.push("");
    } else if (content.trim() === open.ticks) {
      const { lines, ticks: _, ...block } = open;
      const code = `${lines.join("\n")}\n`;
      blocks.push({ ...block, code, name: block.name ?? /^\/\/ (\S+)\n/.exec(code)?.[1] });
      open = undefined;
      prose.push("");
    } else {
      open.lines.push(content);
      prose.push("");
    }
  });
  if (open !== undefined) throw new Error(`${file}:${open.line - 1}: a code block that does not end`);
  return { file, text, blocks, prose: prose.join("\n") };
}
