/** The building blocks of the page: sections, tables and what folds. */

import { type Html, html, type Part } from "./html.js";

/** A part of the page under a heading; nothing where it has nothing to show. */
export function section(id: string, title: string, body: Part): Html {
  return html`<section aria-labelledby="${id}">
<h2 id="${id}">${title}</h2>
${body}
</section>
`;
}

export function hint(text: string): Html {
  return html`<p class="hint">${text}</p>`;
}

/** A heading of a table: a number's column stands to the right, a wide one takes the room that is left, and code is never broken. */
export interface Head {
  readonly text: string;
  readonly kind?: "number" | "wide" | "text" | "code";
}

export function number(text: string): Head {
  return { text, kind: "number" };
}

export function text(name: string): Head {
  return { text: name, kind: "text" };
}

export function wide(text: string): Head {
  return { text, kind: "wide" };
}

/** A table. The first cell of each row is its heading. It scrolls by itself where a screen is narrow. */
export function table(caption: string, head: readonly Head[], rows: readonly (readonly Part[])[]): Html {
  return html`<div class="scroll" role="group" tabindex="0" aria-label="${caption}"><table>
<caption>${caption}</caption>
<thead><tr>${head.map(({ text, kind }) => html`<th scope="col"${kind !== undefined && html` class="${kind}"`}>${text}</th>`)}</tr></thead>
<tbody>
${rows.map((cells) => row(cells, head))}</tbody>
</table></div>`;
}

function row(cells: readonly Part[], head: readonly Head[]): Html {
  const drawn = cells.map((cell, i) => {
    const kind = head[i]?.kind;
    const name = kind !== undefined && html` class="${kind}"`;
    return i === 0 ? html`<th scope="row"${name}>${cell}</th>` : html`<td${name}>${cell}</td>`;
  });
  return html`<tr>${drawn}</tr>
`;
}

/** A cell of two parts: beside each other where there is room, else the second below the first. */
export function split(first: Part, second: Part): Html {
  return html`<div class="split"><div>${first}</div><div class="second">${second}</div></div>`;
}

/** A name of several parts: where it is too long, it goes on after a slash. */
export function breakable(name: string): Part {
  return name.split("/").map((part, i) => (i === 0 ? part : html`/<wbr>${part}`));
}

/** A name, and below it what it means. */
export function explained(name: Part, why: string): Html {
  return html`${name}<div class="why">${why}</div>`;
}

/** What folds: long lists are closed at first. */
export function fold(summary: Part, body: Part, isOpen = false): Html {
  return html`<details${isOpen && html` open`}><summary>${summary}</summary>
${body}
</details>`;
}

/** A colour, beside the word that it stands for. */
export function swatch(tint: string): Html {
  return html`<span class="swatch tint-${tint}" aria-hidden="true"></span>`;
}
