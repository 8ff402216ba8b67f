/** The page's style: light and dark, wide and narrow, on screen and on paper. */

import { html } from "./html.js";

/** No part of a report stands in it. */
export const STYLE = html`
:root {
  color-scheme: light dark;
  --page: #f4f6f9; --card: #ffffff; --ink: #18202b; --soft: #566173; --line: #e2e7ee; --track: #e9edf3;
  --shade: 0 1px 2px rgb(24 32 43 / 6%), 0 4px 16px rgb(24 32 43 / 5%);
  --used: #17936f; --young: #d9960f; --protected: #8b5fd6; --deleted: #2f6fe4; --aside: #7aaaf5; --back: #3cb6c4; --left: #8d99ab;
  --failed: #d3405a;
  --good-ink: #0d6a50; --good-page: #e2f5ee; --bad-ink: #a82441; --bad-page: #fdeaee; --warning-ink: #835400; --warning-page: #fdf3dc;
  --note-ink: #1d55b8; --note-page: #e9f1fe;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e131a; --card: #171e28; --ink: #e8edf4; --soft: #9daabc; --line: #2a3441; --track: #253040; --shade: none;
    --used: #2fb98f; --young: #e3ab3b; --protected: #a985ee; --deleted: #5b93f7; --aside: #365f9e; --back: #4cc5d3; --left: #718096;
    --failed: #ee6a82;
    --good-ink: #6fdcb8; --good-page: #12332a; --bad-ink: #ff9bad; --bad-page: #3d1a23; --warning-ink: #f3c76b; --warning-page: #372a0f;
    --note-ink: #9cc2ff; --note-page: #162a49;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%; }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; letter-spacing: -0.015em; font-weight: 650; }
h2 { margin: 0 0 0.25rem; font-size: 1.12rem; font-weight: 650; letter-spacing: -0.005em; }
p { margin: 0; }
code, .path { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
header .row { display: flex; flex-wrap: wrap; align-items: center; gap: 0.6rem 0.9rem; }
.badge { display: inline-block; padding: 0.16rem 0.7rem; border-radius: 99px; font-size: 0.84rem; font-weight: 600; }
.lead { margin-top: 0.9rem; font-size: 1.12rem; max-width: 52rem; text-wrap: balance; }
.about { margin: 0.9rem 0 0; display: flex; flex-wrap: wrap; gap: 0.2rem 1.6rem; color: var(--soft); font-size: 0.88rem; }
.about div { display: flex; gap: 0.45rem; min-width: 0; }
.about dt { flex: none; }
.about dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; min-width: 0; }
.good { background: var(--good-page); color: var(--good-ink); }
.bad { background: var(--bad-page); color: var(--bad-ink); }
.warning { background: var(--warning-page); color: var(--warning-ink); }
.note { background: var(--note-page); color: var(--note-ink); }
.plain { background: var(--track); color: var(--ink); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: 0.9rem; margin: 1.6rem 0 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shade); }
.tile { padding: 0.85rem 1rem 0.9rem; border-top: 3px solid var(--tint, var(--line)); }
.tile dt { color: var(--soft); font-size: 0.84rem; }
.tile dd { margin: 0; }
.tile .big { font-size: 1.5rem; line-height: 1.25; white-space: nowrap; font-weight: 650; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.tile .unit { font-size: 0.62em; font-weight: 600; letter-spacing: 0; color: var(--soft); margin-left: 0.1em; }
.tile .small { color: var(--soft); font-size: 0.84rem; }
section { margin-top: 1.1rem; padding: 1.25rem 1.35rem 1.4rem; }
.hint, .todo { max-width: 50rem; }
.hint { color: var(--soft); font-size: 0.9rem; }
.story { list-style: none; margin: 0.7rem 0 0; padding: 0; display: grid; gap: 0.7rem; font-size: 0.95rem; max-width: 54rem; }
.story li { position: relative; padding-left: 1.15rem; text-wrap: pretty; }
.story li::before { content: ""; position: absolute; left: 0; top: 0.1em; bottom: 0.1em; width: 4px; border-radius: 2px;
  background: var(--tone, var(--line)); }
.say-good { --tone: var(--used); } .say-note { --tone: var(--deleted); } .say-warning { --tone: var(--young); }
.say-bad { --tone: var(--failed); }
.scroll {
  overflow-x: auto; margin-top: 0.85rem;
  background: linear-gradient(to left, var(--card) 50%, transparent) right / 2.4rem 100% no-repeat local,
    linear-gradient(to left, var(--line), transparent) right / 1.1rem 100% no-repeat scroll;
}
table { width: 100%; border-collapse: collapse; font-size: 0.92rem; }
caption { text-align: left; color: var(--soft); font-size: 0.88rem; padding-bottom: 0.45rem; }
th, td { padding: 0.5rem 0.7rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; padding-top: 0.2rem; padding-bottom: 0.35rem; color: var(--soft); font-weight: 500; font-size: 0.82rem;
  vertical-align: bottom; }
tbody th { font-weight: 500; }
th.wide { width: 100%; }
.text { min-width: 13rem; overflow-wrap: anywhere; }
.code { white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
thead .number { white-space: normal; }
.wide { overflow-wrap: anywhere; min-width: 10rem; }
.split { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 0.1rem 1.2rem; align-items: start; }
.split .bar { margin: 0.5em 0 0.2em; }
.split > .second, .why { color: var(--soft); font-weight: 400; }
.why { font-size: 0.86rem; line-height: 1.35; }
.swatch { display: inline-block; width: 0.72em; height: 0.72em; border-radius: 3px; margin-right: 0.55em; background: var(--tint); }
svg { display: block; }
.track { fill: var(--track); }
.stack { margin-top: 0.9rem; border-radius: 8px; }
.stack rect { stroke: var(--card); stroke-width: 1.5; }
.timeline { margin-top: 1rem; }
header, summary, li, footer { overflow-wrap: anywhere; }
.badge { max-width: 100%; }
.timeline .grid { stroke: var(--line); stroke-width: 1; }
.timeline text { font-size: 13px; fill: var(--ink); }
.timeline .tick, .timeline .ms { fill: var(--soft); font-size: 12px; }
.fill-used { fill: var(--used); } .fill-young { fill: var(--young); } .fill-protected { fill: var(--protected); }
.fill-deleted { fill: var(--deleted); }
.fill-aside { fill: var(--aside); } .fill-back { fill: var(--back); } .fill-left { fill: var(--left); }
.fill-failed { fill: var(--failed); }
.tint-used { --tint: var(--used); } .tint-young { --tint: var(--young); } .tint-protected { --tint: var(--protected); }
.tint-deleted { --tint: var(--deleted); }
.tint-aside { --tint: var(--aside); } .tint-back { --tint: var(--back); } .tint-left { --tint: var(--left); }
.tint-failed { --tint: var(--failed); }
details { margin-top: 0.8rem; border-top: 1px solid var(--line); padding-top: 0.7rem; }
summary { cursor: pointer; font-size: 0.94rem; }
summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--deleted); outline-offset: 3px; border-radius: 4px; }
summary .hint { margin-left: 0.4rem; }
.todo { margin-top: 0.5rem; font-size: 0.92rem; }
footer { margin-top: 1.6rem; color: var(--soft); font-size: 0.84rem; }
@media (max-width: 40rem) {
  main { padding: 1.4rem 0.85rem 2rem; }
  h1 { font-size: 1.4rem; }
  .lead { font-size: 1.02rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.65rem; }
  .tile { padding: 0.75rem 0.8rem; }
  .tile .big { font-size: 1.3rem; }
  section { padding: 1rem 0.95rem 1.1rem; }
  th, td { padding: 0.45rem 0.4rem; }
  .wide { min-width: 6.2rem; }
  .split { grid-template-columns: minmax(0, 1fr); gap: 0.25rem; }
  .split .bar { margin-top: 0.1em; }
  .split > .second { font-size: 0.86rem; line-height: 1.35; }
  thead th { font-size: 0.76rem; }
}
@media print {
  :root { --page: #fff; --shade: none; }
  section, .tile { break-inside: avoid; }
}
@media (forced-colors: active) {
  .bar, .stack, .timeline, .swatch { forced-color-adjust: none; }
}
`;
