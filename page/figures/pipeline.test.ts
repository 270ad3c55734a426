import { expect, test } from "vitest";
import { dayTicks } from "./pipeline.ts";

const HOUR_MS = 3_600_000;

function makeTimes(from: string, step_h: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => Date.parse(from) + index * step_h * HOUR_MS);
}

test("points are labelled at the first of a day of the zone, the first point left out", () => {
  const ticks = [...dayTicks(makeTimes("2026-11-20T12:00:00Z", 1, 72), "Europe/Berlin")];
  expect(ticks.map((at) => new Date(at).toISOString())).toEqual([
    "2026-11-20T23:00:00.000Z",
    "2026-11-21T23:00:00.000Z",
    "2026-11-22T23:00:00.000Z",
  ]);
});

test("a month has no more labels than fit", () => {
  const ticks = [...dayTicks(makeTimes("2026-10-22T12:00:00Z", 4, 180), "UTC")];
  expect(ticks.length).toBeLessThanOrEqual(7);
  expect(ticks.every((at) => new Date(at).getUTCHours() === 0)).toBe(true);
});
