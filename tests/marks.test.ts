/** Why a digest is kept, and whether it may go: every combination of marks. */

import { describe, expect, test } from "vitest";
import { ASIDE, DOOMED, LIVE, Marks, PRESENT, PROTECTED, YOUNG } from "../src/marks.js";

const FLAGS = { PRESENT, LIVE, PROTECTED, YOUNG, DOOMED, ASIDE };
const COMBINATIONS = Array.from({ length: 64 }, (_, bits) => Object.values(FLAGS).filter((__, i) => (bits & (1 << i)) !== 0));

describe("marks", () => {
  test("of one digest don't touch another's, and are six different ones", () => {
    const marks = new Marks();
    for (const [number, flag] of Object.values(FLAGS).entries()) marks.add(number, flag);
    for (const [number] of Object.values(FLAGS).entries()) {
      expect(Object.values(FLAGS).map((flag) => marks.has(number, flag))).toEqual(Object.values(FLAGS).map((_, i) => i === number));
    }
  });

  test("what keeps a digest, and what is left of one that nothing keeps", () => {
    for (const [number, flags] of COMBINATIONS.entries()) {
      const marks = new Marks();
      for (const flag of flags) marks.add(number, flag);
      const isKept = flags.some((flag) => [LIVE, PROTECTED, YOUNG].includes(flag));
      expect(marks.isKept(number), `kept by ${flags.join()}`).toBe(isKept);
      expect(marks.isCandidate(number), `candidate by ${flags.join()}`).toBe(!isKept && flags.includes(PRESENT));
      expect(marks.isDying(number), `dying by ${flags.join()}`).toBe(!isKept && (flags.includes(PRESENT) || flags.includes(ASIDE)));
    }
  });

  test("taking one away leaves the others", () => {
    for (const flags of COMBINATIONS) {
      for (const gone of flags) {
        const marks = new Marks();
        for (const flag of [...flags, ...flags]) marks.add(7, flag);
        marks.remove(7, gone);
        marks.remove(7, gone);
        expect(Object.values(FLAGS).filter((flag) => marks.has(7, flag))).toEqual(flags.filter((flag) => flag !== gone));
      }
    }
  });
});
