/** Every time is in exactly one range, and no range has more days than it may. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { daysOf, isInRange, splitDays } from "./slices.ts";

const DAY_S = 86_400;

test("days that fit are one range without bounds", () => {
  expect(splitDays(new Set(), 3)).toEqual([null]);
  expect(splitDays(new Set([1, 2, 3]), 3)).toEqual([null]);
});

test("days that do not fit are ranges, newest first, the outer ones open", () => {
  expect(splitDays(new Set([1, 2, 30, 400]), 2)).toEqual([
    { from_s: 30 * DAY_S, to_s: null },
    { from_s: null, to_s: 30 * DAY_S },
  ]);
});

test("every second is in exactly one range, and no range has more of the days than it may", () => {
  const buckets = fc.array(
    fc.tuple(fc.constantFrom("a", "b"), fc.integer({ min: -DAY_S, max: 60 * DAY_S })),
    { maxLength: 80 },
  );
  const some = fc.array(fc.integer({ min: -2 * DAY_S, max: 62 * DAY_S }), { maxLength: 20 });
  fc.assert(
    fc.property(buckets, fc.integer({ min: 1, max: 9 }), some, (list, max_days, times) => {
      const ranges = splitDays(daysOf(list), max_days);
      for (const time_s of [...times, ...list.map(([, start_s]) => start_s)]) {
        expect(ranges.filter((range) => isInRange(range, time_s))).toHaveLength(1);
      }
      for (const range of ranges) {
        const inside = list.filter(([, start_s]) => isInRange(range, start_s));
        expect(new Set(inside.map(([, s]) => Math.floor(s / DAY_S))).size).toBeLessThanOrEqual(
          max_days,
        );
      }
    }),
  );
});
