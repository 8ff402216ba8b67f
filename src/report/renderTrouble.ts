/** The page's parts about what is wrong: damage, and deletes that failed. */

import type { GcReport, Problem } from "../index.js";
import { type Html, html, type Part } from "./html.js";
import { count, whole } from "./numbers.js";
import { fold, hint, section, table, text } from "./parts.js";
import { kindWords, problemsHint, problemsTitle } from "./words.js";

/** Lists up to this long are open at first. */
const OPEN = 10;

/** What was read and is wrong, by kind. */
export function problemSection(report: GcReport): Html | undefined {
  const { problems, problemCount } = report;
  if (problemCount === 0) return undefined;
  const kinds = new Map<string, Problem[]>();
  for (const problem of problems) kinds.set(problem.kind, [...(kinds.get(problem.kind) ?? []), problem]);
  const lists = [...kinds].sort(([, a], [, b]) => b.length - a.length).map(([kind, list]) => kindList(kind, list, problems.length <= OPEN));
  const means = problemsHint(report);
  const body: Part[] = [means !== undefined && hint(means), unlisted(problemCount, problems.length), lists];
  return section("problems", problemsTitle(report), body);
}

function kindList(kind: string, problems: readonly Problem[], isOpen: boolean): Html {
  const words = kindWords(kind);
  const summary = html`<strong>${kind}</strong>, ${whole(problems.length)}${words !== undefined && html` <span class="hint">${words.what}</span>`}`;
  const rows = problems.map(({ path, message }): Part[] => [html`<span class="path">${path}</span>`, message]);
  const list = table(`Where, and what was found: ${kind}`, [text("Path"), text("Found")], rows);
  return fold(summary, [words !== undefined && html`<p class="todo">${words.todo}</p>`, list], isOpen);
}

/** Deletes that failed. */
export function failureSection({ failures, failureCount }: GcReport): Html | undefined {
  if (failureCount === 0) return undefined;
  const rows = failures.map(({ path, code, message }): Part[] => [
    html`<span class="path">${path}</span>`,
    message,
    html`<code>${code}</code>`,
  ]);
  const list = table("What is still there, and why", [text("Path"), text("Message"), { text: "Code", kind: "code" }], rows);
  const body: Part[] = [
    hint("Nothing else was held up by them. Remove the cause, and the next run deletes what is left."),
    unlisted(failureCount, failures.length),
    fold(count(failures.length, "failure"), list, failures.length <= OPEN),
  ];
  return section("failures", "Could not be deleted", body);
}

function unlisted(total: number, listed: number): Html | undefined {
  return total > listed ? hint(`The report lists the first ${whole(listed)} of ${whole(total)}.`) : undefined;
}
