/**
 * The collector, one step for each call that storage sees. A collector that fell asleep in the middle of a batch goes on with the same
 * steps, beside the one that took over.
 */

import { inFlight } from "./client.js";
import { look, markAt } from "./look.js";
import { type CollectorStep, nameOf, type Protection, type Repository, type Rules, replaced, type State, type Step } from "./state.js";

/** Who does a step: the run that holds the lock, or the one that lost it in its sleep. */
type Who = "run" | "sleeper";

/** What a sleeper still does before it looks at the lock again. */
const BATCHES: readonly (readonly CollectorStep[])[] = [
  ["moveManifest", "dropManifest", "moveLayer", "dropLayer"],
  ["checkLinkA", "removeLinkA", "checkLinkB", "removeLinkB"],
  ["checkRevision", "removeRevision", "lookForManifest"],
  ["deleteLayer", "deleteManifest"],
];
/** Without the lock's check, it goes on until it would wait or look. */
const UNFENCED: readonly (readonly CollectorStep[])[] = [BATCHES.slice(0, 2).flat(), BATCHES.slice(2).flat()];

/** There is nothing to go on from before the journal is written, and nothing to do between runs. */
const SAFE_FROM_FAULTS: ReadonlySet<CollectorStep> = new Set(["markA", "markB", "between", "healing", "done"]);

/** Everything that the collectors may do next, faults included. */
export function collectorSteps(rules: Rules, state: State): Step[] {
  const steps: Step[] = [];
  const step = stepOf(rules, state, state.collector, "run");
  if (step !== undefined) steps.push(step);
  if (state.sleeper !== "nobody") {
    const late = stepOf(rules, state, state.sleeper, "sleeper");
    if (late !== undefined) steps.push({ ...late, label: `sleeper: ${late.label}` });
  }
  if (rules.fault !== "none" && !state.failed && !SAFE_FROM_FAULTS.has(state.collector)) {
    const over: State = { ...state, collector: "recover", run: "first", awaited: [], found: [], failed: true };
    if (rules.fault === "crash") steps.push({ label: "CRASH", state: over });
    else if (BATCHES.some((batch) => batch.includes(state.collector)))
      steps.push({ label: "falls ASLEEP, the lock is taken over", state: { ...over, sleeper: state.collector } });
  }
  return steps;
}

function stepOf(rules: Rules, state: State, at: CollectorStep, who: Who): Step | undefined {
  const omits = (protection: Protection) => rules.without.has(protection);
  /** Where this collector is next. A sleeper stops where its batch does. */
  const to = (label: string, next: CollectorStep, changes: Partial<State> = {}): Step => {
    if (who === "run") return { label, state: { ...state, ...changes, collector: next } };
    const batch = (omits("fence") ? UNFENCED : BATCHES).find((each) => each.includes(at));
    return { label, state: { ...state, ...changes, sleeper: batch?.includes(next) === true ? next : "nobody" } };
  };
  const isThere = (repository: Repository) => state.layerLinks[repository] !== "none";

  switch (at) {
    case "markA": {
      const { links, keeps } = markAt(rules, state, 0);
      return to("2 mark A", "markB", { plan: links, found: keeps });
    }
    case "markB": {
      const { links, keeps } = markAt(rules, state, 1);
      const kept = [...state.found, ...keeps];
      if (kept.includes("manifest")) return to("2 mark B: the manifest is alive", "done", { plan: [], found: [] });
      const layer = kept.includes("layer") ? [] : (["layer"] as const);
      return to("2 mark B: the manifest is doomed", "moveManifest", { plan: [...layer, ...state.plan, ...links], found: [] });
    }

    case "moveManifest":
    case "moveLayer":
      return moveStep(rules, state, at === "moveManifest" ? "manifest" : "layer", who, to);
    case "dropManifest":
      return to("4 manifest removed from its place", state.plan.includes("layer") ? "moveLayer" : "checkLinkA", { manifest: false });
    case "dropLayer":
      return to("4 layer removed from its place", "checkLinkA", { layer: false });

    case "checkLinkA":
    case "checkLinkB": {
      const repository = at === "checkLinkA" ? 0 : 1;
      const name = nameOf(repository);
      const takes =
        state.plan.includes(`link${name}`) && isThere(repository) && (omits("layer link check") || state.layerLinks[repository] === "old");
      if (takes) return to(`4 layer link in ${name} is as planned`, `removeLink${name}`);
      return repository === 0 ? to("4 layer link in A stays", "checkLinkB") : to("4 layer link in B stays", ...drained(rules, state));
    }
    case "removeLinkA":
      return to("4 layer link in A removed", "checkLinkB", { layerLinks: replaced(state.layerLinks, 0, "none") });
    case "removeLinkB": {
      const [next, changes] = drained(rules, state);
      return to("4 layer link in B removed", next, { ...changes, layerLinks: replaced(state.layerLinks, 1, "none") });
    }

    case "recover": {
      const listed = listAside(state);
      const isBack = state.purging && state.manifest && state.revisions[0] === "none" && !omits("recheck");
      if (!isBack) return to("another run goes on from the journal", ...drained(rules, listed));
      const [next, changes] = drained(rules, { ...listed, revisions: replaced(state.revisions, 0, "young") });
      return to("another run goes on from the journal, writes the revision link anew", next, changes);
    }
    case "drain":
      return state.awaited.length === 0 ? to("5 drained", "lookA") : undefined;

    case "lookA": {
      const isLeftOut = state.run === "first" ? omits("look") : state.run === "purge" && omits("purge's look");
      if (isLeftOut) return to("no look", "linksBack");
      return to("6 look at A", "lookB", { found: look(rules, state, 0) });
    }
    case "lookB":
      return to("6 look at B", "layerBack", { found: [...new Set([...state.found, ...look(rules, state, 1)])].sort() });
    case "layerBack": {
      const goesBack = state.found.includes("layer") && state.layerAside === "known" && !state.layer;
      return goesBack ? to("6 layer put back", "manifestBack", { layer: true, layerAside: "no" }) : to("6 layer as it is", "manifestBack");
    }
    case "manifestBack": {
      const goesBack = state.found.includes("manifest") && state.manifestAside === "known" && !state.manifest;
      if (goesBack) return to("6 manifest put back", "linksBack", { manifest: true, manifestAside: "no" });
      return to("6 manifest as it is", "linksBack");
    }
    case "linksBack": {
      const anew = (repository: Repository) =>
        state.journal === "open" &&
        state.found.includes(`missing${nameOf(repository)}`) &&
        state.plan.includes(`link${nameOf(repository)}`) &&
        !isThere(repository)
          ? "young"
          : state.layerLinks[repository];
      const layerLinks = [anew(0), anew(1)] as const;
      const mayPurge = state.run === "purge" || (state.run === "first" && rules.purgesAtOnce);
      const isNeeded = state.found.includes("manifest") || state.found.includes("damage");
      const [next, changes] = mayPurge && !isNeeded ? purgeFrom(state) : runOver(rules, state);
      const isAnew = layerLinks.some((link, i) => link !== state.layerLinks[i]);
      return to(isAnew ? "6 missing layer links written anew" : "6 done", next, { ...changes, layerLinks });
    }

    case "between":
      if (!state.cached || rules.cache !== "emptied") return to("A LATER RUN begins", ...laterRun(rules, state));
      // Emptied by a restart, which waits for the requests that run.
      if (inFlight(state).length > 0) return undefined;
      return to("cache emptied", "between", { cached: false });

    case "checkRevision": {
      const link = state.revisions[0];
      if (link === "none") return to("7 revision link is gone already", omits("recheck") ? deletion(state) : "lookForManifest");
      if (link === "old" || omits("revision link check")) return to("7 revision link is as planned", "removeRevision");
      return to("7 revision link is another one and stays", ...lookAgain(rules, state));
    }
    case "removeRevision": {
      const next = omits("recheck") ? deletion(state) : "lookForManifest";
      return to("7 revision link removed", next, { revisions: replaced(state.revisions, 0, "none") });
    }
    case "lookForManifest": {
      if (!state.manifest) return to("7 manifest is still away", deletion(state));
      const link = state.revisions[0] === "none" ? "young" : state.revisions[0];
      const [next, changes] = lookAgain(rules, state);
      return to("7 manifest is back: revision link written anew", next, { ...changes, revisions: replaced(state.revisions, 0, link) });
    }
    case "deleteLayer":
      return to("7 layer aside deleted", "deleteManifest", { layerAside: deleted(rules, state.layerAside) });
    case "deleteManifest": {
      const manifestAside = deleted(rules, state.manifestAside);
      const [next, changes] = runOver(rules, { ...state, manifestAside });
      return to("7 manifest aside deleted", next, { ...changes, manifestAside });
    }

    case "healing":
      if (state.sleeper !== "nobody") return undefined;
      return to("A LAST RUN begins", ...drained(rules, { ...listAside(state), run: "last" }));
    case "done":
      return undefined;
  }
}

type To = (label: string, next: CollectorStep, changes?: Partial<State>) => Step;

function moveStep(rules: Rules, state: State, what: "manifest" | "layer", who: Who, to: To): Step {
  const after: CollectorStep = what === "manifest" && state.plan.includes("layer") ? "moveLayer" : "checkLinkA";
  if (!state[what]) return to(`4 ${what} is gone already`, after);
  // A run that took over listed what lies aside before: it knows nothing of what comes later.
  const aside = who === "run" || state[`${what}Aside`] === "known" ? "known" : "unknown";
  const copied: Partial<State> = what === "manifest" ? { manifestAside: aside } : { layerAside: aside };
  if (rules.moves === "rename") return to(`4 ${what} moved aside`, after, { ...copied, [what]: false });
  return to(`4 ${what} copied aside`, what === "manifest" ? "dropManifest" : "dropLayer", copied);
}

type Goes = [next: CollectorStep, changes: Partial<State>];

/** Before a look: the drain waits for the requests that are running now. */
function drained(rules: Rules, state: State): Goes {
  const isLeftOut = rules.without.has(state.run === "purge" ? "purge's drain" : "drain");
  return isLeftOut ? ["lookA", state] : ["drain", { ...state, awaited: inFlight(state) }];
}

const listAside = (state: State): State => ({
  ...state,
  layerAside: state.layerAside === "no" ? "no" : "known",
  manifestAside: state.manifestAside === "no" ? "no" : "known",
});

function laterRun(rules: Rules, state: State): Goes {
  return drained(rules, { ...listAside(state), run: "purge" });
}

/** A run ends: a journal of which nothing lies aside any more is closed. After a sleep one more run heals what was done late. */
function runOver(rules: Rules, state: State): Goes {
  const isBusy = state.layerAside === "known" || state.manifestAside === "known";
  const journal = isBusy || rules.journal === "stays open" ? state.journal : "closed";
  const after = state.failed && rules.fault === "sleep" ? "healing" : "done";
  return [state.run === "first" ? "between" : state.run === "purge" ? after : "done", { found: [], journal }];
}

/** The purge of what nobody needs: the revision link goes only with its manifest's data. */
function purgeFrom(state: State): Goes {
  return state.manifestAside === "known" ? ["checkRevision", { purging: true }] : [deletion(state), {}];
}

const deletion = (state: State): CollectorStep => (state.found.includes("layer") ? "deleteManifest" : "deleteLayer");

/** A revision link that is left keeps its manifest, and all that this needs. */
function lookAgain(rules: Rules, state: State): Goes {
  if (rules.without.has("look again")) return [deletion(state), {}];
  return ["layerBack", { found: ["layer", "manifest"] }];
}

function deleted(rules: Rules, aside: State["layerAside"]): State["layerAside"] {
  return aside === "unknown" && !rules.without.has("known before the drain") ? "unknown" : "no";
}
