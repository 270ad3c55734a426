/**
 * Calendars of time zones: days, hours and periods where clocks move, also by half an hour or at
 * midnight, and months of different lengths.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stepStart } from "../test/support/usage-truth.ts";
import {
  instantOf,
  localTime,
  previousShift,
  shiftBack,
  startOfDay,
  startOfStep,
} from "./calendar.ts";

const text = (time_ms: number) => new Date(time_ms).toISOString().replace(".000Z", "Z");
const at = (time: string) => Date.parse(time);

const ZONES = [
  "UTC",
  "Asia/Kathmandu",
  "Pacific/Chatham",
  "Australia/Eucla",
  "Australia/Lord_Howe",
  "America/Santiago",
  "America/Havana",
  "Asia/Beirut",
  "Europe/Berlin",
  "Pacific/Kiritimati",
];

describe("days", () => {
  const days: [zone: string, day: string, start: string][] = [
    ["Asia/Kathmandu", "2026-03-01", "2026-02-28T18:15:00Z"],
    ["Pacific/Chatham", "2026-04-05", "2026-04-04T10:15:00Z"],
    ["Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z"],
    // Midnight is left out: the day begins at one.
    ["America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"],
    // Midnight comes twice: the day begins at the first.
    ["America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"],
  ];
  test.each(days)("in %s the day %s begins at %s", (zone, day, start) => {
    expect(text(startOfDay(at(day), zone))).toBe(start);
  });
});

test("steps begin where a search of the clocks finds them, in every zone", () => {
  const zone = fc.constantFrom(...ZONES);
  const interval = fc.constantFrom("15m", "hour", "day", "week", "month");
  const instant = fc.integer({ min: at("2026-01-01"), max: at("2026-12-31") });
  fc.assert(
    fc.property(zone, interval, instant, (tz, step, time_ms) => {
      expect(text(startOfStep(time_ms, step, tz))).toBe(text(stepStart(time_ms, step, tz) ?? 0));
    }),
    { numRuns: 2_000 },
  );
});

test("an instant is the first at which clocks show its local time, or just before it is skipped", () => {
  const zone = fc.constantFrom(...ZONES);
  const instant = fc.integer({ min: at("2026-01-01"), max: at("2026-12-31") });
  fc.assert(
    fc.property(zone, instant, (tz, time_ms) => {
      const found = instantOf(localTime(time_ms, tz), tz);
      expect(found).toBeLessThanOrEqual(time_ms);
      expect(localTime(found, tz)).toBe(localTime(time_ms, tz));
    }),
    { numRuns: 1_000 },
  );
  // Berlin skips from two to three.
  expect(text(instantOf(at("2026-03-29T02:30:00Z"), "Europe/Berlin"))).toBe("2026-03-29T01:00:00Z");
});

describe("the period before", () => {
  type Interval = Parameters<typeof previousShift>[1];
  const cases: [what: string, interval: Interval, tz: string, range: string, before: string][] = [
    [
      "a month",
      "month",
      "UTC",
      "2026-03-01T00:00:00Z 2026-04-01T00:00:00Z",
      "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z",
    ],
    [
      "a month so far",
      "month",
      "UTC",
      "2026-03-01T00:00:00Z 2026-03-21T10:00:00Z",
      "2026-02-01T00:00:00Z 2026-02-21T10:00:00Z",
    ],
    [
      "a month up to a day that the one before lacks",
      "month",
      "UTC",
      "2026-03-01T00:00:00Z 2026-03-31T10:00:00Z",
      "2026-02-01T00:00:00Z 2026-02-28T10:00:00Z",
    ],
    [
      "a quarter",
      "month",
      "Europe/Berlin",
      "2025-12-31T23:00:00Z 2026-03-31T22:00:00Z",
      "2025-09-30T22:00:00Z 2025-12-31T23:00:00Z",
    ],
    [
      "days over a change of the clocks",
      "day",
      "Europe/Berlin",
      "2026-10-24T22:00:00Z 2026-10-26T23:00:00Z",
      "2026-10-22T22:00:00Z 2026-10-24T22:00:00Z",
    ],
    [
      "days of no step",
      "none",
      "Europe/Berlin",
      "2026-10-24T22:00:00Z 2026-10-26T23:00:00Z",
      "2026-10-22T22:00:00Z 2026-10-24T22:00:00Z",
    ],
    [
      "two weeks, the second begun",
      "week",
      "UTC",
      "2026-10-05T00:00:00Z 2026-10-14T00:00:00Z",
      "2026-09-21T00:00:00Z 2026-09-30T00:00:00Z",
    ],
    [
      "a time of no step",
      "none",
      "UTC",
      "2026-10-05T01:02:03Z 2026-10-05T02:02:04Z",
      "2026-10-05T00:02:02Z 2026-10-05T01:02:03Z",
    ],
    [
      "hours, the last begun",
      "hour",
      "Asia/Kathmandu",
      "2026-10-05T00:15:00Z 2026-10-05T02:30:00Z",
      "2026-10-04T21:15:00Z 2026-10-04T23:30:00Z",
    ],
    [
      "quarters",
      "15m",
      "UTC",
      "2026-10-05T00:05:00Z 2026-10-05T00:35:00Z",
      "2026-10-04T23:35:00Z 2026-10-05T00:05:00Z",
    ],
  ];
  test.each(cases)("of %s", (_what, interval, tz, range, before) => {
    const [from = "", to = ""] = range.split(" ");
    const shift = previousShift({ from_ms: at(from), to_ms: at(to) }, interval, tz);
    const found = [from, to].map((end) => text(shiftBack(at(end), shift, tz)));
    expect(found.join(" ")).toBe(before);
  });
});
