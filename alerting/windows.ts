/**
 * Calendar windows in time zones: days, weeks, months, quarters and years as instants.
 *
 * Invariant: windows of one period and zone follow each other without gap or overlap, also where clocks
 * are moved at midnight.
 */
import type { Period } from "../schemas/alerting.ts";

/** A range of time, Unix ms; the end is not part of it. */
export interface Window {
  readonly start_ms: number;
  readonly end_ms: number;
}

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(tz: string): Intl.DateTimeFormat {
  let format = formats.get(tz);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: tz,
      calendar: "gregory",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(tz, format); // there are some 600 zones
  }
  return format;
}

/** What a clock of the zone shows at an instant, as the Unix ms of a clock in UTC that shows the same. */
export function wallClock(tz: string, ms: number): number {
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(tz).formatToParts(ms)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const in_second_ms = ((ms % 1000) + 1000) % 1000;
  return Date.UTC(year, month - 1, day, hour, minute, second) + in_second_ms;
}

/**
 * The first instant at which a clock of the zone shows the time; where the clock jumps over it, the
 * instant as long after the jump as the time lies after its beginning.
 */
export function instantOfWall(tz: string, wall_ms: number): number {
  const offset = (ms: number) => wallClock(tz, ms) - ms;
  const before = offset(wall_ms - DAY_MS);
  const after = offset(wall_ms + DAY_MS);
  const shown = [before, after]
    .map((shift) => wall_ms - shift)
    .filter((ms) => wallClock(tz, ms) === wall_ms);
  return shown.length === 0 ? wall_ms - before : Math.min(...shown);
}

interface CalendarDay {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** First day of each period, as a date that may have a day below 1, and of the one after it. */
const BOUNDS: Readonly<
  Record<Period, (date: CalendarDay, weekday: number) => readonly [CalendarDay, CalendarDay]>
> = {
  day: (date) => [date, { ...date, day: date.day + 1 }],
  week: (date, weekday) => {
    const monday = date.day - ((weekday + 6) % 7);
    return [
      { ...date, day: monday },
      { ...date, day: monday + 7 },
    ];
  },
  month: ({ year, month }) => [
    { year, month, day: 1 },
    { year, month: month + 1, day: 1 },
  ],
  quarter: ({ year, month }) => {
    const first = month - (month % 3);
    return [
      { year, month: first, day: 1 },
      { year, month: first + 3, day: 1 },
    ];
  },
  year: ({ year }) => [
    { year, month: 0, day: 1 },
    { year: year + 1, month: 0, day: 1 },
  ],
};

/** The window of a period that an instant lies in; weeks begin on Monday. */
export function windowOf(period: Period, tz: string, ms: number): Window {
  const local = new Date(wallClock(tz, ms));
  const date = {
    year: local.getUTCFullYear(),
    month: local.getUTCMonth(),
    day: local.getUTCDate(),
  };
  const [first, next] = BOUNDS[period](date, local.getUTCDay());
  const start = ({ year, month, day }: CalendarDay) =>
    instantOfWall(tz, Date.UTC(year, month, day));
  return { start_ms: start(first), end_ms: start(next) };
}

/** The day of the week of an instant in a zone: 0 is Sunday. */
export function weekdayOf(tz: string, ms: number): number {
  return new Date(wallClock(tz, ms)).getUTCDay();
}

/** The days of a zone that begin in the range, each as a window. */
export function daysBetween(tz: string, from_ms: number, to_ms: number): Window[] {
  const days: Window[] = [];
  let day = windowOf("day", tz, from_ms);
  if (day.start_ms < from_ms) day = windowOf("day", tz, day.end_ms);
  for (; day.start_ms < to_ms; day = windowOf("day", tz, day.end_ms)) days.push(day);
  return days;
}

/** The same time on the clock so many days earlier. */
export function daysEarlier(tz: string, ms: number, days: number): number {
  return instantOfWall(tz, wallClock(tz, ms) - days * DAY_MS);
}
