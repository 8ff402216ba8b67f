/** Colours of a terminal; none unless they are asked for. */

import type { Tone } from "./story.js";

/** Dresses whole pieces of text: what is measured is measured before. */
export interface Paint {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly tone: (tone: Tone, text: string) => string;
}

const RESET = "\u001b[0m";
const TONES: Readonly<Record<Tone, string>> = {
  plain: "",
  good: "\u001b[32m",
  note: "\u001b[36m",
  warning: "\u001b[33m",
  bad: "\u001b[31m",
};

export function painter(color: boolean): Paint {
  const dress = (code: string, text: string) => (color && code !== "" && text !== "" ? `${code}${text}${RESET}` : text);
  return {
    strong: (text) => dress("\u001b[1m", text),
    faint: (text) => dress("\u001b[2m", text),
    tone: (tone, text) => dress(TONES[tone], text),
  };
}
