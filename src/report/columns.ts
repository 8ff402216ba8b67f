/** Text in columns, for a terminal. */

/** A column's heading; the cells of numbers stand to the right. */
export interface Column {
  readonly head: string;
  readonly right?: boolean;
}

const GAP = "  ";
/** A column of text never gets narrower than that. */
const NARROWEST = 12;

/** Rows in columns. What does not fit the width: the first column is cut in its middle, a last one of text goes on in the next line. */
export function columns(head: readonly Column[], rows: readonly (readonly string[])[], width: number): string[] {
  const lines = [head.map((column) => column.head), ...rows];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => lengthOf(line[i] ?? ""))));
  const last = head.length - 1;
  if (last > 0 && head[last]?.right !== true) shrink(widths, last, width);
  shrink(widths, 0, width);
  return lines.flatMap((line) => layOut(line, head, widths));
}

/** Takes from one column what is too much for all. */
function shrink(widths: number[], i: number, width: number): void {
  const total = widths.reduce((sum, n) => sum + n, GAP.length * (widths.length - 1));
  const own = widths[i] ?? 0;
  if (total > width) widths[i] = Math.min(own, Math.max(NARROWEST, own - (total - width)));
}

function layOut(line: readonly string[], head: readonly Column[], widths: readonly number[]): string[] {
  const last = head.length - 1;
  const wraps = last > 0 && head[last]?.right !== true;
  const tail = wraps ? wrap(line[last] ?? "", widths[last] ?? 0) : [];
  const cells = line.slice(0, wraps ? last : undefined).map((cell, i) => {
    const room = widths[i] ?? 0;
    return head[i]?.right === true ? padStart(cell, room) : padEnd(cutMiddle(cell, room), room);
  });
  const first = [...cells, ...tail.slice(0, 1)].join(GAP).trimEnd();
  const indent = " ".repeat(cells.reduce((sum, cell) => sum + lengthOf(cell) + GAP.length, 0));
  return [first, ...tail.slice(1).map((rest) => indent + rest)];
}

/** Words in lines, after an indent; a word that is longer than a line, such as a path, stands in one of its own. */
export function wrap(text: string, width: number, first = "", rest = first): string[] {
  const lines: string[] = [];
  let line = first;
  let isFresh = true;
  for (const word of text.split(" ")) {
    if (!isFresh && lengthOf(line) + 1 + lengthOf(word) > width) {
      lines.push(line);
      line = rest;
      isFresh = true;
    }
    line += isFresh ? word : ` ${word}`;
    isFresh = false;
  }
  return [...lines, line];
}

/** `library/…/name`: both ends of a name tell the most. */
function cutMiddle(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  const end = Math.ceil((width - 1) / 2);
  return `${characters.slice(0, width - 1 - end).join("")}…${characters.slice(characters.length - end).join("")}`;
}

function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - lengthOf(text))) + text;
}

function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - lengthOf(text)));
}

function lengthOf(text: string): number {
  return Array.from(text).length;
}
