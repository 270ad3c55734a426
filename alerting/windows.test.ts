/** Calendar windows against a plain search for the minute at which the date changes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PERIODS } from "../schemas/alerting.ts";
import { daysBetween, daysEarlier, wallClock, windowOf } from "./windows.ts";

const DAY_MS = 86_400_000;
/** Zones with quarters of an hour, clocks that move at midnight, by half an hour, or skip a day. */
const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "America/Sao_Paulo",
  "America/Havana",
  "Asia/Beirut",
  "Africa/Cairo",
  "Pacific/Apia",
  "America/St_Johns",
] as const;
const instants = fc.integer({ min: Date.UTC(2005, 0, 1), max: Date.UTC(2027, 0, 1) });

/** The local date by another function of the platform than the one under test. */
function dateOf(tz: string, ms: number): string {
  return new Date(ms).toLocaleDateString("sv-SE", { timeZone: tz });
}

const seven = (number: number) => String(number).padStart(2, "0");
/** What two instants share when they lie in the same window. */
const NAMES = {
  day: (date: string) => date,
  week: (date: string) => {
    const day = new Date(`${date}T00:00:00Z`);
    day.setUTCDate(day.getUTCDate() - ((day.getUTCDay() + 6) % 7));
    return day.toISOString().slice(0, 10);
  },
  month: (date: string) => date.slice(0, 7),
  quarter: (date: string) =>
    `${date.slice(0, 4)}-${seven(Math.ceil(Number(date.slice(5, 7)) / 3))}`,
  year: (date: string) => date.slice(0, 4),
} as const;

describe.each(PERIODS)("a %s", (period) => {
  test("holds its instant, and its first and last have the same name, its neighbours another", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ZONES), instants, (tz, ms) => {
        const { start_ms, end_ms } = windowOf(period, tz, ms);
        const name = (time: number) => NAMES[period](dateOf(tz, time));
        expect(start_ms <= ms && ms < end_ms).toBe(true);
        expect(name(start_ms)).toBe(name(ms));
        expect(name(end_ms - 1)).toBe(name(ms));
        expect(name(end_ms)).not.toBe(name(ms));
        expect(windowOf(period, tz, start_ms - 1).end_ms).toBe(start_ms);
      }),
      { numRuns: 300 },
    );
  });
});

test("a day whose midnight the clocks leave out begins when they have moved", () => {
  const { start_ms } = windowOf("day", "America/Sao_Paulo", Date.UTC(2018, 10, 4, 12));
  expect(new Date(start_ms).toISOString()).toBe("2018-11-04T03:00:00.000Z");
  expect(wallClock("America/Sao_Paulo", start_ms)).toBe(Date.UTC(2018, 10, 4, 1));
});

test("days of a month in a zone are as many as the calendar has, also where one has 23 hours", () => {
  const { start_ms, end_ms } = windowOf("month", "Europe/Berlin", Date.UTC(2026, 2, 15));
  const days = daysBetween("Europe/Berlin", start_ms, end_ms);
  expect(days).toHaveLength(31);
  expect(days.filter((day) => day.end_ms - day.start_ms === DAY_MS - 3_600_000)).toHaveLength(1);
});

test("the same hour a week earlier is the same on the clock when the clocks were moved between", () => {
  const monday = Date.UTC(2026, 2, 30, 7); // 09:00 in Berlin, in summer
  const before = daysEarlier("Europe/Berlin", monday, 7);
  expect(new Date(before).toISOString()).toBe("2026-03-23T08:00:00.000Z");
});
