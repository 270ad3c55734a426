/** Periods of the calendar: written out by hand, with the days on which clocks are moved. */
import { expect, test } from "vitest";
import { findPeriod, rangeBefore, samePartBefore } from "./period.ts";

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
  expect(rangeBefore(range, "Europe/Berlin")).toEqual({
    from_ms: at("2026-10-17T22:00:00Z"),
    to_ms: range.from_ms,
  });
  const odd = { from_ms: at("2026-10-20T01:02:03Z"), to_ms: at("2026-10-20T02:02:04Z") };
  expect(rangeBefore(odd, "UTC")).toEqual({
    from_ms: odd.from_ms - 3_601_000,
    to_ms: odd.from_ms,
  });
});
