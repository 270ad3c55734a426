/**
 * Periods of the calendar by their names, and what lies before a range.
 *
 * Invariant: a period begins at the first instant of its first local date, so that periods follow each
 * other without a gap, whatever clocks do.
 */
import type { Interval } from "../schemas/usage.ts";
import {
  instantOf,
  localTime,
  previousShift,
  type Shift,
  shiftBack,
  startOfDay,
} from "./calendar.ts";
import type { TimeRange } from "./request.ts";

/** Kinds of periods. */
export const PERIOD_KINDS = ["day", "week", "month"] as const;
export type PeriodKind = (typeof PERIOD_KINDS)[number];

/** A period and the one of its kind before it. */
export interface Period extends TimeRange {
  readonly kind: PeriodKind;
  readonly previous: TimeRange;
}

const DAY_MS = 86_400_000;
const QUARTER_MS = 900_000;
/** Years whose periods, and the ones before and after, the tables can hold. */
const FIRST_YEAR = 1971;
const LAST_YEAR = 2104;

/** The first date of the period that a date is in, so many periods later; dates as midnights in UTC. */
function shiftDate(date_ms: number, kind: PeriodKind, periods: number): number {
  const date = new Date(date_ms);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  if (kind === "month") return Date.UTC(year, month + periods, 1);
  if (kind === "day") return Date.UTC(year, month, day + periods);
  // Weeks begin on Monday.
  return Date.UTC(year, month, day - ((date.getUTCDay() + 6) % 7) + 7 * periods);
}

function periodOfDate(date_ms: number, kind: PeriodKind, tz: string): Period {
  const start = (periods: number) => startOfDay(shiftDate(date_ms, kind, periods), tz);
  const from_ms = start(0);
  return { kind, from_ms, to_ms: start(1), previous: { from_ms: start(-1), to_ms: from_ms } };
}

/**
 * The period of a name: `day`, `week` (from Monday) and `month` are those that the instant is in, a month
 * such as `2026-11` and a day such as `2026-11-21` are themselves. Null for any other text, for a date
 * that no calendar has, and for years before 1971 and after 2104.
 */
export function findPeriod(name: string, now_ms: number, tz: string): Period | null {
  const kind = PERIOD_KINDS.find((known) => known === name);
  if (kind !== undefined) {
    return periodOfDate(dateOf(now_ms, tz), kind, tz);
  }
  const match = /^(\d{4})-(\d{2})(-\d{2})?$/.exec(name);
  if (match === null) return null;
  const text = match[3] === undefined ? `${name}-01` : name;
  const date_ms = Date.parse(`${text}T00:00:00Z`);
  const year = Number(match[1]);
  if (Number.isNaN(date_ms) || year < FIRST_YEAR || year > LAST_YEAR) return null;
  // A day that its month lacks is read as one of the next.
  if (new Date(date_ms).toISOString().slice(0, 10) !== text) return null;
  return periodOfDate(date_ms, match[3] === undefined ? "month" : "day", tz);
}

/** As much of the period before as has passed of this one, by the clocks of the zone. */
export function samePartBefore(period: Period, to_ms: number, tz: string): TimeRange {
  const { from_ms, previous } = period;
  if (to_ms >= period.to_ms) return previous;
  const passed_ms = localTime(to_ms, tz) - localTime(from_ms, tz);
  const same_ms = instantOf(localTime(previous.from_ms, tz) + passed_ms, tz);
  return { from_ms: previous.from_ms, to_ms: Math.min(same_ms, previous.to_ms) };
}

/** The end of the quarter of an hour that is: so that no part of a rollup is asked for. */
export function endOfQuarter(now_ms: number): number {
  return Math.floor(now_ms / QUARTER_MS) * QUARTER_MS + QUARTER_MS;
}

/** What a range is held against. */
export interface Before {
  readonly range: TimeRange;
  /** The instant that an instant of the range is held against; outside of `range` it is none. */
  readonly back: (time_ms: number) => number;
}

/** Steps that begin alike in a period and in the one before, so that one can be held against the other. */
const STEPS_OF_PERIOD: Readonly<Record<PeriodKind, readonly Interval[]>> = {
  day: ["none", "15m", "hour", "day"],
  week: ["none", "15m", "hour", "day", "week"],
  month: ["none", "15m", "hour", "day", "month"],
};

/** The midnight of the local date of an instant, as if the zone were UTC. */
function dateOf(time_ms: number, tz: string): number {
  return Math.floor(localTime(time_ms, tz) / DAY_MS) * DAY_MS;
}

/** The period of the calendar that a range is to the instant; null when it is none. */
function periodOfRange({ from_ms, to_ms }: TimeRange, tz: string): Period | null {
  const date_ms = dateOf(from_ms, tz);
  const periods = PERIOD_KINDS.map((kind) => periodOfDate(date_ms, kind, tz));
  return periods.find((one) => one.from_ms === from_ms && one.to_ms === to_ms) ?? null;
}

/**
 * What a range with steps is held against: the range of its length just before (see `previousShift`). Of
 * a range that goes on, as much of it as has passed up to the end of the quarter of an hour that is, or a
 * part would be held against a whole; and when it is a day, week or month of the calendar, that part of
 * the one before.
 */
export function findBefore(
  range: TimeRange,
  interval: Interval,
  tz: string,
  now_ms: number,
): Before {
  const { from_ms, to_ms } = range;
  const passed_ms = endOfQuarter(now_ms);
  const goes_on = to_ms > now_ms && from_ms < passed_ms;
  const end_ms = goes_on ? Math.min(to_ms, passed_ms) : to_ms;
  const period = goes_on ? periodOfRange(range, tz) : null;
  const by = (shift: Shift) => (time_ms: number) => Math.max(0, shiftBack(time_ms, shift, tz));
  if (period !== null && STEPS_OF_PERIOD[period.kind].includes(interval)) {
    const days = (dateOf(from_ms, tz) - dateOf(period.previous.from_ms, tz)) / DAY_MS;
    return {
      range: samePartBefore(period, end_ms, tz),
      back: by({ unit: "day", amount: days }),
    };
  }
  const back = by(previousShift(range, interval, tz));
  return { range: { from_ms: back(from_ms), to_ms: back(end_ms) }, back };
}

/** The range that one without steps is held against. */
export function rangeBefore(range: TimeRange, tz: string, now_ms: number): TimeRange {
  return findBefore(range, "none", tz, now_ms).range;
}
