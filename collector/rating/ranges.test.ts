/** Ranges of time: bounded, disjoint, complete. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cutRanges } from "./ranges.ts";

const anySeconds = fc
  .uniqueArray(fc.integer({ min: 0, max: 86_399 }), { maxLength: 60 })
  .chain((starts) =>
    fc.tuple(
      ...starts
        .toSorted((a, b) => a - b)
        .map((start_s) =>
          fc.record({ start_s: fc.constant(start_s), rows: fc.integer({ min: 1, max: 50 }) }),
        ),
    ),
  );

test("every second is in one range, and only a single second exceeds the limit", () => {
  fc.assert(
    fc.property(anySeconds, fc.integer({ min: 1, max: 100 }), (seconds, max_rows) => {
      const ranges = cutRanges(seconds, max_rows);
      let end_s = 0;
      for (const { from_s, to_s, rows } of ranges) {
        const inside = seconds.filter(({ start_s }) => start_s >= from_s && start_s < to_s);
        expect(from_s).toBeGreaterThanOrEqual(end_s);
        expect(rows).toBe(inside.reduce((sum, second) => sum + second.rows, 0));
        if (inside.length > 1) expect(rows).toBeLessThanOrEqual(max_rows);
        end_s = to_s;
      }
      const total = (list: readonly { rows: number }[]) =>
        list.reduce((sum, { rows }) => sum + rows, 0);
      expect(total(ranges)).toBe(total(seconds));
    }),
  );
});

test("seconds share a range as long as they fit", () => {
  const seconds = [3, 4, 9].map((start_s) => ({ start_s, rows: 2 }));
  expect(cutRanges(seconds, 4)).toEqual([
    { from_s: 3, to_s: 5, rows: 4 },
    { from_s: 9, to_s: 10, rows: 2 },
  ]);
});
