/** What happens in a run, all of it from one seed. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import type { PartedOptions } from "oci-registry-gc/parts";
import { layOutRecipe, recipe } from "../../property/registries.js";

/** Happens so long after so many stages were closed; what comes after the run's end does not happen. */
export interface Moment {
  readonly afterStages: number;
  readonly afterMs: number;
}

export type Mishap = Moment &
  (
    | { readonly kind: "kill"; readonly which: number }
    | { readonly kind: "freeze"; readonly which: number }
    | { readonly kind: "redis"; readonly downMs: number }
  );

export interface Scenario {
  readonly seed: number;
  readonly storage: "filesystem" | "s3";
  /** Whether Redis keeps its data when it is restarted. */
  readonly isDurable: boolean;
  readonly options: PartedOptions;
  /** Whether a run before this one put garbage aside. */
  readonly hasPast: boolean;
  readonly shards: number;
  readonly young: number;
  /** Whether something in the registry is damaged. */
  readonly isDamaged: boolean;
  readonly mishaps: readonly Mishap[];
}

const DAY_MS = 86_400_000;

const options: fc.Arbitrary<PartedOptions> = fc.record({
  dryRun: fc.constantFrom(false, false, false, false, true),
  readOnly: fc.boolean(),
  removeUntagged: fc.constantFrom(true, true, false),
  referrers: fc.constantFrom("keep-with-subject", "ignore"),
  removeLayerLinks: fc.boolean(),
  removeEmptyRepositories: fc.boolean(),
  onDamage: fc.constantFrom("protect", "protect", "protect", "abort"),
  quarantine: fc.constantFrom(true, true, false),
  quarantineMs: fc.constantFrom(0, 7 * DAY_MS),
  drainMs: fc.constantFrom(0, 500),
  maxDeleteRatio: fc.constant(1),
});

/** A run has ten to thirty stages. */
const moment = { afterStages: fc.oneof(fc.nat(7), fc.nat(24)), afterMs: fc.nat(400) };
const which = fc.nat(3);
const mishap: fc.Arbitrary<Mishap> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ...moment, kind: fc.constant("kill" as const), which }) },
  { weight: 3, arbitrary: fc.record({ ...moment, kind: fc.constant("freeze" as const), which }) },
  { weight: 2, arbitrary: fc.record({ ...moment, kind: fc.constant("redis" as const), downMs: fc.nat(1500) }) },
);

const scenario = fc.record({
  storage: fc.constantFrom("filesystem" as const, "filesystem" as const, "s3" as const),
  isDurable: fc.boolean(),
  options,
  hasPast: fc.boolean(),
  shards: fc.constantFrom(2, 4, 8),
  young: fc.constantFrom(0, 10),
  isDamaged: fc.constantFrom(false, false, false, false, false, true),
  mishaps: fc.array(mishap, { minLength: 3, maxLength: 6 }),
});

export function scenarioOf(seed: number): Scenario {
  const [chosen] = fc.sample(scenario, { seed, numRuns: 1 });
  return { seed, ...chosen! };
}

const RECIPES = 12;
/** So many share repositories. */
const SHARED = 4;

/** A registry of some hundred files: several small ones, side by side, which share layers. */
export function filesOf({ seed, isDamaged }: Scenario): Map<string, string> {
  const files = new Map<string, string>();
  for (const [i, each] of fc.sample(recipe, { seed, numRuns: RECIPES }).entries()) {
    const whole = isDamaged ? each : { ...each, damage: [] };
    for (const [path, content] of layOutRecipe(whole))
      files.set(path.replace("/repositories/", `/repositories/r${Math.floor(i / SHARED)}/`), content);
  }
  return files;
}

/** The same files are young for the same seed. */
export function isYoung({ seed, young }: Scenario, path: string): boolean {
  return createHash("sha256").update(`${seed} ${path}`).digest().readUInt8(0) / 2.56 < young;
}
