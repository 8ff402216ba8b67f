/** HTML that is safe by construction: whatever is put into a template is escaped, unless it is HTML of ours. */

import { printable } from "./printable.js";

/** Text that is HTML already. Only templates make it. */
export class Html {
  constructor(private readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** What may stand in a template. `false` and `undefined` are nothing. */
export type Part = string | number | Html | readonly Part[] | false | undefined;

/** A template: `html\`<td title="${path}">${name}</td>\``. Attributes stand in double quotes, always. */
export function html(texts: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(texts.map((text, i) => text + embed(parts[i])).join(""));
}

function embed(part: Part): string {
  if (part === undefined || part === false) return "";
  if (typeof part === "string") return escape(part);
  if (typeof part === "number" || part instanceof Html) return String(part);
  return part.map(embed).join("");
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;" };

/** For text and for attributes alike; what HTML can't hold at all, such as control characters, becomes visible. */
export function escape(text: string): string {
  return printable(text).replace(/[&<>"'`]/g, (character) => ENTITIES[character] ?? "");
}
