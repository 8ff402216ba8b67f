/** Packed maps of numbers say what JavaScript's own say. */

import { describe, expect, test } from "vitest";
import { NumberMap, NumberSet } from "../src/internal/numberMap.js";

/** Numbers that are the same each time. */
function* random(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

const EDGES = [0, 1, 7, 8, 0xc0000000, 0xfffffffe];

describe("NumberMap", () => {
  for (const usual of [Number.NaN, Number.NEGATIVE_INFINITY, 0]) {
    test(`does what a Map does, with ${usual} as the usual value`, () => {
      const numbers = random(7);
      const own = new NumberMap(usual);
      const map = new Map<number, number>();
      for (let step = 0; step < 20_000; step++) {
        const draw = numbers.next().value;
        const key = step % 50 === 0 ? (EDGES[draw % EDGES.length] ?? 0) : (draw >>> 8) % 700;
        if (draw % 3 === 0) {
          own.delete(key);
          map.delete(key);
        } else {
          const value = step % 4 === 0 && step > 5000 ? draw : usual;
          expect(own.set(key, value)).toBe(!map.has(key));
          map.set(key, value);
        }
        expect([own.size, own.has(key), own.get(key)]).toEqual([map.size, map.has(key), map.get(key)]);
      }
      expect([...own.keys()].sort((a, b) => a - b)).toEqual([...map.keys()].sort((a, b) => a - b));
      for (const [key, value] of map) expect(own.get(key)).toBe(value);
    });
  }
});

test("many keys are set as each would be", () => {
  const numbers = random(3);
  const keys = Uint32Array.from({ length: 5000 }, (_, i) => EDGES[i] ?? numbers.next().value >>> 20);
  for (const values of [undefined, Float64Array.from(keys, (_, i) => (i % 7 === 0 ? Number.NaN : i)), new Float64Array(10)]) {
    const [own, each] = [new NumberMap(-1), new NumberMap(-1)];
    own.setAll(keys, values);
    keys.forEach((key, i) => each.set(key, values?.[i] ?? -1));
    expect(own.size).toBe(new Set(keys).size);
    const told = (map: NumberMap) => new Map([...map.keys()].map((key) => [key, map.get(key)]));
    expect(told(own)).toEqual(told(each));
  }
});

test("NumberSet tells what is new, and holds it once", () => {
  const set = new NumberSet();
  const added = [...EDGES, ...EDGES].map((number) => set.add(number));
  expect(added).toEqual([...EDGES.map(() => true), ...EDGES.map(() => false)]);
  expect([...set].sort((a, b) => a - b)).toEqual(EDGES);
  expect([set.size, set.has(0xfffffffe), set.has(2)]).toEqual([EDGES.length, true, false]);
});
