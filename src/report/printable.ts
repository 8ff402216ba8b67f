/** Text of a registry, made safe to show: whoever may push may choose it. */

// What moves a terminal's cursor, turns the direction of writing, breaks a line, or is half a character.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/;
const HALVES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const UNSHOWN = new RegExp(`${CONTROLS.source}|${HALVES.source}`, "g");

/** The text with everything visible: an escape character comes out as `\x1b`. */
export function printable(text: string): string {
  return text.replace(UNSHOWN, (character) => {
    if (character === "\n") return "\\n";
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
}
