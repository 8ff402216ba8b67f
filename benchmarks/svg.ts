/** The figures as a picture: bars by case, each case with a scale of its own, since they differ a hundredfold. */

import type { Result } from "./cases.js";
import { FLOOR, LIBRARY } from "./programs.js";

const WIDTH = 860;
const LABELS = 150;
const BAR = 18;
const GAP = 4;
const HEAD = 30;
const LONGEST = WIDTH - LABELS - 110;

export function pictureOf(results: readonly Result[]): string {
  const parts: string[] = [];
  let y = 10;
  for (const { title, timings } of results) {
    parts.push(`<text x="10" y="${y + 16}" class="title">${escape(title)}</text>`);
    y += HEAD;
    const longest = Math.max(...timings.map(({ medianMs }) => medianMs));
    for (const { program, medianMs } of timings) {
      const length = Math.max(1, Math.round((medianMs / longest) * LONGEST));
      parts.push(
        `<text x="${LABELS - 8}" y="${y + 13}" text-anchor="end">${escape(program)}</text>`,
        `<rect x="${LABELS}" y="${y}" width="${length}" height="${BAR}" rx="2" fill="${colourOf(program)}"/>`,
        `<text x="${LABELS + length + 6}" y="${y + 13}">${(medianMs / 1000).toFixed(2)} s</text>`,
      );
      y += BAR + GAP;
    }
    y += 10;
  }
  const style = "text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-weight:600}";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="Seconds by program">
<style>${style}</style>
${parts.join("\n")}
</svg>
`;
}

function colourOf(program: string): string {
  if (program === LIBRARY) return "#1a7f37";
  return program === FLOOR || program === "unlink" ? "#8c959f" : program === "online" ? "#54aeff" : "#cf222e";
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
