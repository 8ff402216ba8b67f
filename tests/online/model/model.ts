/** The model of a quarantine: what may happen next in a state, and what must never be found in one. */

import { clientSteps, repositoryOf } from "./client.js";
import { collectorSteps } from "./collector.js";
import { explore, type Outcome } from "./explore.js";
import { BOTH, type Client, type Protection, type Rules, type State, type Step, start, type Variant } from "./state.js";

export type Breach =
  /** An acknowledged manifest, or what it needs, is neither in place nor aside. */
  | "lost"
  /** A run has looked, and something acknowledged is not in its place. */
  | "missing between runs"
  /** So it is after the later run, too. */
  | "missing after a later run";

export function check(variant: Variant, without: readonly Protection[] = []): Outcome<Breach> {
  const rules: Rules = { ...variant, without: new Set(without) };
  return explore<State, Breach>({
    start: start(rules),
    next: (state) => stepsFrom(rules, state),
    breaches: (state) => breachesIn(rules, state),
  });
}

export function stepsFrom(rules: Rules, state: State): Step[] {
  return [...BOTH.flatMap((client) => clientSteps(rules, state, client)), ...collectorSteps(rules, state)];
}

export function breachesIn(rules: Rules, state: State): Breach[] {
  const acknowledged = BOTH.filter((client) => state.clients[client] === "acknowledged");
  const breaches: Breach[] = [];
  if (!isUnlinking(state) && !acknowledged.every((client) => isKept(rules, state, client))) breaches.push("lost");
  if (acknowledged.every((client) => isWhole(rules, state, client))) return breaches;
  if (state.collector === "between" && !(state.failed && rules.fault === "sleep")) breaches.push("missing between runs");
  if (state.collector === "done") breaches.push("missing after a later run");
  return breaches;
}

/** Between the removal of a revision link and the look after it a push may have no link: it comes back, after a crash by the next run. */
function isUnlinking({ collector, sleeper }: State): boolean {
  return collector === "lookForManifest" || collector === "recover" || sleeper === "lookForManifest";
}

function isKept(rules: Rules, state: State, client: Client): boolean {
  const layer = state.layer || state.layerAside !== "no";
  const manifest = state.manifest || state.manifestAside !== "no";
  return layer && manifest && state.revisions[repositoryOf(rules, client)] !== "none";
}

function isWhole(rules: Rules, state: State, client: Client): boolean {
  const repository = repositoryOf(rules, client);
  return state.layer && state.manifest && state.revisions[repository] !== "none" && state.layerLinks[repository] !== "none";
}
