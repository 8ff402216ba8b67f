/** Why a digest is kept, and whether it may go: every combination of marks. */

import { describe, expect, test } from "vitest";
import { ASIDE, DOOMED, isDying, LIVE, Marks, PRESENT, PROTECTED, YOUNG } from "../src/marks.js";

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
      expect(isDying(marks.of(number)), `dying by ${flags.join()}`).toBe(!isKept && (flags.includes(PRESENT) || flags.includes(ASIDE)));
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

  test("many at once are what each is: counted, selected, and added to", async () => {
    // In several chunks, and where those of the rare algorithms are.
    const numbers = COMBINATIONS.flatMap((flags, i) =>
      [i, i + 8191, 20_000 - i, 0xc0000000 + i * 3, 0xffffffff - i].map((number) => ({ number, flags })),
    ).filter(({ number }, i, all) => all.findIndex((each) => each.number === number) === i);
    const marks = new Marks();
    for (const { number, flags } of numbers) for (const flag of flags) marks.add(number, flag);

    const counts = [...(await marks.countSets())];
    for (const set of new Set(numbers.map(({ number }) => marks.of(number)))) {
      if (set !== 0) expect(counts[set]).toBe(numbers.filter(({ number }) => marks.of(number) === set).length);
    }
    expect(counts.reduce((sum, count, set) => (set === 0 ? sum : sum + count), 0)).toBe(
      numbers.filter(({ flags }) => flags.length > 0).length,
    );
    const selected = await marks.select((flags) => (flags & (PRESENT | YOUNG)) === PRESENT);
    const expected = numbers.filter(({ flags }) => flags.includes(PRESENT) && !flags.includes(YOUNG)).map(({ number }) => number);
    expect(selected).toEqual(expected.toSorted((a, b) => a - b));

    const all = numbers.map(({ number }) => number);
    const without = all.filter((number) => !marks.has(number, DOOMED));
    const before = all.map((number) => marks.of(number));
    expect(marks.addToAll(Uint32Array.from([...all, ...all]), DOOMED)).toBe(without.length);
    expect(all.map((number) => marks.of(number))).toEqual(before.map((flags) => flags | DOOMED));
    expect(await new Marks().select(() => true)).toEqual([]);
  });
});
