import { expect, test } from "vitest";
import { endOfStep, patchOfStep } from "./lines.ts";

const endOf = (start: string, step: "15m" | "hour" | "day" | "week" | "month", tz: string) =>
  new Date(endOfStep(Date.parse(start), step, tz)).toISOString();

test.each([
  ["2026-11-21T12:15:00Z", "15m", "UTC", "2026-11-21T12:30:00.000Z"],
  ["2026-11-21T23:00:00Z", "hour", "UTC", "2026-11-22T00:00:00.000Z"],
  ["2026-11-21T00:00:00Z", "day", "UTC", "2026-11-22T00:00:00.000Z"],
  ["2026-11-16T00:00:00Z", "week", "UTC", "2026-11-23T00:00:00.000Z"],
  ["2026-12-01T00:00:00Z", "month", "UTC", "2027-01-01T00:00:00.000Z"],
  // Clocks go back on 25 October 2026 in Berlin: that day has 25 hours.
  ["2026-10-24T22:00:00Z", "day", "Europe/Berlin", "2026-10-25T23:00:00.000Z"],
  ["2026-10-18T22:00:00Z", "week", "Europe/Berlin", "2026-10-25T23:00:00.000Z"],
  ["2026-09-30T22:00:00Z", "month", "Europe/Berlin", "2026-10-31T23:00:00.000Z"],
] as const)("the step of %s by %s in %s ends at %s", (start, step, tz, end) => {
  expect(endOf(start, step, tz)).toBe(end);
});

test("a step leads to a range of its own", () => {
  const range = { from: "", to: "", tz: "UTC", name: null, title: "", hours: 24 };
  expect(patchOfStep(Date.parse("2026-11-21T12:00:00Z"), "hour", range)).toEqual({
    range: null,
    from: "2026-11-21T12:00:00.000Z",
    to: "2026-11-21T13:00:00.000Z",
  });
});
