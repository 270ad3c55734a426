/** The share of the recompute by a clock of the test: how long it rests, and what makes it rest longer. */
import { describe, expect, test } from "vitest";
import { InsertLoad, restAfter, shareOf } from "./load.ts";

describe("resting", () => {
  test.each([
    [1_000, 0.25, 3_000],
    [1_000, 1, 500],
    [0, 0.25, 500],
    [-5_000, 0.25, 500],
  ])("after %d ms of work at a share of %d takes %d ms", (worked_ms, share, rest_ms) => {
    expect(restAfter(worked_ms, share, 500)).toBe(rest_ms);
  });
});

describe("the share", () => {
  test("is what inserts leave of a core, and never less than its setting while nothing is behind", () => {
    expect([0, 0.4, 0.65, 1].map((busy_part) => shareOf(0.25, busy_part, 0))).toEqual([
      0.9, 0.5, 0.25, 0.25,
    ]);
  });

  test("shrinks the further inserts are behind, to a sixteenth", () => {
    const shares = [2_000, 4_000, 20_000, 3_600_000].map((behind_ms) => shareOf(0.4, 0, behind_ms));
    expect(shares.map((share) => share.toFixed(3))).toEqual(["0.900", "0.200", "0.040", "0.025"]);
  });
});

test("inserts count by the time they took lately", () => {
  let now_ms = 0;
  const load = new InsertLoad(() => now_ms);
  expect(load.busyPart()).toBe(0);
  // Busy for 600 ms of every second.
  for (let second = 0; second < 60; second += 1) {
    now_ms += 1_000;
    load.note(600);
  }
  expect(load.busyPart()).toBeGreaterThan(0.55);
  expect(load.busyPart()).toBeLessThan(0.65);
  now_ms += 60_000;
  expect(load.busyPart()).toBeLessThan(0.01);
});
