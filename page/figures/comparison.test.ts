import { expect, test } from "vitest";
import { countCompared } from "./comparison.ts";

test.each([
  [0, 6], // weeks and months
  [30, 6],
  [97, 6],
  [128, 6],
  [168, 4],
  [200, 3],
  [1000, 2],
])("over %i steps %i groups are compared", (steps, groups) => {
  expect(countCompared(steps)).toBe(groups);
});
