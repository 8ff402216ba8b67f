/** What is claimed of the protocol, each with what the search must find: by the test and by the printed table alike. */

import type { Breach } from "./model.js";
import type { Protection, Variant } from "./state.js";

export interface Claim {
  readonly variant: Variant;
  readonly without: readonly Protection[];
  readonly breaks: readonly Breach[];
}

const SIMPLE: Variant = {
  second: "B",
  layerIsAlive: false,
  purgesAtOnce: false,
  cache: "none",
  fault: "none",
  moves: "rename",
  journal: "closes at once",
};

const claim = (variant: Partial<Variant>, without: readonly Protection[] = [], breaks: readonly Breach[] = []): Claim => ({
  variant: { ...SIMPLE, ...variant },
  without,
  breaks,
});

const between: Breach = "missing between runs";
const after: Breach = "missing after a later run";
const lost: Breach = "lost";

const SECONDS = ["A", "B"] as const;
const EITHER = [false, true] as const;

/** With every step in place nothing is lost, and nothing is missing. */
export const SOUND: readonly Claim[] = [
  ...(["none", "crash"] as const).flatMap((fault) =>
    SECONDS.flatMap((second) =>
      EITHER.flatMap((layerIsAlive) => EITHER.map((purgesAtOnce) => claim({ fault, second, layerIsAlive, purgesAtOnce }))),
    ),
  ),
  claim({ moves: "copy" }),
];

/** A collector that wakes after another took over: what it does late is missing for a while, and a last run heals it. */
export const ASLEEP: readonly Claim[] = [
  claim({ fault: "sleep", second: "A", journal: "stays open" }),
  claim({ fault: "sleep", layerIsAlive: true, journal: "stays open" }),
  claim({ fault: "sleep", second: "A", layerIsAlive: true, purgesAtOnce: true, journal: "stays open" }),
];

/** Left out, each of these breaks. */
export const NEEDED: readonly Claim[] = [
  claim({}, ["drain", "purge's drain"], [lost, between, after]),
  claim({}, ["drain"], [between, after]),
  claim({}, ["look"], [between]),
  claim({}, ["recheck"], [lost, after]),
  claim({ cache: "emptied", journal: "stays open" }, ["purge's look"], [lost, between, after]),
  claim({ fault: "sleep", second: "A", journal: "stays open" }, ["purge's drain"], [lost, after]),
  claim({ fault: "sleep", second: "A", layerIsAlive: true, journal: "stays open" }, ["known before the drain"], [lost, after]),
];

/** Left out, these change nothing here: they save work, or serve what is not in the model. */
export const ECONOMIES: readonly Claim[] = [
  claim({}, ["layer link check"]),
  claim({}, ["revision link check"]),
  claim({ fault: "crash" }, ["layer link check", "revision link check"]),
  claim({ fault: "crash" }, ["look again"]),
  claim({ fault: "crash" }, ["purge's drain"]),
  claim({}, ["purge's look"]),
  claim({ fault: "crash" }, ["known before the drain"]),
  claim({ fault: "sleep", second: "A", layerIsAlive: true, journal: "stays open" }, ["fence"]),
];

/** What the protocol does not hold: what operators and drivers must see to, and what it costs to close a journal at once. */
export const LIMITS: readonly Claim[] = [
  claim({ cache: "kept", second: "A" }, [], [lost, between, after]),
  claim({ cache: "emptied", journal: "stays open" }, [], [between]),
  claim({ cache: "emptied" }, [], [between, after]),
  claim({ fault: "sleep", second: "A", layerIsAlive: true }, [], [after]),
  claim({ fault: "sleep", second: "A", layerIsAlive: true, moves: "copy", journal: "stays open" }, [], [lost, after]),
];

/** A claim in words. */
export function describeClaim({ variant, without }: Claim): string {
  const { second, layerIsAlive, purgesAtOnce, cache, fault, moves, journal } = variant;
  const words = [`second client in ${second}`];
  if (layerIsAlive) words.push("layer alive in B");
  if (purgesAtOnce) words.push("purge at once");
  if (cache !== "none") words.push(cache === "kept" ? "cache never emptied" : "cache emptied before the purge");
  if (fault !== "none") words.push(fault);
  if (moves === "copy") words.push("moves by copy");
  if (journal === "stays open") words.push("journal stays open");
  return `${words.join(", ")}${without.length === 0 ? "" : `; without ${without.join(", ")}`}`;
}
