/** Periods of the calendar: written out by hand, with the days on which clocks are moved. */
import { expect, test } from "vitest";
import { findBefore, findPeriod, rangeBefore, samePartBefore } from "./period.ts";

const at = (text: string) => Date.parse(text);
const NOW_MS = at("2026-11-21T03:00:00Z");

test.each([
  ["day", "UTC", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-20T00:00:00Z"],
  [
    "day",
    "America/New_York",
    "2026-11-20T05:00:00Z",
    "2026-11-21T05:00:00Z",
    "2026-11-19T05:00:00Z",
  ],
  ["week", "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-09T00:00:00Z"],
  [
    "month",
    "Asia/Kathmandu",
    "2026-10-31T18:15:00Z",
    "2026-11-30T18:15:00Z",
    "2026-09-30T18:15:00Z",
  ],
  // Clocks go back on October 25, so October has an hour more.
  [
    "2026-10",
    "Europe/Berlin",
    "2026-09-30T22:00:00Z",
    "2026-10-31T23:00:00Z",
    "2026-08-31T22:00:00Z",
  ],
  [
    "2026-10-25",
    "Europe/Berlin",
    "2026-10-24T22:00:00Z",
    "2026-10-25T23:00:00Z",
    "2026-10-23T22:00:00Z",
  ],
  ["2024-02-29", "UTC", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", "2024-02-28T00:00:00Z"],
  // Midnight of this day does not exist in Cairo.
  [
    "2026-04-24",
    "Africa/Cairo",
    "2026-04-23T22:00:00Z",
    "2026-04-24T21:00:00Z",
    "2026-04-22T22:00:00Z",
  ],
])("%s in %s", (name, tz, from, to, before) => {
  const period = findPeriod(name, NOW_MS, tz);
  expect(period).toMatchObject({ from_ms: at(from), to_ms: at(to) });
  expect(period?.previous).toEqual({ from_ms: at(before), to_ms: at(from) });
});

test.each([
  "",
  "year",
  "2026",
  "2026-00",
  "2026-13",
  "2026-02-29",
  "2026-1",
  "1970-01",
  "2105-01",
  "2026-11-21T00",
])("%j is no period", (name) => {
  expect(findPeriod(name, NOW_MS, "UTC")).toBeNull();
});

test("the same part of the period before goes by the clock, and ends with it", () => {
  const tz = "Europe/Berlin";
  const november = findPeriod("2026-11", NOW_MS, tz);
  const march = findPeriod("2026-03", NOW_MS, tz);
  if (november === null || march === null) throw new Error("no such periods");
  // Noon of the 28th, after the clocks of October were moved.
  expect(samePartBefore(november, at("2026-11-28T11:00:00Z"), tz)).toEqual({
    from_ms: at("2026-09-30T22:00:00Z"),
    to_ms: at("2026-10-28T11:00:00Z"),
  });
  // February has no 30th.
  expect(samePartBefore(march, at("2026-03-30T12:00:00Z"), tz)).toEqual(march.previous);
  expect(samePartBefore(march, march.to_ms, tz)).toEqual(march.previous);
});

test("the range before has the same length, or the same days", () => {
  const range = { from_ms: at("2026-10-24T22:00:00Z"), to_ms: at("2026-10-31T23:00:00Z") };
  expect(rangeBefore(range, "Europe/Berlin", NOW_MS)).toEqual({
    from_ms: at("2026-10-17T22:00:00Z"),
    to_ms: range.from_ms,
  });
  const odd = { from_ms: at("2026-10-20T01:02:03Z"), to_ms: at("2026-10-20T02:02:04Z") };
  expect(rangeBefore(odd, "UTC", NOW_MS)).toEqual({
    from_ms: odd.from_ms - 3_601_000,
    to_ms: odd.from_ms,
  });
});

/** The clock, the steps and zone, a range, and what it is held against. */
const HELD_AGAINST: [what: string, now: string, steps: string, range: string, before: string][] = [
  [
    "a month: the part of the month before, up to the end of the quarter",
    "2026-11-21T03:07:00Z",
    "none UTC",
    "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z",
    "2026-10-01T00:00:00Z 2026-10-21T03:15:00Z",
  ],
  [
    "a month by days",
    "2026-11-21T03:07:00Z",
    "day UTC",
    "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z",
    "2026-10-01T00:00:00Z 2026-10-21T03:15:00Z",
  ],
  [
    "a month of which more has passed than the one before had",
    "2026-03-30T12:00:00Z",
    "none UTC",
    "2026-03-01T00:00:00Z 2026-04-01T00:00:00Z",
    "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z",
  ],
  [
    "a month whose clocks were moved: the same time on the clock",
    "2026-10-28T11:50:00Z",
    "none Europe/Berlin",
    "2026-09-30T22:00:00Z 2026-10-31T23:00:00Z",
    "2026-08-31T22:00:00Z 2026-09-28T11:00:00Z",
  ],
  [
    "a month by weeks, which have no like in the month before: as many weeks",
    "2026-11-21T03:07:00Z",
    "week UTC",
    "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z",
    "2026-09-20T00:00:00Z 2026-10-10T03:15:00Z",
  ],
  [
    "a week from Monday",
    "2026-03-29T10:00:00Z",
    "hour Europe/Berlin",
    "2026-03-22T23:00:00Z 2026-03-29T22:00:00Z",
    "2026-03-15T23:00:00Z 2026-03-22T11:15:00Z",
  ],
  [
    "a day with an hour too many",
    "2026-10-25T12:00:00Z",
    "none Europe/Berlin",
    "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z",
    "2026-10-23T22:00:00Z 2026-10-24T11:15:00Z",
  ],
  [
    "a day that begins at one, because clocks leave out midnight: the time that has passed",
    "2026-09-06T15:00:00Z",
    "none America/Santiago",
    "2026-09-06T04:00:00Z 2026-09-07T03:00:00Z",
    "2026-09-05T04:00:00Z 2026-09-05T15:15:00Z",
  ],
  [
    "days with today",
    "2026-11-21T03:07:00Z",
    "none UTC",
    "2026-10-23T00:00:00Z 2026-11-22T00:00:00Z",
    "2026-09-23T00:00:00Z 2026-10-22T03:15:00Z",
  ],
  [
    "days of a zone at a quarter",
    "2026-11-21T03:07:00Z",
    "day Asia/Kathmandu",
    "2026-11-14T18:15:00Z 2026-11-21T18:15:00Z",
    "2026-11-07T18:15:00Z 2026-11-14T03:15:00Z",
  ],
  [
    "a time that ends within this quarter: all of it",
    "2026-11-21T03:07:00Z",
    "none UTC",
    "2026-11-21T02:08:00Z 2026-11-21T03:08:00Z",
    "2026-11-21T01:08:00Z 2026-11-21T02:08:00Z",
  ],
  [
    "a range that has not begun: all of it",
    "2026-11-21T03:07:00Z",
    "none UTC",
    "2026-12-01T00:00:00Z 2026-12-03T00:00:00Z",
    "2026-11-29T00:00:00Z 2026-12-01T00:00:00Z",
  ],
  [
    "a month that is over: its length in days, as ever",
    "2026-12-01T00:00:00Z",
    "none UTC",
    "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z",
    "2026-10-02T00:00:00Z 2026-11-01T00:00:00Z",
  ],
];

test.each(HELD_AGAINST)("what is held against %s", (_what, now, steps, range, before) => {
  const [interval = "", tz = ""] = steps.split(" ");
  const [from_ms = 0, to_ms = 0] = range.split(" ").map((text) => at(text));
  const found = findBefore({ from_ms, to_ms }, interval as "none", tz, at(now));
  const text = (ms: number) => new Date(ms).toISOString().replace(".000", "");
  expect(`${text(found.range.from_ms)} ${text(found.range.to_ms)}`).toBe(before);
});

test("a day of a month that goes on is held against the day of the same number, or none", () => {
  const march = { from_ms: at("2026-03-01T00:00:00Z"), to_ms: at("2026-04-01T00:00:00Z") };
  const { range, back } = findBefore(march, "day", "UTC", at("2026-03-30T12:00:00Z"));
  expect(back(at("2026-03-28T00:00:00Z"))).toBe(at("2026-02-28T00:00:00Z"));
  expect(back(at("2026-03-29T00:00:00Z"))).toBeGreaterThanOrEqual(range.to_ms);
});
