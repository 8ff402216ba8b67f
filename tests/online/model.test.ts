/** The quarantine's protocol on every interleaving of two clients and a collector. docs/online-model.md says what is modelled. */

import { describe, expect, test } from "vitest";
import { ASLEEP, type Claim, describeClaim, ECONOMIES, LIMITS, NEEDED, SOUND } from "./model/claims.js";
import { check } from "./model/model.js";

const verify = (claims: readonly Claim[]) => {
  test.each(claims.map((claim) => [describeClaim(claim), claim] as const))("%s", (_, { variant, without, breaks }) => {
    const { schedules, ends } = check(variant, without);
    expect([...schedules.keys()].sort()).toEqual([...breaks].sort());
    // A search in which nothing ends, or a breach without a schedule, would show nothing.
    expect(ends).toBeGreaterThan(0);
    for (const schedule of schedules.values()) expect(schedule.at(0)).toMatch(/^(client|2 mark)/);
  });
};

describe("with every step in place nothing is lost, and nothing is missing", () => verify(SOUND));
describe("what a sleeper does late is healed by a last run", () => verify(ASLEEP));
describe("each of these steps is needed", () => verify(NEEDED));
describe("each of these steps is an economy here", () => verify(ECONOMIES));
describe("what the protocol leaves to operators and drivers", () => verify(LIMITS));
