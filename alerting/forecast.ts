/**
 * What a window will end at: what was spent so far, and for each day that is left, or the part of it that
 * is left, the mean of the days known, shaped by the day of the week.
 *
 * Invariant: with fewer than three whole days of data there is no forecast.
 */
import { daysBetween, weekdayOf, type Window, windowOf } from "./windows.ts";

/** Whole days with data that a forecast needs. */
export const MIN_FORECAST_DAYS = 3;
/** Days before today whose weekdays give the shape. */
export const SHAPE_DAYS = 28;
/** Known days from which on weekdays are told apart: each then stands for two at least. */
const MIN_SHAPE_DAYS = 14;

/** What was spent on a whole day, in the smallest unit of the budget. */
export interface DayAmount extends Window {
  readonly amount: number;
  readonly has_calls: boolean;
}

export interface Forecast {
  /** In the smallest unit of the budget. */
  readonly amount: bigint;
  readonly known_days: number;
  readonly method: string;
}

interface ForecastQuestion {
  readonly window: Window;
  readonly tz: string;
  readonly now_ms: number;
  /** So far in the window. */
  readonly spent: bigint;
  /** Whole days before today, the oldest first. */
  readonly days: readonly DayAmount[];
}

/**
 * The level is the mean of the whole days of the window; when it has fewer than three, of the last 28
 * days. Days before the first with a call are no data; later ones without calls are days of nothing.
 * From 14 known days on each weekday has its share of the mean.
 */
export function forecastWindow(question: ForecastQuestion): Forecast | null {
  const { window, tz, now_ms, spent, days } = question;
  const first = days.findIndex(({ has_calls }) => has_calls);
  const known = first < 0 ? [] : days.slice(first);
  if (known.length < MIN_FORECAST_DAYS) return null;
  const recent = known.slice(-SHAPE_DAYS);
  const in_window = known.filter(({ start_ms }) => start_ms >= window.start_ms);
  const is_settled = in_window.length >= MIN_FORECAST_DAYS;
  const reference = is_settled ? in_window : recent;
  const shape = weekdayShape(recent, tz);
  const weight = reference.reduce((sum, { start_ms }) => sum + shape(start_ms), 0);
  const level = weight === 0 ? 0 : sumOf(reference) / weight;
  let rest = 0;
  for (const { start_ms, part } of remainingDays(window, tz, now_ms)) {
    rest += level * shape(start_ms) * part;
  }
  const source = is_settled ? "the whole days of the window" : `the last ${recent.length} days`;
  const weekdays = recent.length >= MIN_SHAPE_DAYS ? ", by the day of the week" : "";
  return {
    amount: spent + BigInt(Math.round(rest)),
    known_days: reference.length,
    method: `spent so far, and the mean of ${source}${weekdays} for the time that is left`,
  };
}

function sumOf(days: readonly DayAmount[]): number {
  return days.reduce((sum, { amount }) => sum + amount, 0);
}

/** How much of the mean falls on the weekday of a day; 1 for all while too little is known. */
function weekdayShape(days: readonly DayAmount[], tz: string): (start_ms: number) => number {
  const mean = sumOf(days) / days.length;
  if (days.length < MIN_SHAPE_DAYS || mean === 0) return () => 1;
  const shares = [0, 1, 2, 3, 4, 5, 6].map((weekday) => {
    const same = days.filter(({ start_ms }) => weekdayOf(tz, start_ms) === weekday);
    return sumOf(same) / same.length / mean;
  });
  return (start_ms) => shares[weekdayOf(tz, start_ms)] ?? 1;
}

/** The days from now to the end of the window, and the part of each that is still to come. */
function remainingDays(window: Window, tz: string, now_ms: number) {
  const today = windowOf("day", tz, now_ms);
  return daysBetween(tz, today.start_ms, window.end_ms).map(({ start_ms, end_ms }) => ({
    start_ms,
    part: (end_ms - Math.max(start_ms, now_ms)) / (end_ms - start_ms),
  }));
}
