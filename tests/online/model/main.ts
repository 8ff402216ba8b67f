/**
 * Prints what the search finds for each claim, and the shortest breaking schedules: `npx tsx tests/online/model/main.ts`. Fails where
 * a step turns out not to matter that should, or the other way.
 */

import { ASLEEP, type Claim, describeClaim, ECONOMIES, LIMITS, NEEDED, SOUND } from "./claims.js";
import { check } from "./model.js";

const parts: readonly (readonly [string, readonly Claim[]])[] = [
  ["Every step in place", SOUND],
  ["A sleeper wakes late", ASLEEP],
  ["A step left out that is needed", NEEDED],
  ["A step left out that is an economy", ECONOMIES],
  ["Limits", LIMITS],
];

let refuted = 0;
for (const [title, claims] of parts) {
  console.log(`\n${title}\n`);
  for (const claim of claims) {
    const { states, ends, schedules } = check(claim.variant, claim.without);
    const found = [...schedules.keys()].sort();
    console.log(`- ${describeClaim(claim)}: ${states} states, ${ends} ends; ${found.join(", ") || "nothing lost, nothing missing"}`);
    for (const [breach, schedule] of schedules) {
      console.log(`  ${breach}:`);
      for (const label of schedule) console.log(`    ${label}`);
    }
    if (found.join() === [...claim.breaks].sort().join()) continue;
    refuted++;
    console.log(`  REFUTED, claimed was: ${claim.breaks.join(", ") || "nothing lost, nothing missing"}`);
  }
}
console.log(refuted === 0 ? "\nEvery claim holds." : `\n${refuted} claims do not hold.`);
process.exitCode = refuted === 0 ? 0 : 1;
