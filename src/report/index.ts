/**
 * A run's report for people: text for a terminal, and a page for a browser.
 *
 * @packageDocumentation
 */

export { type FormatOptions, formatReport } from "./format.js";
export { renderReport } from "./render.js";
