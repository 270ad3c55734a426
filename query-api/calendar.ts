/**
 * Calendars of time zones: where days and other steps begin, and which step lies how far back. The steps
 * are those that `INTERVAL_SQL` gives.
 *
 * Invariant: local times are milliseconds as if the zone were UTC, so that calendars are plain sums.
 */
import type { Interval } from "../schemas/usage.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const QUARTER_MS = 15 * MINUTE_MS;

/** Time zones whose format is kept; there are about 600 in all. */
const MAX_FORMATS = 700;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(tz: string): Intl.DateTimeFormat {
  const known = formats.get(tz);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: tz,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  if (formats.size < MAX_FORMATS) formats.set(tz, format);
  return format;
}

/** What clocks of the zone show at an instant. */
export function localTime(time_ms: number, tz: string): number {
  const second_ms = Math.floor(time_ms / 1000) * 1000;
  const parts = new Map(
    formatOf(tz)
      .formatToParts(second_ms)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  const local_ms = Date.UTC(
    part("year"),
    part("month") - 1,
    part("day"),
    part("hour"),
    part("minute"),
    part("second"),
  );
  return local_ms + (time_ms - second_ms);
}

/** The first instant at which clocks show the local time, or a later one when they leave it out. */
export function instantOf(local_ms: number, tz: string): number {
  // Clocks are moved by less than a day, so one of the two offsets holds unless the time is left out.
  const offsets = [local_ms - DAY_MS, local_ms + DAY_MS].map((time) => localTime(time, tz) - time);
  const candidates = offsets.map((offset) => local_ms - offset).toSorted((a, b) => a - b);
  const [early = local_ms, late = local_ms] = candidates;
  const found = candidates.find((time) => localTime(time, tz) === local_ms);
  if (found !== undefined) return found;
  let before = early;
  let after = late;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (localTime(middle, tz) >= local_ms) after = middle;
    else before = middle;
  }
  return after;
}

/** The first instant of a day; `date_ms` is its midnight as if the zone were UTC. */
export function startOfDay(date_ms: number, tz: string): number {
  return instantOf(date_ms, tz);
}

/** Start of the day, week (from Monday) or month of a local time, local. */
function localStart(local_ms: number, interval: "day" | "week" | "month"): number {
  const date_ms = Math.floor(local_ms / DAY_MS) * DAY_MS;
  const date = new Date(date_ms);
  if (interval === "week") return date_ms - ((date.getUTCDay() + 6) % 7) * DAY_MS;
  return interval === "month" ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth()) : date_ms;
}

/** Start of the step that an instant is in, Unix ms. */
export function startOfStep(
  time_ms: number,
  interval: Exclude<Interval, "none">,
  tz: string,
): number {
  const quarter_ms = Math.floor(time_ms / QUARTER_MS) * QUARTER_MS;
  if (interval === "15m") return quarter_ms;
  const local_ms = localTime(quarter_ms, tz);
  if (interval !== "hour") return instantOf(localStart(local_ms, interval), tz);
  const start_ms = quarter_ms - (local_ms % HOUR_MS);
  const begun_ms = localTime(start_ms, tz) % HOUR_MS;
  // Clocks moved by less than an hour within it: it began when they were moved.
  return begun_ms === 0 ? start_ms : start_ms + HOUR_MS - begun_ms;
}

/** How far the period before lies back: steps of the calendar, or a time. */
export interface Shift {
  readonly unit: "ms" | "day" | "month";
  readonly amount: number;
}

/**
 * How far back the period before a range lies. With steps of a calendar as many of them as the range
 * touches, so that a month is held against the month before; else the length of the range, in days when
 * both ends are midnights, and in whole steps.
 */
export function previousShift(
  range: { readonly from_ms: number; readonly to_ms: number },
  interval: Interval,
  tz: string,
): Shift {
  const from_ms = localTime(range.from_ms, tz);
  const to_ms = localTime(range.to_ms, tz);
  if (interval === "month") {
    const start = new Date(localStart(from_ms, "month"));
    const last = new Date(localStart(to_ms - 1, "month"));
    const years = last.getUTCFullYear() - start.getUTCFullYear();
    return { unit: "month", amount: years * 12 + last.getUTCMonth() - start.getUTCMonth() + 1 };
  }
  if (interval === "week" || interval === "day") {
    const span_ms = localStart(to_ms - 1, interval) - localStart(from_ms, interval);
    return { unit: "day", amount: span_ms / DAY_MS + (interval === "week" ? 7 : 1) };
  }
  if (from_ms % DAY_MS === 0 && to_ms % DAY_MS === 0) {
    return { unit: "day", amount: (to_ms - from_ms) / DAY_MS };
  }
  const step_ms = interval === "hour" ? HOUR_MS : interval === "15m" ? QUARTER_MS : 1;
  const length_ms = range.to_ms - range.from_ms;
  return { unit: "ms", amount: Math.ceil(length_ms / step_ms) * step_ms };
}

/** The instant that lies so far back, by the calendar of the zone; a day that a month lacks is its last. */
export function shiftBack(time_ms: number, { unit, amount }: Shift, tz: string): number {
  if (unit === "ms") return time_ms - amount;
  const local_ms = localTime(time_ms, tz);
  if (unit === "day") return instantOf(local_ms - amount * DAY_MS, tz);
  const date = new Date(local_ms);
  const month = date.getUTCMonth() - amount;
  const last_day = new Date(Date.UTC(date.getUTCFullYear(), month + 1, 0)).getUTCDate();
  const day = Math.min(date.getUTCDate(), last_day);
  return instantOf(Date.UTC(date.getUTCFullYear(), month, day) + (local_ms % DAY_MS), tz);
}
