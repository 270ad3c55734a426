import { expect, test } from "vitest";
import { knownUsd } from "./columns.ts";

test("nothing is not known to be the cost of calls that have no price", () => {
  // Seventy-one calls without a price and one that was refused, which costs nothing.
  expect(knownUsd("0", { calls_unpriced: 71 })).toBeNull();
  expect(knownUsd("0.000", { calls_unpriced: 1 })).toBeNull();
  expect(knownUsd(null, { calls_unpriced: 1 })).toBeNull();
});

test("a cost is known when all calls have a price, or some cost something", () => {
  expect(knownUsd("0", { calls_unpriced: 0 })).toBe("0");
  expect(knownUsd("0")).toBe("0");
  expect(knownUsd("0.0001", { calls_unpriced: 71 })).toBe("0.0001");
  expect(knownUsd(undefined, null)).toBeNull();
});
