/** What the collector reads: a mark and a look see one repository after the other, and decide at the end. */

import { type Finding, nameOf, type Planned, type Repository, type Rules, type State } from "./state.js";

/**
 * A look at one repository, what lies aside counted as present. A revision counts if it is young; or if a journal names it as doomed,
 * and its manifest is in place again; or if its manifest lies aside, and no journal names it. Its layer counts with it. A young layer
 * link counts for itself.
 */
export function look(rules: Rules, state: State, repository: Repository): Finding[] {
  const revision = state.revisions[repository];
  const link = state.layerLinks[repository];
  const found = new Set<Finding>();
  const isNamed = revision === "old" && state.journal === "open";
  if (link === "young" || (rules.layerIsAlive && repository === 1)) found.add("layer");
  const isPushedAgain = isNamed ? state.manifest : revision === "old" && state.manifestAside === "known";
  if (revision === "young" || isPushedAgain) {
    found.add("layer");
    // A manifest that can't be read is damage: what its repository's links name is protected, and nothing at all is purged.
    found.add(state.manifest || state.manifestAside === "known" ? "manifest" : "damage");
    if (link === "none") found.add(`missing${nameOf(repository)}`);
  }
  return [...found].sort();
}

/** A mark at one repository: the old links there that may go, and what must not. */
export function markAt(rules: Rules, state: State, repository: Repository): { readonly links: Planned[]; readonly keeps: Finding[] } {
  const link = state.layerLinks[repository];
  const isAlive = rules.layerIsAlive && repository === 1;
  const isPushed = state.revisions[repository] === "young";
  const links: Planned[] = link === "old" && !isAlive && !isPushed ? [`link${nameOf(repository)}`] : [];
  const keeps: Finding[] = [];
  if (isAlive || isPushed || link === "young") keeps.push("layer");
  if (isPushed) keeps.push("manifest");
  return { links, keeps };
}
